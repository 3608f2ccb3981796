"""Byte ranges: what of a stored response answers a Range (RFC 9110 §14).

Positions count from 0, and both ends are included, as on the wire. What parts are kept, and how
two become one, is in `parts`.

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
from proxy.rfc9111.parts import content_range, position, undescribed
from proxy.rfc9111.stored import ByteRange, StoredResponse
from proxy.rfc9111.validators import strong_last_modified

MAX_RANGES = 16
"""More ranges than this in one request are ignored; real clients ask for one to a handful."""

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
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
        return SuffixRange(position(found[2]))
    first = position(found[1])
    if not found[2]:
        return IntRange(first, None)
    last = position(found[2])
    return IntRange(first, last) if first <= last else None


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
    modified = strong_last_modified(stored_headers, now=now)
    return modified is not None and parse_http_date(wanted, now=now) == modified


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
    return part if held_length == part.size else None


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
    partial = undescribed(headers)
    partial["Content-Length"] = str(length)
    if len(selection.parts) == 1:
        partial["Content-Range"] = content_range(selection.parts[0], selection.complete_length)
    else:
        partial["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    return partial


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
        named = content_range((first, last), selection.complete_length)
        head = f"--{boundary}\r\n{described}Content-Range: {named}\r\n\r\n"
        pieces += (head.encode("latin-1"), body[first - offset : last + 1 - offset], b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode("latin-1"))
    return b"".join(pieces)
