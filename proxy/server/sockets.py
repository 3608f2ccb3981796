"""Listening sockets: bound here, or handed down by whoever started this process.

A socket that is handed down outlives the process: what waits in its queue is lost by no restart.
Whoever hands it down says so in the environment, as systemd does for its socket units:

    LISTEN_PID    the process that is meant
    LISTEN_FDS    how many sockets there are, from descriptor 3 on
"""

import os
import socket
import stat
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Final

UNIX: Final = "unix:"
BACKLOG: Final = 1024

_FIRST_DESCRIPTOR: Final = 3
_MAX_PORT: Final = 65535
_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})


def split_address(address: str) -> tuple[str | None, int]:
    """Host (None: every interface) and port of `host:port`; raises ValueError."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{address!r}: an IPv6 address needs brackets")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > _MAX_PORT:
        raise ValueError(f"{address!r} is not host:port or unix:/path")
    return host or None, int(port)


def bind(address: str, *, shared: bool = False) -> list[socket.socket]:
    """Listen on an address.

    Args:
        address: `host:port`, `[v6]:port`, `:port` (all interfaces) or `unix:/path`.
        shared: Other processes of this user may listen there at the same time (SO_REUSEPORT).

    Raises:
        ValueError: Another form.
        OSError: The address cannot be had; the text says which.
    """
    try:
        if address.startswith(UNIX):
            return [_bind_unix(Path(address.removeprefix(UNIX)))]
        return _bind_tcp(*split_address(address), shared=shared)
    except socket.gaierror:
        raise
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error


def _bind_tcp(host: str | None, port: int, *, shared: bool) -> list[socket.socket]:
    """One socket for each address of the host; with port 0 all get the same."""
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, name in dict.fromkeys(found):
        taken = (name[0], port or (sockets[0].getsockname()[1] if sockets else 0), *name[2:])
        try:
            sockets.append(_listening(family, kind, protocol, taken, shared=shared))
        except OSError as error:
            failure = error
            if host is not None:  # of all interfaces one family is enough
                break
    if failure is not None and (host is not None or not sockets):
        for sock in sockets:
            sock.close()
        raise failure
    return sockets


def _listening(
    family: int, kind: int, protocol: int, name: tuple[object, ...], *, shared: bool
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(path: Path) -> socket.socket:
    """What a process left behind that was killed is replaced."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def handed_down(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening sockets that this process was started with; asked again, there are none."""
    process, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    sockets = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - its only argument
        sockets.append(socket.socket(fileno=descriptor))
    return sockets


def take(sockets: list[socket.socket], address: str) -> list[socket.socket]:
    """Remove those from `sockets` that listen on `address`, and return them."""
    taken = [sock for sock in sockets if _listens_on(sock, address)]
    sockets[:] = [sock for sock in sockets if sock not in taken]
    return taken


def _listens_on(sock: socket.socket, address: str) -> bool:
    name = sock.getsockname()
    if isinstance(name, str | bytes):
        return os.fsdecode(name) == address.removeprefix(UNIX)
    if address.startswith(UNIX):
        return False
    host, port = split_address(address)
    if name[1] != port:
        return False
    return name[0] in (_ANYWHERE if host is None else _resolved(host, port))


def _resolved(host: str, port: int) -> set[str]:
    with suppress(socket.gaierror):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return {str(name[0]) for *_, name in found}
    return {host}


def described(sockets: Iterable[socket.socket]) -> str:
    """Where they listen, for people."""
    return ", ".join(_described(sock) for sock in sockets)


def _described(sock: socket.socket) -> str:
    name = sock.getsockname()
    if isinstance(name, tuple):
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return f"{UNIX}{os.fsdecode(name)}"
