"""What a response head must be to be believed (RFC 9112 §4 to §6).

A head that breaks a rule is not repaired but refused: the next reader in line may see a different
message in it. `parse_head` reads bytes by our own grammar; `check_raw_head` and `check_head` hold
the same rules over what aiohttp's parser lets pass or mends.
"""

import re
from typing import NamedTuple

from multidict import CIMultiDict

from proxy.http1 import FIELD_TEXT, TCHARS, fields_of
from proxy.origin.errors import OriginError
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason

MAX_INTERIM = 64
"""1xx heads before a final one: 102 (Processing) every second of a minute passes, a flood not."""

_HEAD = re.compile(
    rf"HTTP/1\.([01]) ([1-9][0-9]{{2}})(?: ({FIELD_TEXT}))?+\r\n"
    rf"((?:{TCHARS}:{FIELD_TEXT}\r\n)*+)\r\n"
)
_STATUS_LINE = re.compile(rf"HTTP/1\.[01] [1-9][0-9]{{2}}(?: {FIELD_TEXT})?+")
_NAME = re.compile(TCHARS)
_FIELD_LINE = re.compile(rf"{TCHARS}:{FIELD_TEXT}")

# Control bytes (RFC 9110 §5.5), CR or LF alone (RFC 9112 §2.2), folded lines (§5.2), and white
# space before the first field (§2.2).
_FOREIGN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)|(?<!\r)\n|\n[ \t]")
_DIGITS = re.compile(r"[0-9]{1,19}")
_BODILESS = frozenset({204, 304})
_SUPPORTED_VERSIONS = frozenset({(1, 0), (1, 1)})
_NO_CONTENT = 204
_FIRST_STATUS = 100
_FIRST_FINAL = 200
_EXCERPT = 40


class Head(NamedTuple):
    """A checked response head.

    Attributes:
        headers: As received, framing and hop-by-hop fields included.
        length: Bytes of body to come; None when only its end will tell.
        persistent: The connection outlives this message (RFC 9112 §9.3).
        hollow: It tells of content that does not follow, as to HEAD and in a 304; from an origin
            that is wrong about that, it follows all the same, perhaps a moment later.
    """

    status: int
    reason: str
    headers: Headers
    length: int | None
    persistent: bool
    hollow: bool = False

    @property
    def interim(self) -> bool:
        """1xx: another head follows (RFC 9110 §15.2)."""
        return self.status < _FIRST_FINAL


def malformed(detail: str) -> OriginError:
    """The error for a response that is not valid HTTP/1.1."""
    return OriginError(Reason.ORIGIN_MALFORMED, detail)


def parse_head(raw: bytes, *, head_only: bool, max_fields: int) -> Head:
    """Read one whole head, its empty line included, or raise OriginError(ORIGIN_MALFORMED).

    `head_only`: the request was HEAD.
    """
    match = _HEAD.fullmatch(raw.decode("latin-1"))
    if match is None:
        raise malformed(_fault(raw.decode("latin-1")))
    minor, status, reason, lines = match.groups("")
    fields = fields_of(lines)
    if len(fields) > max_fields:
        raise malformed(f"more than {max_fields} field lines")
    headers: Headers = CIMultiDict(fields)
    code, modern = int(status), minor == "1"
    length = _body_length(code, headers, modern=modern, head_only=head_only)
    persistent = _persistent(headers, modern=modern)
    return _with_doubts(Head(code, reason, headers, length, persistent))


def check_raw_head(raw: bytes | bytearray, start: int = 0) -> None:
    """Refuse what a parser would let pass or mend, in a head or the beginning of one.

    `start`: offset before which nothing was found earlier.
    """
    if (found := _FOREIGN.search(raw, start)) is not None:
        raise malformed(f"foreign bytes in the head: {found[0]!r}")


def check_head(
    *,
    version: tuple[int, int],
    status: int,
    reason: str,
    fields: tuple[tuple[bytes, bytes], ...],
    persistent: bool,
    head_only: bool,
) -> Head:
    """Make a Head of what a parser found, or raise OriginError(ORIGIN_MALFORMED).

    Args:
        version: HTTP version of the message.
        status: Status code.
        reason: Reason phrase as latin-1 text.
        fields: Raw field lines in wire order.
        persistent: The parser expects another message on this connection.
        head_only: The request was HEAD.
    """
    if version not in _SUPPORTED_VERSIONS:
        raise malformed(f"HTTP version {version[0]}.{version[1]}")
    if status < _FIRST_STATUS:
        raise malformed(f"status {status}")
    headers: Headers = CIMultiDict(
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
    )
    if not all(map(_NAME.fullmatch, headers)):  # such as with white space before the colon
        raise malformed("the name of a field is no token")
    length = _body_length(status, headers, modern=version == (1, 1), head_only=head_only)
    return _with_doubts(Head(status, reason, headers, length, persistent))


def _persistent(headers: Headers, *, modern: bool) -> bool:
    """Whether the connection outlives the message (RFC 9112 §9.3)."""
    if "Connection" not in headers:
        return modern
    lines = headers.getall("Connection")
    options = {option.strip(" \t").lower() for line in lines for option in line.split(",")}
    return "close" not in options and (modern or "keep-alive" in options)


def _with_doubts(head: Head) -> Head:
    """The same, and what is to be held of a message without content that tells of some.

    A 204 must not do so (RFC 9110 §8.6, RFC 9112 §6.1): whoever sends one may send the content too.
    """
    if head.length != 0:
        return head
    announced = head.headers.get("Content-Length", "0") != "0"
    if not (announced or "Transfer-Encoding" in head.headers):
        return head
    return head._replace(hollow=True, persistent=head.persistent and head.status != _NO_CONTENT)


def _fault(text: str) -> str:
    """Say which line the grammar refuses; values of fields do not belong in a log."""
    status_line, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
    if _STATUS_LINE.fullmatch(status_line) is None:
        return f"status line {status_line[:_EXCERPT]!r}"
    line = next(line for line in lines if _FIELD_LINE.fullmatch(line) is None)
    return f"field line {line.partition(':')[0][:_EXCERPT]!r}"


def _body_length(status: int, headers: Headers, *, modern: bool, head_only: bool) -> int | None:
    """Bytes of body, None until its end shows; refuses framing with two readings (§6.3)."""
    codings = headers.getall("Transfer-Encoding", ())
    lengths = headers.getall("Content-Length", ())
    if codings:
        # A coding that this end does not undo would be delivered as if it were the content.
        if len(codings) > 1 or codings[0].lower() != "chunked":
            raise malformed(f"Transfer-Encoding: {', '.join(codings)}")
        if lengths or not modern:
            raise malformed("Transfer-Encoding beside Content-Length, or in HTTP/1.0")
    elif lengths and (len(lengths) > 1 or _DIGITS.fullmatch(lengths[0]) is None):
        raise malformed(f"Content-Length: {', '.join(lengths)}")
    if status < _FIRST_FINAL and (codings or lengths):
        raise malformed(f"a {status} with framing fields")
    if head_only or status in _BODILESS or status < _FIRST_FINAL:
        return 0
    return int(lengths[0]) if lengths else None
