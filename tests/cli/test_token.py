"""`warmfront token`: the one that the server keeps, for whatever does not look for it itself."""

from pathlib import Path

import pytest

from proxy import token_file
from tests.cli.warmfront import warmfront


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_what_the_server_has_made_is_printed() -> None:
    made = token_file.ensure(token_file.default_path())
    assert warmfront("token") == (0, f"{made.token}\n", "")


def test_there_is_none() -> None:
    code, out, err = warmfront("token")
    assert (code, out) == (1, "")
    assert "no server of this user has made a token" in err
    assert "admin.token" in err


def test_one_that_others_can_read_is_not_shown() -> None:
    path = token_file.ensure(token_file.default_path()).path
    path.chmod(0o644)
    code, out, err = warmfront("token")
    assert (code, out) == (1, "")
    assert "open to other users" in err
