"""What aiohttp is told: the requests that arrive, and that they have been answered.

It asks a parser for the former and a response for the latter. What stands in for these has the
methods that aiohttp calls, and no more.
"""

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import _ErrInfo
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.server.heads import RequestHead
from proxy.server.options import ServerOptions
from proxy.server.parser import Boundary, RequestParser
from proxy.server.rejection import RequestRejected
from proxy.server.writing import problem_bytes

if TYPE_CHECKING:
    from proxy.server.protocol import Connection

READ_BUFFER: Final = 64 * 1024
"""A request body that nobody reads is held up to about twice this, then reading pauses."""

_ANY_URL: Final = URL("/")

_Messages: TypeAlias = list[tuple[RawRequestMessage | _ErrInfo, StreamReader]]


class Feeder:
    """Our parser behind the interface of aiohttp's.

    Attributes:
        answering: A request is being answered.
        begun: Requests that have been let in so far.
        untouched: Nothing is being answered, and nothing at all has come since the last request.
    """

    def __init__(
        self, connection: "Connection", options: ServerOptions, loop: asyncio.AbstractEventLoop
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

    def occupy(self) -> None:
        """A request is being answered that this has not seen."""
        self.begun += 1
        self.answering = True
        self.untouched = False

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
        if self.untouched and (head := self._parser.read_whole(data)) is not None:
            self._begin(head, messages)
            self._connection.watch_head()
            self.untouched = False
            return messages, head.upgrade, b""
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
            self._payload = StreamReader(self._connection, READ_BUFFER, loop=self._loop)
        messages.append((_aiohttp_message(head), self._payload))

    def message_consumed(self) -> None:
        """Aiohttp took a message off its queue; ours never holds more than one."""

    def set_upgraded(self, _upgraded: bool) -> None:  # noqa: FBT001 - aiohttp's signature
        """Aiohttp goes on with HTTP after an upgrade that was declined."""

    def pause_reading(self) -> None:
        """The body is read too slowly; the transport pauses, and one read more is no harm."""

    def feed_eof(self) -> None:
        """The client's end shows in the connection."""


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


class TunnelFeed:
    """Fed by aiohttp with what arrives after the switch of protocols."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes; returns that the tunnel goes on, and nothing behind it."""
        if not self._reader.is_eof():
            self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        """The client has closed its side."""
        if not self._reader.is_eof():
            self._reader.feed_eof()


class _Answered(web.StreamResponse):
    """Tells aiohttp that the answer is written, and what becomes of the connection."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing is left to write."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


class Refusal(_Answered):
    """The answer to a request that nobody else gets to see."""

    def __init__(self, connection: "Connection", rejection: RequestRejected) -> None:
        super().__init__(keep_alive=False)
        self._connection = connection
        self._rejection = rejection

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - aiohttp's signature
        """Write it, and see that it arrives."""
        rejection = self._rejection
        answer = problem_bytes(rejection.status, rejection.detail, head_only=rejection.to_head)
        self._connection.write(answer)
        await self._connection.linger()


KEEP_ALIVE: Final = _Answered(keep_alive=True)
CLOSE: Final = _Answered(keep_alive=False)
