"""The orchestrator: what happens to one request, step by step.

    respond      bypass? -> pass_on
                 lookup -> select -> decide
                   fresh       -> hit
                   stale       -> hit, and refresh in the background
                   revalidate  -> revalidate -> 304: freshen -> hit
                   miss        -> fetch -> relay (and fill the store)

Every decision is made in rfc9111; here it is carried out. Whatever goes wrong in the store or
in the background, the client still gets the origin's answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import assert_never

from proxy import tags
from proxy.background import Background
from proxy.events import Answered, Emit, OriginFailed
from proxy.exchange import Incoming, Outgoing
from proxy.gateway import forwarding
from proxy.gateway.contacting import Contact, Origin, Upstream
from proxy.gateway.delivery import deliver
from proxy.gateway.filling import Filling
from proxy.gateway.freshening import Freshening
from proxy.gateway.invalidating import Invalidator
from proxy.gateway.landing import Landing
from proxy.gateway.problems import problem
from proxy.gateway.refreshing import Refresher
from proxy.gateway.steps import Answer, Exchange, Fetched, Found
from proxy.gateway.unstorable import Unstorable
from proxy.origin import OriginError, OriginResponse
from proxy.purging import PurgeLog, Softened, Valid, scopes_of
from proxy.rfc9111 import keys, ranges, reuse, storing, validation
from proxy.rfc9111.cache_status import CacheStatus, Forward, forward_of
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.directives import request_directives
from proxy.rfc9111.messages import Request
from proxy.rfc9111.reasons import Reason
from proxy.routes import RouteTable
from proxy.stores import CacheKey, Entry, Filled, Lease, Store


class Gateway:
    """Answers requests: from the store where HTTP allows it, else from the origin.

    Args:
        origin: Where requests go whose route names no other.
        named_origins: What routes may name.
        log: What was purged; `store` knows it too.
        max_object_size: Bytes of body above which a response is not stored.
        write_wait: Seconds that the answer to a write waits for other processes to forget, too.
        clock: POSIX time.
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
    ) -> None:
        self._store = store
        self._log = log
        self._routes = routes
        self._forwarding = forwarding_options
        upstream = Upstream(origin, forwarding_options)
        self._contact = Contact(upstream, named_origins or {}, log, clock)
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
        self._unstorable = Unstorable(clock)
        self._clock = clock
        self._emit = emit

    async def respond(self, incoming: Incoming) -> Outgoing:
        """Answer one request. Never raises for what clients or origins do."""
        request = incoming.request
        matched = self._routes.find(request)
        key = CacheKey.of(keys.primary_key(request, matched.route.policy.key))
        exchange = Exchange(incoming, matched, key, self._clock())
        answer = await self._answer(exchange)
        return self._finish(exchange, answer)

    async def _answer(self, exchange: Exchange) -> Answer:
        incoming, policy = exchange.incoming, exchange.policy
        request = exchange.request
        bypass = reuse.bypass_reason(
            request, policy, has_body=incoming.body is not None, upgrade=incoming.upgrade
        )
        if bypass is not None:
            return await self._pass_on(exchange, bypass)
        entries = await self._store.lookup(exchange.key, partial(self._suffice, exchange))
        found = self._select(exchange, entries)
        if found is None or not found.usable:
            return await self._without_stored(exchange, found, any_variant=bool(entries))
        return await self._with_stored(exchange, found)

    async def _without_stored(
        self, exchange: Exchange, found: Found | None, *, any_variant: bool
    ) -> Answer:
        decision = reuse.decide(
            exchange.request, None, exchange.policy, now=exchange.started, any_variant=any_variant
        )
        if not isinstance(decision, reuse.Miss):
            return _own_answer(HTTPStatus.GATEWAY_TIMEOUT, Reason.ONLY_IF_CACHED)
        if found is not None:
            return await self._fetch_missing_part(exchange, found)
        if exchange.request.method == "GET" and exchange.key not in self._unstorable:
            return await self._fetch_for_all(exchange, decision.reason)
        return await self._fetch(exchange, decision.reason)

    async def _with_stored(self, exchange: Exchange, found: Found) -> Answer:
        decision = reuse.decide(
            exchange.request,
            found.entry.response,
            exchange.policy,
            now=self._clock(),  # it may have waited for another process's fill
            any_variant=True,
        )
        if not self._log.trusted:
            decision = _distrusting(decision, exchange.request)
        match decision:
            case reuse.Fresh():
                return self._hit(exchange, found, Reason.FRESH)
            case reuse.ServeStale(reason=reason):
                self._refresher.start(exchange, found.entry)
                return self._hit(exchange, found, reason)
            case reuse.Revalidate(reason=reason):
                return await self._revalidate(exchange, found, reason)
            case reuse.Miss(reason=reason):
                return await self._fetch(exchange, reason)
            case reuse.GatewayTimeout(reason=reason):
                return _own_answer(HTTPStatus.GATEWAY_TIMEOUT, reason)
            case _:
                assert_never(decision)

    def _select(self, exchange: Exchange, entries: Sequence[Entry]) -> Found | None:
        stored = keys.select_variant(
            [entry.response for entry in entries], exchange.request.headers
        )
        if stored is None:
            return None
        entry = next(entry for entry in entries if entry.response is stored)
        selection = ranges.select(exchange.request, stored, len(entry.body), now=exchange.started)
        return Found(entry, selection)

    # Answering from the store.

    def _hit(self, exchange: Exchange, found: Found, reason: Reason) -> Answer:
        now = self._clock()
        outgoing = deliver(exchange.request, found.entry, found.selection, now=now)
        ttl = int(found.entry.response.freshness.ttl(now))
        return Answer(outgoing, CacheStatus(hit=True, ttl=ttl, detail=reason))

    def _stale(
        self, exchange: Exchange, found: Found, reason: Reason, forward_status: int | None
    ) -> Answer:
        """Answer with a stale response after the origin failed."""
        now = self._clock()
        status = CacheStatus(
            forward=Forward.STALE,
            forward_status=forward_status,
            ttl=int(found.entry.response.freshness.ttl(now)),
            detail=reason,
        )
        return Answer(deliver(exchange.request, found.entry, found.selection, now=now), status)

    # Asking the origin.

    async def _pass_on(self, exchange: Exchange, reason: Reason) -> Answer:
        """Send a request past the cache; a successful unsafe one invalidates what it changed."""
        if forwarding.is_last_hop(exchange.request):
            status = CacheStatus(detail=Reason.MAX_FORWARDS)
            return Answer(forwarding.last_hop_answer(exchange.request), status)
        try:
            fetched = await self._contact.ask(exchange, exchange.request.headers)
        except OriginError as error:
            await self._invalidator.suspect(exchange, error)
            return await self._failed(exchange, error, reason)
        if fetched.origin.tunnel is not None:
            return _tunnel(fetched.origin, reason)
        gets = self._for_later_gets(exchange)
        fetched = await self._invalidator.invalidate(exchange, fetched, gets)
        if reason is not Reason.METHOD:
            return self._relay_unstored(exchange, fetched, reason)
        return await self._relay(gets, fetched, reason)

    def _for_later_gets(self, exchange: Exchange) -> Exchange:
        """A POST's response is stored for GETs (RFC 9110 §9.3.3): as their route has it."""
        request = exchange.request
        matched = self._routes.find(replace(request, method="GET"))
        key = CacheKey.of(keys.primary_key(request, matched.route.policy.key))
        return replace(exchange, matched=matched, key=key)

    async def _fetch_for_all(self, exchange: Exchange, reason: Reason) -> Answer:
        """Fetch, unless another process is about to store what answers this request too."""
        born = self._log.state.position
        leave = await self._store.begin_fill(exchange.key, born, partial(self._suffice, exchange))
        if not isinstance(leave, Lease):
            found = self._select(exchange, leave)
            if found is None or not found.usable:
                return await self._fetch(exchange, reason)
            return await self._with_stored(exchange, found)
        exchange.lease = leave
        fills = False
        try:
            answer = await self._fetch(exchange, reason)
            self._unstorable.note(exchange.key, stored=answer.cache_status.stored)
            fills = isinstance(answer.outgoing.body, Filling)
        finally:
            if not fills:
                self._landing.release(exchange, Filled.FAILED)
        return answer

    def _suffice(self, exchange: Exchange, entries: Sequence[Entry]) -> bool:
        found = self._select(exchange, entries)
        return found is not None and found.usable

    async def _fetch(self, exchange: Exchange, reason: Reason) -> Answer:
        """Forward a request for which nothing is stored, conditions and all."""
        try:
            fetched = await self._contact.ask(exchange, exchange.request.headers)
        except OriginError as error:
            return await self._failed(exchange, error, reason)
        return await self._relay(exchange, fetched, reason)

    async def _fetch_missing_part(self, exchange: Exchange, found: Found) -> Answer:
        """A part is stored, not the one wanted: ask for what is missing, or for the lot (§3.3)."""
        reason = Reason.RANGE_NOT_HELD
        completion = ranges.completion_range(found.entry.response)
        request = exchange.request
        if completion is None or request.method != "GET" or "Range" in request.headers:
            return await self._fetch(exchange, reason)
        headers = request.headers.copy()
        headers["Range"], validator = completion
        if validator is not None:
            headers["If-Range"] = validator
        try:
            fetched = await self._contact.ask(exchange, headers)
        except OriginError as error:
            return await self._failed(exchange, error, reason)
        if fetched.response.status not in {HTTPStatus.PARTIAL_CONTENT, 416}:
            return await self._relay(exchange, fetched, reason)
        whole = await self._landing.complete(exchange, found.entry, fetched)
        if whole is None:
            # Nothing will ever complete this part: do not try again.
            await self._store.remove(exchange.key, found.entry)
            return await self._fetch(exchange, reason)
        status = CacheStatus(
            forward=Forward.PARTIAL,
            forward_status=fetched.response.status,
            stored=True,
            ttl=int(whole.response.freshness.ttl(fetched.response_time)),
            detail=reason,
        )
        now = self._clock()
        return Answer(deliver(request, whole, ranges.Whole(), now=now), status)

    # Validation.

    async def _revalidate(self, exchange: Exchange, found: Found, reason: Reason) -> Answer:
        request, stored = exchange.request, found.entry.response
        conditional = validation.conditional_headers(request.headers, stored)
        try:
            fetched = await self._contact.ask(
                exchange, request.headers if conditional is None else conditional
            )
        except OriginError as error:
            return await self._failed(exchange, error, reason, found)
        status = fetched.response.status
        if status == HTTPStatus.NOT_MODIFIED:
            if conditional is None:  # the client asked
                return self._relay_unstored(exchange, fetched, reason)
            return await self._not_modified(exchange, found, fetched, reason)
        if status in reuse.STALE_IF_ERROR_STATUSES and await self._may_bridge(exchange, found):
            stale = reuse.after_failure(
                stored,
                exchange.policy,
                reuse.OriginFailure.ERROR_STATUS,
                now=self._clock(),
                request=request,
            )
            if stale is not None:
                await fetched.origin.aclose()
                return self._stale(exchange, found, stale.reason, status)
        return await self._relay(exchange, fetched, reason, replaces=found.entry)

    async def _not_modified(
        self, exchange: Exchange, found: Found, fetched: Fetched, reason: Reason
    ) -> Answer:
        await fetched.origin.aclose()
        validated = await self._freshening.freshen(exchange, found.entry, fetched)
        if validated is None:  # the origin means something that is not stored here
            await self._store.remove(exchange.key, found.entry)
            return await self._fetch(exchange, reason)
        entry = validated.entry
        now = self._clock()
        selection = ranges.select(exchange.request, entry.response, len(entry.body), now=now)
        if isinstance(selection, ranges.NotHeld):  # If-Range no longer holds
            return await self._fetch(exchange, Reason.RANGE_NOT_HELD)
        status = CacheStatus(
            forward=forward_of(reason),
            forward_status=fetched.response.status,
            stored=validated.stored,
            ttl=int(entry.response.freshness.ttl(now)),
            detail=Reason.VALIDATED,
        )
        return Answer(deliver(exchange.request, entry, selection, now=now), status)

    # Relaying, filling and storing.

    async def _relay(
        self,
        exchange: Exchange,
        fetched: Fetched,
        reason: Reason,
        *,
        replaces: Entry | None = None,
    ) -> Answer:
        """Hand an origin's answer to the client, and to the store where §3 allows.

        Args:
            exchange: The request.
            fetched: Its answer.
            reason: Why the origin was asked.
            replaces: The stored response in place of which the answer came.
        """
        decision = self._landing.decide(exchange, fetched)
        if isinstance(decision, storing.NotStorable):
            self._landing.release(exchange, Filled.UNSTORABLE)
            if replaces is not None:
                await self._freshening.supersede(exchange, replaces, fetched)
            return self._relay_unstored(exchange, fetched, reason, decision.reason)
        outgoing = _relayed(exchange.request, fetched)
        outgoing.body = await self._landing.fill(exchange, fetched, decision, replaces=replaces)
        status = CacheStatus(
            forward=forward_of(reason),
            forward_status=fetched.response.status,
            stored=True,
            ttl=int(decision.freshness.ttl(fetched.response_time)),
            detail=reason,
        )
        return Answer(outgoing, status)

    def _relay_unstored(
        self,
        exchange: Exchange,
        fetched: Fetched,
        reason: Reason,
        not_stored: Reason | None = None,
    ) -> Answer:
        status = CacheStatus(
            forward=forward_of(reason),
            forward_status=fetched.origin.status,
            detail=not_stored or reason,
        )
        return Answer(_relayed(exchange.request, fetched), status)

    async def _may_bridge(self, exchange: Exchange, found: Found) -> bool:
        """Whether the stored response may stand in for the origin, for all that was purged.

        It was looked up before the origin was asked, and purges may have come since.
        """
        response = found.entry.response
        scopes = scopes_of(exchange.key.url, response.tags, response.groups)
        judgement = await self._log.judge(response.born, exchange.key.url, scopes)
        return self._log.trusted and isinstance(judgement, Valid | Softened)

    # Endings.

    async def _failed(
        self,
        exchange: Exchange,
        error: OriginError,
        reason: Reason,
        found: Found | None = None,
    ) -> Answer:
        """The origin gave no usable answer: a stale one, or 502, 503 or 504."""
        self._emit(OriginFailed(exchange.uri, error.reason, error.detail))
        if found is not None and await self._may_bridge(exchange, found):
            stale = reuse.after_failure(
                found.entry.response,
                exchange.policy,
                reuse.OriginFailure.UNREACHABLE,
                now=self._clock(),
                request=exchange.request,
            )
            if stale is not None:
                return self._stale(exchange, found, stale.reason, None)
        status = CacheStatus(forward=forward_of(reason), detail=error.reason)
        failure = problem(HTTPStatus(error.status), error.reason, error.retry_after)
        return Answer(failure, status)

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
        request = exchange.request
        self._emit(
            Answered(
                request.method,
                exchange.uri,
                outgoing.status,
                cache_status,
                now - exchange.started,
            )
        )
        return outgoing


