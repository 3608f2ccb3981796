"""One connection: aiohttp's RequestHandler with our parser in it.

aiohttp keeps the connection's life: its task, the keep-alive timer, request bodies with flow
control, upgrades. A request that ends with its head is served past it, in a task of its own. What
arrives is read by `proxy.server.parser`, because aiohttp's own parser refuses unknown methods,
accepts what must be refused, and loses bytes of field values.

Private parts of aiohttp are touched here and in `proxy.server.feeding` only; their tests hold a
canary for each. Invariants:

- One request at a time: what is pipelined behind it stays unparsed until it has been answered.
- After a refusal nothing more is parsed, and the connection closes.
- Every wait for the client is bounded: for a head, for the next request, for it to read.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.web_protocol import RequestHandler

from proxy.exchange import Respond
from proxy.server.feeding import CLOSE, READ_BUFFER, Feeder, Refusal, TunnelFeed
from proxy.server.heads import RequestHead
from proxy.server.options import ServerOptions
from proxy.server.passed_on import PassedOn
from proxy.server.patience import Patience
from proxy.server.rejection import RequestRejected
from proxy.server.transports import abort, address_of, close_write, has_unread

if TYPE_CHECKING:
    from proxy.server.acceptor import Acceptor
    from proxy.server.hot import HotPath

_logger = logging.getLogger(__name__)

_PIPELINE_BUFFER: Final = 64 * 1024
"""Reading pauses when more than this waits behind the request that is being answered."""

_JOINED: Final = 16 * 1024
"""Bytes of a body up to which to join it to its head is cheaper than to send two pieces."""

_TLS_RECORD: Final = 16 * 1024
"""Bytes (RFC 8446 §5.1): TLS may hold back some of its own, which are no client's fault."""

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
        "_half_closed",
        "_head_timer",
        "_hot",
        "_lost",
        "_options",
        "_passed_on",
        "_patience",
        "_task_to_cancel",
        "_tunnel",
        "_wire",
        "head",
    )

    head: RequestHead

    def __init__(
        self, acceptor: "Acceptor", options: ServerOptions, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            acceptor,
            loop=loop,
            keepalive_timeout=options.keepalive_timeout,
            access_log=None,  # type: ignore[arg-type]  # as aiohttp's own runner passes it
            lingering_time=0,
            read_bufsize=READ_BUFFER,
        )
        self._acceptor = acceptor
        most = options.requests_per_connection
        # The last one has to be told so.
        self._begun_at_most = sys.maxsize if most is None else most - 1
        self._client_address = ""
        self._options = options
        self._feeder = Feeder(self, options, loop)
        self._parser = self._feeder  # type: ignore[assignment]  # the methods in use are there
        self._wire: asyncio.Transport | None = None
        self._lost: asyncio.Future[None] = loop.create_future()
        self._task_to_cancel: asyncio.Task[None] | None = None
        self._tunnel: StreamReader | None = None
        self._half_closed = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._passed_on = PassedOn(self, options)
        self._patience = Patience(loop, self.abort)
        self._hot: HotPath | None = None

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
    def persists(self) -> bool:
        """The client is there and reads, and the connection outlives the request."""
        transport = self.transport
        return (
            transport is not None
            and not transport.is_closing()
            and not (self._paused or self._close or self._force_close or self._half_closed)
            and not self._acceptor.draining
            and self._feeder.begun <= self._begun_at_most
        )

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
        self._patience.written += len(data)
        transport.write(data)

    def answer(self, head: bytes, body: bytes | memoryview, held: bytes) -> None:
        """Send a whole answer to the request at hand, and go on; only while it `persists`.

        Args:
            head: Its head.
            body: Its content.
            held: What stays in memory for as long as the client is slow to read.
        """
        self._write_whole((head, body), held)
        self._wait_for_next()
        self._go_on()

    async def drained(self, body: object = b"") -> None:
        """Wait while the client is slow to read; `body` is what stays in memory meanwhile."""
        if self._paused:
            self._acceptor.unsent.begin(self, body)
            await self._drain_helper()

    def close_write(self) -> None:
        """Tell the client that nothing more comes, where the transport can (TLS cannot)."""
        if self.transport is not None:
            close_write(self.transport)

    def abort(self, *, reset: bool = False) -> None:
        """Cut the connection; with `reset` so that what was sent cannot pass for complete."""
        if self._wire is not None:
            abort(self._wire, reset=reset)

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
        tunnel = self._tunnel = StreamReader(self, READ_BUFFER, loop=self._loop)
        self.set_parser(TunnelFeed(tunnel))  # type: ignore[arg-type]  # it is fed like one
        return tunnel

    # What the acceptor asks.

    def close_if_idle(self) -> None:
        """Close at once unless a request has begun to arrive, be it only at this machine."""
        if self.idle and not (self._wire is not None and has_unread(self._wire)):
            self.force_close()

    def cut(self) -> None:
        """Close at once, so that nothing half sent can pass for complete."""
        self._passed_on.abandon()
        self.force_close()
        self.abort(reset=True)

    # What aiohttp and the loop call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock for the first head."""
        self._wire = cast("asyncio.Transport", transport)
        address = address_of(self._wire)
        if not self._acceptor.admit(address):
            rejection = RequestRejected(429, "Too many connections from this address.")
            away = self._acceptor.turned_away(rejection)
            self._wire.set_protocol(away)
            away.connection_made(transport)
            return
        self._client_address = address
        super().connection_made(transport)
        self._patience.begin(self._wire)
        tls = self.ssl_context is not None
        self._hot = self._acceptor.hot.get("https" if tls else "http")
        # So that writing pauses with whatever a client leaves of an answer, be it one byte.
        self._wire.set_write_buffer_limits(high=_TLS_RECORD if tls else 0)
        self._acceptor.opened(self, cast("asyncio.Task[None]", self._task_handler))
        self._head_timer = self._loop.call_later(self._options.header_timeout, self._head_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wake or cancel whatever waits for the client."""
        if self._messages and self._task_handler is not None:
            self._task_handler.cancel()  # aiohttp would fail to begin what is just in its queue
        super().connection_lost(exc)
        self._acceptor.closed(self)
        self._acceptor.unsent.end(self)
        if not self._lost.done():
            self._lost.set_result(None)
        self._patience.end()
        if self._head_timer is not None:
            self._head_timer.cancel()
        if self._task_to_cancel is not None:
            self._task_to_cancel.cancel()
        self._passed_on.hand_over()

    def data_received(self, data: bytes) -> None:
        """Take it at once if it is one plain request, and not the last, that waits for nothing."""
        hot, feeder = self._hot, self._feeder
        taken = None
        if feeder.untouched and hot and not self._paused and feeder.begun < self._begun_at_most:
            taken = hot.take(data, self._client_address, self._passed_on)
        if taken is None:
            self._parse(data)
            return
        if isinstance(taken, tuple):
            feeder.begun += 1
            self._write_whole(taken, taken[-1])
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        else:
            feeder.occupy()
            self._passed_on.begin(taken, data)
        if self._head_timer is not None:
            self.watch_head()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # as asyncio has it
        """The client closed its side: a tunnel goes on; a whole request may still be answered."""
        can_half_close = self.ssl_context is None
        if self._tunnel is not None:
            self._tunnel.feed_eof()
            self._patience.grant(TUNNEL_GRACE)
            return can_half_close
        if self._feeder.request_complete and not self._close and can_half_close:
            self._half_closed = True
            self._patience.grant(_HALF_CLOSED_GRACE)
            return True
        return None

    def pause_writing(self) -> None:
        """The client reads more slowly than we send."""
        super().pause_writing()
        self._patience.watch(self._options.send_timeout)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._acceptor.unsent.end(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Go on to what is pipelined behind the request."""
        result = await super().finish_response(request, resp, start_time)
        if resp.keep_alive and self._parser is not None:
            self._go_on()
        return result

    def _go_on(self) -> None:
        """The request has been answered: turn to what is pipelined behind it."""
        feeder = self._feeder
        feeder.release()
        if not feeder.untouched and feeder.buffered:
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
            return Refusal(self, exc)
        _logger.error("The server failed on a request: %s %s", status, message, exc_info=exc)
        self.abort()
        return CLOSE

    def serve_without_content(self, head: RequestHead, respond: Respond | None = None) -> None:
        """Answer a request that ends with its head, with what `respond` says or who always does.

        aiohttp's task, which would make three objects of it for bodies to be read from, sees none
        of this and goes on waiting for the next request.
        """
        self.head = head
        self._acceptor.began(self._loop.create_task(self._serve(head, respond)))

    async def _serve(self, head: RequestHead, respond: Respond | None) -> None:
        persists = False
        try:
            persists = await self._acceptor.serve(self, head, EMPTY_PAYLOAD, respond)
        except ConnectionError:
            _logger.debug("A client left before its answer", exc_info=True)
        except Exception:
            _logger.exception("The server failed on a request")
            self.abort()
        finally:
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

    def _parse(self, data: bytes) -> None:
        """Have it parsed, and stop reading when too much waits behind."""
        super().data_received(data)
        if not self._buffer_paused and self._feeder.held_back > _PIPELINE_BUFFER:
            self._pause_reading_for_buffer()

    def _write_whole(self, pieces: tuple[bytes | memoryview, ...], held: bytes) -> None:
        """Send a whole answer, its body last; `held` is what stays in memory meanwhile."""
        transport = self.transport
        assert transport is not None  # noqa: S101 - whoever calls this has looked
        if len(pieces[-1]) > _JOINED:
            self._patience.written += sum(map(len, pieces))
            transport.writelines(pieces)
        else:
            whole = b"".join(pieces)
            self._patience.written += len(whole)
            transport.write(whole)
        if self._paused:
            self._acceptor.unsent.begin(self, held)

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
