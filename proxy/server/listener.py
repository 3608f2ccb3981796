"""The public listener: sockets, TLS, the number of connections, and the orderly end."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from proxy.events import Emit
from proxy.exchange import Answers, Respond
from proxy.server import sockets
from proxy.server.acceptor import Acceptor
from proxy.server.door import Door, Shortage, refuse
from proxy.server.hot import HotPath
from proxy.server.http import HttpHandler
from proxy.server.options import ServerOptions

_logger = logging.getLogger(__name__)

_TLS_SHUTDOWN: Final = 5.0


class Listener:
    """Listens on any number of addresses and answers requests with what `respond` says.

    Args:
        emit: Is told what was refused before `respond` got to see it.
    """

    def __init__(
        self, respond: Respond, options: ServerOptions, emit: Emit = lambda _: None
    ) -> None:
        self._options = options
        self._emit = emit
        self._acceptor: Acceptor | None = None
        self._handler = HttpHandler(respond, options, emit)
        self._hot = {scheme: HotPath(scheme, options) for scheme in ("http", "https")}
        self._doors: list[Door] = []
        self._covered: list[Door] = []
        self._arriving: set[asyncio.Task[None]] = set()
        self._unix_sockets: list[tuple[Path, int]] = []
        self._no_descriptor = Shortage("Out of file descriptors for connections")
        self._full = Shortage(f"{options.connections} connections are open")

    async def start(
        self,
        address: str,
        *,
        tls: ssl.SSLContext | None = None,
        handed_down: Sequence[socket.socket] = (),
        shared: bool = False,
    ) -> None:
        """Listen on one more address.

        Args:
            address: `host:port`, `[v6]:port`, `:port` (all interfaces) or `unix:/path`.
            tls: Is made to offer HTTP/1.1 only.
            handed_down: Sockets that listen there already; whoever made them keeps them too.
            shared: Other processes may listen there at the same time.

        Raises:
            ValueError: The address has another form.
            OSError: It cannot be had.
        """
        if self._acceptor is None:
            self._acceptor = Acceptor(self._handler.serve, self._options, self._emit, self._hot)
        listening = handed_down or sockets.bind(address, shared=shared)
        if not handed_down and address.startswith(sockets.UNIX):
            path = Path(address.removeprefix(sockets.UNIX))
            self._unix_sockets.append((path, _inode(path)))
        if tls is not None:
            tls.set_alpn_protocols(["http/1.1"])
        self._doors += self._opened(listening, self._acceptor, tls)

    def cover(self, listening: Sequence[socket.socket], *, tls: ssl.SSLContext | None) -> None:
        """Accept from these too, until this is called again; only after `start`."""
        doors, self._covered = self._covered, []
        if self._acceptor is not None and not self._acceptor.draining:
            self._covered = self._opened(listening, self._acceptor, tls)
        for door in doors:
            door.close()

    def _opened(
        self,
        listening: Iterable[socket.socket],
        acceptor: Acceptor,
        tls: ssl.SSLContext | None,
    ) -> list[Door]:
        welcome = partial(self._welcome, acceptor, tls)
        doors = [
            Door(sock, welcome, plain=tls is None, shortage=self._no_descriptor)
            for sock in listening
        ]
        for door in doors:
            door.open()
        return doors

    def answer_from(self, answers: Answers) -> None:
        """From now on answer what needs no waiting from these, without `respond`, until it ends."""
        if self._acceptor is None or not self._acceptor.draining:
            for path in self._hot.values():
                path.answer_from(answers)

    @property
    def port(self) -> int:
        """The TCP port that the last `start` was given; 0 for a Unix socket or none."""
        name = self._doors[-1].sock.getsockname() if self._doors else None
        return int(name[1]) if isinstance(name, tuple) else 0

    @property
    def connections(self) -> int:
        """How many are open."""
        return 0 if self._acceptor is None else self._acceptor.count

    def retire(self) -> None:
        """Have each connection end with its next answer; new ones are still let in."""
        if self._acceptor is not None:
            self._acceptor.retire()

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - it ends in force
        """Accept nothing more, let running requests finish for so many seconds, close."""
        self.retire()
        doors = [*self._doors, *self._covered]
        self._doors, self._covered = [], []
        for door in doors:
            door.close()
        for path, inode in self._unix_sockets:
            if _inode(path) == inode:  # else a successor listens there by now
                path.unlink()
        self._unix_sockets.clear()
        await self._end_arrivals(timeout)
        if self._acceptor is not None:
            await self._acceptor.drain(timeout)
        self._no_descriptor.close()
        self._full.close()

    async def close(self) -> None:
        """Close at once, whatever runs."""
        await self.drain(0)

    def _welcome(
        self, acceptor: Acceptor, tls: ssl.SSLContext | None, connection: socket.socket
    ) -> None:
        if len(self._arriving) + acceptor.count >= self._options.connections:
            self._full.note()
            if tls is not None:  # not worth a handshake; the others are answered
                refuse(connection, "Too many connections are open.", plain=False)
                return
        task = asyncio.get_running_loop().create_task(self._let_in(acceptor, tls, connection))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _let_in(
        self, acceptor: Acceptor, tls: ssl.SSLContext | None, connection: socket.socket
    ) -> None:
        """Make a transport of it, after the handshake if there is one."""
        connection.settimeout(0)
        secured: dict[str, Any] = {}
        if tls is not None:
            secured["ssl"] = tls
            secured["ssl_handshake_timeout"] = self._options.header_timeout
            secured["ssl_shutdown_timeout"] = _TLS_SHUTDOWN
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(acceptor.accept, connection, **secured)
        except OSError as error:  # no TLS, or gone already
            connection.close()
            _logger.debug("A connection came to nothing: %s", error)
        except asyncio.CancelledError:
            connection.close()
            raise

    async def _end_arrivals(self, seconds: float) -> None:
        if self._arriving:
            _, late = await asyncio.wait(self._arriving, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


def _inode(path: Path) -> int:
    """Which file is there; 0 for none."""
    with suppress(OSError):
        return path.stat().st_ino
    return 0
