"""One connection: aiohttp's RequestHandler with our parser in it.

aiohttp keeps the connection's life: its task, the keep-alive timer, request bodies with flow
control, upgrades. A request that ends with its head is served past it, in a task of its own. What
arrives is read by `proxy.server.parser`, because aiohttp's own parser refuses unknown methods,
accepts what must be refused, and loses bytes of field values.

This is the only module that touches private parts of aiohttp; its tests hold a canary for each.
Invariants:

- One request at a time: what is pipelined behind it stays unparsed until it has been answered.
- After a refusal nothing more is parsed, and the connection closes.
- Every wait for the client is bounded: for a head, for the next request, for it to read.
"""

import asyncio
import logging
import select
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias, cast

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.events import Emit, Refused
from proxy.server.clients import Clients
from proxy.server.heads import RequestHead
from proxy.server.hot import HotPath
from proxy.server.options import ServerOptions
from proxy.server.parser import Boundary, RequestParser
from proxy.server.rejection import RequestRejected
from proxy.server.writing import problem_bytes

_logger = logging.getLogger(__name__)

_READ_BUFFER: Final = 64 * 1024
"""A request body that nobody reads is held up to about twice this, then reading pauses."""

_PIPELINE_BUFFER: Final = 64 * 1024
"""Reading pauses when more than this waits behind the request that is being answered."""

_JOINED: Final = 16 * 1024
"""Bytes of a body up to which to join it to its head is cheaper than to send two pieces."""

_HALF_CLOSED_GRACE: Final = 1.0
"""Seconds that an answer still gets once the client has closed its side.

It may just as well be gone altogether, which looks the same until something is sent.
"""

TUNNEL_GRACE: Final = 2.0
"""The same for a tunnel, once either side has closed."""

_LINGER: Final = 2.0
"""Seconds for which a closing connection still takes in bytes.

Closed with bytes unread it would be reset, and the answer could be lost (RFC 9112 §9.6).
"""

_CUT_TIME: Final = 1.0
"""Seconds that what was cut and cancelled may take over its clean-up."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

Serve: TypeAlias = "Callable[[Connection, RequestHead, StreamReader], Awaitable[bool]]"
"""Answers one request; returns whether the connection can carry another."""

_Messages: TypeAlias = list[tuple[RawRequestMessage | _ErrInfo, StreamReader]]


class Acceptor(web.Server):
    """Makes a Connection of every accepted socket, and knows what is still going on.

    A connection that is lost may leave its task behind: the gateway finishes what it has begun.

    Args:
        hot: What answers plain requests at once, by scheme.

    Attributes:
        serve: Answers all others.
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
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet: asyncio.Future[None] | None = None
        self._draining = False

    def accept(self) -> asyncio.Protocol:
        """The protocol for the next connection."""
        if len(self._open) >= self._options.connections:
            return _TurnedAway(self, RequestRejected(503, "Too many connections are open."))
        return Connection(self, self._options, self._loop)

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._open)

    @property
    def draining(self) -> bool:
        """Each connection is to close after the request that it is at."""
        return self._draining

    def retire(self) -> None:
        """From now on each connection closes after its next answer, which says so."""
        self._draining = True
        self.hot = {}

    def admit(self, address: str) -> bool:
        """Whether its client may have one connection more; who is admitted is counted out later."""
        return self._clients.enter(address)

    def refused(self, rejection: RequestRejected, address: str) -> None:
        """Tell of a request, or a connection, that nobody else gets to see."""
        self._emit(Refused(rejection.status, rejection.detail, address))

    def opened(self, connection: "Connection", task: asyncio.Task[None]) -> None:
        """Count a connection in, with the task that serves it."""
        self._open.add(connection)
        self.began(task)

    def began(self, task: asyncio.Task[None]) -> None:
        """Wait for this task, too, before all is quiet."""
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def closed(self, connection: "Connection") -> None:
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
        began = self._loop.time()
        await self._wait_until_quiet(min(timeout, self._options.drain_idle))
        for connection in list(self._open):
            connection.close_if_idle()
        await self._wait_until_quiet(began + timeout - self._loop.time())
        for connection in list(self._open):
            connection.cut()
        for task in self._tasks:
            task.cancel()
        await self._wait_until_quiet(_CUT_TIME)

    async def _wait_until_quiet(self, seconds: float) -> None:
        if seconds > 0 and (self._open or self._tasks):
            self._quiet = self._loop.create_future()
            await asyncio.wait([self._quiet], timeout=seconds)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._tell_quiet()

    def _tell_quiet(self) -> None:
        quiet = self._quiet
        if quiet is not None and not quiet.done() and not self._open and not self._tasks:
            quiet.set_result(None)


