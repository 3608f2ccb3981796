"""A connection to the origin for requests without a body, strict and without detours.

A connection is in one of these states:

    IDLE     in the pool; any byte that arrives closes it
    ASKED    `_answer`: a request is out; heads are read one at a time, 1xx included
    READING  `_body`: behind the final head of a body that has not wholly arrived with it
    CLOSED   `closed`: for whatever reason

The exchange is over, and the pool has the connection back, when the last byte of the response
has come off the wire; the reader of the body may be far behind. A byte behind that one closes
the connection: the next response on it could be a lie.
"""

import asyncio
import select
import ssl
import warnings
import weakref
from typing import TYPE_CHECKING, Final, Protocol, cast

from proxy.clock import wall
from proxy.exchange import SendInterim
from proxy.http1 import ChunkedDecoder, ChunkedError
from proxy.origin.errors import OriginError, StaleConnectionError
from proxy.origin.heads import MAX_INTERIM, Head, check_raw_head, malformed, parse_head
from proxy.origin.lean_body import LeanBody
from proxy.origin.outbound import Outbound
from proxy.origin.response import OriginResponse
from proxy.rfc9111.reasons import Reason

if TYPE_CHECKING:
    from proxy.origin.lean_pool import LeanPool

_HEAD_END: Final = b"\r\n\r\n"
_CONTINUE: Final = 100
_SWITCHING_PROTOCOLS: Final = 101

_MAX_HELD: Final = 131_072
"""Body bytes that may wait for their reader before the origin has to wait; one read of the loop
(256 KiB at most) may come on top. uvloop makes up to 32 of them before it lets a reader run."""


