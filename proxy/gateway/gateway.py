"""The orchestrator: what happens to one request, step by step.

    respond      bypass? -> pass_on
                 lookup -> select -> decide
                   fresh       -> hit
                   stale       -> hit, and refresh in the background
                   revalidate  -> ask together: conditionally
                   miss        -> ask together
    ask together somebody asks already -> follow: read along, look again, or ask alone
                 nobody does           -> lead: ask, for all who come meanwhile

Every decision is made in rfc9111; here it is carried out, with `asking` for all that comes of
asking the origin. Whatever goes wrong in the store or in the background, the client still gets
the origin's answer.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from random import Random
from typing import TypeAlias, assert_never

from proxy import tags
from proxy.background import Background
from proxy.events import Answered, Emit
from proxy.exchange import Incoming, Outgoing
from proxy.gateway import forwarding
from proxy.gateway.asking import Asking
from proxy.gateway.contacting import Contact, Origin, Upstream
from proxy.gateway.decisions import Decision, Decisions
from proxy.gateway.delivery import deliver, read_along
from proxy.gateway.flights import (
    Alone,
    ErrorStatus,
    Flights,
    Landed,
    Outcome,
    Shared,
    Unreachable,
    Watch,
)
from proxy.gateway.freshening import Freshening
from proxy.gateway.hot import HotAnswers
from proxy.gateway.invalidating import Invalidator
from proxy.gateway.landing import Landing
from proxy.gateway.problems import problem
from proxy.gateway.refreshing import Refresher
from proxy.gateway.steps import Answer, Exchange, Found, bypassed, judge, select, suffice
from proxy.gateway.timing import server_timing
from proxy.gateway.unshareable import Unshareable
from proxy.origin import OriginError, OriginResponse
from proxy.purging import PurgeLog
from proxy.request_ids import ANSWERED, RequestIds, line_of
from proxy.rfc9111 import keys, ranges, reuse
from proxy.rfc9111.cache_status import CacheStatus, forward_of
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.directives import request_directives
from proxy.rfc9111.messages import Request
from proxy.rfc9111.policy import Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse
from proxy.routes import RouteTable
from proxy.stores import CacheKey, Entry, Lease, Store

_ROUNDS = 3
"""How often a request waits for others before it asks on its own."""

_SHAREABLE = frozenset({Reason.URI_MISS, Reason.VARY_MISS, Reason.EXPIRED, Reason.PURGES_UNKNOWN})
"""Reasons to ask the origin that others may have too; the rest is about the request itself."""

_FOR_ITSELF = ("Range", "If-None-Match", "If-Modified-Since", "If-Range")
"""Fields that turn the answer into one that others cannot use."""

_random = Random().random  # noqa: S311 - nothing secret hangs on when a refresh begins

_Ask: TypeAlias = Callable[[Exchange, Found | None, Reason], Awaitable[Answer]]


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

    Attributes:
        routes: Which policy a request gets.
        hot: Answers hits without waiting, as `respond` would.
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
        self._unshareable = Unshareable(clock)
        self._flights = Flights(log.state, store.end_fill, watch)
        self._asking = Asking(
            contact=self._contact,
            store=store,
            log=log,
            landing=self._landing,
            freshening=self._freshening,
            unshareable=self._unshareable,
            clock=clock,
            emit=emit,
        )
        self._clock = clock
        self._emit = emit
        self._request_ids = RequestIds()
        self._draw = draw
        self._decisions = decisions
        self.hot = HotAnswers(
            routes=routes,
            lookup=store.lookup_now,
            log=log,
            hit=self._hit,
            finish=self._finish,
            clock=clock,
            emit=emit,
            left_out=watched_fields,
            ids=self._request_ids,
            decisions=decisions,
        )

    @property
    def coalescing(self) -> tuple[int, int]:
        """How many fetches others may join now, and how many requests wait for one."""
        return len(self._flights), self._flights.waiting

    async def respond(self, incoming: Incoming) -> Outgoing:
        """Answer one request. Never raises for what clients or origins do."""
        exchange = self.exchange(incoming)
        return self._finish(exchange, await self._answer(exchange))

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
        entries = await self._look(exchange)
        found = select(exchange, entries)
        if found is None or not found.usable:
            return await self._without_stored(exchange, found, any_variant=bool(entries))
        return await self._with_stored(exchange, found, self._ask_together)

    async def _without_stored(
        self, exchange: Exchange, found: Found | None, *, any_variant: bool
    ) -> Answer:
        verdict = self._judge(exchange, found, any_variant=any_variant)
        if not isinstance(verdict, reuse.Miss):
            return _own_answer(HTTPStatus.GATEWAY_TIMEOUT, Reason.ONLY_IF_CACHED)
        if found is not None:
            return await self._asking.fetch_missing_part(exchange, found)
        return await self._ask_together(exchange, None, verdict.reason)

    async def _with_stored(self, exchange: Exchange, found: Found, ask: _Ask) -> Answer:
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

    async def _ask_alone(self, exchange: Exchange, found: Found | None, reason: Reason) -> Answer:
        if found is None:
            return await self._asking.fetch(exchange, reason)
        return await self._asking.revalidate(exchange, found, reason)

    # Asking the origin once for all who want the same now; see flights.

    async def _ask_together(
        self, exchange: Exchange, found: Found | None, reason: Reason
    ) -> Answer:
        """Join whoever asks for the same already, or ask for all who come meanwhile."""
        if not self._may_share(exchange, reason):
            return await self._ask_alone(exchange, found, reason)
        # What began before this request may miss a purge that nobody here has heard of.
        too_old = None if self._log.trusted else self._flights.find(exchange.key)
        for _ in range(_ROUNDS):
            flight = self._flights.find(exchange.key)
            if flight is None or (flight is too_old and flight.known is not None):
                if not _may_lead(exchange.request):
                    break
                return await self._lead(exchange, found, reason)
            outcome = await flight.outcome()
            if flight is too_old:
                continue
            answer = await self._follow(exchange, found, reason, outcome)
            if answer is not None:
                return answer
        return await self._ask_alone(exchange, self._still(exchange, found), reason)

    def _may_share(self, exchange: Exchange, reason: Reason) -> bool:
        request = exchange.request
        return (
            request.method == "GET"
            and reason in _SHAREABLE
            and not self._unshareable.covers(exchange.key, request)
        )

    async def _lead(self, exchange: Exchange, found: Found | None, reason: Reason) -> Answer:
        """Ask the origin, in the name of the fleet where nothing is stored at all."""
        flight = self._flights.lead(exchange.key)
        try:
            if found is None:
                enough = partial(suffice, exchange)
                leave = await self._store.begin_fill(exchange.key, flight.born, enough)
                if not isinstance(leave, Lease):
                    flight.resolve(Landed())
                    return await self._use(exchange, leave, reason)
                flight.lease = leave
                if leave.alone:
                    flight.resolve(Alone())
            exchange.flight = flight
            return await self._ask_alone(exchange, found, reason)
        finally:
            if not (isinstance(flight.known, Shared) and flight.known.arriving is not None):
                flight.end()  # else it ends with its body

    async def _follow(
        self, exchange: Exchange, found: Found | None, reason: Reason, outcome: Outcome
    ) -> Answer | None:
        """What another request's answer means for this one; None: it was purged meanwhile."""
        match outcome:
            case Shared():
                return await self._read_along(exchange, found, reason, outcome)
            case Landed():
                return await self._use(exchange, await self._look(exchange), reason)
            case ErrorStatus(status=status):
                stale = found and await self._asking.stale_for_error(exchange, found, status)
                return stale or await self._ask_alone(
                    exchange, self._still(exchange, found), reason
                )
            case Unreachable(error=error):
                return await self._asking.failed(exchange, error, reason, found)
            case Alone():
                return await self._ask_alone(exchange, self._still(exchange, found), reason)
            case _:
                assert_never(outcome)

    async def _read_along(
        self, exchange: Exchange, found: Found | None, reason: Reason, shared: Shared
    ) -> Answer | None:
        """Answer from a body on its way, where its head says that it is for this request too."""
        request, stored = exchange.request, shared.stored
        if not self._flights.is_untouched(stored, exchange.key.url):
            return None
        if shared.arriving is not None and "Range" in request.headers:
            await shared.arriving.settled
        now = self._clock()
        if not _answers(request, stored, exchange.policy, now):
            return await self._ask_alone(exchange, self._still(exchange, found), reason)
        if shared.arriving is not None:
            outgoing = read_along(request, stored, shared.arriving, now=now)
        elif shared.whole is not None:
            entry = Entry(stored, shared.whole)
            part = ranges.select(request, stored, len(entry.body), now=now)
            outgoing = deliver(request, entry, part, now=now)
        else:  # given up, as too large
            return await self._ask_alone(exchange, self._still(exchange, found), reason)
        ttl = int(stored.freshness.ttl(now))
        status = CacheStatus(forward=forward_of(reason), collapsed=True, ttl=ttl, detail=reason)
        return Answer(outgoing, status, stored)

    def _answers(
        self, request: Request, stored: StoredResponse, policy: Policy, now: float
    ) -> bool:
        """Whether an answer on its way may be given to `request` without asking the origin."""
        if keys.select_variant([stored], request.headers) is None:
            return False
        decision = reuse.decide(request, stored, policy, now=now, any_variant=True)
        return isinstance(decision, reuse.Fresh | reuse.ServeStale)

    async def _look(self, exchange: Exchange) -> Sequence[Entry]:
        return await self._store.lookup(exchange.key, partial(suffice, exchange))

    async def _use(self, exchange: Exchange, entries: Sequence[Entry], reason: Reason) -> Answer:
        """Answer from what has been stored while this request waited, or ask after all."""
        found = select(exchange, entries)
        if found is None or not found.usable:
            return await self._asking.fetch(exchange, reason)
        return await self._with_stored(exchange, found, self._ask_alone)

    def _still(self, exchange: Exchange, found: Found | None) -> Found | None:
        """What was found before this request waited, unless it has been purged since."""
        if found is None:
            return None
        untouched = self._flights.is_untouched(found.entry.response, exchange.key.url)
        return found if untouched else None

    # Endings.

    def _finish(self, exchange: Exchange, answer: Answer) -> Outgoing:
        """What every answer carries on its way out."""
        outgoing, route = answer.outgoing, exchange.matched.route
        headers = forwarding.to_client(outgoing.headers, self._forwarding)
        now = self._clock()
        if "Date" not in headers:
            headers["Date"] = format_http_date(now)
        if exchange.policy.surrogate_control:
            headers.popall("Surrogate-Control", None)
        if route.strip_tags:
            headers = tags.strip(headers)
        headers = route.response_headers.apply(headers)
        cache_status = answer.cache_status.render()
        headers.add("Cache-Status", cache_status)
        outgoing.headers = headers
        name = self._request_ids.name(exchange.request.headers)
        if self._decisions is not None:
            headers[ANSWERED] = name
            self._decisions.note(line_of(name), now, Decision.of(exchange, answer))
        duration = now - exchange.started
        if route.server_timing:
            outcome = answer.cache_status.outcome
            headers.add("Server-Timing", server_timing(outcome, exchange.origin_time, duration))
        self._tell(exchange, answer, cache_status, duration, name)
        return outgoing

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


def _may_lead(request: Request) -> bool:
    """Whether its answer can be of use to others."""
    headers = request.headers
    return not (
        any(name in headers for name in _FOR_ITSELF) or request_directives(headers).no_store
    )


def _answers(request: Request, stored: StoredResponse, policy: Policy, now: float) -> bool:
    """Whether an answer on its way may be given to `request` without asking the origin."""
    if keys.select_variant([stored], request.headers) is None:
        return False
    decision = reuse.decide(request, stored, policy, now=now, any_variant=True)
    return isinstance(decision, reuse.Fresh | reuse.ServeStale)


def _own_answer(status: HTTPStatus, reason: Reason) -> Answer:
    return Answer(problem(status, reason), CacheStatus(detail=reason))


def _tunnel(origin: OriginResponse, reason: Reason) -> Answer:
    headers = forwarding.end_to_end(origin.headers)
    headers.extend(("Upgrade", line) for line in origin.headers.getall("Upgrade", ()))
    outgoing = Outgoing(origin.status, origin.reason, headers, tunnel=origin.tunnel)
    status = CacheStatus(forward=forward_of(reason), forward_status=origin.status, detail=reason)
    return Answer(outgoing, status)