class Connection(RequestHandler):
    """One client connection.

    Attributes:
        head: Of the request that is being answered.
    """

    __slots__ = (
        "_acceptor",
        "_begun_at_most",
        "_client_address",
        "_feeder",
        "_flushed",
        "_grace",
        "_half_closed",
        "_head_timer",
        "_lost",
        "_options",
        "_scheme",
        "_stall_timer",
        "_task_to_cancel",
        "_tunnel",
        "_wire",
        "_written",
        "head",
    )

    head: RequestHead

    def __init__(
        self, acceptor: Acceptor, options: ServerOptions, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            acceptor,
            loop=loop,
            keepalive_timeout=options.keepalive_timeout,
            access_log=None,  # type: ignore[arg-type]  # as aiohttp's own runner passes it
            lingering_time=0,
            read_bufsize=_READ_BUFFER,
        )
        self._acceptor = acceptor
        most = options.requests_per_connection
        # The last one has to be told so.
        self._begun_at_most = sys.maxsize if most is None else most - 1
        self._client_address = ""
        self._options = options
        self._feeder = _Feeder(self, options, loop)
        self._parser = self._feeder  # type: ignore[assignment]  # the methods in use are there
        self._wire: asyncio.Transport | None = None
        self._lost: asyncio.Future[None] = loop.create_future()
        self._task_to_cancel: asyncio.Task[None] | None = None
        self._tunnel: StreamReader | None = None
        self._half_closed = False
        self._grace: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._written = 0
        self._flushed = 0
        self._scheme = "http"

    # What the rest of the server sees.

    @property
    def idle(self) -> bool:
        """Between two requests: nothing is being answered, and no byte of the next is here."""
        return self._feeder.idle and not self._messages

    @property
    def lost(self) -> bool:
        """The connection is gone."""
        return self._lost.done()

    @property
    def closing(self) -> bool:
        """No request will be read after the one that is being answered."""
        most = self._options.requests_per_connection
        spent = most is not None and self._feeder.begun >= most
        return spent or self._half_closed or self._acceptor.draining

    @property
    def half_closed(self) -> bool:
        """The client has closed its side."""
        return self._half_closed

    @property
    def more_input(self) -> bool:
        """Bytes wait behind the request that is being answered."""
        return self._feeder.buffered > 0

    @property
    def client_address(self) -> str:
        """The client's IP address; "" on a Unix socket."""
        return self._client_address

    def write(self, data: bytes | memoryview) -> None:
        """Send; raises ConnectionResetError when the client is gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._written += len(data)
        transport.write(data)

    async def drained(self) -> None:
        """Wait while the client is slow to read."""
        if self._paused:
            await self._drain_helper()

    def close_write(self) -> None:
        """Tell the client that nothing more comes, where the transport can (TLS cannot)."""
        transport = self.transport
        if transport is not None and transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()

    def abort(self, *, reset: bool = False) -> None:
        """Cut the connection; with `reset` so that what was sent cannot pass for complete."""
        transport = self._wire
        if transport is not None:
            if reset and (sock := transport.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

    @contextmanager
    def cancel_on_loss(self) -> Iterator[None]:
        """While inside, the loss of the connection cancels the current task, and ends this."""
        task = asyncio.current_task()
        if self.lost:
            raise ConnectionResetError("the client is gone")
        self._task_to_cancel = task
        try:
            yield
        except asyncio.CancelledError:
            if self._lost.done() and task is not None and task.uncancel() == 0:
                raise ConnectionResetError("the client is gone") from None
            raise
        finally:
            self._task_to_cancel = None

    async def linger(self) -> None:
        """Close the sending side and drop what still arrives, for a moment (RFC 9112 §9.6)."""
        self.close()
        self._resume_transport_reading()
        self.close_write()
        await asyncio.wait([self._lost], timeout=_LINGER)

    def open_tunnel(self) -> StreamReader:
        """From now on the client's bytes, the ones behind its request first, are no HTTP."""
        tunnel = self._tunnel = StreamReader(self, _READ_BUFFER, loop=self._loop)
        self.set_parser(_TunnelFeed(tunnel))  # type: ignore[arg-type]  # it is fed like one
        return tunnel

    # What the acceptor asks.

    def close_if_idle(self) -> None:
        """Close at once unless a request has begun to arrive, be it only at this machine."""
        if self.idle and not self._readable:
            self.force_close()

    @property
    def _readable(self) -> bool:
        """Whether something has arrived that the loop has not read yet."""
        sock = None if self._wire is None else self._wire.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def cut(self) -> None:
        """Close at once, so that nothing half sent can pass for complete."""
        self.force_close()
        self.abort(reset=True)

    # What aiohttp and the loop call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock for the first head."""
        self._wire = cast("asyncio.Transport", transport)
        address = _address_of(self._wire)
        if not self._acceptor.admit(address):
            rejection = RequestRejected(429, "Too many connections from this address.")
            away = _TurnedAway(self._acceptor, rejection)
            self._wire.set_protocol(away)
            away.connection_made(transport)
            return
        self._client_address = address
        super().connection_made(transport)
        self._scheme = "http" if self.ssl_context is None else "https"
        self._acceptor.opened(self, cast("asyncio.Task[None]", self._task_handler))
        self._head_timer = self._loop.call_later(self._options.header_timeout, self._head_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wake or cancel whatever waits for the client."""
        super().connection_lost(exc)
        self._acceptor.closed(self)
        if not self._lost.done():
            self._lost.set_result(None)
        for timer in (self._grace, self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        if self._task_to_cancel is not None:
            self._task_to_cancel.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer at once what can be; else parse, and stop reading when too much waits behind."""
        if self._feeder.untouched and self._answer_at_once(data):
            return
        super().data_received(data)
        if not self._buffer_paused and self._feeder.held_back > _PIPELINE_BUFFER:
            self._pause_reading_for_buffer()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # as asyncio has it
        """The client closed its side: a tunnel goes on; a whole request may still be answered."""
        can_half_close = self.ssl_context is None
        if self._tunnel is not None:
            self._tunnel.feed_eof()
            self._grant(TUNNEL_GRACE)
            return can_half_close
        if self._feeder.request_complete and not self._close and can_half_close:
            self._half_closed = True
            self._grant(_HALF_CLOSED_GRACE)
            return True
        return None

    def pause_writing(self) -> None:
        """The client reads more slowly than we send."""
        super().pause_writing()
        self._watch_flush()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Go on to what is pipelined behind the request."""
        result = await super().finish_response(request, resp, start_time)
        self._watch_flush()
        if resp.keep_alive and self._parser is not None:
            self._go_on()
        return result

    def _go_on(self) -> None:
        """The request has been answered: turn to what is pipelined behind it."""
        self._feeder.release()
        if self._feeder.buffered:
            self.data_received(b"")
        if self._buffer_paused:
            self._resume_reading_if_drained()
        if self._acceptor.draining:  # it was told to go on before that
            self._loop.call_later(self._options.drain_idle, self.close_if_idle)

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that the parser refused; anything else is a bug of the server's own."""
        if isinstance(exc, RequestRejected):
            self._acceptor.refused(exc, self.client_address)
            return _Refusal(self, exc)
        _logger.error("The server failed on a request: %s %s", status, message, exc_info=exc)
        self.abort()
        return _CLOSE

    def serve_without_content(self, head: RequestHead) -> None:
        """Answer a request that ends with its head.

        aiohttp's task, which would make three objects of it for bodies to be read from, sees none
        of this and goes on waiting for the next request.
        """
        self._acceptor.began(self._loop.create_task(self._serve(head)))

    async def _serve(self, head: RequestHead) -> None:
        persists = False
        try:
            persists = await self._acceptor.serve(self, head, EMPTY_PAYLOAD)
        except ConnectionError:
            _logger.debug("A client left before its answer", exc_info=True)
        except Exception:
            _logger.exception("The server failed on a request")
            self.abort()
        finally:
            self._watch_flush()
            if not persists or self._close or self._force_close:
                self.force_close()
            else:
                self._wait_for_next()
                self._go_on()

    def _wait_for_next(self) -> None:
        """Run the keep-alive timer, as aiohttp does after an answer of its own."""
        close_time = self._loop.time() + self._keepalive_timeout
        self._next_keepalive_close_time = close_time
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)

    def watch_head(self) -> None:
        """Run the clock while a head is incomplete, and only then."""
        if self._feeder.in_head:
            if self._head_timer is None:
                after = self._options.header_timeout
                self._head_timer = self._loop.call_later(after, self._head_late)
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _answer_at_once(self, data: bytes) -> bool:
        """Whether these bytes were one plain request, which is answered now, and not the last."""
        hot = self._acceptor.hot.get(self._scheme)
        transport, feeder = self.transport, self._feeder
        if hot is None or transport is None or self._paused or feeder.begun >= self._begun_at_most:
            return False
        answer = hot.answer(data)
        if answer is None:
            return False
        feeder.begun += 1
        head, body = answer
        size = len(body)
        self._written += len(head) + size
        if size > _JOINED:
            transport.writelines(answer)
        else:
            transport.write(head + body)
        if transport.get_write_buffer_size():
            self._watch_flush()
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._head_timer is not None:
            self.watch_head()
        return True

    def _grant(self, seconds: float) -> None:
        """Give a client that has closed its side some time, and more as long as it takes bytes."""
        self._grace = self._loop.call_later(seconds, self._end_grace, seconds, self._written)

    def _end_grace(self, seconds: float, written: int) -> None:
        if self._written > written:  # one that is gone would have answered those with a reset
            self._grant(seconds)
        else:
            self.abort()

    def _head_late(self) -> None:
        self._head_timer = None
        if self.idle:
            self.force_close()
        else:
            self._feeder.expire()
            self.data_received(b"")

    def _process_keepalive(self) -> None:
        if self.idle:
            super()._process_keepalive()
        else:
            self._keepalive_handle = None

    def _resume_reading_if_drained(self) -> None:
        if self._feeder.held_back <= _PIPELINE_BUFFER:
            super()._resume_reading_if_drained()

    def _watch_flush(self) -> None:
        """Start to check that the client takes what waits for it."""
        waiting = 0 if self._wire is None else self._wire.get_write_buffer_size()
        if waiting and self._stall_timer is None:
            self._flushed = self._written - waiting
            after = self._options.send_timeout
            self._stall_timer = self._loop.call_later(after, self._check_flush)

    def _check_flush(self) -> None:
        self._stall_timer = None
        waiting = 0 if self._wire is None else self._wire.get_write_buffer_size()
        if waiting and self._written - waiting == self._flushed:
            self.abort()
        else:
            self._watch_flush()


