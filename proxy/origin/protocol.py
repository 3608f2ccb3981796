"""aiohttp's response parser, made to distrust the origin.

A protocol is in one of these phases:

    IDLE    in the pool; any byte that arrives closes it
    HEAD    a request is out; heads are read one at a time, 1xx included
    BODY    after the final head; what comes behind the body closes the connection
    TUNNEL  after 101; bytes are no longer HTTP

Heads are cut off the stream before the parser sees more, so that what is wrong behind a message
(surplus bytes, a second response) cannot spoil the message.

aiohttp's session, request and response objects are left out: they rewrite targets, cannot send
bytes from 0x80 up, and drop 103. What of aiohttp is not public is touched here, in `connection`
and in `pool` only, and tests/origin/test_connection.py has a canary for each of it.
"""

import asyncio
import re
import select
from enum import Enum, auto

from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader

from proxy.origin.errors import OriginError
from proxy.origin.heads import MAX_INTERIM, check_raw_head, malformed
from proxy.origin.options import OriginOptions

_HEAD_END = re.compile(rb"\n\r?\n")

# How the bytes of a chunked body end, with or without trailers; not so with surplus behind it.
_CHUNKED_END = re.compile(rb"[^\r\n]\r?\n\r?\n\Z")
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL = 200

# Body bytes held per exchange when the client is slow: twice this at most.
_BUFFER = 65_536


def parser_is_native() -> bool:
    """Whether aiohttp's compiled parser is in use; the pure Python one is slower and laxer."""
    return HttpResponseParser.__module__ == "aiohttp._http_parser"


class _Phase(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    TUNNEL = auto()


class ResponseProtocol(ResponseHandler):
    """aiohttp's response protocol, made to distrust the origin."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: OriginOptions) -> None:
        super().__init__(loop)
        self.touched = False  # a byte arrived since `begin`
        self.idle_since: float | None = None
        self.body: StreamReader | None = None
        self._limits = limits
        self._phase = _Phase.IDLE
        self._partial_head = bytearray()
        self._to_come: int | None = None
        self._chunked_tail: bytes | None = None
        self._interim = 0

    def begin(self, *, head_only: bool) -> None:
        """A request goes out: read heads from here on."""
        self.touched = False
        self.body = None
        self._phase = _Phase.HEAD
        self._to_come = None
        self._chunked_tail = None
        self._interim = 0
        self._partial_head.clear()
        self.set_response_params(
            skip_payload=head_only,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=_BUFFER,
            max_line_size=self._limits.header_size,
            max_field_size=self._limits.header_size,
            max_headers=self._limits.headers,
        )

    def end(self) -> None:
        """The exchange is over: whatever arrives from here on is nobody's answer."""
        tail = self._chunked_tail
        if tail and _CHUNKED_END.search(tail) is None:
            # The parser swallowed something behind the body, such as half a head.
            self.force_close()
        self._phase = _Phase.IDLE
        self.body = None
        self.idle_since = self._loop.time()

    def quiet(self) -> bool:
        """Nothing is waiting to be read: no pushed bytes, no close by the origin."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def data_received(self, data: bytes) -> None:
        """Take bytes off the wire; no bytes at all mean that parsing goes on after a pause."""
        if not data:
            super().data_received(data)
            return
        self.touched = True
        if self._phase is _Phase.HEAD:
            data = self._take_heads(data)
        if data:
            self._take_rest(data)

    def _take_heads(self, data: bytes) -> bytes:
        """Feed whole heads to the parser, one by one, up to the final one; return the rest."""
        partial, window, start, taken = self._partial_head, data, 0, 0
        if partial:
            # An end can begin in what came before: "\n\r" + "\n".
            start = len(partial) - 2
            partial += data
            window = bytes(partial)
        while self._phase is _Phase.HEAD and self.exception() is None:
            end = _HEAD_END.search(window, max(start, taken))
            size = (len(window) if end is None else end.end()) - taken
            if size > self._limits.header_size:
                self.fail(malformed(f"head of more than {self._limits.header_size} bytes"))
                return b""
            if end is None:
                partial[:] = window[taken:]
                return b""
            self._take_head(window[taken : taken + size])
            taken += size
        partial.clear()
        return window[taken:]

    def _take_head(self, head: bytes) -> None:
        try:
            check_raw_head(head)
        except OriginError as error:
            self.fail(error)
            return
        messages = len(self)
        super().data_received(head)
        if len(self) == messages and self.exception() is None:
            self.fail(malformed("no status line"))

    def _take_rest(self, data: bytes) -> None:
        if self._phase is _Phase.TUNNEL and self.body is not None:
            self.body.feed_data(data)
        elif self._phase is not _Phase.BODY or self.body is None or self.body.is_eof():
            self._drop_surplus()
        elif self._to_come is None:
            if self._chunked_tail is not None:
                self._chunked_tail = (self._chunked_tail + data[-5:])[-5:]
            super().data_received(data)
        else:
            taken, self._to_come = data[: self._to_come], max(0, self._to_come - len(data))
            if taken:
                super().data_received(taken)
            if len(taken) < len(data):
                self._drop_surplus()

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """The parser found a head. A second response behind the first is surplus."""
        message, body = data
        if self._phase is not _Phase.HEAD:
            self._drop_surplus()
            return
        if message.code == _SWITCHING_PROTOCOLS:
            if not self._upgraded:
                self.fail(malformed("101 without Upgrade"))
                return
            self._phase = _Phase.TUNNEL
            body = StreamReader(self, _BUFFER, loop=self._loop)
        elif message.code >= _FIRST_FINAL:
            self._phase = _Phase.BODY
            self._to_come = _announced(message)
            self._chunked_tail = b"" if message.chunked else None
        elif (count := self._interim + 1) > MAX_INTERIM:
            self.fail(malformed(f"more than {MAX_INTERIM} interim responses"))
            return
        else:
            self._interim = count
        self.body = body
        super().feed_data((message, body), size)

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _EXC_SENTINEL) -> None:
        """Fail what is being read, head or body: a body that is not whole never just ends."""
        self._fail_body(exc)
        super().set_exception(exc, exc_cause)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone. Only an orderly close can end a close-delimited body."""
        if self._phase is _Phase.TUNNEL and self.body is not None:
            self.body.feed_eof()
        elif exc is not None:
            self._fail_body(exc)
        super().connection_lost(exc)

    def close(self) -> None:
        """Close; a body that is not whole by now is cut short."""
        self._fail_body(ConnectionAbortedError("closed by this end"))
        super().close()

    def abort(self) -> None:
        """Close without sending what is buffered."""
        self._fail_body(ConnectionAbortedError("closed by this end"))
        super().abort()

    def _fail_body(self, error: BaseException) -> None:
        if self.body is not None and not self.body.is_eof() and self.body.exception() is None:
            self.body.set_exception(error)

    def fail(self, error: Exception) -> None:
        """Make whoever reads get `error`, and close."""
        self.set_exception(error)
        self._drop_surplus()

    def _drop_surplus(self) -> None:
        """Bytes that nobody asked for: the next response on this connection could be a lie."""
        self.force_close()
        if self.transport is not None:
            self.transport.abort()


def _announced(message: RawResponseMessage) -> int | None:
    """Content-Length as the parser read it; None if the body is framed in another way."""
    for name, value in message.raw_headers:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None
