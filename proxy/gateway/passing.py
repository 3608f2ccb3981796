"""Requests passed on as soon as they are read, and answers as soon as they come.

`Passings.of` goes the way of `Gateway.respond`, by the same functions, as far as it is the same for
all requests that are alike: the route, why the store has no part in it, what is added to a head on
its way to the origin, and to one on its way to the client. What is left for each of them is to
write the rest of its head, and that of its answer:

    request   -- splicer --> lines + ours of the client's address --> Passage.send_now
    response  -- splicer --> lines + ours of its status           --> Reply.give

Where a head is not simple, no connection idle, an answer not whole, or the client gone, a task
goes on from there, by `Gateway.go_on`: the origin is asked once, whoever waits for it.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Final

from proxy.events import Answered, Passed
from proxy.exchange import Client, Incoming, Outgoing, Reply, no_interim
from proxy.gateway import forwarding
from proxy.gateway.contacting import Upstream, pass_on_interim
from proxy.gateway.decisions import Decision, Decisions
from proxy.gateway.steps import Answer, Beginning, Bypass, Exchange, Fetched, bypassed
from proxy.origin import LeanBody, Member, OriginGroup, OriginResponse, SentNow
from proxy.purging import PurgeLog
from proxy.request_ids import ANSWERED
from proxy.rfc9111 import keys
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.reasons import Reason
from proxy.routes import Route, RouteTable
from proxy.splicing import BODILESS, Spliced, Splicer, splicer
from proxy.stores import CacheKey
from proxy.tags import TAG_FIELDS

_logger = logging.getLogger(__name__)

_GOES_NO_FURTHER: Final = frozenset({"keep-alive", "proxy-connection", "te", "trailer"})
"""Hop-by-hop fields that can simply be left out."""

_MERGED: Final = frozenset(
    {
        *("content-length", "expect", "forwarded", "max-forwards", "transfer-encoding"),
        *("upgrade", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port"),
        "x-forwarded-proto",
    }
)
"""Fields of requests that need more than that."""

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

_MOST_SPLICERS: Final = 64

_CRLF: Final = b"\r\n"
_HTTP_1_1: Final = (1, 1)
_NOT_IN_A_LINE = re.compile(r"[\r\n\0]")


class Passings:
    """Knows what is passed on at once, and how.

    Args:
        upstreams: Where the requests of a route go, by the name that it gives.
        relay: Makes the answer of what the origin answered, as for every other request.
        dress: Its fields on their way out, the same.
        go_on: Answers a request whose way to the origin has begun.
        clock: POSIX time.
        note: See Telling.passed.
        decisions: Where decisions are kept; None where they are not, and clients get no names.

    Attributes:
        told_of: What origins are told of clients, by both.
    """

    def __init__(
        self,
        *,
        routes: RouteTable,
        upstreams: Mapping[str, Upstream],
        relay: Callable[[Exchange, Fetched, Reason], Answer],
        dress: Callable[[Exchange, Answer, str, float], Headers],
        go_on: Callable[[Incoming, Beginning], Awaitable[Outgoing]],
        log: PurgeLog,
        clock: Callable[[], float],
        note: Callable[[Passed, bytes | None, float, float, float], bytes],
        decisions: Decisions | None,
    ) -> None:
        self._routes = routes
        self._upstreams = upstreams
        self.relay = relay
        self.dress = dress
        self.go_on = go_on
        self.log = log
        self.clock = clock
        self.note = note
        self.decisions = decisions
        self._splicers: dict[object, Splicer] = {}
        self.told_of: dict[object, bytes] = {}

    def of(self, request: Request, depends_on: frozenset[str]) -> "Passing | None":
        """How requests like this one are passed on at once; None where that cannot be.

        Args:
            request: A GET or HEAD without content, reduced to what is watched.
            depends_on: See Passing.
        """
        matched = self._routes.find(request)
        route = matched.route
        upstream = self._upstreams[route.origin]
        group = upstream.origin
        if not isinstance(group, OriginGroup) or not _is_simple(route):
            return None
        incoming = Incoming(request, Client("", _HTTP_1_1), None, no_interim)
        key = CacheKey.of(keys.primary_key(request, route.policy.key))
        exchange = Exchange(incoming, matched, key, self.clock())
        exchange.verdict = bypass = bypassed(exchange)
        if bypass is None or bypass.reason is not Reason.CACHE_OFF:
            return None
        try:
            passing = Passing(self, exchange, upstream.forwarding, group, depends_on)
            passing.kind(HTTPStatus.OK)
        except ValueError:  # the settings have it write what cannot be written
            return None
        return passing

    def splicer(
        self, dropped: frozenset[str], refused: frozenset[str], host: str | None
    ) -> Splicer:
        """One with these fields; there are few."""
        about = (dropped, refused, host)
        known = self._splicers.get(about)
        if known is None:
            if len(self._splicers) >= _MOST_SPLICERS:
                self._splicers.clear()
            known = splicer(dropped=sorted(dropped), refused=sorted(refused), host=host)
            self._splicers[about] = known
        return known


def _is_simple(route: Route) -> bool:
    """Whether what an answer gets on its way out depends on nothing but its status."""
    return not route.server_timing and not route.response_headers.names & _OURS


class Passing:
    """What is the same for all requests that are passed on alike. See exchange.Passing.

    Attributes:
        spliced: See Splicer.response.
        group: Of origins that they go to.
        head_only: They are HEAD.
        passings: Who made this.
    """

    __slots__ = (
        "_exchange",
        "_key",
        "_kinds",
        "_options",
        "_splice",
        "_target",
        "depends_on",
        "group",
        "head_only",
        "passings",
        "spliced",
    )

    def __init__(
        self,
        passings: Passings,
        exchange: Exchange,
        upstream: forwarding.ForwardingOptions,
        group: OriginGroup,
        depends_on: frozenset[str],
    ) -> None:
        route, request = exchange.matched.route, exchange.request
        self.passings = passings
        self._exchange = exchange
        self._options = upstream
        self.group = group
        self._key = exchange.key.url
        self._target = (route.origin, request.scheme, request.authority)
        self._kinds: dict[int, _Kind] = {}
        host = None if upstream.host == "preserve" else self._told_of("")[0][1]
        self._splice = passings.splicer(_GOES_NO_FURTHER, _MERGED, host).request
        self.spliced = passings.splicer(*_kept_back(route, passings.decisions)).response
        self.depends_on = depends_on
        self.head_only = request.method == "HEAD"

    def start(
        self, head: bytes, name: bytes | None, address: str, reply: Reply
    ) -> "Passage | None":
        """See exchange.Passing."""
        passings = self.passings
        lines = self._splice(head)
        if lines is None:
            return None
        known = passings.told_of.get((self._target, address))
        told = self._tell_of(address) if known is None else known
        member = self.group.choose_now(self._key)
        if member is None:
            return None
        passage = Passage(member, self, reply, name)
        passage.send_now(lines + told, head_only=self.head_only)
        return passage

    def kind(self, status: int) -> "_Kind":
        """What all answers with this status have in common."""
        kind = self._kinds.get(status)
        if kind is None:
            kind = self._kinds[status] = _Kind(self.passings, self._exchange, status)
        return kind

    def _tell_of(self, address: str) -> bytes:
        """What the origin is told of a client, and the end of the head."""
        told = _lines(self._told_of(address)[1:]) + _CRLF
        remembered = self.passings.told_of
        if len(remembered) >= _MOST_CLIENTS:
            remembered.clear()
        remembered[self._target, address] = told
        return told

    def _told_of(self, address: str) -> list[tuple[str, str]]:
        """The fields of a request that has none, on its way to the origin; Host is the first."""
        request = self._exchange.request
        headers = Headers([("Host", request.headers["Host"])])
        incoming = Incoming(request, Client(address, _HTTP_1_1), None, no_interim)
        return list(forwarding.to_origin(incoming, headers, self._options).items())


class Passage(SentNow):
    """One request on its way. See exchange.Passage."""

    __slots__ = ("_born", "_name", "_passing", "_reply", "_started")

    def __init__(self, member: Member, passing: Passing, reply: Reply, name: bytes | None) -> None:
        super().__init__(member)
        passings = passing.passings
        self._passing = passing
        self._reply = reply
        self._name = name
        self._started = passings.clock()
        self._born = passings.log.state.position

    def take(self, data: bytes) -> bool:
        """See SentNow."""
        passing = self._passing
        spliced = passing.spliced(data, passing.head_only) if self._reply.usual else None
        if spliced is None:
            return False
        self.completed(spliced[2])
        try:
            self._give(spliced, data)
        except Exception:
            _logger.exception("An answer could not be passed on")
            self._reply.break_off()
        return True

    def _give(self, spliced: Spliced, data: bytes) -> None:
        head, end, status, length, dated = spliced
        passing = self._passing
        passings = passing.passings
        now = passings.clock()
        kind = passing.kind(status)
        ending = passings.note(kind, self._name, now, now - self._started, length or 0)
        if passings.decisions is None:
            ending = _CRLF
        if not dated:
            head += b"Date: %b\r\n" % format_http_date(now).encode()
        self._reply.give(head + kind.lines + ending, data, end)

    def send_interim(self, status: int, reason: str, headers: Headers) -> None:
        """See SendInterim."""
        pass_on_interim(self._reply.send_interim, status, reason, headers)

    def settled(self) -> None:
        """See SentNow."""
        self._reply.hand_over()

    async def respond(self, incoming: Incoming) -> Outgoing:
        """See exchange.Passage."""
        passing = self._passing
        beginning = Beginning(passing.group, self, self._started, self._born)
        return await passing.passings.go_on(incoming, beginning)


class _Kind(Passed):
    """All answers with one status to requests that are alike.

    Attributes:
        lines: Of their heads, behind those of the origin and Date.
    """

    __slots__ = ("lines",)

    def __init__(self, passings: Passings, exchange: Exchange, status: int) -> None:
        headers = Headers([("Date", "")])
        origin = OriginResponse(status, "", headers, 0, 0.0, 0.0, LeanBody(b""), content=b"")
        fetched = Fetched(origin, Response(status, "", headers), 0.0, 0.0, 0)
        assert isinstance(exchange.verdict, Bypass)  # noqa: S101 - else it would not be here
        answer = passings.relay(exchange, fetched, exchange.verdict.reason)
        cache_status = answer.cache_status
        told = cache_status.render()
        fields = passings.dress(exchange, answer, told, exchange.started)
        method, route = exchange.request.method, exchange.matched.route
        super().__init__(
            Answered(
                *(method, exchange.uri, status, told, 0.0, route.name),
                *(cache_status.outcome, cache_status.detail),
                key=exchange.key_hash,
            ),
            route.origin,
            sized=method != "HEAD" and status not in BODILESS,
        )
        if passings.decisions is not None:
            self.decision = Decision.of(exchange, answer)
        self.lines = _lines(list(fields.items())[1:])


def _kept_back(
    route: Route, decisions: Decisions | None
) -> tuple[frozenset[str], frozenset[str], None]:
    """Fields of responses that clients do not get, and those that need a closer look."""
    dropped = {*_GOES_NO_FURTHER, "upgrade", *route.response_headers.replaced}
    if route.policy.surrogate_control:
        dropped.add("surrogate-control")
    if route.strip_tags:
        dropped.update(map(str.lower, TAG_FIELDS))
    refused = {"transfer-encoding"} | (set() if decisions is None else {ANSWERED.lower()})
    return frozenset(dropped), frozenset(refused), None


def _lines(fields: Iterable[tuple[str, str]]) -> bytes:
    """Raises ValueError for what could be taken for several lines."""
    lines = [f"{name}: {value}" for name, value in fields]
    if any(_NOT_IN_A_LINE.search(line) for line in lines):
        raise ValueError("a line break or NUL inside a field")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
