import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from proxy import token_file
from proxy.token_file import TokenFileError, default_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "token"
    old = os.umask(0)
    try:
        made = token_file.ensure(path)
    finally:
        os.umask(old)
    assert made.created
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert len(made.token) >= 32
    again = token_file.ensure(path)
    assert (again.token, again.created) == (made.token, False)
    assert token_file.read(path) == made.token
    assert made.token not in repr(made)
    assert list(path.parent.iterdir()) == [path]


def test_whoever_races_finds_the_same_token(tmp_path: Path) -> None:
    for turn in range(20):
        path = tmp_path / str(turn) / "token"
        together = Barrier(8)

        def start(_: int, path: Path = path, together: Barrier = together) -> token_file.KeptToken:
            together.wait(5)
            return token_file.ensure(path)

        with ThreadPoolExecutor(8) as pool:
            kept = list(pool.map(start, range(8)))
        assert len({one.token for one in kept}) == 1
        assert sum(one.created for one in kept) == 1
        assert list(path.parent.iterdir()) == [path]


def test_what_others_could_read_or_replace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token_file.ensure(path)
    path.chmod(0o640)
    with pytest.raises(TokenFileError, match="chmod 600"):
        token_file.ensure(path)
    path.chmod(0o600)
    tmp_path.chmod(0o777)
    with pytest.raises(TokenFileError, match="chmod go-w"):
        token_file.ensure(path)
    tmp_path.chmod(0o1777)  # as /tmp
    token_file.ensure(path)


def test_no_link_is_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x" * 32)
    elsewhere.chmod(0o600)
    link = tmp_path / "token"
    link.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic link"):
        token_file.ensure(link)
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="symbolic link"):
        token_file.ensure(link)


def test_what_is_no_token_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(0o600)
    with pytest.raises(TokenFileError, match="remove the file"):
        token_file.read(path)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(TokenFileError, match="regular"):
        token_file.read(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        token_file.read(path)


def test_default_path(tmp_path: Path) -> None:
    home = {"HOME": "/home/me"}
    kept = Path("/home/me/.local/state/warmfront/admin-token")
    assert default_path(home) == kept
    assert default_path({**home, "XDG_STATE_HOME": "relative"}) == kept
    assert default_path({**home, "XDG_RUNTIME_DIR": "/does/not/exist"}) == kept
    assert default_path({"XDG_STATE_HOME": "/s"}) == Path("/s/warmfront/admin-token")
    runtime = {**home, "XDG_RUNTIME_DIR": str(tmp_path)}
    assert default_path(runtime) == tmp_path / "warmfront" / "admin-token"
    with pytest.raises(TokenFileError, match=r"admin\.token"):
        default_path({})
