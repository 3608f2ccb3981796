"""The token that is made when the operator gives none, in a file that only this user can read.

    $XDG_RUNTIME_DIR/warmfront/admin-token          where the session has such a folder
    $XDG_STATE_HOME/warmfront/admin-token           else; by default ~/.local/state

It is kept: restarts and other workers find the same token. It appears whole or not at all, since
it is written beside its place and then linked there, which fails if somebody else was first.
"""

import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_FOLDER: Final = "warmfront"
_NAME: Final = "admin-token"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_LONGEST: Final = 1024
_TOKEN: Final = re.compile(r"[!-9;-~]{16,512}")
"""Without a colon, which would end the user name where a client can only send Basic."""


class TokenFileError(Exception):
    """The file, or its folder, is not fit to hold a secret; the text says what to do."""


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A token and where it lies; `created` when this very call made it."""

    token: str = field(repr=False)
    path: Path
    created: bool


def checked(token: str) -> str:
    """The token, if it is one: 16 to 512 printable ASCII characters without blank and colon.

    Raises:
        ValueError: It is not. The text does not repeat it.
    """
    if not _TOKEN.fullmatch(token):
        raise ValueError(
            "a token has 16 to 512 printable ASCII characters, no blank, no colon: "
            "make one with `openssl rand -hex 32`"
        )
    return token


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where server and command line look unless told otherwise.

    Raises:
        TokenFileError: There is neither a runtime folder nor a home.
    """
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and Path(runtime).is_dir():
        return Path(runtime, _FOLDER, _NAME)
    state = environment.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        return Path(state, _FOLDER, _NAME)
    home = environment.get("HOME", "")
    if not home.startswith("/"):
        raise TokenFileError("there is no home to keep a token in: set admin.token")
    return Path(home, ".local", "state", _FOLDER, _NAME)


def ensure(path: Path) -> KeptToken:
    """The token in `path`, made now if there is none.

    Raises:
        TokenFileError: Others can read it or put another in its place.
        OSError: The file cannot be made or read.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(path.parent)
    try:
        return KeptToken(read(path), path, created=False)
    except FileNotFoundError:
        pass
    created = _create(path, secrets.token_urlsafe(32))
    return KeptToken(read(path), path, created)


def read(path: Path) -> str:
    """The token in `path`.

    Raises:
        TokenFileError: Others can read it, or it holds no token.
        OSError: It is not there or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenFileError(f"{path} is not a regular file: remove it")
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
            raise TokenFileError(f"{path} is open to other users: chown it, and chmod 600")
        text = file.read(_LONGEST).decode("latin-1").strip()
    try:
        return checked(text)
    except ValueError as error:
        raise TokenFileError(f"{path}: {error}; or remove the file") from None


def _check_folder(folder: Path) -> None:
    """Whoever can write here could put a token of their own in the place of ours."""
    mode = folder.stat().st_mode
    if mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
        raise TokenFileError(f"{folder} can be written by other users: chmod go-w")


def _create(path: Path, token: str) -> bool:
    """Put `token` into `path`; False if somebody else was first."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "w") as file:
            file.write(f"{token}\n")
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True
