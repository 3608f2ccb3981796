"""The orchestrator: what happens to one request, step by step.

    respond      bypass? -> pass_on
                 lookup -> select -> decide
                   fresh       -> hit
                   stale       -> hit, and refresh in the background
                   revalidate  -> coalescing.ask: conditionally
                   miss        -> coalescing.ask

Every decision is made in rfc9111; here it is carried out, with `coalescing` for who asks the
origin and `asking` for all that comes of it. Whatever goes wrong in the store or in the
background, the client still gets the origin's answer.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from random import Random
from typing import assert_never

from proxy import tags
from proxy.background import Background
from proxy.events import Answered, Emit
from proxy.exchange import Incoming, Outgoing
from proxy.gateway import forwarding
from proxy.gateway.asking import Asking
from proxy.gateway.coalescing import Ask, Coalescing
from proxy.gateway.contacting import Contact, Origin, Upstream
from proxy.gateway.decisions import Decision, Decisions
from proxy.gateway.delivery import deliver
from proxy.gateway.flights import Flight, Flights, Watch
from proxy.gateway.forms import Forms
from proxy.gateway.freshening import Freshening
from proxy.gateway.hot import HotAnswers
from proxy.gateway.invalidating import Invalidator
from proxy.gateway.landing import Landing
from proxy.gateway.missing import MISS, Missings
from proxy.gateway.passing import Passings
from proxy.gateway.problems import problem
from proxy.gateway.refreshing import Refresher
from proxy.gateway.repeating import Means
from proxy.gateway.steps import Answer, Beginning, Exchange, Found, bypassed, judge, select, suffice
from proxy.gateway.telling import Telling
from proxy.gateway.timing import server_timing
from proxy.gateway.unshareable import Unshareable
from proxy.gateway.unshared import Unshareds
from proxy.origin import OriginError, OriginResponse
from proxy.purging import PurgeLog
from proxy.request_ids import ANSWERED, RequestIds
from proxy.rfc9111 import keys, reuse
from proxy.rfc9111.cache_status import CacheStatus, forward_of
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason
from proxy.routes import RouteTable
from proxy.stores import CacheKey, Store

_random = Random().random  # noqa: S311 - nothing secret hangs on when a refresh begins


def random_draw() -> float:
    """Chance, as `Gateway` wants it."""
    return 1.0 - _random()


class Gateway:
    """Answers requests: from the store where HTTP allows it, else from the origin.

    Args:
        origin: Where requests go whose route names no other.
        named_origins: What routes may name.
        log: What was purged; `store` knows it too.
        max_object_size: Bytes of body above which a response is not stored.
        write_wait: Seconds that the answer to a write waits for other processes to forget, too.
        clock: POSIX time.
        watch: Entered while a request waits for another one's answer.
        watched_fields: Requests with one of these, in lower case, take the longer way, so that
            whoever has wrapped `respond` sees them.
        draw: Chance, evenly distributed over (0, 1].
        decisions: Where decisions are kept, so that clients are told what their requests are
            called; None for nowhere.
        named: Whether what `emit` is told is to have the names of requests, even so.

    Attributes:
        routes: Which policy a request gets.
        hot: Answers hits without waiting, as `respond` would.
        tell: Tells what was answered without waiting and has not been told yet.
    """

    def __init__(
        self,
        *,
        origin: Origin,
        named_origins: Mapping[str, Upstream] | None = None,
        store: Store,
        log: PurgeLog,
        routes: RouteTable,
        background: Background,
        forwarding_options: forwarding.ForwardingOptions,
        max_object_size: int,
        write_wait: float = 0.25,
        clock: Callable[[], float],
        emit: Emit,
        watch: Watch = nullcontext,
        watched_fields: frozenset[str] = frozenset(),
        draw: Callable[[], float] = random_draw,
        decisions: Decisions | None = None,
        named: bool = False,
    ) -> None:
        self._store = store
        self._log = log
        self.routes = routes
        self._forwarding = forwarding_options
        upstream = Upstream(origin, forwarding_options)
        self._contact = Contact(upstream, named_origins or {}, log, clock, emit)
        self._landing = Landing(store, max_object_size, background, emit)
        self._freshening = Freshening(store)
        self._refresher = Refresher(
            store=store,
            contact=self._contact,
            freshening=self._freshening,
            landing=self._landing,
            background=background,
            emit=emit,
        )
        self._invalidator = Invalidator(log, routes, write_wait, emit)
        unshareable = Unshareable(clock)
        self._flights = Flights(log.state, store.end_fill, watch)
        self._asking = Asking(
            contact=self._contact,
            store=store,
            log=log,
            landing=self._landing,
            freshening=self._freshening,
            unshareable=unshareable,
            clock=clock,
            emit=emit,
        )
        self._coalescing = Coalescing(
            flights=self._flights,
            asking=self._asking,
            store=store,
            log=log,
            unshareable=unshareable,
            with_stored=self._with_stored,
            clock=clock,
        )
        self._clock = clock
        self._emit = emit
        self._request_ids = RequestIds()
        self._draw = draw
        self._decisions = decisions
        named = named or decisions is not None
        telling = Telling(emit=emit, ids=self._request_ids, decisions=decisions, named=named)
        self.tell = telling.tell
        passings = Passings(
            routes=routes,
            upstreams=self._contact.upstreams,
            relay=self._asking.relay_unstored,
            dress=self._dressed,
            go_on=self._go_on,
            log=log,
            clock=clock,
            note=telling.passed,
            decisions=decisions,
        )
        self.hot = HotAnswers(
            routes=routes,
            means=Means(store, log, telling.hit, clock, named=decisions is not None),
            forms=Forms(self._dressed, named=decisions is not None),
            left_out=watched_fields,
            name_watched=named,
            passings=passings,
            missings=Missings(
                passings,
                upstreams=self._contact.upstreams,
                store=store.at_once,
                flights=self._flights,
                unshareable=unshareable,
                judge=self._asking.judge,
                relay=self._asking.relay_now,
                dress=self._dressed,
                go_on=self._go_on_missing,
                largest=max_object_size,
            ),
            unshareds=Unshareds(passings, store.at_once, unshareable, self._go_on_missing),
        )

    @property
    def coalescing(self) -> tuple[int, int]:
        """How many fetches others may join now, and how many requests wait for one."""
        return len(self._flights), self._flights.waiting

    async def respond(self, incoming: Incoming) -> Outgoing:
        """Answer one request. Never raises for what clients or origins do."""
        exchange = self.exchange(incoming)
        return self._finish(exchange, await self._answer(exchange))

    async def _go_on(self, incoming: Incoming, beginning: Beginning) -> Outgoing:
        """Answer one request that was passed on before it came here."""
        exchange = self.exchange(incoming)
        exchange.started, exchange.beginning = beginning.started, beginning
        return self._finish(exchange, await self._answer(exchange))

    async def _go_on_missing(
        self, incoming: Incoming, beginning: Beginning, flight: Flight | None
    ) -> Outgoing:
        """Answer one for which nothing was stored when it was passed on."""
        exchange = self.exchange(incoming)
        exchange.started, exchange.beginning = beginning.started, beginning
        exchange.verdict = MISS
        answer = await self._coalescing.go_on(exchange, flight, MISS.reason)
        return self._finish(exchange, answer)

    async def observe(self, incoming: Incoming) -> tuple[Exchange, Answer]:
        """Answer one request like every other, and tell how that came about."""
        exchange = self.exchange(incoming)
        answer = await self._answer(exchange)
        self._finish(exchange, answer)
        return exchange, answer

    def exchange(self, incoming: Incoming) -> Exchange:
        """A request with its route and its key."""
        request = incoming.request
        matched = self.routes.find(request)
        key = CacheKey.of(keys.primary_key(request, matched.route.policy.key))
        return Exchange(incoming, matched, key, self._clock())

    async def _answer(self, exchange: Exchange) -> Answer:
        exchange.verdict = bypass = bypassed(exchange)
        if bypass is not None:
            return await self._pass_on(exchange, bypass.reason)
        entries = await self._store.lookup(exchange.key, partial(suffice, exchange))
        found = select(exchange, entries)
        if found is None or not found.usable:
            return await self._without_stored(exchange, found, any_variant=bool(entries))
        return await self._with_stored(exchange, found, self._coalescing.ask)

    async def _without_stored(
        self, exchange: Exchange, found: Found | None, *, any_variant: bool
    ) -> Answer:
        verdict = self._judge(exchange, found, any_variant=any_variant)
        if not isinstance(verdict, reuse.Miss):
            return _own_answer(HTTPStatus.GATEWAY_TIMEOUT, Reason.ONLY_IF_CACHED)
        if found is not None:
            return await self._asking.fetch_missing_part(exchange, found)
        return await self._coalescing.ask(exchange, None, verdict.reason)

    async def _with_stored(self, exchange: Exchange, found: Found, ask: Ask) -> Answer:
        verdict = self._judge(exchange, found, any_variant=True)
        match verdict:
            case reuse.Fresh():
                if reuse.refreshes_early(
                    found.entry.response, exchange.policy, now=self._clock(), draw=self._draw()
                ):
                    self._refresher.start(exchange, found.entry)
                return self._hit(exchange, found, Reason.FRESH)
            case reuse.ServeStale(reason=reason):
                self._refresher.start(exchange, found.entry)
                return self._hit(exchange, found, reason)
            case reuse.Revalidate(reason=reason):
                return await ask(exchange, found, reason)
            case reuse.Miss(reason=reason):
                return await self._asking.fetch(exchange, reason)
            case reuse.GatewayTimeout(reason=reason):
                return _own_answer(HTTPStatus.GATEWAY_TIMEOUT, reason)
            case _:
                assert_never(verdict)

    def _judge(
        self, exchange: Exchange, found: Found | None, *, any_variant: bool
    ) -> reuse.ReuseDecision:
        now = self._clock()  # it may have waited for another process's fill
        verdict = judge(
            exchange, found, any_variant=any_variant, now=now, trusted=self._log.trusted
        )
        exchange.verdict = verdict
        return verdict

    # Answering from the store.

    def _hit(self, exchange: Exchange, found: Found, reason: Reason) -> Answer:
        now, stored = self._clock(), found.entry.response
        outgoing = deliver(exchange.request, found.entry, found.selection, now=now)
        status = CacheStatus(hit=True, ttl=int(stored.freshness.ttl(now)), detail=reason)
        return Answer(outgoing, status, stored)

    # Asking the origin.

    async def _pass_on(self, exchange: Exchange, reason: Reason) -> Answer:
        """Send a request past the cache; a successful unsafe one invalidates what it changed."""
        if reason is Reason.MAX_FORWARDS:
            status = CacheStatus(detail=reason)
            return Answer(forwarding.last_hop_answer(exchange.request), status)
        try:
            fetched = await self._contact.ask(exchange, exchange.request.headers)
        except OriginError as error:
            await self._invalidator.suspect(exchange, error)
            return await self._asking.failed(exchange, error, reason)
        except asyncio.CancelledError:
            self._invalidator.suspect_cut(exchange)
            raise
        if fetched.origin.tunnel is not None:
            return _tunnel(fetched.origin, reason)
        if reason is not Reason.METHOD:
            return self._asking.relay_unstored(exchange, fetched, reason)
        gets = self._for_later_gets(exchange)
        fetched = await self._invalidator.invalidate(exchange, fetched, gets)
        return await self._asking.relay(gets, fetched, reason)

    def _for_later_gets(self, exchange: Exchange) -> Exchange:
        """A POST's response is stored for GETs (RFC 9110 §9.3.3): as their route has it."""
        request = exchange.request
        matched = self.routes.find(replace(request, method="GET"))
        key = CacheKey.of(keys.primary_key(request, matched.route.policy.key))
        return replace(exchange, matched=matched, key=key)

    # Endings.

    def _finish(self, exchange: Exchange, answer: Answer) -> Outgoing:
        """What every answer carries on its way out."""
        outgoing, route = answer.outgoing, exchange.matched.route
        now = self._clock()
        cache_status = answer.cache_status.render()
        headers = outgoing.headers = self._dressed(exchange, answer, cache_status, now)
        name = self._request_ids.name(exchange.request.headers)
        if self._decisions is not None:
            headers.popall(ANSWERED, None)  # of a proxy behind this one: ours comes last
            headers[ANSWERED] = name.decode()
            self._decisions.note(name, now, Decision.of(exchange, answer))
        duration = now - exchange.started
        if route.server_timing:
            outcome = answer.cache_status.outcome
            headers.add("Server-Timing", server_timing(outcome, exchange.origin_time, duration))
        self._tell(exchange, answer, cache_status, duration, name.decode())
        return outgoing

    def _dressed(
        self, exchange: Exchange, answer: Answer, cache_status: str, now: float
    ) -> Headers:
        """The fields that a client gets, but for what is new each time."""
        route = exchange.matched.route
        headers = forwarding.to_client(answer.outgoing.headers, self._forwarding)
        if "Date" not in headers:
            headers["Date"] = format_http_date(now)
        if exchange.policy.surrogate_control:
            headers.popall("Surrogate-Control", None)
        if route.strip_tags:
            headers = tags.strip(headers)
        headers = route.response_headers.apply(headers)
        headers.add("Cache-Status", cache_status)
        return headers

    def _tell(
        self, exchange: Exchange, answer: Answer, cache_status: str, duration: float, name: str
    ) -> None:
        request, outgoing = exchange.request, answer.outgoing
        self._emit(
            Answered(
                request.method,
                exchange.uri,
                outgoing.status,
                cache_status,
                duration,
                exchange.matched.route.name,
                answer.cache_status.outcome,
                answer.cache_status.detail,
                exchange.origin_time,
                outgoing.length,
                exchange.key_hash,
                name,
            )
        )


def _own_answer(status: HTTPStatus, reason: Reason) -> Answer:
    return Answer(problem(status, reason), CacheStatus(detail=reason))


def _tunnel(origin: OriginResponse, reason: Reason) -> Answer:
    headers = forwarding.end_to_end(origin.headers)
    headers.extend(("Upgrade", line) for line in origin.headers.getall("Upgrade", ()))
    outgoing = Outgoing(origin.status, origin.reason, headers, tunnel=origin.tunnel)
    status = CacheStatus(forward=forward_of(reason), forward_status=origin.status, detail=reason)
    return Answer(outgoing, status)
