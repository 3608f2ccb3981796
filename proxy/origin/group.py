"""Several origins as one: who is asked, who is asked next, and how many ask at a time.

    fetch     a place (admission) -> an origin (balance, breaker) -> ask
                failed -> another origin, where that is safe (retries) and affordable (budget)
                head   -> the body, watched to its end

An origin is asked at most once for one request. A request goes out again only if not one byte
of it was sent before, or if it is replayable: idempotent and without a body. Nothing of a response
has been passed on by then, but perhaps informational ones.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf

from proxy.origin.admission import Admission, LimitOptions
from proxy.origin.balance import Balance, balancer
from proxy.origin.begun import Begun
from proxy.origin.breaker import BreakerOptions
from proxy.origin.budget import BURST, RetryBudget, RetryOptions
from proxy.origin.checks import CheckOptions
from proxy.origin.errors import OriginError, StaleConnectionError
from proxy.origin.member import Member, MemberOptions
from proxy.origin.outbound import Outbound
from proxy.origin.response import OriginResponse
from proxy.origin.watching import WatchedBody
from proxy.rfc9111.reasons import Reason

_LONGEST_RETRY_AFTER = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOptions:
    """A group of origins that answer the same requests.

    Attributes:
        members: At least one; no URL twice.
        balance: How requests are spread over those that may be asked.
        breaker: When one of them may not.
        retries: When another is asked after one failed.
        limit: How many requests are under way at a time, over all of them.
        checks: How they are checked apart from requests; None: not at all.
        total_timeout: Seconds for a request, from its start to the last byte of its response,
            however many origins are asked; None for no bound.
    """

    members: tuple[MemberOptions, ...]
    balance: Balance = Balance.ROUND_ROBIN
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    retries: RetryOptions = field(default_factory=RetryOptions)
    limit: LimitOptions = field(default_factory=LimitOptions)
    checks: CheckOptions | None = None
    total_timeout: float | None = None


class OriginGroup:
    """Sends requests to whichever of its origins is best asked. See the module's docstring.

    Attributes:
        options: What it was made or last changed with.
        members: The origins, in the order of the options.
        admission: The places for requests under way.
        budget: What retries are paid from.
        retries: Requests that were sent again.

    Args:
        options: See above.
        members: Made of `options.members`; whoever made them closes them.
        clock: Seconds that only go forward; the breakers' clock.
    """

    def __init__(
        self, options: GroupOptions, members: Sequence[Member], clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self.admission = Admission(options.limit)
        self.retries = 0
        self._take(options, members)

    def _take(self, options: GroupOptions, members: Sequence[Member]) -> None:
        self.options = options
        self.members = tuple(members)
        self.budget = RetryBudget(options.retries.budget)
        self._balancer = balancer(options.balance)
        primaries = tuple(one for one in members if not one.options.backup)
        backups = tuple(one for one in members if one.options.backup)
        self._tiers = (primaries, backups)
        self._sole = self.members[0] if len(self.members) == 1 else None
        self._limited = options.limit.concurrent is not None
        self._unbounded = not self._limited and options.total_timeout is None

    def change(self, options: GroupOptions, members: Sequence[Member]) -> None:
        """Apply other options; members among `members` that it had go on as they are."""
        self._take(options, members)
        self.admission.resize(options.limit)

    def choose_now(self, key: str) -> Member | None:
        """Whom to ask with a request that begins now, and is sent at once or handed to `fetch`.

        None where it may have to wait for its turn, has a time limit in all, or nobody may be
        asked.
        """
        if not self._unbounded:
            return None
        member = self._sole
        if member is None or not member.breaker.up or self.budget.tokens < BURST:
            return self._turn_to(key)
        return member

    async def fetch(self, outbound: Outbound, begun: Begun | None = None) -> OriginResponse:
        """Send a request and wait for the final response head; see OriginClient.fetch.

        Args:
            outbound: The request.
            begun: Its beginning, to whom `choose_now` said.

        Raises:
            OriginError: No usable response, or nobody to ask.
            ValueError: The request cannot be sent as it is.
            Exception: Whatever iterating the request body raised.
        """
        if begun is not None:
            return await self._fetch(outbound, None, None, begun)
        total = self.options.total_timeout
        deadline = None if total is None else asyncio.get_running_loop().time() + total
        if not self._limited:
            return await self._fetch(outbound, None, deadline)
        admission = self.admission
        await admission.enter(inf if total is None else total)
        try:
            return await self._fetch(outbound, admission.leave, deadline)
        except BaseException:
            admission.leave()
            raise

    async def _fetch(
        self,
        outbound: Outbound,
        leave: Callable[[], None] | None,
        deadline: float | None,
        begun: Begun | None = None,
    ) -> OriginResponse:
        """Ask one origin after another."""
        begun = begun or self._begin(outbound.key)
        if begun is None:
            raise self._all_down()
        tried: list[Member] = []
        failure: OriginError | None = None
        while True:
            try:
                return await self._ask(begun, outbound, leave, deadline)
            except OriginError as error:
                # What was sent and failed outweighs what was never sent: it may have had effect.
                failure = error if failure is None or failure.unsent else failure
                tried.append(begun.member)
                another = self._another(outbound, tried, error, free=begun.trial)
                if another is None:
                    raise failure from failure.__cause__
                begun = Begun(another)

    def _begin(self, key: str) -> Begun | None:
        """Begin with the origin that is best asked; None where none may be."""
        member = self._turn_to(key)
        return None if member is None else Begun(member)

    def _turn_to(self, key: str) -> Member | None:
        """The origin that is best asked first; None where none may be."""
        member = self._sole
        if member is None or not member.breaker.up:
            member = self._choose(key, ())
        if member is not None:
            self.budget.earn()
        return member

    async def _ask(
        self,
        begun: Begun,
        outbound: Outbound,
        leave: Callable[[], None] | None,
        deadline: float | None,
    ) -> OriginResponse:
        """Ask one origin; the place is left with the response, the caller leaves it otherwise."""
        member, ticket = begun.member, begun.ticket
        try:
            if deadline is None:
                response = await member.client.fetch(outbound, begun)
            else:
                response = await _fetch_before(deadline, member, outbound)
        except StaleConnectionError:  # that it closes what lies idle is no failure of the origin
            member.abandoned(ticket)
            raise
        except OriginError as error:
            member.failed(ticket, error.reason)
            raise
        except BaseException:
            member.abandoned(ticket)
            raise
        ticket = member.answered(ticket, response.status)
        if response.length == 0 or response.content is not None or response.tunnel is not None:
            # A tunnel lasts as long as its two ends like: it would hold its place for ever.
            member.completed(ticket)
            if leave is not None:
                leave()
        else:
            body = WatchedBody(response.body, member, ticket, leave, deadline)
            response = _with_body(response, body)
        return response

    def _choose(self, key: str, tried: Sequence[Member]) -> Member | None:
        """Whom to ask: a primary while one may be asked, else a backup."""
        now = self._clock()
        for tier in self._tiers:
            among = [one for one in tier if one.breaker.permits(now)]
            if tried:
                among = [one for one in among if one not in tried]
            if among:
                return among[0] if len(among) == 1 else self._balancer.choose(among, key, now)
        return None

    def _another(
        self, outbound: Outbound, tried: Sequence[Member], error: OriginError, *, free: bool
    ) -> Member | None:
        """Whom to ask after `error`, where that is safe and affordable.

        A trial's second try is `free`: the breaker lets through few enough, and at a low rate of
        requests, where many are trials, the budget would not last.
        """
        if len(tried) > self.options.retries.attempts:
            return None
        if error.reason is Reason.ORIGIN_TOTAL_TIMEOUT:
            return None
        if not (error.unsent or outbound.replayable):
            return None
        another = self._choose(outbound.key, tried)
        if another is None or not (free or self.budget.spend()):
            return None
        self.retries += 1
        return another

    def _all_down(self) -> OriginError:
        now, checks = self._clock(), self.options.checks
        soonest = min(one.breaker.retry_in(now) for one in self.members)
        if checks is not None:  # which may pass before a pause is over
            soonest = min(soonest, checks.interval * checks.healthy)
        last = "; ".join(f"{one.options.origin.url}: {one.breaker.cause}" for one in self.members)
        seconds = max(1, ceil(min(soonest, _LONGEST_RETRY_AFTER)))
        return OriginError(Reason.ORIGIN_DOWN, last, retry_after=seconds)


async def _fetch_before(deadline: float, member: Member, outbound: Outbound) -> OriginResponse:
    clock = asyncio.timeout_at(deadline)
    try:
        async with clock:
            return await member.client.fetch(outbound)
    except TimeoutError:
        if not clock.expired():
            raise
        raise OriginError(Reason.ORIGIN_TOTAL_TIMEOUT) from None


def _with_body(response: OriginResponse, body: WatchedBody) -> OriginResponse:
    """A copy, since whoever made it may hold it for longer; `replace` takes five times as long."""
    return OriginResponse(
        response.status,
        response.reason,
        response.headers,
        response.length,
        response.request_time,
        response.response_time,
        body=body,
    )
