"""Response heads and message framing (RFC 9112 §4, §6), as bytes.

Fields pass as they come, in order and case. Ours are only Content-Length, Transfer-Encoding and
Connection; a Content-Length that already says the right number stays where it stands.
"""

import json
from collections.abc import Sequence
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

from proxy.clock import wall
from proxy.exchange import Outgoing
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers

LAST_CHUNK: Final = b"0\r\n\r\n"
_CONNECTION: Final = ("Connection", "Transfer-Encoding")
_FRAMING: Final = (*_CONNECTION, "Content-Length")
_HTTP_1_1: Final = (1, 1)
_CRLF: Final = b"\r\n"
_NO_CONTENT: Final = 204
_NOT_MODIFIED: Final = 304
_FIRST_FINAL: Final = 200
_LAST_STATUS: Final = 999


class Framing(Enum):
    """How the end of a response shows (RFC 9112 §6.3)."""

    BODILESS = auto()
    """By the head's end: HEAD, 204, 304."""
    SIZED = auto()
    """By Content-Length."""
    CHUNKED = auto()
    """By the last chunk."""
    UNTIL_CLOSE = auto()
    """By the connection's end: unknown length, HTTP/1.0."""


def framing_of(outgoing: Outgoing, *, method: str, version: tuple[int, int]) -> Framing:
    """How to frame the answer to a request with this method and version."""
    if method == "HEAD" or outgoing.status in {_NO_CONTENT, _NOT_MODIFIED}:
        return Framing.BODILESS
    if content_length(outgoing) is not None:
        return Framing.SIZED
    return Framing.CHUNKED if version == (1, 1) else Framing.UNTIL_CLOSE


def content_length(outgoing: Outgoing) -> int | None:
    """Bytes of content, where they are known."""
    return len(outgoing.body) if isinstance(outgoing.body, bytes) else outgoing.length


def response_head(
    outgoing: Outgoing, framing: Framing, *, version: tuple[int, int], persistent: bool
) -> bytes:
    """The head of a final response; raises ValueError if it cannot be one."""
    if not _FIRST_FINAL <= outgoing.status <= _LAST_STATUS:
        raise ValueError(f"{outgoing.status} is no status of a final response")
    keeps_length = _keeps_length(outgoing, framing)
    lines = _field_lines(outgoing.headers, _CONNECTION if keeps_length else _FRAMING)
    if framing is Framing.SIZED and not keeps_length:
        lines.append(f"Content-Length: {content_length(outgoing)}")
    elif framing is Framing.CHUNKED:
        lines.append("Transfer-Encoding: chunked")
    if not persistent:
        lines.append("Connection: close")
    elif version == (1, 0):
        lines.append("Connection: keep-alive")
    return _serialise(outgoing.status, outgoing.reason, lines)


def plain_head(outgoing: Outgoing, method: str) -> bytes:
    """See exchange.WriteHead."""
    framing = framing_of(outgoing, method=method, version=_HTTP_1_1)
    head = response_head(outgoing, framing, version=_HTTP_1_1, persistent=True)
    return head.removesuffix(_CRLF)


def _keeps_length(outgoing: Outgoing, framing: Framing) -> bool:
    """Content-Length may stay: it is right, or tells what GET or 200 would have had."""
    if framing is Framing.SIZED:
        return outgoing.headers.getall("Content-Length", ()) == [str(content_length(outgoing))]
    return framing is Framing.BODILESS and outgoing.status != _NO_CONTENT


def interim_head(status: int, reason: str, headers: Headers) -> bytes:
    """The head of a 1xx response (RFC 9110 §15.2), which has neither content nor framing."""
    return _serialise(status, reason, _field_lines(headers, _FRAMING))


def switching_head(outgoing: Outgoing) -> bytes:
    """The head of a 101, whose Upgrade field Connection has to list (RFC 9110 §7.8)."""
    lines = [*_field_lines(outgoing.headers, _FRAMING), "Connection: upgrade"]
    return _serialise(outgoing.status, outgoing.reason, lines)


def problem(status: int, detail: str) -> Outgoing:
    """A problem document (RFC 9457) of the server's own, after which the connection closes."""
    title = HTTPStatus(status).phrase
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body = json.dumps(document).encode() + b"\n"
    headers = Headers(
        [
            ("Date", format_http_date(wall())),
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
        ]
    )
    return Outgoing(status, title, headers, body, len(body), close=True)


def problem_bytes(status: int, detail: str, *, head_only: bool = False) -> bytes:
    """The same as a whole message."""
    answer = problem(status, detail)
    head = response_head(answer, Framing.SIZED, version=(1, 1), persistent=False)
    return head if head_only or not isinstance(answer.body, bytes) else head + answer.body


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked coding; `data` is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _field_lines(headers: Headers, dropped: Sequence[str]) -> list[str]:
    if headers.keys().isdisjoint(dropped):
        return list(map(": ".join, headers.items()))
    lowered = {name.lower() for name in dropped}
    return [f"{name}: {value}" for name, value in headers.items() if name.lower() not in lowered]


def _serialise(status: int, reason: str, lines: list[str]) -> bytes:
    """Raises ValueError for a line break or NUL inside, or text that is not latin-1."""
    text = "\r\n".join((f"HTTP/1.1 {status} {reason}", *lines, "", ""))
    breaks = len(lines) + 2
    if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text:
        raise ValueError("a line break or NUL inside a response head")
    return text.encode("latin-1")
