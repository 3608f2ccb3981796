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
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from proxy.events import Answered, Passed
from proxy.exchange import Asked, Client, Incoming, Outgoing, Reply, no_interim
from proxy.gateway import forwarding
from proxy.gateway.contacting import Upstream, pass_on_interim
from proxy.gateway.decisions import Decision, Decisions
from proxy.gateway.fetched import One, Together
from proxy.gateway.splices import Outward, Splices, field_lines, is_simple
from proxy.gateway.steps import Answer, Beginning, Bypass, Exchange, Fetched, Wanted, bypassed
from proxy.origin import LeanBody, Member, OriginGroup, OriginResponse, SentNow
from proxy.purging import PurgeLog
from proxy.rfc9111 import keys
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.reuse import Miss
from proxy.routes import RouteTable
from proxy.splicing import BODILESS, Spliced
from proxy.stores import CacheKey

_logger = logging.getLogger(__name__)

_MOST_KINDS: Final = 4
"""Of answers to requests that are alike: few, since there is one of these for each URL."""

_CRLF: Final = b"\r\n"
_NOBODY: Final = Client("", (1, 1))
_CACHE_OFF: Final = Bypass(Reason.CACHE_OFF)


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
        splices: What heads become on their way.
    """

    def __init__(
        self,
        *,
        routes: RouteTable,
        upstreams: Mapping[str, Upstream],
        relay: Callable[[Exchange, Fetched, Reason, Reason | None], Answer],
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
        self.splices = Splices()

    def of(self, request: Request, depends_on: frozenset[str]) -> "Passing | None":
        """How requests like this one are passed on at once; None where that cannot be.

        Args:
            request: A GET or HEAD without content, reduced to what is watched.
            depends_on: See Passing.
        """
        simple = self.simple(request)
        bypass = None if simple is None else bypassed(simple.exchange)
        if simple is None or bypass is None or bypass.reason is not Reason.CACHE_OFF:
            return None
        simple.exchange.verdict = bypass
        try:
            return Passing(self, simple, depends_on)
        except ValueError:  # the settings have it write what cannot be written
            return None

    def simple(self, request: Request) -> "Simple | None":
        """What requests like this one have in common where their route is simple."""
        matched = self._routes.find(request)
        route = matched.route
        upstream = self._upstreams[route.origin]
        group = upstream.origin
        if not isinstance(group, OriginGroup) or not is_simple(route):
            return None
        incoming = Incoming(request, _NOBODY, None, no_interim)
        key = CacheKey.of(keys.primary_key(request, route.policy.key))
        return Simple(Exchange(incoming, matched, key, self.clock()), upstream.forwarding, group)


class Simple(NamedTuple):
    """One of many requests that are alike; what their origins are told of clients; the origins."""

    exchange: Exchange
    forwarding: forwarding.ForwardingOptions
    group: OriginGroup


class Passing:
    """What is the same for all requests that are passed on alike. See exchange.Passing.

    Args:
        passings: See below.
        simple: One of them.
        depends_on: See exchange.Passing.
        noted: See splicer; what these fields say in a response tells kinds apart.

    Raises:
        ValueError: The settings have it write what cannot be written.

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
        "_outward",
        "depends_on",
        "group",
        "head_only",
        "passings",
        "spliced",
    )

    def __init__(
        self,
        passings: Passings,
        simple: Simple,
        depends_on: frozenset[str],
        noted: frozenset[str] = frozenset(),
    ) -> None:
        exchange = simple.exchange
        route, request = exchange.matched.route, exchange.request
        self.passings = passings
        self._exchange = exchange
        self.group = simple.group
        self._key = exchange.key
        self._kinds: dict[tuple[int, bytes], Kind] = {}
        self._outward = Outward(passings.splices, request, route.origin, simple.forwarding)
        named = passings.decisions is not None
        self.spliced = passings.splices.to_client(route, named=named, noted=noted).response
        self.depends_on = depends_on
        self.head_only = request.method == "HEAD"
        Kind(passings, exchange, HTTPStatus.OK, None)

    @property
    def lasts(self) -> bool:
        """See exchange.Passing."""
        return True

    def start(
        self, head: bytes, name: bytes | None, address: str, reply: Reply
    ) -> "Passage | None":
        """See exchange.Passing."""
        outward = self._outward.head(head, address)
        if outward is None:
            return None
        member = self.group.choose_now(self._key.url)
        if member is None:
            return None
        passage = Passage(member, self, reply, name)
        passage.send_now(outward, head_only=self.head_only)
        return passage

    def start_like(self, asked: Asked, wanted: Wanted, reply: Reply) -> "Passage | None":
        """Pass on a request for another URL that agrees in all else that is watched.

        Args:
            asked: See exchange.Alike, as for `reply`.
            wanted: The same request.
            reply: Gets what comes of it.
        """
        outward = self._outward.head(asked.head, asked.address)
        member = None if outward is None else self.group.choose_now(wanted.key.url)
        if outward is None or member is None:
            return None
        passage = Passage(member, self, reply, asked.name, wanted)
        passage.send_now(outward, head_only=self.head_only)
        return passage

    def kind(self, status: int, noted: bytes) -> "Kind | None":
        """What all answers have in common that have this status and these lines.

        None where such an answer cannot be given at once.
        """
        return self._kinds.get((status, noted)) or self._new_kind(status, noted)

    def go_on(self, incoming: Incoming, beginning: Beginning) -> Awaitable[Outgoing]:
        """Answer a request whose way to the origin has begun."""
        return self.passings.go_on(incoming, beginning)

    def _new_kind(self, status: int, noted: bytes) -> "Kind | None":
        """See `kind`."""
        return self._remember(status, noted, None)

    def _remember(self, status: int, noted: bytes, not_stored: Reason | None) -> "Kind":
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        kind = self._kinds[status, noted] = Kind(self.passings, self._exchange, status, not_stored)
        return kind


class Passage(SentNow):
    """One request on its way. See exchange.Passage.

    Args:
        member: Where it goes.
        passing: How.
        reply: See exchange.Passing, as for `name`.
        name: What its client calls it.
        wanted: The request, where it is not for the URL that this is known of.
    """

    __slots__ = ("_born", "_name", "_passing", "_reply", "_started", "_wanted")

    recurs = True

    def __init__(
        self,
        member: Member,
        passing: Passing,
        reply: Reply,
        name: bytes | None,
        wanted: Wanted | None = None,
    ) -> None:
        super().__init__(member)
        passings = passing.passings
        self._passing = passing
        self._reply = reply
        self._name = name
        self._wanted = wanted
        self._started = passings.clock()
        self._born = passings.log.state.position

    def take(self, data: bytes) -> bool:
        """See SentNow."""
        passing = self._passing
        spliced = passing.spliced(data, passing.head_only) if self._reply.usual else None
        if spliced is None:
            return False
        try:
            kind = passing.kind(spliced[2], spliced[5])
            if kind is None:
                return False
            self._give(kind, spliced, data)
        except Exception:
            _logger.exception("An answer could not be passed on")
            if self.waits:
                self.abandon()
            self._reply.break_off()
        return True

    def _give(self, kind: "Kind", spliced: Spliced, data: bytes) -> None:
        head, end, status, length, dated, _ = spliced
        self.completed(status)
        passings = self._passing.passings
        now = passings.clock()
        told = kind if self._wanted is None else self._one(kind, self._wanted)
        ending = passings.note(told, self._name, now, now - self._started, length or 0)
        if passings.decisions is None:
            ending = _CRLF
        if not dated:
            head += b"Date: %b\r\n" % format_http_date(now).encode()
        self._reply.give(head + kind.lines + ending, data, end)

    def _one(self, kind: "Kind", wanted: Wanted) -> One:
        """What there is to tell of this answer alone."""
        request, matched, key = wanted
        incoming = Incoming(request, _NOBODY, None, no_interim)
        exchange = Exchange(incoming, matched, key, self._started, verdict=_CACHE_OFF)
        return One(kind, exchange, None, kind.not_stored)

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
        return await passing.go_on(incoming, beginning)


class Kind(Together):
    """All answers with one status to requests that are alike.

    Args:
        passings: Who makes them.
        exchange: One of the requests.
        status: Of the answers.
        not_stored: Why they are not, where they might have been.

    Attributes:
        not_stored: The same.
    """

    __slots__ = ("not_stored",)

    def __init__(
        self, passings: Passings, exchange: Exchange, status: int, not_stored: Reason | None
    ) -> None:
        headers = Headers([("Date", "")])
        origin = OriginResponse(status, "", headers, 0, 0.0, 0.0, LeanBody(b""), content=b"")
        fetched = Fetched(origin, Response(status, "", headers), 0.0, 0.0, 0)
        assert isinstance(exchange.verdict, Bypass | Miss)  # noqa: S101 - else it is not here
        answer = passings.relay(exchange, fetched, exchange.verdict.reason, not_stored)
        self.not_stored = answer.not_stored
        cache_status = self.cache_status = answer.cache_status
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
        self.lines = field_lines(list(fields.items())[1:])
