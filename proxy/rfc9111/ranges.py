"""Byte ranges: what of a stored response answers a Range (RFC 9110 §14; RFC 9111 §3.3, §3.4).

Positions count from 0, and both ends are included, as on the wire. Below, §3.3 and §3.4 are of
RFC 9111, all others of RFC 9110.

    Range          stored whole                         stored part
    none, ignored  Whole                                NotHeld
    satisfiable    Parts                                Parts if all of them are held, else NotHeld
    unsatisfiable  Unsatisfiable                        Unsatisfiable (its complete length is known)

A Range is ignored with any method but GET, with a false If-Range, for a status other than 200,
when it is malformed or in another unit, and when it asks for so much that it looks like an attack
(§14.2, §17.15): more than MAX_RANGES ranges, or more than two that overlap.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from proxy.rfc9111.dates import parse_http_date
from proxy.rfc9111.etags import strong_match
from proxy.rfc9111.messages import Headers, Request, field_value
from proxy.rfc9111.stored import ByteRange, StoredResponse

MAX_RANGES = 16
"""More ranges than this in one request are ignored; real clients ask for one to a handful."""

STRONG_DATE_GAP = 60.0
"""Seconds by which Last-Modified must precede Date to be a strong validator (§8.8.2.2).

One second is enough where both come from the same clock. An application often takes the former
from a database on another machine, so leave room for clocks that disagree.
"""

_FAR = 10**18
"""Stands for every larger position: no body reaches it, and it costs nothing to compute with."""

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", re.IGNORECASE | re.ASCII)

_OF_THE_CONTENT = frozenset(
    {
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
        "repr-digest",
        "content-digest",
        "digest",
    }
)
_OF_THIS_CONTENT = ("Content-Range", "Content-Digest", "Content-MD5")
"""What describes the bytes of one message, be they the whole or a part (RFC 9530 §2)."""

_OF_ITS_CACHING = frozenset({"cache-control", "expires", "pragma", "surrogate-control"})


@dataclass(frozen=True, slots=True)
class IntRange:
    """`first-last`, or `first-` (None) to the end (§14.1.1)."""

    first: int
    last: int | None


@dataclass(frozen=True, slots=True)
class SuffixRange:
    """`-length`: the last so many bytes (§14.1.1)."""

    length: int


RangeSpec: TypeAlias = IntRange | SuffixRange


@dataclass(frozen=True, slots=True)
class Whole:
    """Answer as if there were no Range."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Answer with 206 (Partial Content).

    Attributes:
        parts: First and last position of each, in the order asked for; they neither overlap nor
            touch, and all of them are held.
        complete_length: Length of the whole representation in bytes.
    """

    parts: tuple[tuple[int, int], ...]
    complete_length: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """Answer with 416 (Range Not Satisfiable)."""

    complete_length: int


@dataclass(frozen=True, slots=True)
class NotHeld:
    """What is stored does not hold everything that was asked for: ask the origin."""


RangeSelection: TypeAlias = Whole | Parts | Unsatisfiable | NotHeld


def parse_range(value: str) -> tuple[RangeSpec, ...] | None:
    """The ranges of a Range field in bytes; None where it is to be ignored (§14.2)."""
    unit, equals, ranges = value.partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    members = [member for text in ranges.split(",") if (member := text.strip(" \t"))]
    if not 0 < len(members) <= MAX_RANGES:
        return None
    specs = [spec for member in members if (spec := _parse_spec(member)) is not None]
    return tuple(specs) if len(specs) == len(members) else None


def _parse_spec(member: str) -> RangeSpec | None:
    found = _SPEC.fullmatch(member)
    if found is None or member == "-":
        return None
    if not found[1]:
        return SuffixRange(_position(found[2]))
    first = _position(found[1])
    if not found[2]:
        return IntRange(first, None)
    last = _position(found[2])
    return IntRange(first, last) if first <= last else None


def _position(digits: str) -> int:
    """`digits` as a number, never more than _FAR: `int()` refuses thousands of digits."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= len(str(_FAR)) - 1 else _FAR


def parse_content_range(value: str) -> ByteRange | None:
    """The part a 206 holds; None where it is invalid, or its complete length unknown (§14.4)."""
    found = _CONTENT_RANGE.fullmatch(value)
    if found is None:
        return None
    first, last, complete_length = map(_position, found.groups())
    if not first <= last < complete_length:
        return None
    return ByteRange(first, last, complete_length)


def if_range_holds(request_headers: Headers, stored_headers: Headers, *, now: float) -> bool:
    """Whether the client's part is of the stored representation (§13.1.5); True without If-Range.

    An entity tag compares strongly; a date must be that of a strong Last-Modified.
    """
    wanted = field_value(request_headers, "If-Range")
    if wanted is None:
        return True
    etag = field_value(stored_headers, "ETag")
    if etag is not None and strong_match(wanted, etag):
        return True
    modified = _strong_last_modified(stored_headers, now=now)
    return modified is not None and parse_http_date(wanted, now=now) == modified


