"""One origin of a group: its connections, its health, its figures."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.events import Emit, OriginChanged
from proxy.origin.balance import seed_of
from proxy.origin.breaker import VOID, Breaker, BreakerOptions, State
from proxy.origin.client import OriginClient
from proxy.origin.options import OriginOptions
from proxy.rfc9111.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """An origin at one moment, as this process sees it; see Member and Breaker.

    Attributes:
        state: `up`, `down`, `half_open`, `slow_start`, or `draining`: it has left its group.
        since: Seconds for which it has been in this state.
        cause: What brought it about; "" at first.
        backup: It is asked only while no other may be.
        in_flight: Requests under way.
        requests: In all; health checks do not count.
        failures: Those of them that failed by its fault.
        last_failure: What the last of these met; "" for none.
    """

    url: str
    state: str
    since: float
    cause: str
    weight: int
    backup: bool
    in_flight: int
    requests: int
    failures: int
    last_failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberOptions:
    """One origin of a group.

    Attributes:
        origin: How to reach it.
        weight: Its share of the requests, relative to that of the others.
        backup: It is asked only while no origin that is not a backup may be.
    """

    origin: OriginOptions
    weight: int = 1
    backup: bool = False


class Member:
    """An origin as its group sees it. Must be made while an event loop runs; end with `close`.

    Every request is begun here and ended once: by `failed`, `abandoned`, or after `answered` by
    `completed`, `failed` or `left`, or by `served`.

    Attributes:
        options: May be replaced by others that reach it in the same way.
        in_flight: Requests begun and not ended. A tunnel has ended.
        requests: Requests in all.
        failures: Those of them that failed by its fault.
        last_failure: What the last of these met; "" for none.
    """

    __slots__ = (
        "_clock",
        "breaker",
        "client",
        "failures",
        "in_flight",
        "last_failure",
        "options",
        "requests",
        "seed",
    )

    def __init__(
        self,
        options: MemberOptions,
        breaker: BreakerOptions,
        *,
        group: str,
        clock: Callable[[], float],
        emit: Emit,
    ) -> None:
        self._clock = clock
        self.options = options
        self.client = OriginClient(options.origin)
        self.seed = seed_of(options.origin.url)
        self.in_flight = 0
        self.requests = 0
        self.failures = 0
        self.last_failure = ""

        def moved(state: State, cause: str) -> None:
            emit(OriginChanged(group, options.origin.url, state.value, cause))

        self.breaker = Breaker(breaker, clock(), moved)

    def weight(self, now: float) -> float:
        """Its weight as it counts now; see Weighted."""
        return self.options.weight * self.breaker.share(now)

    def begin(self) -> int:
        """A request is about to be sent; its ticket."""
        self.in_flight += 1
        self.requests += 1
        breaker = self.breaker
        return breaker.ticket if breaker.up else breaker.admit()

    def abandoned(self, ticket: int) -> None:
        """The request ended before its answer, and not by this origin's fault."""
        self.in_flight -= 1
        self.breaker.abandoned(ticket)

    def answered(self, ticket: int, status: int) -> int:
        """A response has begun; the ticket under which it goes on."""
        if self.breaker.options.fails(status):
            self._blame(ticket, f"status {status}")
            return VOID
        self.breaker.answered(ticket, self._clock())
        return ticket

    def completed(self, ticket: int) -> None:
        """The response has arrived to its end."""
        self.in_flight -= 1
        self.breaker.completed(ticket)

    def served(self, ticket: int, status: int) -> None:
        """The response has arrived to its end, in one piece."""
        breaker = self.breaker
        if breaker.up and not breaker.options.statuses:
            self.in_flight -= 1
            if breaker.in_a_row:
                breaker.completed(ticket)
        else:
            self.completed(self.answered(ticket, status))

    def failed(self, ticket: int, reason: Reason) -> None:
        """There is no response, or not the rest of it, by this origin's fault."""
        self.in_flight -= 1
        self._blame(ticket, reason.value)

    def left(self) -> None:
        """Nobody wants the rest of the response."""
        self.in_flight -= 1

    def status(self) -> MemberStatus:
        """How it is now."""
        now, breaker = self._clock(), self.breaker
        state = breaker.state(now).value
        return MemberStatus(
            url=self.options.origin.url,
            state=state,
            since=now - breaker.since,
            cause=breaker.cause,
            weight=self.options.weight,
            backup=self.options.backup,
            in_flight=self.in_flight,
            requests=self.requests,
            failures=self.failures,
            last_failure=self.last_failure,
        )

    async def close(self) -> None:
        """Close all connections; responses still being read are cut short."""
        await self.client.close()

    def _blame(self, ticket: int, cause: str) -> None:
        self.failures += 1
        self.last_failure = cause
        self.breaker.failed(ticket, self._clock(), cause)
