"""Parts of a representation: what a 206 brought, what it lacks, and two made one.

Positions count from 0, and both ends are included, as on the wire. Below, §3.3 and §3.4 are of
RFC 9111, all others of RFC 9110.
"""

import re

from proxy.rfc9111.messages import Headers, field_value
from proxy.rfc9111.stored import ByteRange, StoredResponse
from proxy.rfc9111.validators import strong_validator

_FAR = 10**18
"""Stands for every larger position: no body reaches it, and it costs nothing to compute with."""

_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", re.IGNORECASE | re.ASCII)

_OF_THIS_CONTENT = ("Content-Range", "Content-Digest", "Content-MD5")
"""What describes the bytes of one message, be they the whole or a part (RFC 9530 §2)."""


def parse_content_range(value: str) -> ByteRange | None:
    """The part a 206 holds; None where it is invalid, or its complete length unknown (§14.4)."""
    found = _CONTENT_RANGE.fullmatch(value)
    if found is None:
        return None
    first, last, complete_length = map(position, found.groups())
    if not first <= last < complete_length:
        return None
    return ByteRange(first, last, complete_length)


def position(digits: str) -> int:
    """`digits` as a number, never more than _FAR: `int()` refuses thousands of digits."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= len(str(_FAR)) - 1 else _FAR


def content_range(part: tuple[int, int], complete_length: int) -> str:
    """The field that names a part by its first and last position (§14.4)."""
    return f"bytes {part[0]}-{part[1]}/{complete_length}"


def undescribed(headers: Headers) -> Headers:
    """A copy without what describes the bytes of one message only."""
    left = headers.copy()
    for name in _OF_THIS_CONTENT:
        left.popall(name, None)
    return left


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
    if length == part.size:
        return part
    if not 0 < length < part.size:
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
    validator = strong_validator(stored.headers, now=stored.freshness.response_time)
    if part.first == 0:
        return f"bytes={part.last + 1}-", validator
    if part.last == part.complete_length - 1:
        return f"bytes=0-{part.first - 1}", validator
    return None


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
    if len(stored_body) != part.size or len(incoming_body) != incoming.size:
        return None
    now = stored.freshness.response_time
    validator = strong_validator(stored.headers, now=now)
    if validator is None or validator != strong_validator(incoming_headers, now=now):
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
    headers = undescribed(stored.headers)
    headers["Content-Length"] = str(length)
    if part is None:
        return stored.with_changes(status=200, reason="OK", headers=headers, part=None)
    headers["Content-Range"] = content_range((part.first, part.last), part.complete_length)
    return stored.with_changes(headers=headers, part=part)
