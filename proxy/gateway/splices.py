"""What becomes of the heads that pass without being taken apart, see proxy.splicing.

    request    -- less what goes no further --> lines + ours of its client
    response   -- less what clients do not get --> lines + ours

What is ours is written by the same functions as for every other head.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from proxy.exchange import Client, Incoming, no_interim
from proxy.gateway import forwarding
from proxy.request_ids import ANSWERED
from proxy.rfc9111.messages import Headers, Request
from proxy.routes import Route
from proxy.splicing import Splicer, splicer
from proxy.tags import TAG_FIELDS

_GOES_NO_FURTHER: Final = frozenset({"keep-alive", "proxy-connection", "te", "trailer"})
"""Hop-by-hop fields that can simply be left out."""

_MERGED: Final = frozenset(
    {"content-length", "expect", "forwarded", "max-forwards", "transfer-encoding", "upgrade"}
)
"""Fields of requests that need more than that."""

_RETOLD: Final = frozenset(
    {"x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"}
)
"""Those that a proxy in front sends: what they say goes on behind all else, with ours."""

_CLAIMED: Final = re.compile(rb"\r\n(x-forwarded-(?:for|port)):([^\r]*)", re.IGNORECASE)
"""Those of them that decide what is said."""

_LONGEST_CLAIM: Final = 256
"""Bytes of all of them, names too; what is told of more is not remembered."""

_OURS: Final = frozenset(
    {
        *("cache-status", "connection", "content-length", "date", "transfer-encoding", "via"),
        *_GOES_NO_FURTHER,
        ANSWERED.lower(),
    }
)
"""Response fields whose lines must stand where they do."""

_MOST_CLIENTS: Final = 4096
"""Addresses for which is remembered what the origin is told of them."""

_LONGEST_TOLD: Final = 1024
"""Bytes of that: anybody may make up long names of hosts."""

_MOST_SPLICERS: Final = 64

_HTTP_1_1: Final = (1, 1)
_CRLF: Final = b"\r\n"
_NOT_IN_A_LINE = re.compile(r"[\r\n\0]")


class Splices:
    """Splicers by what they drop, and what origins are told of clients: there are few of both.

    Attributes:
        told_of: The end of a head, by the origin, scheme, authority and client address, and by
            what a proxy in front says.
    """

    def __init__(self) -> None:
        self._splicers: dict[object, Splicer] = {}
        self.told_of: dict[object, bytes] = {}

    def to_origin(self, host: str | None) -> Splicer:
        """For requests; `host` comes in place of what Host says."""
        return self._splicer(_GOES_NO_FURTHER, _MERGED, host)

    def to_origin_untold(self, host: str | None) -> Splicer:
        """For requests that say nothing of how they came to us; others are refused."""
        return self._splicer(_GOES_NO_FURTHER, _MERGED | _RETOLD, host)

    def to_origin_retold(self, host: str | None) -> Splicer:
        """For requests that do: all but that."""
        return self._splicer(_GOES_NO_FURTHER | _RETOLD, _MERGED, host)

    def to_client(
        self, route: Route, *, named: bool, noted: frozenset[str] = frozenset()
    ) -> Splicer:
        """For responses on a simple route.

        Args:
            route: See `is_simple`.
            named: Clients are told what their requests are called.
            noted: See splicer.
        """
        dropped = {*_GOES_NO_FURTHER, "upgrade", *route.response_headers.replaced}
        if route.policy.surrogate_control:
            dropped.add("surrogate-control")
        if route.strip_tags:
            dropped.update(map(str.lower, TAG_FIELDS))
        refused = {"transfer-encoding"} | ({ANSWERED.lower()} if named else set())
        return self._splicer(frozenset(dropped), frozenset(refused), None, noted)

    def _splicer(
        self,
        dropped: frozenset[str],
        refused: frozenset[str],
        host: str | None,
        noted: frozenset[str] = frozenset(),
    ) -> Splicer:
        about = (dropped, refused, host, noted)
        known = self._splicers.get(about)
        if known is None:
            if len(self._splicers) >= _MOST_SPLICERS:
                self._splicers.clear()
            known = splicer(
                dropped=sorted(dropped), refused=sorted(refused), noted=sorted(noted), host=host
            )
            self._splicers[about] = known
        return known

    def remember(self, about: object, told: bytes) -> None:
        """Keep what an origin is told of a client, if it is short."""
        if len(told) > _LONGEST_TOLD:
            return
        if len(self.told_of) >= _MOST_CLIENTS:
            self.told_of.clear()
        self.told_of[about] = told


class Outward:
    """How the heads of requests for one authority go on to an origin.

    Args:
        splices: Known so far.
        request: Any of them.
        origin: Name of the origin.
        options: What it is told about clients.

    Raises:
        ValueError: The settings have it told what cannot be written.
    """

    __slots__ = ("_options", "_request", "_splice", "_splice_retold", "_splices", "_target")

    def __init__(
        self,
        splices: Splices,
        request: Request,
        origin: str,
        options: forwarding.ForwardingOptions,
    ) -> None:
        self._splices = splices
        self._request = request
        self._options = options
        self._target = (origin, request.scheme, request.authority)
        told = self._told_of("")
        field_lines(told)
        host = None if options.host == "preserve" else told[0][1]
        self._splice_retold: Callable[[bytes], bytes | None] | None = None
        if options.x_forwarded:
            self._splice = splices.to_origin_untold(host).request
            self._splice_retold = splices.to_origin_retold(host).request
        else:
            self._splice = splices.to_origin(host).request

    def head(self, data: bytes, address: str) -> bytes | None:
        """The head for the origin, of a plain one; None where it needs a closer look.

        Args:
            data: The client's.
            address: See Client.
        """
        lines = self._splice(data)
        if lines is not None:
            return lines + self._end(address, ())
        # Perhaps it only says how it came to us.
        lines = None if self._splice_retold is None else self._splice_retold(data)
        return None if lines is None else lines + self._end(address, tuple(_CLAIMED.findall(data)))

    def _end(self, address: str, claims: tuple[tuple[bytes, bytes], ...]) -> bytes:
        """What the origin is told of a client, and the end of the head."""
        about = (self._target, address, claims)
        told = self._splices.told_of.get(about)
        if told is None:
            told = field_lines(self._told_of(address, claims)[1:]) + _CRLF
            if sum([len(name) + len(value) for name, value in claims]) <= _LONGEST_CLAIM:
                self._splices.remember(about, told)
        return told

    def _told_of(
        self, address: str, claims: Iterable[tuple[bytes, bytes]] = ()
    ) -> list[tuple[str, str]]:
        """The fields of a request with no others than these, on its way; Host is the first."""
        request = self._request
        headers = Headers([("Host", request.headers["Host"])])
        for name, value in claims:
            headers.add(name.decode(), value.strip(b" \t").decode("latin-1"))
        incoming = Incoming(request, Client(address, _HTTP_1_1), None, no_interim)
        return list(forwarding.to_origin(incoming, headers, self._options).items())


def is_simple(route: Route) -> bool:
    """Whether what an answer gets on its way out depends on nothing but how it came about."""
    return not route.server_timing and not route.response_headers.names & _OURS


def field_lines(fields: Iterable[tuple[str, str]]) -> bytes:
    """Fields as they are written.

    Raises:
        ValueError: One could be taken for several lines.
    """
    lines = [f"{name}: {value}" for name, value in fields]
    if any(_NOT_IN_A_LINE.search(line) for line in lines):
        raise ValueError("a line break or NUL inside a field")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
