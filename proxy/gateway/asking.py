"""What happens to a request that goes to the origin, and to the answer.

    fetch                what is not stored
    fetch_missing_part   what is stored in part
    revalidate           what is stored and stale: 304: freshen -> deliver; else relay
    relay                the answer to the client, and to the store where §3 allows
    failed               no usable answer: a stale response, or 502, 503, 504

Where others wait for the same answer (see flights) they are told what it is good for as soon as
its head is here.
"""

from collections.abc import Callable
from http import HTTPStatus

from proxy.events import Emit, OriginFailed
from proxy.exchange import Outgoing
from proxy.gateway.contacting import Contact
from proxy.gateway.delivery import deliver
from proxy.gateway.filling import Filling
from proxy.gateway.flights import Alone, ErrorStatus, Outcome, Shared, Unreachable
from proxy.gateway.freshening import Freshening
from proxy.gateway.landing import Landing
from proxy.gateway.problems import problem
from proxy.gateway.steps import Answer, Exchange, Fetched, Found, Relayed
from proxy.gateway.unshareable import PLAIN, Unshareable
from proxy.origin import OriginError
from proxy.purging import PurgeLog, Softened, Valid, scopes_of
from proxy.rfc9111 import parts, ranges, reuse, storing, validation
from proxy.rfc9111.cache_status import CacheStatus, Forward, forward_of
from proxy.rfc9111.messages import Request
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse
from proxy.stores import Entry, Filled, Store

_ABOUT_THE_ORIGIN = frozenset(
    {
        Reason.ORIGIN_REFUSED,
        Reason.ORIGIN_UNREACHABLE,
        Reason.ORIGIN_TLS,
        Reason.ORIGIN_CONNECT_TIMEOUT,
        Reason.ORIGIN_HEADER_TIMEOUT,
    }
)
"""Failures that the next request would meet too; others may come of what this one says."""


