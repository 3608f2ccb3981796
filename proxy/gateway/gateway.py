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

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, assert_never

from proxy.background import Background
from proxy.events import Answered, Emit, OriginFailed
from proxy.exchange import BodyAborted, Incoming, Outgoing
from proxy.gateway import forwarding
from proxy.gateway.delivery import deliver
from proxy.gateway.filling import Filling
from proxy.gateway.freshening import Freshening
from proxy.gateway.invalidating import Invalidator
from proxy.gateway.landing import Landing, combined
from proxy.gateway.problems import problem
from proxy.gateway.steps import Answer, Exchange, Fetched, Found
from proxy.origin import OriginClient, OriginError, OriginResponse, Outbound
from proxy.rfc9111 import keys, ranges, reuse, storing, validation
from proxy.rfc9111.cache_status import CacheStatus, Forward, forward_of
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.reasons import Reason
from proxy.routes import RouteTable
from proxy.stores import CacheKey, Entry, Store


class Gateway:
    """Answers requests: from the store where HTTP allows it, else from the origin.

    Args:
        max_object_size: Bytes of body above which a response is not stored.
        clock: POSIX time.
    """

    def __init__(
        self,
        *,
        origin: OriginClient,
        store: Store,
        routes: RouteTable,
        background: Background,
        forwarding_options: forwarding.ForwardingOptions,
        max_object_size: int,
        clock: Callable[[], float],
        emit: Emit,
    ) -> None:
        self._origin = origin
        self._store = store
        self._routes = routes
        self._background = background
        self._forwarding = forwarding_options
        self._landing = Landing(store, max_object_size, emit)
        self._freshening = Freshening(store)
        self._invalidator = Invalidator(store, routes)
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
        entries = await self._store.lookup(exchange.key)
        found = self._select(exchange, entries)
        if found is None or not found.usable:
            return await self._without_stored(exchange, found, any_variant=bool(entries))
        return await self._with_stored(exchange, found, entries)

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
        return await self._fetch(exchange, decision.reason)

    async def _with_stored(
        self, exchange: Exchange, found: Found, entries: Sequence[Entry]
    ) -> Answer:
        decision = reuse.decide(
            exchange.request,
            found.entry.response,
            exchange.policy,
            now=exchange.started,
            any_variant=True,
        )
        match decision:
            case reuse.Fresh():
                return self._hit(exchange, found, Reason.FRESH)
            case reuse.ServeStale(reason=reason):
                self._start_refresh(exchange, found)
                return self._hit(exchange, found, reason)
            case reuse.Revalidate(reason=reason):
                return await self._revalidate(exchange, found, entries, reason)
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

    async def _contact(self, exchange: Exchange, headers: Headers) -> Fetched:
        """Send the request with these fields. Raises OriginError."""
        incoming, request = exchange.incoming, exchange.request
        outbound = Outbound(
            method=request.method,
            target=request.target,
            headers=forwarding.to_origin(incoming, headers, self._forwarding),
            body=incoming.body,
            on_interim=partial(_pass_on_interim, incoming),
            expects_continue=incoming.expects_continue,
            upgrade=incoming.upgrade,
        )
        born, request_time = self._store.sequence(), self._clock()
        origin = await self._origin.fetch(outbound)
        response_time = self._clock()
        headers = forwarding.end_to_end(origin.headers)
        if "Date" not in headers:
            headers["Date"] = format_http_date(response_time)  # RFC 9110 §6.6.1
        response = Response(origin.status, origin.reason, headers)
        return Fetched(origin, response, request_time, response_time, born)

    async def _pass_on(self, exchange: Exchange, reason: Reason) -> Answer:
        """Send a request past the cache; a successful unsafe one invalidates what it changed."""
        if forwarding.is_last_hop(exchange.request):
            return Answer(forwarding.last_hop_answer(exchange.request), CacheStatus())
        try:
            fetched = await self._contact(exchange, exchange.request.headers)
        except OriginError as error:
            return self._failed(exchange, error, reason)
        if fetched.origin.tunnel is not None:
            return _tunnel(fetched.origin, reason)
        fetched = await self._invalidator.invalidate(exchange.request, fetched)
        if reason is not Reason.METHOD:
            return self._relay_unstored(exchange, fetched, reason)
        return await self._relay(exchange, fetched, reason)

    async def _fetch(self, exchange: Exchange, reason: Reason) -> Answer:
        """Forward a request for which nothing is stored, conditions and all."""
        try:
            fetched = await self._contact(exchange, exchange.request.headers)
        except OriginError as error:
            return self._failed(exchange, error, reason)
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
            fetched = await self._contact(exchange, headers)
        except OriginError as error:
            return self._failed(exchange, error, reason)
        if fetched.response.status not in {HTTPStatus.PARTIAL_CONTENT, 416}:
            return await self._relay(exchange, fetched, reason)
        whole = await self._complete(exchange, found.entry, fetched)
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

    async def _complete(self, exchange: Exchange, held: Entry, fetched: Fetched) -> Entry | None:
        """The whole representation from a stored part and the rest of it; None if they differ."""
        decision = self._landing.decide(exchange, fetched)
        if not isinstance(decision, storing.Storable) or decision.part is None:
            await fetched.origin.aclose()
            return None
        try:
            body = await _read(fetched.origin, self._landing.max_object_size - len(held.body))
        except BodyAborted:
            return None
        if body is None:
            return None
        entry = combined(exchange, fetched, decision, decision.part, body=body, held=[held])
        if entry is None or entry.response.part is not None:
            return None
        await self._store.put(exchange.key, entry)
        return entry

    # Validation.

    async def _revalidate(
        self, exchange: Exchange, found: Found, entries: Sequence[Entry], reason: Reason
    ) -> Answer:
        request, stored = exchange.request, found.entry.response
        headers = validation.conditional_headers(
            request.headers, [entry.response for entry in entries], stored
        )
        try:
            fetched = await self._contact(exchange, headers)
        except OriginError as error:
            return self._failed(exchange, error, reason, found)
        status = fetched.response.status
        if status == HTTPStatus.NOT_MODIFIED:
            if headers == request.headers:  # nothing stored to validate by: the client asked
                return self._relay_unstored(exchange, fetched, reason)
            return await self._not_modified(exchange, found, entries, fetched, reason)
        if status in reuse.STALE_IF_ERROR_STATUSES:
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
        await self._freshening.supersede(exchange, found.entry, fetched)
        return await self._relay(exchange, fetched, reason)

    async def _not_modified(
        self,
        exchange: Exchange,
        found: Found,
        entries: Sequence[Entry],
        fetched: Fetched,
        reason: Reason,
    ) -> Answer:
        await fetched.origin.aclose()
        entry = await self._freshening.freshen(exchange, found.entry, entries, fetched)
        if entry is None:  # the origin validated something that is not stored here
            await self._store.remove(exchange.key, found.entry)
            return await self._fetch(exchange, reason)
        now = self._clock()
        selection = ranges.select(exchange.request, entry.response, len(entry.body), now=now)
        if isinstance(selection, ranges.NotHeld):  # If-Range no longer holds
            return await self._fetch(exchange, Reason.RANGE_NOT_HELD)
        status = CacheStatus(
            forward=forward_of(reason),
            forward_status=fetched.response.status,
            stored=True,
            ttl=int(entry.response.freshness.ttl(now)),
            detail=Reason.VALIDATED,
        )
        return Answer(deliver(exchange.request, entry, selection, now=now), status)

    # Refreshing in the background.

    def _start_refresh(self, exchange: Exchange, found: Found) -> None:
        key = ("refresh", exchange.key, found.entry.response.variant)
        self._background.start(key, self._refresh(exchange, found.entry))

    async def _refresh(self, exchange: Exchange, entry: Entry) -> None:
        """Validate a stale response that has just been served (RFC 5861 §3)."""
        request = replace(exchange.request, method="GET", headers=_unconditional(exchange.request))
        incoming = replace(
            exchange.incoming, request=request, body=None, send_interim=_ignore_interim
        )
        silent = replace(exchange, incoming=incoming)
        whole = Found(entry, ranges.Whole())
        entries = await self._store.lookup(exchange.key)
        if not any(known is entry for known in entries):
            return  # replaced or invalidated in the meantime
        answer = await self._revalidate(silent, whole, entries, Reason.EXPIRED)
        body = answer.outgoing.body
        if not isinstance(body, bytes):
            try:
                async for _ in body:
                    pass
            except BodyAborted:
                pass  # told by the filling; the stale response stays

    # Relaying, filling and storing.

    async def _relay(self, exchange: Exchange, fetched: Fetched, reason: Reason) -> Answer:
        """Hand an origin's answer to the client, and to the store where §3 allows."""
        decision = self._landing.decide(exchange, fetched)
        if isinstance(decision, storing.NotStorable):
            return self._relay_unstored(exchange, fetched, reason, decision.reason)
        land = partial(self._landing.land, exchange, fetched, decision)
        origin = fetched.origin
        outgoing = _relayed(exchange.request, fetched)
        if origin.length == 0:
            outgoing.body = b""
            await land(b"")
        else:
            outgoing.body = Filling(
                origin,
                self._landing.max_object_size,
                land=land,
                not_landed=partial(self._landing.not_landed, exchange),
                finish_later=partial(self._finish_later, exchange),
            )
        status = CacheStatus(
            forward=forward_of(reason),
            forward_status=origin.status,
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

    def _finish_later(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        self._background.start(("fill", exchange.key, id(exchange)), work)

    # Endings.

    def _failed(
        self,
        exchange: Exchange,
        error: OriginError,
        reason: Reason,
        found: Found | None = None,
    ) -> Answer:
        """The origin gave no usable answer: a stale one, or 502 or 504."""
        self._emit(OriginFailed(exchange.uri, error.reason, error.detail))
        if found is not None:
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
        return Answer(problem(HTTPStatus(error.status), error.reason), status)

    def _finish(self, exchange: Exchange, answer: Answer) -> Outgoing:
        """What every answer carries on its way out."""
        outgoing, route = answer.outgoing, exchange.matched.route
        headers = forwarding.to_client(outgoing.headers, self._forwarding)
        now = self._clock()
        if "Date" not in headers:
            headers["Date"] = format_http_date(now)
        if exchange.policy.surrogate_control:
            headers.popall("Surrogate-Control", None)
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


async def _read(origin: OriginResponse, limit: int) -> bytes | None:
    """The whole body, None when it is longer than `limit`. Raises BodyAborted."""
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in origin.body:
            size += len(piece)
            if size > limit:
                return None
            pieces.append(piece)
    finally:
        await origin.aclose()
    return b"".join(pieces)


def _unconditional(request: Request) -> Headers:
    """The request's fields less those that ask for something other than the whole."""
    dropped = {"if-none-match", "if-modified-since", "if-range", "range"}
    return Headers(
        (name, value) for name, value in request.headers.items() if name.lower() not in dropped
    )


def _pass_on_interim(incoming: Incoming, status: int, reason: str, headers: Headers) -> None:
    incoming.send_interim(status, reason, forwarding.end_to_end(headers))


def _ignore_interim(status: int, reason: str, headers: Headers) -> None:
    """Nobody waits for a 1xx in the background."""