class Told(Protocol):
    """Who is told what came of a request: a future, or what behaves like one."""

    def done(self) -> bool:
        """Nobody wants to know any more."""
        ...

    def set_result(self, result: OriginResponse, /) -> None:
        """The final head has come."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """It has not, and will not."""
        ...


class Taker(Protocol):
    """Who takes an answer that comes whole in the first read, without a head to be made of it."""

    def take(self, data: bytes) -> bool:
        """Whether these bytes are one usual answer and nothing else; `free` was called then."""
        ...


class LeanConnection(asyncio.Protocol):
    """One connection, one exchange at a time; made by LeanPool.

    Attributes:
        idle_since: Loop time of the end of the last exchange; None before it.
        slow_since: Loop time from which on the origin waits for the reader; None where it does not.
        closed: By either end; nothing can be asked any more.
    """

    def __init__(self, pool: "LeanPool") -> None:
        self.idle_since: float | None = None
        self.slow_since: float | None = None
        self._pool = pool
        self._limits = pool.options
        self._loop = asyncio.get_running_loop()
        self.closed = False
        # ASKED
        self._answer: Told | None = None
        self._taker: Taker | None = None
        self._head_only = False
        self._on_interim: SendInterim | None = None
        self._request_time = 0.0
        self._touched = False  # a byte has come since the request
        self._partial = bytearray()  # of a head
        self._interim = 0
        # READING
        self._body: weakref.ref[LeanBody] | None = None
        self._chunks: ChunkedDecoder | None = None
        self._left: int | None = None
        self._persistent = False

    # The loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to be asked."""
        self._transport = cast("asyncio.Transport", transport)
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Bytes off the wire."""
        try:
            answer, taker = self._answer, self._taker
            if answer is not None:
                self._taker = None  # the next bytes are not the first
                if taker is None or not taker.take(data):
                    self._take_heads(answer, data)
            elif self._body is not None:
                self._take_content(data)
            else:
                self.drop()
        except OriginError as error:
            self._break(error)

    def eof_received(self) -> None:
        """An orderly end, which alone ends a body without framing; a reset never comes here.

        With TLS it must have been announced: anybody on the way can send a FIN (RFC 9112 §9.8).
        """
        framed = self._left is not None or self._chunks is not None
        if self._body is None or framed:
            return
        tls = self._transport.get_extra_info("ssl_object")
        if tls is None or _closed_by_peer(tls):
            self._end(reusable=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone; what is not whole by now never will be."""
        detail = "the origin closed the connection" if exc is None else repr(exc)
        if self.idle_since is not None and not self._touched:
            self._break(StaleConnectionError(detail))
        else:
            self._break(OriginError(Reason.ORIGIN_BROKEN, detail))
        self._pool.lost(self)

    # The client's side.

    def quiet(self) -> bool:
        """Nothing is waiting to be read: no pushed bytes, no close by the origin."""
        return not self._poll.poll(0) and not self._transport.is_closing()

    async def ask(self, outbound: Outbound, head: bytes) -> OriginResponse:
        """Send a request and wait for the final head.

        Raises:
            OriginError: No usable response.
            Exception: Whatever `on_interim` raised.
        """
        self.send(head, head_only=outbound.method == "HEAD", on_interim=outbound.on_interim)
        return await self.answer()

    def send(
        self,
        head: bytes,
        *,
        head_only: bool,
        on_interim: SendInterim | None,
        told: Told | None = None,
        taker: Taker | None = None,
    ) -> None:
        """Send a request; who is told of the answer, or `answer`, has the rest."""
        self._answer = told
        self._taker = taker
        self._head_only = head_only
        self._on_interim = on_interim
        self._touched = False
        self._interim = 0
        self._request_time = wall()
        self._transport.write(head)
        self._pool.heads.start(self)

    def free(self) -> None:
        """The answer has come, all of it in the first bytes, and was taken."""
        self._answer = self._on_interim = None
        self._touched = True
        self.idle_since = self._loop.time()
        self._pool.take_answered(self)

    async def answer(self) -> OriginResponse:
        """Wait for the final head of what was sent, in place of who was told before; see `ask`."""
        answer: asyncio.Future[OriginResponse] = self._loop.create_future()
        self._answer, self._taker = answer, None
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.cancelled():
                self.drop()
            elif answer.exception() is None:
                await answer.result().aclose()  # it came in the same moment
            raise

    def drop(self) -> None:
        """Close at once; what was not sent is not sent."""
        self._break(OriginError(Reason.ORIGIN_BROKEN, "closed by this end"))

    def overdue(self) -> None:
        """The head has not come in time."""
        seconds = self._limits.header_timeout
        self._break(
            OriginError(Reason.ORIGIN_HEADER_TIMEOUT, f"{seconds:g} s without a response head")
        )

    # Heads.

    def _take_heads(self, answer: Told, data: bytes) -> None:
        """Read heads up to the final one, and what has come of its body."""
        self._touched = True
        if answer.done():  # cancelled just now
            self.drop()
            return
        partial = self._partial
        if partial:
            # The end may have begun in what came before.
            scanned = max(0, len(partial) - len(_HEAD_END) + 1)
            partial += data
            if partial.find(_HEAD_END, scanned) < 0:
                self._check_partial(scanned)
                return
            data = bytes(partial)
            partial.clear()
        start = 0
        while (end := data.find(_HEAD_END, start)) >= 0:
            end += len(_HEAD_END)
            head = self._head(data[start:end])
            if not head.interim:
                self._begin(answer, head, data[end:])
                return
            start = end
            self._pass_on(answer, head)
            if self._answer is None:
                return
        partial += data[start:]
        self._check_partial(0)

    def _check_partial(self, scanned: int) -> None:
        """Refuse what more bytes will not mend; before `scanned` nothing was wrong."""
        self._check_size(len(self._partial))
        check_raw_head(self._partial, scanned)

    def _head(self, raw: bytes) -> Head:
        self._check_size(len(raw))
        return parse_head(raw, head_only=self._head_only, max_fields=self._limits.headers)

    def _check_size(self, size: int) -> None:
        if size > self._limits.header_size:
            raise malformed(f"head of more than {self._limits.header_size} bytes")

    def _pass_on(self, answer: Told, head: Head) -> None:
        """An interim head (RFC 9110 §15.2)."""
        if head.status == _SWITCHING_PROTOCOLS:
            raise malformed("101 without a request to upgrade")
        if not head.persistent:
            raise malformed(f"a {head.status} that ends the connection")
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise malformed(f"more than {MAX_INTERIM} interim responses")
        if self._on_interim is None or head.status == _CONTINUE:
            return
        try:
            self._on_interim(head.status, head.reason, head.headers)
        except Exception as error:  # noqa: BLE001 - it is raised again by `ask`
            answer.set_exception(error)
            self.drop()

    # Bodies.

    def _begin(self, answer: Told, head: Head, content: bytes) -> None:
        """The final head is here, with the first bytes of its body, often all of them."""
        self._pool.heads.stop(self)
        self._answer = self._taker = self._on_interim = None
        length = head.length
        whole = content[:length] if length is not None and len(content) >= length else None
        body = LeanBody(b"", self) if whole is None else LeanBody(whole)
        answer.set_result(
            OriginResponse(
                head.status,
                head.reason,
                head.headers,
                length,
                self._request_time,
                wall(),
                body,
                content=whole,
            )
        )
        if whole is not None:
            reusable = head.persistent and len(content) == length
            self._release(reusable=reusable, suspect=head.hollow)
            return
        self._body = weakref.ref(body, self._forgotten)
        self._left = length
        self._persistent = head.persistent
        if length is None and "Transfer-Encoding" in head.headers:
            self._chunks = ChunkedDecoder()
        if content:
            self._take_content(content)

    def _take_content(self, data: bytes) -> None:
        body = self._body and self._body()
        if not body:
            return
        if self._chunks is not None:
            try:
                content = self._chunks.feed(data)
            except ChunkedError as error:
                raise malformed(str(error)) from None
            if content:
                body.feed(content)
            if self._chunks.done:
                self._end(reusable=self._persistent and not self._chunks.rest)
                return
        elif self._left is not None:
            content = data[: self._left]
            body.feed(content)
            self._left -= len(content)
            if not self._left:
                self._end(reusable=self._persistent and len(content) == len(data))
                return
        else:
            body.feed(data)
        if body.held > _MAX_HELD and self.slow_since is None:
            self.slow_since = self._loop.time()
            self._transport.pause_reading()

    def _end(self, *, reusable: bool) -> None:
        """The last byte of the body is here."""
        body = self._body and self._body()
        if body:
            body.finish()
        self._body = self._chunks = None
        self.taken()
        self._release(reusable=reusable)

    def _release(self, *, reusable: bool, suspect: bool = False) -> None:
        """The exchange is over; where that is `suspect`, more of it may come."""
        if reusable:
            self.idle_since = self._loop.time()
        else:
            self.closed = True
            self._transport.abort()
        self._pool.take_back(self, reusable=reusable, suspect=suspect)

    def _break(self, error: OriginError) -> None:
        """The connection ends, and with it the exchange, if there is one."""
        if self.closed:
            return
        self.closed = True
        self.slow_since = None
        self._transport.abort()
        answer, body = self._answer, self._body
        self._answer = self._taker = self._on_interim = self._body = None
        if answer is not None:
            self._pool.heads.stop(self)
            if not answer.done():
                answer.set_exception(error)
        elif body is None:
            return
        elif (unread := body()) is not None:
            unread.finish(error)
        self._pool.take_back(self, reusable=False)

    def _forgotten(self, body: weakref.ref[LeanBody]) -> None:
        """A body was neither read to its end nor closed."""
        if self._body is body:
            self.drop()
            warnings.warn(f"Unclosed connection {self!r}", ResourceWarning, stacklevel=2)

    # The body's side.

    def await_content(self, body: LeanBody) -> None:
        """The origin owes bytes from now on."""
        self._pool.bodies.start(body)

    def content_came(self, body: LeanBody) -> None:
        """It owes none."""
        self._pool.bodies.stop(body)

    def taken(self) -> None:
        """The reader keeps up again."""
        if self.slow_since is not None:
            self.slow_since = None
            self._transport.resume_reading()

    def give_up(self) -> None:
        """Others wait, and the reader does not keep up."""
        self._break(OriginError(Reason.TOO_SLOW))

    def stalled(self) -> None:
        """The origin owes bytes for too long."""
        self._break(OriginError(Reason.ORIGIN_IDLE_TIMEOUT))


def _closed_by_peer(tls: ssl.SSLObject) -> bool:
    """Whether close_notify has come; all before it has been read."""
    try:
        return not tls.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
