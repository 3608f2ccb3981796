r"""Heads passed on without being taken apart: the lines that go on, in the bytes that they came in.

Most of what is passed on is a plain request and a response that came whole. Of such a head nothing
is looked into but the names of its fields and its framing: `Splicer` leaves out what goes no
further, and refuses what needs a closer look. What it writes is what reading the head, dropping the
fields and writing it again would come to:

    b"HTTP/1.1 200 OK\r\nDate:x\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n"

What it refuses is not wrong, only not simple: the parsers have the say.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from proxy.http1 import FIELD_TEXT, TCHARS

try:
    from proxy import _splice
except ImportError:
    _splice = None  # type: ignore[assignment]
if os.environ.get("WARMFRONT_PURE_PYTHON"):
    _splice = None  # type: ignore[assignment]

ACCELERATED: Final = _splice is not None
"""Whether the same is there in C."""

LONGEST: Final = 8192
"""Bytes of a head; a longer one is refused."""

MOST_LINES: Final = 128
"""The same for its field lines."""

LONGEST_NOTED: Final = 1024
"""Bytes of the lines that are noted; a head with more of them is refused."""

_NO_CONTENT: Final = 204
BODILESS: Final = frozenset({_NO_CONTENT, 304})
"""Statuses of responses that have no content."""

_CONNECTION: Final = b"connection"
_DATE: Final = b"date"
_HOST: Final = b"host"
_LENGTH: Final = b"content-length"
_KEEP_ALIVE: Final = b"keep-alive"
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,14}")
_FIELDS = rf"((?:{TCHARS}:{FIELD_TEXT}\r\n)*+)\r\n"
_REQUEST = re.compile(rf"([^\n]*+\n){_FIELDS}".encode(), re.DOTALL)
_RESPONSE = re.compile(rf"(HTTP/1\.1 ([2-9][0-9]{{2}}))((?: {FIELD_TEXT})?+)\r\n{_FIELDS}".encode())
_FIELD = re.compile(rf"({TCHARS}):({FIELD_TEXT})\r\n".encode())


Spliced: TypeAlias = tuple[bytes, int, int, int | None, bool, bytes]
"""The head of a response that came whole: what goes on of it, without the empty line; where its
content begins; its status code, of a final response; bytes of its content, None where it can have
none; whether it has a Date; the lines of it that are noted, whether they go on or not."""


class Splicer(Protocol):
    """See the module."""

    def request(self, data: bytes, /) -> bytes | None:
        """From one whole head without content: what goes on of it, without the empty line."""
        ...

    def response(self, data: bytes, head_only: bool, /) -> Spliced | None:  # noqa: FBT001
        """From one whole response, and nothing else, that ends as its head says.

        Args:
            data: Its bytes; the connection it came on outlives it.
            head_only: The request was HEAD.
        """
        ...


def splicer(
    *,
    dropped: Iterable[str],
    refused: Iterable[str],
    noted: Iterable[str] = (),
    host: str | None = None,
) -> Splicer:
    """One that drops and refuses these fields, in C if it is there.

    Connection is dropped where it says no more than `keep-alive`, else refused.

    Args:
        dropped: Lower-case names.
        refused: The same.
        noted: The same; whether they are dropped or not, what they say is told.
        host: Comes in place of the value of Host.
    """
    if _splice is not None:
        line = b"" if host is None else f"Host: {host}\r\n".encode("latin-1")
        with suppress(ValueError):  # it has room for only so many names
            return _splice.Splicer(
                dropped=_encoded(dropped),
                refused=_encoded(refused),
                noted=_encoded(noted),
                host=line,
            )
    return PythonSplicer(dropped, refused, noted, host)


class PythonSplicer:
    """The same in Python; see `splicer`."""

    def __init__(
        self,
        dropped: Iterable[str],
        refused: Iterable[str],
        noted: Iterable[str] = (),
        host: str | None = None,
    ) -> None:
        self._dropped = frozenset(_encoded(dropped))
        self._refused = frozenset(_encoded(refused))
        self._noted = frozenset(_encoded(noted))
        self._host = None if host is None else host.encode("latin-1")

    def request(self, data: bytes, /) -> bytes | None:
        """See Splicer."""
        match = None if len(data) > LONGEST else _REQUEST.fullmatch(data)
        if match is None:
            return None
        lines = self._lines(match[2])
        if lines is None or any(name == _LENGTH for name, _ in lines):
            return None
        return match[1] + b"".join(line for _, line in lines)

    def response(self, data: bytes, head_only: bool, /) -> Spliced | None:  # noqa: FBT001
        """See Splicer."""
        match = _RESPONSE.match(data, 0, LONGEST)
        lines = None if match is None else self._lines(match[4])
        if match is None or lines is None:
            return None
        status, start = int(match[2]), match[1] + (match[3] or b" ") + b"\r\n"
        lengths = [line[len("content-length: ") : -2] for name, line in lines if name == _LENGTH]
        if len(lengths) > 1 or not all(map(_NUMBER.fullmatch, lengths)):
            return None
        bodiless = head_only or status in BODILESS
        told = int(lengths[0]) if lengths else -1
        wanted = 0 if bodiless else told
        hollow = bodiless and told > 0  # what is told of may follow after all
        if len(data) - match.end() != wanted or hollow or (status == _NO_CONTENT and lengths):
            return None
        head = start + b"".join(line for _, line in lines)
        dated = any(name == _DATE for name, _ in lines)
        noted = b"".join(
            b"%b: %b\r\n" % (name, value.strip(b" \t"))
            for name, value in _FIELD.findall(match[4])
            if name.lower() in self._noted
        )
        if len(noted) > LONGEST_NOTED:
            return None
        return head, match.end(), status, None if bodiless else wanted, dated, noted

    def _lines(self, text: bytes) -> list[tuple[bytes, bytes]] | None:
        """What goes on of these, each with its name in lower case; None where one is refused."""
        fields = [(name.lower(), name, value.strip(b" \t")) for name, value in _FIELD.findall(text)]
        names = [name for name, _, _ in fields]
        odd = any(name == _CONNECTION and value.lower() != _KEEP_ALIVE for name, _, value in fields)
        hosts = 0 if _HOST in self._dropped else names.count(_HOST)
        if odd or len(fields) > MOST_LINES or hosts > 1:
            return None
        if not self._refused.isdisjoint(names):
            return None
        return [
            (known, b"Host: %b\r\n" % self._host)
            if known == _HOST and self._host is not None
            else (known, b"%b: %b\r\n" % (name, value))
            for known, name, value in fields
            if known != _CONNECTION and known not in self._dropped
        ]


def _encoded(names: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(map(str.encode, names))
