"""A strict HTTP/1.1 request parser without I/O: bytes go in, events come out.

    HEAD  -- a head -------------------> RequestHead, then SIZED or CHUNKED
    SIZED, CHUNKED  -- content --------> bytes
    SIZED, CHUNKED  -- its last byte --> END, then HEAD
    any state  -- a broken rule -------> raises RequestRejected, then REFUSED: nothing more, ever

Events are pulled one at a time, so the caller can stop at any boundary between two requests
and find the bytes behind it untouched.
"""

from enum import Enum, auto
from typing import Final, TypeAlias

from proxy.http1 import ChunkedDecoder, ChunkedError
from proxy.server.heads import RequestHead, find_end, parse_head
from proxy.server.options import ServerOptions
from proxy.server.rejection import RequestRejected

_MAX_EMPTY_LINES: Final = 4


class Boundary(Enum):
    """Marks between requests."""

    END = auto()
    """The request is complete."""


END: Final = Boundary.END
Event: TypeAlias = RequestHead | bytes | Boundary


class _State(Enum):
    HEAD = auto()
    SIZED = auto()
    CHUNKED = auto()
    REFUSED = auto()


class RequestParser:
    """The requests of one connection."""

    __slots__ = (
        "_buffer",
        "_chunked",
        "_empty_lines",
        "_left",
        "_limits",
        "_scanned",
        "_start",
        "_state",
        "_taken",
    )

    def __init__(self, limits: ServerOptions) -> None:
        self._limits = limits
        self._state = _State.HEAD
        self._buffer = b""
        self._start = 0
        self._scanned = 0
        self._empty_lines = 0
        self._left = 0
        self._taken = 0
        self._chunked = ChunkedDecoder()

    @property
    def buffered(self) -> int:
        """Bytes received and not yet given out."""
        return len(self._buffer) - self._start

    @property
    def between_requests(self) -> bool:
        """The next event, if any, is a head."""
        return self._state is _State.HEAD

    @property
    def idle(self) -> bool:
        """Between two requests, with not a byte of the next."""
        return self._state is _State.HEAD and not self.buffered

    @property
    def untouched(self) -> bool:
        """Idle, and not even an empty line has come since the last request."""
        nothing = self._state is _State.HEAD and self._start == len(self._buffer)
        return nothing and not self._empty_lines

    def receive(self, data: bytes) -> None:
        """Append what the wire brought; it shows in the next events."""
        if self._state is _State.REFUSED:
            return
        if self.buffered:
            self._scanned -= self._start
            self._buffer = self._buffer[self._start :] + data
        else:
            self._scanned = 0
            self._buffer = data
        self._start = 0

    def read_whole(self, data: bytes) -> RequestHead | None:
        """The head of a request that these bytes are, no more and no less; None for all others.

        Most requests come so, in one piece and without content. It is only for a parser that is
        `untouched`, and leaves it so: what it refuses, `next_event` will refuse.
        """
        try:
            if data.startswith(b"\r\n") or find_end(data, 0, 0, self._limits) != len(data):
                return None
            head = parse_head(data, self._limits)
            self._admit(head)
        except RequestRejected:
            return None
        return None if head.has_content else head

    def next_event(self) -> Event | None:
        """The next event, or None until more bytes arrive. Raises RequestRejected once."""
        try:
            match self._state:
                case _State.HEAD:
                    return self._next_head()
                case _State.SIZED:
                    return self._next_sized()
                case _State.CHUNKED:
                    return self._next_chunked()
                case _:
                    return None
        except RequestRejected:
            self.refuse()
            raise

    def refuse(self) -> None:
        """Give out nothing more, whatever arrives."""
        self._state = _State.REFUSED
        self._buffer = b""
        self._start = 0

    def take_rest(self) -> bytes:
        """Hand over the bytes that are no HTTP, behind a request that asked to switch."""
        rest = self._buffer[self._start :]
        self._buffer = b""
        self._start = 0
        return rest

    def _next_head(self) -> RequestHead | None:
        self._skip_empty_lines()
        end = find_end(self._buffer, self._start, self._scanned, self._limits)
        if end < 0:
            self._scanned = len(self._buffer)
            return None
        raw = self._buffer[self._start : end]
        try:
            head = parse_head(raw, self._limits)
            self._admit(head)
        except RequestRejected as rejection:
            rejection.to_head = raw.startswith(b"HEAD ")
            raise
        self._start = self._scanned = end
        self._empty_lines = 0
        if head.length is None:
            self._state = _State.CHUNKED
            self._left = 0
            self._taken = 0
            self._chunked = ChunkedDecoder()
        else:
            self._state = _State.SIZED
            self._left = head.length
        return head

    def _admit(self, head: RequestHead) -> None:
        """Refuse what is clear, and yet not wanted here."""
        if not self._limits.serves(head.authority):
            raise RequestRejected(421, "This host is not served here.")
        self._check_size(head.length or 0)

    def _check_size(self, size: int) -> None:
        limit = self._limits.body_size
        if limit is not None and size > limit:
            raise RequestRejected(413, "The request body is too large.")

    def _skip_empty_lines(self) -> None:
        """A few are tolerated before a request line (RFC 9112 §2.2)."""
        while self._buffer.startswith(b"\r\n", self._start):
            self._start += 2
            self._empty_lines += 1
            if self._empty_lines > _MAX_EMPTY_LINES:
                raise RequestRejected(400, "Too many empty lines before the request line.")
        self._scanned = max(self._scanned, self._start)

    def _next_sized(self) -> bytes | Boundary | None:
        if not self._left:
            self._state = _State.HEAD
            return END
        piece = self._buffer[self._start : self._start + self._left]
        self._start += len(piece)
        self._left -= len(piece)
        return piece or None

    def _next_chunked(self) -> bytes | Boundary | None:
        try:
            content = self._chunked.feed(self.take_rest())
        except ChunkedError as error:
            raise RequestRejected(400, str(error)) from None
        self._taken += len(content)
        self._check_size(self._taken)
        if not self._chunked.done:
            return content or None
        self._buffer = self._chunked.rest
        self._scanned = 0
        self._state = _State.SIZED
        return content or self._next_sized()
