"""What changes in a message head on its way through an intermediary (RFC 9110 §7.6), and no more.

Everything else passes as it came: order, case, repeats and bytes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from multidict import istr

from proxy.exchange import Incoming, Outgoing
from proxy.rfc9111.keys import normalise_authority
from proxy.rfc9111.messages import Headers, Request
from proxy.tags import TAG_FIELDS

PSEUDONYM = "warmfront"
"""Our name in Via and Cache-Status."""

_MOST_DIGITS = 18

_CONNECTION = istr("Connection")
_HOP_BY_HOP = tuple(
    map(
        istr,
        (
            "Connection",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
        ),
    )
)
HOP_BY_HOP = frozenset(map(str.lower, _HOP_BY_HOP))
"""Fields that concern one connection, beside those that Connection lists, in lower case."""

_NEVER_CONNECTION_LISTED = frozenset(
    {
        *("host", "content-length", "via"),
        *("cache-control", "cdn-cache-control", "surrogate-control", "pragma", "expires", "age"),
        *("vary", "set-cookie", "content-range", "cache-groups", *map(str.lower, TAG_FIELDS)),
    }
)
"""Fields that a sender cannot make us drop by listing them in Connection.

The first are ours to rewrite. Without the others a response could be stored that must not be, for
longer, for others than it is meant for, or where no purge reaches it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardingOptions:
    """What is told to the origin about the client.

    Attributes:
        host: `preserve` (the client's Host), `origin`, or a name to send.
        origin_authority: What `origin` stands for; also sent where an HTTP/1.0 client names none.
        via: Add Via, both ways (RFC 9110 §7.6.3).
        x_forwarded: Add X-Forwarded-For, set X-Forwarded-Proto and X-Forwarded-Host, correct
            X-Forwarded-Port.
        forwarded: Add to Forwarded (RFC 7239), of which only `by` and `for` of others pass.
    """

    host: str = "preserve"
    origin_authority: str
    via: bool = True
    x_forwarded: bool = True
    forwarded: bool = True


def end_to_end(headers: Headers) -> Headers:
    """A copy without hop-by-hop fields and those that Connection lists (RFC 9110 §7.6.1)."""
    kept = headers.copy()
    if headers.keys().isdisjoint(_HOP_BY_HOP):
        return kept
    for line in headers.getall(_CONNECTION, ()):
        for option in line.split(","):
            name = option.strip(" \t")
            if name.lower() not in _NEVER_CONNECTION_LISTED:
                kept.popall(name, None)
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept


def to_origin(incoming: Incoming, headers: Headers, options: ForwardingOptions) -> Headers:
    """Request fields for the origin, made of `headers` (the client's, perhaps with conditions).

    Content-Length is left out: framing belongs to the origin client.
    """
    request = incoming.request
    forwarded = end_to_end(headers)
    forwarded.popall("Content-Length", None)
    if incoming.body is None or not incoming.expects_continue:
        forwarded.popall("Expect", None)
    if incoming.upgrade:
        forwarded.extend(("Upgrade", line) for line in headers.getall("Upgrade", ()))
    _set_host(forwarded, request, options)
    if request.method in {"OPTIONS", "TRACE"} and (hops := _max_forwards(forwarded)):
        forwarded["Max-Forwards"] = str(hops - 1)
    if options.via:
        major, minor = incoming.client.http_version
        forwarded.add("Via", f"{major}.{minor} {PSEUDONYM}")
    if options.x_forwarded:
        clients = [*forwarded.getall("X-Forwarded-For", ()), incoming.client.address]
        # On one line: that is what its readers expect.
        _tell(forwarded, "X-Forwarded-For", ", ".join(one for one in clients if one.strip(" \t")))
        _tell(forwarded, "X-Forwarded-Proto", request.scheme)
        _tell(forwarded, "X-Forwarded-Host", request.authority)
        if "X-Forwarded-Port" in forwarded:
            _tell(forwarded, "X-Forwarded-Port", _port(request))
    if options.forwarded:
        own = _forwarded_element(incoming.client.address, request.authority, request.scheme)
        elements = _hops(forwarded.getall("Forwarded", ()))
        _tell(forwarded, "Forwarded", ", ".join([*elements, own]))
    return forwarded


def _tell(headers: Headers, name: str, value: str) -> None:
    """Say this, if anything, in place of all that was said, behind all else."""
    headers.popall(name, None)
    if value:
        headers.add(name, value)