class Asking:
    """Sends requests to the origin, and makes answers of what comes back.

    Args:
        clock: POSIX time.
    """

    def __init__(
        self,
        *,
        contact: Contact,
        store: Store,
        log: PurgeLog,
        landing: Landing,
        freshening: Freshening,
        unshareable: Unshareable,
        clock: Callable[[], float],
        emit: Emit,
    ) -> None:
        self._contact = contact
        self._store = store
        self._log = log
        self._landing = landing
        self._freshening = freshening
        self._unshareable = unshareable
        self._clock = clock
        self._emit = emit

    async def fetch(self, exchange: Exchange, reason: Reason) -> Answer:
        """Forward a request for which nothing is stored, conditions and all."""
        try:
            fetched = await self._contact.ask(exchange, exchange.request.headers)
        except OriginError as error:
            return await self.failed(exchange, error, reason)
        return await self.relay(exchange, fetched, reason)

    async def fetch_missing_part(self, exchange: Exchange, found: Found) -> Answer:
        """A part is stored, not the one wanted: ask for what is missing, or for the lot (§3.3)."""
        reason = Reason.RANGE_NOT_HELD
        completion = parts.completion_range(found.entry.response)
        request = exchange.request
        if completion is None or request.method != "GET" or "Range" in request.headers:
            return await self.fetch(exchange, reason)
        headers = request.headers.copy()
        headers["Range"], validator = completion
        if validator is not None:
            headers["If-Range"] = validator
        try:
            fetched = await self._contact.ask(exchange, headers)
        except OriginError as error:
            return await self.failed(exchange, error, reason)
        if fetched.response.status not in {HTTPStatus.PARTIAL_CONTENT, 416}:
            return await self.relay(exchange, fetched, reason)
        completed = await self._landing.complete(exchange, found.entry, fetched)
        if completed is None:
            # Nothing will ever complete this part: do not try again.
            await self._store.remove(exchange.key, found.entry)
            return await self.fetch(exchange, reason)
        whole, stored = completed
        status = CacheStatus(
            forward=Forward.PARTIAL,
            forward_status=fetched.response.status,
            stored=stored,
            ttl=int(whole.response.freshness.ttl(fetched.response_time)),
            detail=reason,
        )
        now = self._clock()
        return Answer(deliver(request, whole, ranges.Whole(), now=now), status, whole.response)

    async def revalidate(self, exchange: Exchange, found: Found, reason: Reason) -> Answer:
        """Ask whether what is stored still holds (§4.3)."""
        request, stored = exchange.request, found.entry.response
        conditional = validation.conditional_headers(request.headers, stored)
        try:
            fetched = await self._contact.ask(
                exchange, conditional or request.headers, validates=conditional is not None
            )
        except OriginError as error:
            return await self.failed(exchange, error, reason, found)
        status = fetched.response.status
        if status == HTTPStatus.NOT_MODIFIED:
            if conditional is None:  # the client asked
                return self.relay_unstored(exchange, fetched, reason)
            return await self._not_modified(exchange, found, fetched, reason)
        if status in reuse.STALE_IF_ERROR_STATUSES:
            stale = await self.stale_for_error(exchange, found, status)
            if stale is not None:
                await fetched.origin.aclose()
                _tell(exchange, ErrorStatus(status))
                return stale
        return await self.relay(exchange, fetched, reason, replaces=found.entry)

    async def relay(
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
        stored = self.judge(exchange, fetched)
        if isinstance(stored, storing.NotStorable):
            if replaces is not None:
                await self._freshening.supersede(exchange, replaces, fetched)
            return self.relay_unstored(exchange, fetched, reason, stored.reason)
        shareable = self._share(exchange, stored, fetched.origin.content, fetched.response_time)
        body = await self._landing.fill(exchange, fetched, stored, replaces=replaces)
        if isinstance(body, Reason):
            return self.relay_unstored(exchange, fetched, reason, body)
        if body is None:
            return _relay_stored(exchange, fetched, reason, stored)
        if shareable:
            _tell(exchange, Shared(stored, body))
        return _relay_stored(exchange, fetched, reason, stored, body)

    def relay_now(
        self,
        exchange: Exchange,
        stored: StoredResponse | storing.NotStorable,
        content: bytes,
        status: int,
        reason: Reason,
    ) -> Relayed:
        """The same for an answer that is here, was judged, and comes in place of nothing.

        Only with a store where nothing waits.

        Args:
            exchange: The request.
            stored: What `judge` said.
            content: Of the answer.
            status: Of the answer.
            reason: Why the origin was asked.
        """
        if isinstance(stored, storing.NotStorable):
            not_stored: Reason | None = stored.reason
        else:
            now = stored.freshness.response_time
            self._share(exchange, stored, content, now)
            not_stored = self._landing.land_now(exchange, stored, content)
            if not_stored is None:
                return Relayed(_stored_status(status, reason, stored, now), stored, None)
        return Relayed(_unstored_status(status, reason, not_stored), None, not_stored)

    def judge(self, exchange: Exchange, fetched: Fetched) -> StoredResponse | storing.NotStorable:
        """What is to be stored; where nothing is, those that wait for it are told."""
        stored = self._landing.decide(exchange, fetched)
        if (
            isinstance(stored, storing.NotStorable)
            and fetched.response.status < HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            provoked, plain = stored.reason is Reason.REQUEST_TO_BLAME, stored.reason in PLAIN
            self._not_for_others(exchange, of_all=not provoked, plain=plain)
        return stored

    def _share(
        self, exchange: Exchange, stored: StoredResponse, content: bytes | None, now: float
    ) -> bool:
        """Tell those that wait whether they may have it; give it to them where all is here."""
        if not is_shareable(stored, now):
            self._not_for_others(exchange)
            return False
        self._unshareable.note(exchange.key, exchange.request, shareable=True)
        if content is not None:
            _tell(exchange, Shared(stored, content))
        return True

    def relay_unstored(
        self,
        exchange: Exchange,
        fetched: Fetched,
        reason: Reason,
        not_stored: Reason | None = None,
    ) -> Answer:
        """Hand an origin's answer to this client alone."""
        status = _unstored_status(fetched.origin.status, reason, not_stored)
        outgoing = _relayed(exchange.request, fetched)
        return Answer(outgoing, status, fetched=fetched, not_stored=not_stored)

    async def failed(
        self,
        exchange: Exchange,
        error: OriginError,
        reason: Reason,
        found: Found | None = None,
    ) -> Answer:
        """The origin gave no usable answer: a stale one, or 502 or 504."""
        self._emit(OriginFailed(exchange.uri, error.reason, error.detail))
        if error.reason in _ABOUT_THE_ORIGIN:
            _tell(exchange, Unreachable(error))
        if found is not None:
            unreachable = reuse.OriginFailure.UNREACHABLE
            stale = await self._stale(exchange, found, unreachable, forward_status=None)
            if stale is not None:
                return stale
        status = CacheStatus(forward=forward_of(reason), detail=error.reason)
        failure = problem(HTTPStatus(error.status), error.reason, error.retry_after)
        return Answer(failure, status)

    async def stale_for_error(self, exchange: Exchange, found: Found, status: int) -> Answer | None:
        """What is stored in place of an error that the origin answered with, if it may stand in."""
        error = reuse.OriginFailure.ERROR_STATUS
        return await self._stale(exchange, found, error, forward_status=status)

    async def _stale(
        self,
        exchange: Exchange,
        found: Found,
        failure: reuse.OriginFailure,
        *,
        forward_status: int | None,
    ) -> Answer | None:
        stored, request = found.entry.response, exchange.request
        if not await self._may_bridge(exchange, found):
            return None
        now = self._clock()
        stale = reuse.after_failure(stored, exchange.policy, failure, now=now, request=request)
        if stale is None:
            return None
        status = CacheStatus(
            forward=Forward.STALE,
            forward_status=forward_status,
            ttl=int(stored.freshness.ttl(now)),
            detail=stale.reason,
        )
        return Answer(deliver(request, found.entry, found.selection, now=now), status, stored)

    async def _may_bridge(self, exchange: Exchange, found: Found) -> bool:
        """Whether the stored response may stand in for the origin, for all that was purged.

        It was looked up before the origin was asked, and purges may have come since.
        """
        response = found.entry.response
        scopes = scopes_of(exchange.key.url, response.tags, response.groups)
        judgement = await self._log.judge(response.born, exchange.key.url, scopes)
        return self._log.trusted and isinstance(judgement, Valid | Softened)

    async def _not_modified(
        self, exchange: Exchange, found: Found, fetched: Fetched, reason: Reason
    ) -> Answer:
        await fetched.origin.aclose()
        validated = await self._freshening.freshen(exchange, found.entry, fetched)
        if validated is None:  # the origin means something that is not stored here
            await self._store.remove(exchange.key, found.entry)
            return await self.fetch(exchange, reason)
        entry = validated.entry
        now = self._clock()
        if is_shareable(entry.response, now):
            _tell(exchange, Shared(entry.response, entry.body))
        else:
            self._not_for_others(exchange)
        selection = ranges.select(exchange.request, entry.response, len(entry.body), now=now)
        if isinstance(selection, ranges.NotHeld):  # If-Range no longer holds
            return await self.fetch(exchange, Reason.RANGE_NOT_HELD)
        status = CacheStatus(
            forward=forward_of(reason),
            forward_status=fetched.response.status,
            stored=validated.stored,
            ttl=int(entry.response.freshness.ttl(now)),
            detail=Reason.VALIDATED,
        )
        outgoing = deliver(exchange.request, entry, selection, now=now)
        return Answer(outgoing, status, entry.response)

    def _not_for_others(
        self, exchange: Exchange, *, of_all: bool = True, plain: bool = False
    ) -> None:
        """Let those go on that wait for this answer; if it is `of_all`, nobody waits for more."""
        if of_all:
            self._unshareable.note(exchange.key, exchange.request, shareable=False, plain=plain)
        if exchange.flight is not None:
            exchange.flight.filled = Filled.UNSTORABLE
        _tell(exchange, Alone())


def is_shareable(stored: StoredResponse, now: float) -> bool:
    """Whether others that want it at this moment may have it without asking the origin."""
    freshness = stored.freshness
    usable = freshness.ttl(now) + freshness.stale_while_revalidate > 0
    return usable and not freshness.no_cache and stored.part is None


def _tell(exchange: Exchange, outcome: Outcome) -> None:
    """Tell those that wait for the same, if anybody does."""
    if exchange.flight is not None:
        exchange.flight.resolve(outcome)


def _relay_stored(
    exchange: Exchange,
    fetched: Fetched,
    reason: Reason,
    stored: StoredResponse,
    body: Filling | None = None,
) -> Answer:
    """The origin's answer, which is stored, or will be as its body passes."""
    outgoing = _relayed(exchange.request, fetched)
    if body is not None:
        outgoing.body = body.reader()
    status = _stored_status(fetched.response.status, reason, stored, fetched.response_time)
    return Answer(outgoing, status, stored, fetched, fate=None if body is None else body.fate)


def _stored_status(status: int, reason: Reason, stored: StoredResponse, now: float) -> CacheStatus:
    return CacheStatus(
        forward=forward_of(reason),
        forward_status=status,
        stored=True,
        ttl=int(stored.freshness.ttl(now)),
        detail=reason,
    )


def _unstored_status(status: int, reason: Reason, not_stored: Reason | None) -> CacheStatus:
    return CacheStatus(
        forward=forward_of(reason),
        forward_status=status,
        detail=not_stored or reason,
    )


def _relayed(request: Request, fetched: Fetched) -> Outgoing:
    """The origin's answer as it came."""
    origin, response = fetched.origin, fetched.response
    outgoing = Outgoing(response.status, response.reason, response.headers)
    bodiless = response.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    if request.method == "HEAD" or bodiless:
        outgoing.length = None
    else:
        outgoing.body = origin.body if origin.content is None else origin.content
        outgoing.length = origin.length
    return outgoing
