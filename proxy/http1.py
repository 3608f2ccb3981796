"""What both ends of the proxy read in HTTP/1.1: the grammar of fields, and the chunked coding.

Text is latin-1: one character is one byte of the wire.
"""

import re
from enum import Enum, auto
from typing import Final

TCHARS: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
"""A token (RFC 9110 §5.6.2)."""

FIELD_TEXT: Final = r"[\t -~\x80-\xff]*+"
"""A field value with the white space around it: no control byte but tab (RFC 9110 §5.5)."""

MAX_LINE: Final = 256
"""Bytes in one size line with its extensions."""

MAX_EXTENSIONS: Final = 16 * 1024
"""Bytes of extensions in one message: many small chunks must not carry much more than data."""

MAX_TRAILERS: Final = 8 * 1024
"""Bytes of trailer fields in one message."""

_FIELD_LINE = re.compile(f"{TCHARS}:{FIELD_TEXT}")
_FIELD = re.compile(rf"({TCHARS}):[ \t]*+({FIELD_TEXT})\r\n")
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
# Groups with choices in them are not possessive: Python before 3.11.5 loses its place there
# (python/cpython#106052), and some would take what is no extension.
_EXTENSION = rf"[ \t]*+;[ \t]*+{TCHARS}(?:[ \t]*+=[ \t]*+(?:{TCHARS}|{_QUOTED}))?"
_PLAIN_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16}+)\r\n")
_SIZE_LINE = re.compile(rf"([0-9A-Fa-f]{{1,16}}+)((?:{_EXTENSION})*)")


class ChunkedError(ValueError):
    """What came is not the chunked coding; the text says which rule it breaks."""


class _State(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()
    DONE = auto()


# Looking a member up in its enumeration costs as much as comparing ten times.
_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = _State


class ChunkedDecoder:
    """The chunked transfer coding (RFC 9112 §7.1), decoded strictly and in constant memory.

        chunk      size [extensions] CRLF data CRLF
        ...
        last       0 [extensions] CRLF
        trailers   field lines, checked and dropped
        end        CRLF

    Feed it the wire's bytes as they come, and take out the content. Extensions are checked
    against the grammar and dropped; what they may cost is bounded.

    Attributes:
        rest: Bytes behind the body, once `done`.
    """

    __slots__ = ("_extensions", "_left", "_line", "_state", "_trailers", "rest")

    def __init__(self) -> None:
        self._state = _SIZE
        self._left = 0
        self._line = b""
        self._extensions = 0
        self._trailers = 0
        self.rest = b""

    @property
    def done(self) -> bool:
        """The whole body has been read."""
        return self._state is _DONE

    def feed(self, data: bytes) -> bytes:
        """Decode: returns the content that `data` brought, joined; raises ChunkedError."""
        pieces: list[bytes] = []
        position, end = 0, len(data)
        while position < end and self._state is not _DONE:
            if self._state is _DATA:
                piece = data[position : position + self._left]
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = _DATA_END
            else:
                position = self._feed_plain(data, position) or self._feed_line(data, position)
        if self._state is _DONE:
            self.rest = data[position:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _feed_plain(self, data: bytes, position: int) -> int:
        """Take a line that is whole and says no more than it must; 0 where it is not so simple."""
        if self._line:
            return 0
        if self._state is _SIZE:
            if (match := _PLAIN_SIZE_LINE.match(data, position)) is None:
                return 0
            self._start_data(match[1])
            return match.end()
        if not data.startswith(b"\r\n", position):
            return 0
        self._state = _SIZE if self._state is _DATA_END else _DONE
        return position + 2

    def _feed_line(self, data: bytes, position: int) -> int:
        """Take bytes up to the next LF; acts on the line if it is there. Returns the new offset."""
        limit = MAX_TRAILERS if self._state is _TRAILERS else MAX_LINE
        newline = data.find(b"\n", position)
        line_end = newline + 1 if newline >= 0 else len(data)
        if len(self._line) + line_end - position > limit:
            raise ChunkedError("A line of the chunked coding is too long.")
        self._line += data[position:line_end]
        if newline >= 0:
            line, self._line = self._line, b""
            if not line.endswith(b"\r\n"):
                raise ChunkedError("A bare LF in the chunked coding.")
            self._line_complete(line[:-2].decode("latin-1"))
        return line_end

    def _line_complete(self, line: str) -> None:
        if self._state is _SIZE:
            self._start_chunk(line)
        elif self._state is _TRAILERS:
            self._trailer(line)
        elif line:
            raise ChunkedError("A chunk is longer than its size.")
        else:
            self._state = _SIZE

    def _start_chunk(self, line: str) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise ChunkedError("A malformed chunk size or extension.")
        size, extensions = match.groups()
        self._extensions += len(extensions)
        if self._extensions > MAX_EXTENSIONS:
            raise ChunkedError("Too many chunk extensions.")
        self._start_data(size)

    def _start_data(self, size: str | bytes) -> None:
        self._left = int(size, 16)
        self._state = _DATA if self._left else _TRAILERS

    def _trailer(self, line: str) -> None:
        if not line:
            self._state = _DONE
            return
        self._trailers += len(line) + 2
        if self._trailers > MAX_TRAILERS or not is_field_line(line):
            raise ChunkedError("Malformed or too large trailer fields.")


def fields_of(lines: str) -> list[tuple[str, str]]:
    """Names and values of whole field lines that are known to fit the grammar (RFC 9112 §5).

    White space around values is left out.
    """
    fields = _FIELD.findall(lines)
    if " \r" in lines or "\t" in lines:
        fields = [(name, value.rstrip(" \t")) for name, value in fields]
    return fields


def is_field_line(line: str) -> bool:
    """Whether `line`, less its CRLF, is a field line (RFC 9112 §5)."""
    return _FIELD_LINE.fullmatch(line) is not None