def to_client(headers: Headers, options: ForwardingOptions) -> Headers:
    """A copy of a response's end-to-end fields with what an intermediary adds."""
    answer = headers.copy()
    if options.via:
        answer.add("Via", f"1.1 {PSEUDONYM}")
    return answer


def _set_host(headers: Headers, request: Request, options: ForwardingOptions) -> None:
    if options.host == "preserve":
        # As it is spelled: a signature may cover it. In absolute-form the target's authority
        # wins over Host (RFC 9112 §3.2.2).
        received = headers.get("Host")
        if received and received == request.authority:
            return
        if received and normalise_authority(received, request.scheme) == request.authority:
            return
        # An HTTP/1.0 request may name no host at all; the HTTP/1.1 one made of it has to.
        host = request.authority or options.origin_authority
    else:
        host = options.origin_authority if options.host == "origin" else options.host
    if "Host" in headers:
        _replace(headers, "Host", host)
    else:
        rest = list(headers.items())
        headers.clear()
        headers.extend([("Host", host), *rest])


def _replace(headers: Headers, name: str, value: str) -> None:
    """Set the first line of `name` where it stands, drop its others, or append one."""
    headers[name] = value


def _port(request: Request) -> str:
    """The port by which the client addresses this listener."""
    port = request.authority.rpartition(":")[2]
    return port if port.isdigit() else {"http": "80"}.get(request.scheme, "443")


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
# What is quoted holds no delimiter: not everybody who reads the field knows of quotes.
_NO_DELIMITER = r'[^"\\,;=]*+'
_UNDELIMITED = re.compile(_NO_DELIMITER)
_PAIR = rf'({_TOKEN.pattern})=(?:{_TOKEN.pattern}|"{_NO_DELIMITER}")'
_PAIR_OR_COMMA = re.compile(rf"{_PAIR}|,")
# No group with choices is possessive, see http1.
_FORWARDED = re.compile(rf"(?:{_PAIR})?(?:[ \t]*+[;,][ \t]*+(?:{_PAIR})?)*")

_OF_A_HOP = frozenset({"by", "for"})
"""Parameters of Forwarded that say no more than who it was."""


def _hops(lines: Sequence[str]) -> list[str]:
    """The elements of Forwarded that came in, `by` and `for` only; none if it is malformed.

    The key knows the request's own host and scheme only. From others that anybody may send, the
    origin could make links that everybody is then served. It need not be `host`: Spring, for one,
    looks for `host=` anywhere in the field, and would find it in `xhost=evil` too.
    """
    if not lines:
        return []
    value = ", ".join(lines)
    if not _FORWARDED.fullmatch(value):
        return []
    elements: list[list[str]] = [[]]
    for found in _PAIR_OR_COMMA.finditer(value):
        if found[0] == ",":
            elements.append([])
        elif found[1].lower() in _OF_A_HOP:
            elements[-1].append(found[0])
    return [";".join(pairs) for pairs in elements if pairs]


@lru_cache(maxsize=128)  # few, since anybody may make up long names of hosts
def _forwarded_element(address: str, authority: str, scheme: str) -> str:
    """One element of Forwarded (RFC 7239 §4); who sends one request sends more.

    A host may be spelled with delimiters (RFC 3986 §3.2.2), and is not told then, see _PAIR.
    """
    pairs = (
        ("for", f"[{address}]" if ":" in address else address or "unknown"),
        ("host", authority),
        ("proto", scheme),
    )
    return ";".join(
        f"{name}={value}" if _TOKEN.fullmatch(value) else f'{name}="{value}"'
        for name, value in pairs
        if value and _UNDELIMITED.fullmatch(value)
    )


def is_last_hop(request: Request) -> bool:
    """Whether Max-Forwards says that this intermediary is to answer (RFC 9110 §7.6.2)."""
    return request.method in {"OPTIONS", "TRACE"} and _max_forwards(request.headers) == 0


def last_hop_answer(request: Request) -> Outgoing:
    """The answer where Max-Forwards has run out: TRACE would echo, which is not safe to offer."""
    if request.method == "TRACE":
        status = HTTPStatus.METHOD_NOT_ALLOWED
        headers = Headers({"Allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})
    else:
        status, headers = HTTPStatus.OK, Headers()
    return Outgoing(status.value, status.phrase, headers)


def _max_forwards(headers: Headers) -> int | None:
    value = headers.get("Max-Forwards", "")
    if not (value.isascii() and value.isdigit()):
        return None
    digits = value.lstrip("0")  # of thousands int() would make an error
    return int(digits or "0") if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS
