"""Misses without waiting: asked for as soon as they are read, answered and stored as soon as read.

Most misses are plain requests with small answers that come whole. `Missing.start` goes the way of
`Gateway.respond`, by the same functions, as far as nothing in it waits: nothing is stored, nobody
asks for the same, and a connection is idle. What is left is to pass the heads on, see `splices`,
and to have the answer judged and stored, as for every other request:

    request   -- Outward --> SentNow.send_now, in the name of a flight that others find
    response  -- splicer --> judge, or a precedent --> relay: tell who waits, store --> Reply.give

Where anything is not as usual, a task goes on from there, by `Gateway.go_on_missing`, in the same
flight: the origin is asked once, whoever waits for it.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from proxy.events import Answered, Passed
from proxy.exchange import Client, Incoming, Outgoing, Reply, no_interim
from proxy.gateway import forwarding
from proxy.gateway.contacting import Upstream, pass_on_interim
from proxy.gateway.decisions import Decision
from proxy.gateway.flights import Flight, Flights
from proxy.gateway.passing import Passings
from proxy.gateway.precedents import Head, Precedents, Shape
from proxy.gateway.splices import Outward, field_lines, is_simple
from proxy.gateway.steps import Answer, Beginning, Exchange, Fetched, Relayed, bypassed
from proxy.gateway.unshareable import Unshareable, note_name
from proxy.http1 import fields_of
from proxy.origin import LeanBody, Member, OriginGroup, OriginResponse, SentNow
from proxy.rfc9111 import keys, reuse, storing
from proxy.rfc9111.cache_status import CacheStatus
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.freshness import age_value
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse
from proxy.routes import Matched, RouteTable
from proxy.splicing import BODILESS, Spliced
from proxy.stores import AtOnce, CacheKey

_logger = logging.getLogger(__name__)

MISS: Final = reuse.Miss(Reason.URI_MISS)
"""Nothing at all is stored."""

_PARTIAL_CONTENT: Final = 206
_FIRST_ERROR: Final = 400

_MOST_KINDS: Final = 1024
"""Of answers on a route: there is one for each ttl."""

_CRLF: Final = b"\r\n"
_HTTP_1_1: Final = (1, 1)
_REASON_AT: Final = len("HTTP/1.1 200 ")
_NOBODY: Final = Client("", _HTTP_1_1)
_NOTHING: Final = LeanBody(b"")

_Dress = Callable[[Exchange, Answer, str, float], Headers]


class Missings:
    """Knows what is fetched at once, and how.

    Args:
        passings: What all that is passed on at once has in common.
        upstreams: Where the requests of a route go, by the name that it gives.
        store: Where answers are stored; None where that, or a look there, may have to wait.
        judge: Says what is to be stored of what the origin answered.
        relay: Shares and stores it; see Asking.relay_now.
        dress: Fields of an answer on its way out.
        go_on: Answers a request whose way to the origin has begun, in the name of a flight.
        largest: Bytes of content above which an answer is not stored.
    """

    def __init__(
        self,
        passings: Passings,
        *,
        routes: RouteTable,
        upstreams: Mapping[str, Upstream],
        store: AtOnce | None,
        flights: Flights,
        unshareable: Unshareable,
        judge: Callable[[Exchange, Fetched], StoredResponse | storing.NotStorable],
        relay: Callable[
            [Exchange, StoredResponse | storing.NotStorable, bytes, int, Reason], Relayed
        ],
        dress: _Dress,
        go_on: Callable[[Incoming, Beginning, Flight | None], Awaitable[Outgoing]],
        largest: int,
    ) -> None:
        self.passings = passings
        self.find_route = routes.find
        self.upstreams = upstreams
        self.store = store
        self.flights = flights
        self.unshareable = unshareable
        self.judge = judge
        self.relay = relay
        self.largest = largest
        self.dress = dress
        self.go_on = go_on

    def of(self, request: Request) -> "Missing | None":
        """How answers to requests like this one are fetched, whatever their targets.

        Args:
            request: Reduced to what is watched; it has nothing to say to caches.
        """
        if self.store is None or request.method != "GET":
            return None
        return Missing(self, self.store, request)


class Missing:
    """Requests that differ in nothing that matters but their targets. See exchange.Missing."""

    __slots__ = ("_authority", "_headers", "_missings", "_scheme", "_store", "_ways")

    def __init__(self, missings: Missings, store: AtOnce, request: Request) -> None:
        self._missings = missings
        self._store = store
        self._scheme = request.scheme
        self._authority = request.authority
        self._headers = request.headers
        self._ways: dict[int, _Way | None] = {}

    def start(
        self, target: str, head: bytes, name: bytes | None, address: str, reply: Reply
    ) -> "Fetching | None":
        """See exchange.Missing."""
        missings = self._missings
        request = Request("GET", self._scheme, self._authority, target, self._headers)
        matched = missings.find_route(request)
        route = matched.route
        number = id(route)  # the table keeps it, and does not change
        way = self._ways[number] if number in self._ways else self._way(matched, request)
        if way is None or not missings.passings.log.trusted:
            return None
        key = CacheKey.of(keys.primary_key(request, route.policy.key))
        flights, unshareable = missings.flights, missings.unshareable
        if not self._store.lacks(key) or flights.find(key) is not None:
            return None
        covered = unshareable.covers(key, request)
        if covered and unshareable.covers_plainly(note_name(key, request)):
            return None  # for `unshared`
        outward = way.outward.head(head, address)
        member = None if outward is None else way.group.choose_now(key.url)
        if outward is None or member is None:
            return None
        asked = (request, matched, key)
        fetching = Fetching(member, missings, way, asked, reply, head, name)
        fetching.send_now(outward, head_only=False)
        if not covered:
            fetching.flight = flights.lead(key)
        return fetching

    def _way(self, matched: Matched, request: Request) -> "_Way | None":
        """What is the same for all of these on one route; None where it is not simple."""
        way = self._ways[id(matched.route)] = self._simple_way(matched, request)
        return way

    def _simple_way(self, matched: Matched, request: Request) -> "_Way | None":
        missings, route = self._missings, matched.route
        upstream = missings.upstreams[route.origin]
        incoming = Incoming(request, _NOBODY, None, no_interim)
        key = CacheKey.of(keys.primary_key(request, route.policy.key))
        exchange = Exchange(incoming, matched, key, missings.passings.clock(), verdict=MISS)
        group = upstream.origin
        if not (isinstance(group, OriginGroup) and is_simple(route)) or bypassed(exchange):
            return None
        try:
            way = _Way(missings, exchange, upstream, group)
            way.kind(CacheStatus(forward_status=HTTPStatus.OK))
        except ValueError:  # the settings have it write what cannot be written
            return None
        return way


class _Way:
    """The same on one route.

    Attributes:
        group: Of origins that they go to.
        outward: How their heads go there.
        precedents: What was decided of answers.
        spliced: See Splicer.response.
    """

    __slots__ = ("_dress", "_exchange", "_kinds", "group", "outward", "precedents", "spliced")

    def __init__(
        self, missings: Missings, exchange: Exchange, upstream: Upstream, group: OriginGroup
    ) -> None:
        route, passings = exchange.matched.route, missings.passings
        self.group = group
        splices = passings.splices
        self.outward = Outward(splices, exchange.request, route.origin, upstream.forwarding)
        self.spliced = splices.to_client(route, named=passings.decisions is not None).response
        self.precedents = Precedents(route.policy, missings.largest)
        self._dress = missings.dress
        self._exchange = exchange
        self._kinds: dict[CacheStatus, _Kind] = {}

    def kind(self, status: CacheStatus) -> "_Kind":
        """What all answers have in common that came about like this."""
        kind = self._kinds.get(status)
        if kind is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            kind = self._kinds[status] = _Kind(self._dress, self._exchange, status)
        return kind


class _Kind(Passed):
    """All answers on one route that came about alike.

    Attributes:
        lines: Of their heads, behind those of the origin and Date.
        cache_status: How.
    """

    __slots__ = ("cache_status", "lines")

    def __init__(self, dress: _Dress, exchange: Exchange, cache_status: CacheStatus) -> None:
        status = cache_status.forward_status or 0
        told = cache_status.render()
        answer = Answer(Outgoing(status, "", Headers([("Date", "")])), cache_status)
        fields = dress(exchange, answer, told, exchange.started)
        route = exchange.matched.route
        super().__init__(
            Answered(
                *(exchange.request.method, exchange.uri, status, told, 0.0, route.name),
                *(cache_status.outcome, cache_status.detail),
            ),
            route.origin,
            sized=status not in BODILESS,
        )
        self.cache_status = cache_status
        self.lines = field_lines(list(fields.items())[1:])


class _One(Passed):
    """One answer: counted like all of its kind; what else there is to tell is made if need be."""

    __slots__ = ("_exchange", "_kind", "_not_stored", "_stored")

    recurs = False

    def __init__(
        self,
        kind: _Kind,
        exchange: Exchange,
        stored: StoredResponse | None,
        not_stored: Reason | None,
    ) -> None:
        self._kind = kind
        self._exchange = exchange
        self._stored = stored
        self._not_stored = not_stored
        self.origin = kind.origin
        self.sized = kind.sized

    @property
    def counted(self) -> Any:
        """See Passed."""
        return self._kind.counted

    @counted.setter
    def counted(self, place: Any) -> None:
        self._kind.counted = place

    @property
    def answered(self) -> Answered:  # type: ignore[override]  # nobody sets it
        """See Passed."""
        exchange = self._exchange
        return replace(self._kind.answered, uri=exchange.uri, key=exchange.key_hash)

    @property
    def decision(self) -> Decision:
        """See Passed."""
        kind = self._kind
        return Decision.made(
            self._exchange,
            kind.answered.status,
            kind.cache_status,
            stored=self._stored,
            refused=self._not_stored,
        )


class Fetching(SentNow):
    """One request on its way. See exchange.Passage.

    Attributes:
        flight: Of those that want the same; None where nobody should wait for it.
    """

    __slots__ = (
        "_asked",
        "_born",
        "_head",
        "_missings",
        "_name",
        "_reply",
        "_started",
        "_way",
        "flight",
    )

    def __init__(  # noqa: PLR0917 - one is made for each request
        self,
        member: Member,
        missings: Missings,
        way: _Way,
        asked: tuple[Request, Matched, CacheKey],
        reply: Reply,
        head: bytes,
        name: bytes | None,
    ) -> None:
        super().__init__(member)
        passings = missings.passings
        self._missings = missings
        self._way = way
        self._asked = asked
        self.flight: Flight | None = None
        self._reply = reply
        self._head = head
        self._name = name
        self._started = passings.clock()
        self._born = passings.log.state.position

    def take(self, data: bytes) -> bool:
        """See SentNow."""
        spliced = self._way.spliced(data, False) if self._reply.usual else None  # noqa: FBT003
        if spliced is None or spliced[2] == _PARTIAL_CONTENT:
            return False
        self.completed(spliced[2])
        try:
            self._give(spliced, data)
        except Exception:
            _logger.exception("An answer could not be passed on")
            self._reply.break_off()
        finally:
            self._end_flight()
        return True

    def _give(self, spliced: Spliced, data: bytes) -> None:
        missings, passings, way = self._missings, self._missings.passings, self._way
        head, end, status, length, dated, _ = spliced
        now = passings.clock()
        seconds = now - self._started
        content = data[end:]
        reason, fields = _parsed(data[:end])
        names, values = zip(*fields, strict=True) if fields else ((), ())
        about = Head(status, reason, values, len(content), self._started, now, self._born)
        shape = way.precedents.of(names)
        exchange = self._exchange(seconds, whole=status >= _FIRST_ERROR or shape.varies)
        stored = shape.recall(exchange, about) or self._judge(exchange, about, fields, shape)
        relayed = missings.relay(exchange, stored, content, status, MISS.reason)
        kind = way.kind(relayed.cache_status)
        exchange.flight = None
        one = _One(kind, exchange, relayed.stored, relayed.not_stored)
        ending = passings.note(one, self._name, now, seconds, length or 0)
        if passings.decisions is None:
            ending = _CRLF
        if not dated:
            head += b"Date: %b\r\n" % format_http_date(now).encode()
        self._reply.give(head + kind.lines + ending, content, 0)

    def _exchange(self, seconds: float, *, whole: bool) -> Exchange:
        """The request; with all of its fields, or those that everything depends on."""
        request, matched, key = self._asked
        if whole:
            request = replace(request, headers=Headers(_parsed(self._head)[1]))
        incoming = Incoming(request, _NOBODY, None, no_interim)
        return Exchange(incoming, matched, key, self._started, self.flight, MISS, seconds)

    def _judge(
        self, exchange: Exchange, about: Head, fields: Sequence[tuple[str, str]], shape: Shape
    ) -> StoredResponse | storing.NotStorable:
        """What is to be stored of an answer that has no precedent."""
        headers = forwarding.end_to_end(Headers(fields))
        if "Date" not in headers:
            headers["Date"] = format_http_date(about.response_time)
        response = Response(about.status, about.reason, headers)
        times = about.request_time, about.response_time
        origin = OriginResponse(
            about.status, about.reason, headers, about.length, *times, body=_NOTHING
        )
        fetched = Fetched(origin, response, *times, about.born)
        stored = self._missings.judge(exchange, fetched)
        if not isinstance(stored, storing.NotStorable):
            shape.note(exchange, about, stored, age_value(headers))
        return stored

    def _end_flight(self) -> None:
        if self.flight is not None:
            self.flight.end()

    def send_interim(self, status: int, reason: str, headers: Headers) -> None:
        """See SendInterim."""
        pass_on_interim(self._reply.send_interim, status, reason, headers)

    def settled(self) -> None:
        """See SentNow."""
        self._reply.hand_over()

    def abandon(self) -> None:
        """See exchange.Passage."""
        super().abandon()
        self._end_flight()

    async def respond(self, incoming: Incoming) -> Outgoing:
        """See exchange.Passage."""
        beginning = Beginning(self._way.group, self, self._started, self._born)
        return await self._missings.go_on(incoming, beginning, self.flight)


def _parsed(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Reason and fields of a whole response head whose grammar is known to be right.

    The same of a request but for the reason, which is nothing then.
    """
    text = head.decode("latin-1")
    line_end = text.index("\r\n")
    return text[_REASON_AT:line_end], fields_of(text[line_end + 2 : -2])
