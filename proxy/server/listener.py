"""The public listener: sockets, TLS, and the orderly end."""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final

from proxy.server.http import HttpHandler, Respond
from proxy.server.options import ServerOptions
from proxy.server.protocol import Acceptor

_BACKLOG: Final = 1024
_TLS_SHUTDOWN: Final = 5.0
_UNIX: Final = "unix:"
_MAX_PORT: Final = 65535


class Listener:
    """Listens on any number of addresses and answers requests with what `respond` says."""

    def __init__(self, respond: Respond, options: ServerOptions) -> None:
        self._options = options
        self._acceptor: Acceptor | None = None
        self._handler = HttpHandler(respond, options)
        self._servers: list[asyncio.Server] = []
        self._unix_sockets: list[tuple[Path, int]] = []

    async def start(self, address: str, *, tls: ssl.SSLContext | None = None) -> None:
        """Listen on `host:port`, `[v6]:port`, `:port` (all interfaces) or `unix:/path`.

        Raises ValueError for another form, OSError where the address cannot be had. `tls` is
        made to offer HTTP/1.1 only.
        """
        if self._acceptor is None:
            self._acceptor = Acceptor(self._handler.serve, self._options)
        loop = asyncio.get_running_loop()
        common: dict[str, Any] = {"backlog": _BACKLOG}
        if tls is not None:
            tls.set_alpn_protocols(["http/1.1"])
            common["ssl"] = tls
            common["ssl_handshake_timeout"] = self._options.header_timeout
            common["ssl_shutdown_timeout"] = _TLS_SHUTDOWN
        if address.startswith(_UNIX):
            path = Path(address.removeprefix(_UNIX))
            server = await loop.create_unix_server(self._acceptor.accept, str(path), **common)
            self._unix_sockets.append((path, _inode(path)))
        else:
            host, port = split_address(address)
            server = await loop.create_server(self._acceptor.accept, host, port, **common)
        self._servers.append(server)

    @property
    def port(self) -> int:
        """The TCP port that the last `start` was given; 0 for a Unix socket or none."""
        names = [sock.getsockname() for server in self._servers[-1:] for sock in server.sockets]
        return int(names[0][1]) if names and isinstance(names[0], tuple) else 0

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - it ends in force
        """Accept nothing more, let running requests finish for so many seconds, close."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for path, inode in self._unix_sockets:
            if _inode(path) == inode:  # else a successor listens there by now
                path.unlink()
        self._unix_sockets.clear()
        if self._acceptor is not None:
            await self._acceptor.drain(timeout)

    async def close(self) -> None:
        """Close at once, whatever runs."""
        await self.drain(0)


def _inode(path: Path) -> int:
    """Which file is there; 0 for none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


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
