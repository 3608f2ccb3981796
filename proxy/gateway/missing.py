"""Misses without waiting: asked for as soon as they are read, answered and stored as soon as read.

Most misses are plain requests with small answers that come whole. `Way.fetch` goes the way of
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
from typing import Final

from proxy.exchange import Asked, Client, Incoming, Outgoing, Reply, no_interim
from proxy.gateway import forwarding
from proxy.gateway.contacting import Upstream, pass_on_interim
from proxy.gateway.fetched import Kinds, One
from proxy.gateway.flights import Flight, Flights
from proxy.gateway.passing import Passings
from proxy.gateway.precedents import Head, Precedents, Room, Shape
from proxy.gateway.splices import Outward, is_simple
from proxy.gateway.steps import Answer, Beginning, Exchange, Fetched, Relayed, Wanted, bypassed
from proxy.gateway.unshareable import Unshareable, note_name
from proxy.http1 import fields_of
from proxy.origin import LeanBody, Member, OriginGroup, OriginResponse, SentNow
from proxy.rfc9111 import reuse, storing
from proxy.rfc9111.cache_status import CacheStatus
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.freshness import age_value
from proxy.rfc9111.messages import Headers, Response
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse
from proxy.splicing import Spliced
from proxy.stores import AtOnce

_logger = logging.getLogger(__name__)

MISS: Final = reuse.Miss(Reason.URI_MISS)
"""Nothing at all is stored."""

_PARTIAL_CONTENT: Final = 206
_FIRST_ERROR: Final = 400

_CRLF: Final = b"\r\n"
_HTTP_1_1: Final = (1, 1)
_REASON_AT: Final = len("HTTP/1.1 200 ")
_NOBODY: Final = Client("", _HTTP_1_1)
_NOTHING: Final = LeanBody(b"")


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
        upstreams: Mapping[str, Upstream],
        store: AtOnce | None,
        flights: Flights,
        unshareable: Unshareable,
        judge: Callable[[Exchange, Fetched], StoredResponse | storing.NotStorable],
        relay: Callable[
            [Exchange, StoredResponse | storing.NotStorable, bytes, int, Reason], Relayed
        ],
        dress: Callable[[Exchange, Answer, str, float], Headers],
        go_on: Callable[[Incoming, Beginning, Flight | None], Awaitable[Outgoing]],
        largest: int,
    ) -> None:
        self.passings = passings
        self._upstreams = upstreams
        self._store = store
        self.flights = flights
        self.unshareable = unshareable
        self.judge = judge
        self.relay = relay
        self.room = Room(largest)
        self.kinds = Kinds(dress)
        self.go_on = go_on

    def way(self, wanted: Wanted) -> "Way | None":
        """What is the same for all such requests on one route; None where it is not simple.

        Args:
            wanted: One of them. Its request is reduced to what is watched, and has nothing to say
                to caches.
        """
        request, matched, key = wanted
        route = matched.route
        if self._store is None or request.method != "GET":
            return None
        upstream = self._upstreams[route.origin]
        incoming = Incoming(request, _NOBODY, None, no_interim)
        exchange = Exchange(incoming, matched, key, self.passings.clock(), verdict=MISS)
        group = upstream.origin
        if not (isinstance(group, OriginGroup) and is_simple(route)) or bypassed(exchange):
            return None
        try:
            way = Way(self, self._store, exchange, upstream, group)
            self.kinds.of(exchange, CacheStatus(forward_status=HTTPStatus.OK))
        except ValueError:  # the settings have it write what cannot be written
            return None
        return way


class Way:
    """How requests that differ in little but their targets are fetched on one route.

    Attributes:
        group: Of origins that they go to.
        precedents: What was decided of answers.
        spliced: See Splicer.response.
    """

    __slots__ = ("_missings", "_outward", "_store", "group", "precedents", "spliced")

    def __init__(
        self,
        missings: Missings,
        store: AtOnce,
        exchange: Exchange,
        upstream: Upstream,
        group: OriginGroup,
    ) -> None:
        route, passings = exchange.matched.route, missings.passings
        self._missings = missings
        self._store = store
        self.group = group
        splices = passings.splices
        self._outward = Outward(splices, exchange.request, route.origin, upstream.forwarding)
        self.spliced = splices.to_client(route, named=passings.decisions is not None).response
        self.precedents = Precedents(route.policy, missings.room)

    def fetch(self, asked: Asked, wanted: Wanted, reply: Reply) -> "Fetching | None":
        """Fetch what is not stored; None if the request has to take the longer way.

        Args:
            asked: See exchange.Alike, as for `reply`.
            wanted: The same request.
            reply: Gets what comes of it.
        """
        missings, (request, _, key) = self._missings, wanted
        flights, unshareable = missings.flights, missings.unshareable
        if not self._store.lacks(key) or flights.find(key) is not None:
            return None
        covered = unshareable.covers(key, request)
        if covered and unshareable.covers_plainly(note_name(key, request)):
            return None  # for `unshared`
        outward = self._outward.head(asked.head, asked.address)
        member = None if outward is None else self.group.choose_now(key.url)
        if outward is None or member is None:
            return None
        fetching = Fetching(member, missings, self, asked, wanted, reply)
        fetching.send_now(outward, head_only=False)
        if not covered:
            fetching.flight = flights.lead(key)
        return fetching


class Fetching(SentNow):
    """One request on its way. See exchange.Passage.

    Attributes:
        flight: Of those that want the same; None where nobody should wait for it.
    """

    __slots__ = (
        "_asked",
        "_born",
        "_missings",
        "_reply",
        "_started",
        "_wanted",
        "_way",
        "flight",
    )

    def __init__(  # noqa: PLR0917 - one is made for each request
        self,
        member: Member,
        missings: Missings,
        way: Way,
        asked: Asked,
        wanted: Wanted,
        reply: Reply,
    ) -> None:
        super().__init__(member)
        passings = missings.passings
        self._missings = missings
        self._way = way
        self._asked = asked
        self._wanted = wanted
        self.flight: Flight | None = None
        self._reply = reply
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
        kind = missings.kinds.of(exchange, relayed.cache_status)
        exchange.flight = None
        one = One(kind, exchange, relayed.stored, relayed.not_stored)
        ending = passings.note(one, self._asked.name, now, seconds, length or 0)
        if passings.decisions is None:
            ending = _CRLF
        if not dated:
            head += b"Date: %b\r\n" % format_http_date(now).encode()
        self._reply.give(head + kind.lines + ending, content, 0)

    def _exchange(self, seconds: float, *, whole: bool) -> Exchange:
        """The request; with all of its fields, or those that everything depends on."""
        request, matched, key = self._wanted
        if whole:
            request = replace(request, headers=Headers(_parsed(self._asked.head)[1]))
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