def _strong_last_modified(headers: Headers, *, now: float) -> float | None:
    """Last-Modified in seconds, where it is a strong validator (§8.8.2.2)."""
    value, sent = field_value(headers, "Last-Modified"), field_value(headers, "Date")
    if value is None or sent is None:
        return None
    modified, date = parse_http_date(value, now=now), parse_http_date(sent, now=now)
    if modified is None or date is None or date - modified < STRONG_DATE_GAP:
        return None
    return modified


def select(
    request: Request, stored: StoredResponse, held_length: int, *, now: float
) -> RangeSelection:
    """What of `stored` answers `request`; see the table at the top.

    Args:
        request: Its method, Range and If-Range count; its preconditions were judged before.
        stored: A response with status 200 or 206 for anything but Whole or NotHeld.
        held_length: Bytes of its body that are held.
        now: POSIX seconds.
    """
    ignored = Whole() if stored.part is None else NotHeld()
    specs = _requested(request, stored, now=now)
    if specs is None:
        return ignored
    held = _held(stored, held_length)
    if held is None:
        return NotHeld()
    length = held.complete_length
    ranges = [found for spec in specs if (found := _resolve(spec, length)) is not None]
    if not ranges:
        return Unsatisfiable(length)
    parts = _coalesce(ranges) if length else None
    if parts is None or (len(parts) > 1 and "Content-Encoding" in stored.headers):
        # A multipart body is not in the content coding that its parts are in: send all instead.
        return ignored
    if any(first < held.first or last > held.last for first, last in parts):
        return NotHeld()
    return Parts(parts, length)


def _requested(
    request: Request, stored: StoredResponse, *, now: float
) -> tuple[RangeSpec, ...] | None:
    """The ranges to answer, or None where there are none or they are to be ignored (§14.2)."""
    value = field_value(request.headers, "Range")
    if value is None or request.method != "GET":
        return None
    if stored.part is None and stored.status != 200:  # noqa: PLR2004 - OK
        return None
    if not if_range_holds(request.headers, stored.headers, now=now):
        return None
    return parse_range(value)


def _held(stored: StoredResponse, held_length: int) -> ByteRange | None:
    part = stored.part
    if part is None:
        return ByteRange(0, held_length - 1, held_length)
    return part if held_length == _size(part) else None


def _size(part: ByteRange) -> int:
    return part.last - part.first + 1


def _resolve(spec: RangeSpec, length: int) -> tuple[int, int] | None:
    """First and last position of `spec` in `length` bytes, or None if unsatisfiable (§14.1.2).

    A suffix of an empty representation is satisfiable, but has no positions: (0, -1).
    """
    match spec:
        case IntRange(first, last):
            if first >= length:
                return None
            return first, length - 1 if last is None else min(last, length - 1)
        case SuffixRange(suffix):
            return (max(0, length - suffix), length - 1) if suffix else None
        case _:
            assert_never(spec)


def _coalesce(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...] | None:
    """Ranges that overlap or touch made one (§15.3.7.2); None where more than two overlap.

    What is left stays in the order asked for, which may be what the client needs first.
    """
    merged: list[tuple[int, int]] = []
    overlaps = 0
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            before = merged.pop()
            overlaps += first <= before[1]
            merged.append((before[0], max(before[1], last)))
        else:
            merged.append((first, last))
    if overlaps > 1:
        return None
    wanted = (next(m for m in merged if m[0] <= first <= m[1]) for first, _ in ranges)
    return tuple(dict.fromkeys(wanted))


