"""All connections: let in or turned away, counted, and drained."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, cast

from aiohttp import StreamReader, web

from proxy.events import Emit, Refused
from proxy.exchange import Respond
from proxy.server.clients import Clients
from proxy.server.feeding import CLOSE, KEEP_ALIVE
from proxy.server.heads import RequestHead
from proxy.server.hot import HotPath
from proxy.server.options import ServerOptions
from proxy.server.protocol import Connection
from proxy.server.rejection import RequestRejected
from proxy.server.transports import address_of, close_write
from proxy.server.unsent import Unsent
from proxy.server.writing import problem_bytes

_FAREWELL: Final = 1.0
"""Seconds in which who is turned away may take in the answer, and stop sending.

Closed with bytes unread, its connection would be reset, and the answer lost (RFC 9112 §9.6).
"""

_MOST_LEAVING: Final = 32
"""That get this time at once, since each takes a descriptor; others are let go as it comes."""

_CUT_TIME: Final = 1.0
"""Seconds that what was cut and cancelled may take over its clean-up."""

Serve: TypeAlias = Callable[
    [Connection, RequestHead, StreamReader, Respond | None], Awaitable[bool]
]
"""Answers one request; returns whether the connection can carry another. See HttpHandler.serve."""


class Acceptor(web.Server):
    """Makes a Connection of every accepted socket, and knows what is still going on.

    A connection that is lost may leave its task behind: the gateway finishes what it has begun.

    Args:
        hot: What answers plain requests at once, by scheme.

    Attributes:
        draining: Each connection is to close after the request that it is at.
        hot: The same.
        serve: Answers all others.
        unsent: What clients are slow to take.
    """

    def __init__(
        self,
        serve: Serve,
        options: ServerOptions,
        emit: Emit,
        hot: Mapping[str, HotPath] | None = None,
    ) -> None:
        super().__init__(_request_handler(serve))
        self.serve = serve
        self.hot = {} if hot is None else hot
        self._options = options
        self._emit = emit
        self._open: set[Connection] = set()
        self._clients = Clients(options.connections_per_client)
        self.unsent = Unsent(options.unsent)
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet: asyncio.Future[None] | None = None
        self._leaving: set[_TurnedAway] = set()
        self.draining = False

    def accept(self) -> asyncio.Protocol:
        """The protocol for the next connection."""
        if len(self._open) >= self._options.connections:
            return self.turned_away(RequestRejected(503, "Too many connections are open."))
        return Connection(self, self._options, asyncio.get_running_loop())

    def turned_away(self, rejection: RequestRejected) -> asyncio.Protocol:
        """The protocol for a connection that is answered so, whatever it asks for."""
        return _TurnedAway(self._leaving, rejection, self._emit)

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def retire(self) -> None:
        """From now on each connection closes after its next answer, which says so."""
        self.draining = True
        for path in self.hot.values():
            path.answer_from(None)

    def admit(self, address: str) -> bool:
        """Whether its client may have one connection more; who is admitted is counted out later."""
        return self._clients.enter(address)

    def refused(self, rejection: RequestRejected, address: str) -> None:
        """Tell of a request, or a connection, that nobody else gets to see."""
        self._emit(Refused(rejection.status, rejection.detail, address))

    def opened(self, connection: Connection, task: asyncio.Task[None]) -> None:
        """Count a connection in, with the task that serves it."""
        self._open.add(connection)
        self.began(task)

    def began(self, task: asyncio.Task[None]) -> None:
        """Wait for this task, too, before all is quiet."""
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def closed(self, connection: Connection) -> None:
        """Count it out."""
        self._open.discard(connection)
        self._clients.leave(connection.client_address)
        self._tell_quiet()

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - it ends in force
        """Let running requests finish, for so many seconds; then cut what is left.

        An idle connection gets a moment for another request first, whose answer says that it is
        the last one: a client that sends it just when we close could not know.
        """
        self.retire()
        now = asyncio.get_running_loop().time
        began = now()
        await self._wait_until_quiet(min(timeout, self._options.drain_idle))
        for connection in list(self._open):
            connection.close_if_idle()
        await self._wait_until_quiet(began + timeout - now())
        for connection in list(self._open):
            connection.cut()
        for away in list(self._leaving):
            away.cut()
        await asyncio.sleep(0)  # a task that has not begun would not end what began before it
        for task in self._tasks:
            task.cancel()
        await self._wait_until_quiet(_CUT_TIME)

    async def _wait_until_quiet(self, seconds: float) -> None:
        if seconds > 0 and (self._open or self._tasks):
            self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._quiet], timeout=seconds)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._tell_quiet()

    def _tell_quiet(self) -> None:
        quiet = self._quiet
        if quiet is not None and not quiet.done() and not self._open and not self._tasks:
            quiet.set_result(None)


class _TurnedAway(asyncio.Protocol):
    """One connection too many; one of `leaving` for as long as it is there."""

    def __init__(self, leaving: "set[_TurnedAway]", rejection: RequestRejected, emit: Emit) -> None:
        self._leaving = leaving
        self._rejection = rejection
        self._emit = emit
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer before anything is asked."""
        self._transport = transport = cast("asyncio.Transport", transport)
        rejection = self._rejection
        self._emit(Refused(rejection.status, rejection.detail, address_of(transport)))
        transport.write(problem_bytes(rejection.status, rejection.detail))
        if len(self._leaving) >= _MOST_LEAVING:
            transport.close()
            return
        self._leaving.add(self)
        self._timer = asyncio.get_running_loop().call_later(_FAREWELL, self.cut)
        close_write(transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Gone."""
        self._leaving.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def cut(self) -> None:
        """It had its time."""
        self._transport.abort()


def _request_handler(
    serve: Serve,
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        persists = await serve(connection, connection.head, request.content, None)
        return KEEP_ALIVE if persists else CLOSE

    return handle
