"""Who asks the origin: one request for all that want the same now.

    ask   somebody asks already -> follow: read along, look again, or ask alone
          nobody does           -> lead: ask, for all who come meanwhile

`flights` has what is on its way, and what becomes of it.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias, assert_never

from proxy.gateway.asking import Asking
from proxy.gateway.delivery import deliver, read_along
from proxy.gateway.flights import (
    Alone,
    ErrorStatus,
    Flight,
    Flights,
    Landed,
    Outcome,
    Shared,
    Unreachable,
)
from proxy.gateway.steps import Answer, Exchange, Found, select, suffice
from proxy.gateway.unshareable import Unshareable, stands_for_others
from proxy.purging import PurgeLog
from proxy.rfc9111 import keys, ranges, reuse
from proxy.rfc9111.cache_status import CacheStatus, forward_of
from proxy.rfc9111.messages import Request
from proxy.rfc9111.policy import Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse
from proxy.stores import Entry, Lease, Store

_ROUNDS = 3
"""How often a request waits for others before it asks on its own."""

_SHAREABLE = frozenset({Reason.URI_MISS, Reason.VARY_MISS, Reason.EXPIRED, Reason.PURGES_UNKNOWN})
"""Reasons to ask the origin that others may have too; the rest is about the request itself."""

Ask: TypeAlias = Callable[[Exchange, Found | None, Reason], Awaitable[Answer]]
"""How the origin is asked, conditionally where something is stored."""


class Coalescing:
    """Asks the origin once for requests that want the same now, for others side by side.

    Args:
        flights: Who asks now.
        unshareable: What is not worth waiting for.
        with_stored: Answers with what is stored, or asks the origin about it as it is told to.
        clock: POSIX time.
    """

    def __init__(
        self,
        *,
        flights: Flights,
        asking: Asking,
        store: Store,
        log: PurgeLog,
        unshareable: Unshareable,
        with_stored: Callable[[Exchange, Found, Ask], Awaitable[Answer]],
        clock: Callable[[], float],
    ) -> None:
        self._flights = flights
        self._asking = asking
        self._store = store
        self._log = log
        self._unshareable = unshareable
        self._with_stored = with_stored
        self._clock = clock

    async def ask(self, exchange: Exchange, found: Found | None, reason: Reason) -> Answer:
        """Join whoever asks for the same already, or ask for all who come meanwhile."""
        if not self._may_share(exchange, reason):
            return await self._ask_alone(exchange, found, reason)
        # What began before this request may miss a purge that nobody here has heard of.
        too_old = None if self._log.trusted else self._flights.find(exchange.key)
        for _ in range(_ROUNDS):
            flight = self._flights.find(exchange.key)
            if flight is None or (flight is too_old and flight.known is not None):
                if not stands_for_others(exchange.request):
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
            _end(flight)

    async def go_on(self, exchange: Exchange, flight: Flight | None, reason: Reason) -> Answer:
        """Have what the origin was asked for already, nothing being stored, in a flight's name.

        Args:
            exchange: The request.
            flight: Of those that want the same; None where it was sent for itself.
            reason: Why the origin was asked.
        """
        if flight is None:
            return await self._asking.fetch(exchange, reason)
        exchange.flight = flight
        try:
            return await self._asking.fetch(exchange, reason)
        finally:
            _end(flight)

    async def _follow(
        self, exchange: Exchange, found: Found | None, reason: Reason, outcome: Outcome
    ) -> Answer | None:
        """What another request's answer means for this one; None: it was purged meanwhile."""
        match outcome:
            case Shared():
                return await self._read_along(exchange, found, reason, outcome)
            case Landed():
                entries = await self._store.lookup(exchange.key, partial(suffice, exchange))
                return await self._use(exchange, entries, reason)
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
        fate = None if shared.arriving is None else shared.arriving.fate
        return Answer(outgoing, status, stored, fate=fate)

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

    def _ask_alone(
        self, exchange: Exchange, found: Found | None, reason: Reason
    ) -> Awaitable[Answer]:
        if found is None:
            return self._asking.fetch(exchange, reason)
        return self._asking.revalidate(exchange, found, reason)


def _end(flight: Flight) -> None:
    """End one whose leader has its answer, if it does not end with the body of that."""
    if not (isinstance(flight.known, Shared) and flight.known.arriving is not None):
        flight.end()


def _answers(request: Request, stored: StoredResponse, policy: Policy, now: float) -> bool:
    """Whether an answer on its way may be given to `request` without asking the origin."""
    if keys.select_variant([stored], request.headers) is None:
        return False
    decision = reuse.decide(request, stored, policy, now=now, any_variant=True)
    return isinstance(decision, reuse.Fresh | reuse.ServeStale)