def partial_headers(headers: Headers, selection: Parts, boundary: str, length: int) -> Headers:
    """The fields of a 206 made from a stored response with `headers` (§15.3.7).

    Args:
        headers: Of the stored response, whole or part.
        selection: What is sent.
        boundary: Between several parts; unused for one.
        length: Bytes of the 206's content.
    """
    partial = _undescribed(headers)
    partial["Content-Length"] = str(length)
    if len(selection.parts) == 1:
        partial["Content-Range"] = _content_range(selection.parts[0], selection.complete_length)
    else:
        partial["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    return partial


def _undescribed(headers: Headers) -> Headers:
    left = headers.copy()
    for name in _OF_THIS_CONTENT:
        left.popall(name, None)
    return left


def unsatisfiable_headers(headers: Headers, selection: Unsatisfiable) -> Headers:
    """The fields of a 416 in place of a stored response with `headers` (§15.5.17).

    Those that describe the stored content go, and those that say how long it may be reused:
    a cache downstream would otherwise keep the 416 for the URL as it was to keep the content.
    """
    kept: Headers = Headers(
        (name, value)
        for name, value in headers.items()
        if (lower := name.lower()) not in _OF_THE_CONTENT
        and lower not in _OF_ITS_CACHING
        and not lower.endswith("-cache-control")
    )
    kept["Content-Range"] = f"bytes */{selection.complete_length}"
    return kept


def _content_range(part: tuple[int, int], complete_length: int) -> str:
    return f"bytes {part[0]}-{part[1]}/{complete_length}"


def multipart_body(
    headers: Headers, body: bytes, offset: int, selection: Parts, boundary: str
) -> bytes:
    """The content of a multipart/byteranges response (§14.6).

    Args:
        headers: Of the stored response; each part repeats its Content-Type.
        body: The bytes held.
        offset: Position of its first byte in the representation.
        selection: The parts to send.
        boundary: Must not occur in `body`: make it long and random.
    """
    media_type = field_value(headers, "Content-Type")
    described = "" if media_type is None else f"Content-Type: {media_type}\r\n"
    pieces: list[bytes] = []
    for first, last in selection.parts:
        content_range = _content_range((first, last), selection.complete_length)
        head = f"--{boundary}\r\n{described}Content-Range: {content_range}\r\n\r\n"
        pieces += (head.encode("latin-1"), body[first - offset : last + 1 - offset], b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode("latin-1"))
    return b"".join(pieces)


def part_of_body(part: ByteRange, length: int, headers: Headers) -> ByteRange | None:
    """Which bytes a complete 206 really brought; None where no sense can be made of it.

    A body shorter than its Content-Range may have been cut where the connection's end was its
    only framing: it holds the first of the announced bytes (§3.3). Where Content-Length frames it
    as it is, the origin has miscounted: the bytes are what it meant, they start where it says, and
    what it announced to reach the end of the representation does end there.

    Args:
        part: From Content-Range.
        length: Bytes of the body.
        headers: Of the 206.
    """
    if length == _size(part):
        return part
    if not 0 < length < _size(part):
        return None
    last = part.first + length - 1
    miscounted = field_value(headers, "Content-Length") == str(length)
    to_the_end = part.last == part.complete_length - 1
    return ByteRange(
        part.first, last, last + 1 if miscounted and to_the_end else part.complete_length
    )


def completion_range(stored: StoredResponse) -> tuple[str, str | None] | None:
    """Range and If-Range that ask the origin for what a stored part lacks (§3.3).

    None where nothing or both ends are missing. Without a strong validator there is no If-Range:
    the answer may then be the whole, but another part cannot be combined with this one (§3.4).
    """
    part = stored.part
    if part is None:
        return None
    validator = _strong_validator(stored.headers, now=stored.freshness.response_time)
    if part.first == 0:
        return f"bytes={part.last + 1}-", validator
    if part.last == part.complete_length - 1:
        return f"bytes=0-{part.first - 1}", validator
    return None


def _strong_validator(headers: Headers, *, now: float) -> str | None:
    """The field value of the strong entity tag, else of a strong Last-Modified (§8.8.1)."""
    etag = field_value(headers, "ETag")
    if etag is not None:
        return etag if strong_match(etag, etag) else None
    if _strong_last_modified(headers, now=now) is None:
        return None
    return field_value(headers, "Last-Modified")


def combine(
    stored: StoredResponse,
    stored_body: bytes,
    incoming: ByteRange,
    incoming_headers: Headers,
    incoming_body: bytes,
) -> tuple[ByteRange | None, bytes] | None:
    """A stored part and a new one of the same representation as one (§3.4).

    Returns:
        The part now held (None when it is the whole) and its bytes; None where the two may not be
        combined: no strong validator in common, a gap between them, lengths that are not what was
        announced, or different bytes where they overlap.
    """
    part = stored.part
    if part is None or part.complete_length != incoming.complete_length:
        return None
    if len(stored_body) != _size(part) or len(incoming_body) != _size(incoming):
        return None
    now = stored.freshness.response_time
    validator = _strong_validator(stored.headers, now=now)
    if validator is None or validator != _strong_validator(incoming_headers, now=now):
        return None
    joined = _join((part.first, stored_body), (incoming.first, incoming_body))
    if joined is None:
        return None
    first, body = joined
    if len(body) == part.complete_length:
        return None, body
    return ByteRange(first, first + len(body) - 1, part.complete_length), body


def _join(one: tuple[int, bytes], other: tuple[int, bytes]) -> tuple[int, bytes] | None:
    """Two runs of bytes, each with its first position, as one; None if they do not fit."""
    (first, body), (later, rest) = sorted((one, other))
    shared = first + len(body) - later
    if shared < 0 or body[later - first : later - first + len(rest)] != rest[:shared]:
        return None
    return first, body + rest[shared:]


def with_part(stored: StoredResponse, part: ByteRange | None, length: int) -> StoredResponse:
    """`stored` as the head of a body that may be combined of several (§3.4).

    Args:
        stored: Its headers already updated from the 206 that was combined into it.
        part: What `combine` returned: None for the whole representation, which is a 200.
        length: Bytes of the combined body.
    """
    headers = _undescribed(stored.headers)
    headers["Content-Length"] = str(length)
    if part is None:
        return stored.with_changes(status=200, reason="OK", headers=headers, part=None)
    headers["Content-Range"] = _content_range((part.first, part.last), part.complete_length)
    return stored.with_changes(headers=headers, part=part)
