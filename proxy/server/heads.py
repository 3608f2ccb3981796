"""Request heads, read strictly: RFC 9112 §3 and §5, and what RFC 9110 adds about their meaning.

A head that two readers could understand in two ways is refused, never repaired. In particular:
lines end with CRLF only, no line is folded, no white space stands before a colon, no control
byte occurs, there is at most one framing field and exactly one Host, and numbers are ASCII.

Text is latin-1: one character is one byte of the wire. Whatever passes is passed on unchanged.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple

from proxy.http1 import FIELD_TEXT, TCHARS, fields_of
from proxy.rfc9111.messages import Headers
from proxy.server.options import ServerOptions
from proxy.server.rejection import RequestRejected

_OWS = " \t"
_HEAD = re.compile(
    rf"({TCHARS}) ([!-~\x80-\xff]++) HTTP/([0-9]\.[0-9])\r\n((?:{TCHARS}:{FIELD_TEXT}\r\n)*+)\r\n"
)
_NAME = re.compile(TCHARS)
_FIELD_VALUE = re.compile(FIELD_TEXT)
_NEVER_IN_HEAD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)|(?<!\r)\n")
_ABSOLUTE = re.compile(r"(?:http|https)://([^/?]*)(.*)", re.IGNORECASE | re.ASCII)
# RFC 3986 §3.2.2 less the comma, which is the trace of two Host lines joined into one. The group is
# not possessive, see http1.
_HOST = re.compile(
    r"(?:\[([0-9A-Fa-f:.]++)\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?"
)
_MAX_PORT = 65535
_LENGTH = re.compile(r"[0-9]{1,18}")
# HTTP in other clothes: relayed, requests would reach the origin that nobody here has seen, with
# whatever Host and X-Forwarded-For, and writes that invalidate nothing. It is ignored, as a server
# may (RFC 9110 §7.8); RFC 9113 §3.1 has done away with it.
_OTHER_HTTP = re.compile(r"h2c|(?:HTTP|TLS)(?:/.*)?", re.IGNORECASE)
_END = b"\r\n\r\n"
_NO_OPTIONS: Final[frozenset[str]] = frozenset()

_VERSIONS = {"1.0": (1, 0)} | {f"1.{minor}": (1, 1) for minor in range(1, 10)}
"""What is understood, and as what: a higher minor version is read as 1.1 (RFC 9110 §6.2)."""


class RequestHead(NamedTuple):
    """A request head in which nothing is ambiguous.

    Attributes:
        target: Origin-form (`/a?b`) or `*`, byte for byte.
        authority: As received: of the target if it was in absolute-form, else of Host
            (RFC 9112 §3.2.2); "" in an HTTP/1.0 request that names none.
        version: (1, 0) or (1, 1).
        headers: Field lines as received.
        length: Bytes of content; None when it is chunked.
        keep_alive: The client lets the connection persist (RFC 9112 §9.3).
        upgrade: The client asks to switch protocols (RFC 9110 §7.8), to one that is relayed.
        expects_continue: It waits for 100 (Continue) before it sends content.
    """

    method: str
    target: str
    authority: str
    version: tuple[int, int]
    headers: Headers
    length: int | None
    keep_alive: bool
    upgrade: bool
    expects_continue: bool

    @property
    def has_content(self) -> bool:
        """Content follows this head."""
        return self.length != 0


def find_end(data: bytes, start: int, scanned: int, limits: ServerOptions) -> int:
    """Where the head that starts at `start` ends; -1 while its end has not arrived.

    Args:
        data: What has arrived; its first `scanned` bytes brought no end before.
        start: Offset of the head.
        scanned: Offset from which to look.
        limits: Sizes; what exceeds them is refused before it is complete.
    """
    end = data.find(_END, max(start, scanned - len(_END) + 1))
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        # The last byte may be the CR of the line's end.
        if len(data) - start - 1 > limits.request_line:
            raise _too_long()
    elif line_end - start > limits.request_line:
        raise _too_long()
    elif (end if end >= 0 else len(data) - len(_END)) - line_end > limits.header_size:
        raise RequestRejected(431, "The header fields are too large.")
    if end >= 0:
        return end + len(_END)
    if _NEVER_IN_HEAD.search(data, max(start, scanned - 1)):
        raise RequestRejected(400, "A control byte, a bare CR or a bare LF in the head.")
    return -1


def parse_head(data: bytes, limits: ServerOptions) -> RequestHead:
    """Read one whole head, its empty line included, or raise RequestRejected."""
    text = data.decode("latin-1")
    match = _HEAD.fullmatch(text)
    if match is None:
        raise RequestRejected(400, _fault(text))
    method, target, version_text, fields = match.groups()
    version = _VERSIONS.get(version_text)
    if version is None:
        raise RequestRejected(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    pairs = fields_of(fields)
    if len(pairs) > limits.headers:
        raise RequestRejected(431, "There are too many header fields.")
    headers = Headers(pairs)
    host = _host(headers, version)
    authority, target = _target(method, target, host)
    options = _connection_options(headers)
    modern = version == (1, 1)
    length = _content_length(headers, modern=modern)
    return RequestHead(
        method,
        target,
        authority,
        version,
        headers,
        length,
        keep_alive="close" not in options and (modern or "keep-alive" in options),
        upgrade=modern and "upgrade" in options and _is_for_the_origin(headers),
        expects_continue=_expects_continue(headers, modern=modern) and length != 0,
    )


def _too_long() -> RequestRejected:
    return RequestRejected(414, "The request line is too long.")


def _target(method: str, target: str, host: str) -> tuple[str, str]:
    """Authority and origin-form of a request target (RFC 9112 §3.2)."""
    if method == "CONNECT":
        # 405 would have to name methods that are allowed; no resource here has this one.
        raise RequestRejected(501, "CONNECT is not supported.")
    if "#" in target:
        raise RequestRejected(400, "A fragment in the request target.")
    if target.startswith("/"):
        return host, target
    if target == "*" and method == "OPTIONS":
        return host, target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise RequestRejected(400, "The request target has no form that this method allows.")
    authority, rest = absolute.groups()
    if not _is_host(authority):
        raise RequestRejected(400, "The authority in the request target is invalid.")
    if not rest and method == "OPTIONS":
        return authority, "*"
    return authority, rest if rest.startswith("/") else f"/{rest}"


def _host(headers: Headers, version: tuple[int, int]) -> str:
    """The one valid Host (RFC 9112 §3.2); "" where HTTP/1.0 goes without."""
    lines = headers.getall("Host", ())
    if len(lines) == 1 and _is_host(lines[0]):
        return lines[0]
    if not lines and version == (1, 0):
        return ""
    raise RequestRejected(400, "Exactly one valid Host is required.")


@lru_cache(maxsize=128)  # few, since anybody may make up long ones
def _is_host(value: str) -> bool:
    """`uri-host [":" port]`, not empty (RFC 9110 §4.2.1)."""
    match = _HOST.fullmatch(value)
    if match is None:
        return False
    address, port = match.groups()
    if address is not None:
        try:
            IPv6Address(address)
        except AddressValueError:
            return False
    return not port or int(port) <= _MAX_PORT


def _content_length(headers: Headers, *, modern: bool) -> int | None:
    """Bytes of content, None for chunked (RFC 9112 §6).

    Stricter than the RFC must be: equal repeats of Content-Length, and codings before a final
    chunked, are refused too. No honest client needs them.
    """
    codings = headers.getall("Transfer-Encoding", ())
    lengths = headers.getall("Content-Length", ())
    if codings:
        if lengths:
            raise RequestRejected(400, "Content-Length beside Transfer-Encoding.")
        if not modern:
            raise RequestRejected(400, "Transfer-Encoding in HTTP/1.0.")
        if len(codings) > 1 or codings[0].lower() != "chunked":
            raise RequestRejected(400, "The only transfer coding understood is chunked.")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
        raise RequestRejected(400, "Content-Length is not one number.")
    return int(lengths[0])


def _connection_options(headers: Headers) -> frozenset[str]:
    """Lower-case members of Connection (RFC 9110 §7.6.1)."""
    lines = headers.getall("Connection", None)
    if lines is None:
        return _NO_OPTIONS
    return frozenset(option.strip(_OWS).lower() for line in lines for option in line.split(","))


def _is_for_the_origin(headers: Headers) -> bool:
    """Whether Upgrade names protocols, and none that carries requests past the proxy."""
    lines = headers.getall("Upgrade", ())
    names = [name.strip(_OWS) for line in lines for name in line.split(",")]
    return bool(names) and not any(map(_OTHER_HTTP.fullmatch, names))


def _expects_continue(headers: Headers, *, modern: bool) -> bool:
    """RFC 9110 §10.1.1: 100-continue is the one expectation; HTTP/1.0 has none."""
    lines = headers.getall("Expect", ())
    if not lines or not modern:
        return False
    if any(line.lower() != "100-continue" for line in lines):
        raise RequestRejected(417, "The only expectation understood is 100-continue.")
    return True


def _fault(text: str) -> str:
    """Say which rule a head that the grammar refuses has broken."""
    request_line, *fields = text.removesuffix("\r\n\r\n").split("\r\n")
    if _HEAD.fullmatch(f"{request_line}\r\n\r\n") is None:
        return "The request line is malformed."
    return next(fault for fault in map(_field_fault, fields) if fault)


def _field_fault(line: str) -> str:
    """What is wrong with a field line; "" when nothing is."""
    name, colon, value = line.partition(":")
    if line.startswith((" ", "\t")):
        return "A folded header field, or white space before the first one."
    if not colon:
        return "A header field without a colon."
    if name.endswith((" ", "\t")):
        return "White space between the name of a header field and its colon."
    if _NAME.fullmatch(name) is None:
        return "The name of a header field is not a token."
    return "" if _FIELD_VALUE.fullmatch(value) else "A control byte in a header field."