class _Feeder:
    """Our parser behind the interface of aiohttp's.

    Attributes:
        answering: A request is being answered.
        begun: Requests that have been let in so far.
        untouched: Nothing is being answered, and nothing at all has come since the last request.
    """

    def __init__(
        self, connection: Connection, options: ServerOptions, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._parser = RequestParser(options)
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._verdict: RequestRejected | None = None
        self.answering = False
        self.begun = 0
        self.untouched = True

    @property
    def idle(self) -> bool:
        """Nothing is being answered and nothing has arrived."""
        return not self.answering and self._parser.idle

    @property
    def request_complete(self) -> bool:
        """A request is being answered, and all of it has arrived."""
        return self.answering and self._parser.between_requests

    @property
    def in_head(self) -> bool:
        """A head has begun to arrive, and nothing but its client delays it."""
        parser = self._parser
        return not self.answering and parser.between_requests and not parser.idle

    @property
    def buffered(self) -> int:
        """Bytes not parsed yet."""
        return self._parser.buffered

    @property
    def held_back(self) -> int:
        """Bytes that are not parsed because a request is being answered."""
        return self._parser.buffered if self.answering else 0

    def release(self) -> None:
        """The request has been answered: the next may be parsed."""
        self.answering = False
        self.untouched = self._parser.untouched

    def expire(self) -> None:
        """The client took too long over its head."""
        self._verdict = RequestRejected(408, "The request head did not arrive in time.")

    def feed_data(self, data: bytes) -> tuple[_Messages, bool, bytes]:
        """Take bytes; returns new requests, whether HTTP ends here, and the bytes behind that."""
        messages: _Messages = []
        self._parser.receive(data)
        try:
            upgraded = self._pull(messages)
        except RequestRejected as rejection:
            self._parser.refuse()
            if self.answering:
                self._payload.set_exception(rejection)
            else:
                self.answering = True
                error = _ErrInfo(rejection.status, rejection, rejection.detail)
                messages.append((error, EMPTY_PAYLOAD))
            upgraded = False
        self._connection.watch_head()
        self.untouched = not self.answering and self._parser.untouched
        return messages, upgraded, self._parser.take_rest() if upgraded else b""

    def _pull(self, messages: _Messages) -> bool:
        """Take events up to the end of the request; returns whether it asks for an upgrade."""
        if self._verdict is not None:
            verdict, self._verdict = self._verdict, None
            raise verdict
        while not self.request_complete:
            match self._parser.next_event():
                case None:
                    break
                case RequestHead() as head:
                    self._begin(head, messages)
                case bytes() as piece:
                    self._payload.feed_data(piece)
                case Boundary.END:
                    self._payload.feed_eof()
                    return self._connection.head.upgrade
        return False

    def _begin(self, head: RequestHead, messages: _Messages) -> None:
        self.answering = True
        self.begun += 1
        self._connection.head = head
        self._payload = EMPTY_PAYLOAD
        if not (head.has_content or head.upgrade):
            self._connection.serve_without_content(head)
            return
        if head.has_content:
            self._payload = StreamReader(self._connection, _READ_BUFFER, loop=self._loop)
        messages.append((_aiohttp_message(head), self._payload))

    def message_consumed(self) -> None:
        """Aiohttp took a message off its queue; ours never holds more than one."""

    def set_upgraded(self, _upgraded: bool) -> None:  # noqa: FBT001 - aiohttp's signature
        """Aiohttp goes on with HTTP after an upgrade that was declined."""

    def pause_reading(self) -> None:
        """The body is read too slowly; the transport pauses, and one read more is no harm."""

    def feed_eof(self) -> None:
        """The client's end shows in the connection."""


class _TunnelFeed:
    """Fed by aiohttp with what arrives after the switch of protocols."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if not self._reader.is_eof():
            self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        if not self._reader.is_eof():
            self._reader.feed_eof()


class _TurnedAway(asyncio.Protocol):
    """One connection too many."""

    def __init__(self, acceptor: Acceptor, rejection: RequestRejected) -> None:
        self._acceptor = acceptor
        self._rejection = rejection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        rejection = self._rejection
        self._acceptor.refused(rejection, _address_of(transport))
        transport.write(problem_bytes(rejection.status, rejection.detail))
        transport.close()


def _address_of(transport: asyncio.Transport) -> str:
    """The client's IP address; "" on a Unix socket."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


class _Answered(web.StreamResponse):
    """Tells aiohttp that the answer is written, and what becomes of the connection."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing is left to write."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


class _Refusal(_Answered):
    """The answer to a request that nobody else gets to see."""

    def __init__(self, connection: Connection, rejection: RequestRejected) -> None:
        super().__init__(keep_alive=False)
        self._connection = connection
        self._rejection = rejection

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - aiohttp's signature
        """Write it, and see that it arrives."""
        rejection = self._rejection
        answer = problem_bytes(rejection.status, rejection.detail, head_only=rejection.to_head)
        self._connection.write(answer)
        await self._connection.linger()


_KEEP_ALIVE: Final = _Answered(keep_alive=True)
_CLOSE: Final = _Answered(keep_alive=False)


def _request_handler(
    serve: Serve,
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        persists = await serve(connection, connection.head, request.content)
        return _KEEP_ALIVE if persists else _CLOSE

    return handle


def _aiohttp_message(head: RequestHead) -> RawRequestMessage:
    """What aiohttp itself needs to know; the handler reads RequestHead."""
    return RawRequestMessage(
        head.method,
        head.target,
        HttpVersion11,
        CIMultiDictProxy(head.headers),
        raw_headers=(),
        should_close=not head.keep_alive,
        compression=None,
        upgrade=head.upgrade,
        chunked=head.length is None,
        url=_ANY_URL,
    )


_ANY_URL: Final = URL("/")