def _distrusting(decision: reuse.ReuseDecision, request: Request) -> reuse.ReuseDecision:
    """What to do instead where a purge may have been missed: ask the origin in any case."""
    if not isinstance(decision, reuse.Fresh | reuse.ServeStale):
        return decision
    if request_directives(request.headers).only_if_cached:
        return reuse.GatewayTimeout(Reason.PURGES_UNKNOWN)
    return reuse.Revalidate(Reason.PURGES_UNKNOWN)


def _own_answer(status: HTTPStatus, reason: Reason) -> Answer:
    return Answer(problem(status, reason), CacheStatus(detail=reason))


def _relayed(request: Request, fetched: Fetched) -> Outgoing:
    """The origin's answer as it came."""
    origin, response = fetched.origin, fetched.response
    outgoing = Outgoing(response.status, response.reason, response.headers)
    bodiless = response.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    if request.method == "HEAD" or bodiless:
        outgoing.length = None
    else:
        outgoing.body, outgoing.length = origin.body, origin.length
    return outgoing


def _tunnel(origin: OriginResponse, reason: Reason) -> Answer:
    headers = forwarding.end_to_end(origin.headers)
    headers.extend(("Upgrade", line) for line in origin.headers.getall("Upgrade", ()))
    outgoing = Outgoing(origin.status, origin.reason, headers, tunnel=origin.tunnel)
    status = CacheStatus(forward=forward_of(reason), forward_status=origin.status, detail=reason)
    return Answer(outgoing, status)
