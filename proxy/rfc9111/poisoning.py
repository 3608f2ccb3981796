"""What a request must not have if others are to share its answer.

An origin may act on more of a request than the key holds. Whoever finds out on what exactly can
have an answer made for himself and served to everybody (cache poisoning), or have the answer to
somebody else stored where he can fetch it (cache deception). Where the key cannot tell requests
apart that an origin may well tell apart, the answer is not shared:

    the request                                          its answer
    names another resource or method (`OVERRIDES`)       passes, past the store in both directions
    has Connection withhold fields from the origin       the same
    names no host (HTTP/1.0): no purge could name it     the same
    says how it came (`CLAIMS`)                          has those fields in its key
    has a field that may be another one in disguise      the same: see `is_disguised`
    has a cookie that may be one of the key              has all cookies in its key
    has a path that readers may resolve differently      gets no lifetime from the route
    is unusual, and the answer an error                  is not stored
    makes an enormous key                                is not stored
"""

import re
from collections.abc import Sequence
from typing import Final

from multidict import istr

from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.policy import KeyPolicy
from proxy.rfc9111.reasons import Reason

OVERRIDES: Final = tuple(
    map(
        istr,
        (
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
            "x-original-uri",
            "x-original-url",
            "x-rewrite-url",
        ),
    )
)
"""Fields by which some frameworks take a request for another one."""

CLAIMS: Final = tuple(
    map(
        istr,
        (
            "cloudfront-forwarded-proto",
            "disguised-host",
            "front-end-https",
            "proxy",
            "x-arr-ssl",
            "x-forwarded-path",
            "x-forwarded-prefix",
            "x-forwarded-protocol",
            "x-forwarded-scheme",
            "x-forwarded-server",
            "x-forwarded-ssl",
            "x-forwarded-uri",
            "x-host",
            "x-http-host-override",
            "x-original-host",
            "x-scheme",
            "x-script-name",
            "x-url-scheme",
        ),
    )
)
"""Fields of proxies in front, from which frameworks make links and redirects, and `Proxy`, by which
CGI lets anybody choose where an application sends its own requests (CVE-2016-5385).

They are honest where such a proxy sets them, and then all requests have the same. Those that this
cache overwrites itself, X-Forwarded-Host and its like, are not among them.
"""

_UNDISGUISED: Final = re.compile(r"[0-9A-Za-z\-]*")

LARGEST_KEY: Final = 16 * 1024
"""Characters of a primary key, and of what Vary adds to it."""

_OWS: Final = " \t"
_OF_THE_CONNECTION: Final = frozenset(
    {
        *("close", "connection", "http2-settings", "keep-alive", "proxy-connection", "te"),
        *("trailer", "transfer-encoding", "upgrade"),
    }
)
_COMMON_OPTIONS: Final = frozenset({"close", "keep-alive", "Keep-Alive", "upgrade", "Upgrade"})

_SMALL: Final = 4096
"""Bytes of fields that every server takes: the smallest common limit is twice that for one."""

_NOT_PLAIN: Final = re.compile(r"[^ -~]")

_DOUBTFUL: Final = re.compile(
    r"//|\\|;|[^!-~]|/\.{1,2}(?:/|\Z)"
    r"|%(?![\dA-F]{2})|%C[01]"  # not encoded, and encoded in too many bytes
    r"|%(?:[01]|7F"  # control bytes
    r"|2[35F]|3[BF]|5C"  # # % / ; ? and the backslash, which delimit once they are decoded
    r"|2[DE]|3\d|[46][1-9A-F]|[57][\dA]|5F|7E)",  # unreserved characters (RFC 3986 §2.3)
    re.IGNORECASE,
)


def unshareable(request: Request, policy: KeyPolicy) -> Reason | None:
    """Why a request must neither be answered from the store nor fill it; None if it may.

    An override that the route has in its key is a proxy's own, set for every request.
    """
    headers = request.headers
    if not request.authority:
        return Reason.REQUEST_WITHOUT_HOST
    if not headers.keys().isdisjoint(OVERRIDES) and any(
        name in headers and name not in policy.headers for name in OVERRIDES
    ):
        return Reason.REQUEST_OVERRIDE
    for line in headers.getall("Connection", ()):
        if line not in _COMMON_OPTIONS and _withholds(line, headers):
            return Reason.REQUEST_WITHHOLDS
    return None


def claims(headers: Headers) -> Sequence[str]:
    """The names in CLAIMS that a request has, and its names in disguise, in lower case."""
    if not is_disguised("".join(headers)) and headers.keys().isdisjoint(CLAIMS):
        return ()  # as nearly always
    return [
        *(name for name in CLAIMS if name in headers),
        *sorted({name.lower() for name in headers if is_disguised(name)}),
    ]


def is_disguised(name: str) -> bool:
    """Whether a field may be any other one to an application.

    CGI and WSGI give it `X_Forwarded_Host` by the name of `X-Forwarded-Host`, and
    `Accept_Language` by that of a field in Vary. PHP takes the dot for an underscore, too, and
    lighttpd whatever is no letter and no digit.
    """
    return _UNDISGUISED.fullmatch(name) is None


def is_doubtful(target: str) -> bool:
    """Whether the path may be another one for the origin than for the routes.

    Dot segments, empty segments, matrix parameters, and percent-encoding where a reader who
    decodes sooner sees another path. The key tells all these apart; a pattern cannot.
    """
    return _DOUBTFUL.search(target.partition("?")[0]) is not None


def is_unusual(headers: Headers) -> bool:
    """Whether the fields may have provoked an error all by themselves: large, or not plain."""
    size = sum(len(name) + len(value) for name, value in headers.items())
    return size > _SMALL or any(_NOT_PLAIN.search(value) for value in headers.values())


def _withholds(line: str, headers: Headers) -> bool:
    options = (option.strip(_OWS).lower() for option in line.split(","))
    return any(option not in _OF_THE_CONNECTION and option in headers for option in options)
