"""Whether an origin gets requests: health and circuit breaker, as one mechanism.

           failures in a row, or failed checks
     UP ----------------------------------------> DOWN <-----------------+
     ^ ^                                           |                     |
     | |  without slow_start      the pause ends,  |                     | one fails:
     | +---------------------+    or checks pass   v                     | the pause doubles
     |                       +--------------- HALF_OPEN: `trials` -------+
     | slow_start is over    | all succeed      requests, no more
     +------- SLOW_START <---+

Requests judge by what they meet, checks by what they ask for; both only move this one state.
Failed checks hold an origin DOWN however long it takes. Passed checks end the pause early, and
then the trials, which are real requests, decide: a health page may be fine while all else fails.

Every request gets a ticket when it is let through. What an older ticket reports after the state
has moved on is ignored, so a burst of failures opens the breaker once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

VOID = -1
"""A ticket under which nothing more is told."""

_LEAST_SHARE = 0.1


class State(StrEnum):
    """What an origin is trusted with."""

    UP = "up"
    DOWN = "down"
    HALF_OPEN = "half_open"
    SLOW_START = "slow_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """When an origin is left alone. All durations in seconds.

    Attributes:
        failures: So many in a row, without one whole response between; None: never.
        statuses: Ranges of statuses that count as failures, besides errors: ((500, 599),).
        pause: Before it is tried again for the first time; doubles with each trial that fails.
        max_pause: Where that ends.
        trials: Requests that try whether it is back, all of which must succeed.
        slow_start: Over which its share of the requests grows again.
    """

    failures: int | None = None
    statuses: tuple[tuple[int, int], ...] = ()
    pause: float = 1.0
    max_pause: float = 30.0
    trials: int = 1
    slow_start: float = 0.0

    def fails(self, status: int) -> bool:
        """Whether a response with this status is a failure of the origin."""
        return bool(self.statuses) and any(low <= status <= high for low, high in self.statuses)


class Breaker:
    """Pure bookkeeping: `now` is passed in, in seconds of any clock that only goes forward.

    Whoever gets a ticket of `admit` reports what came of it: `answered`, `failed` or `abandoned`;
    after `answered` also `completed` or `failed`, where the rest of the response tells.

    Attributes:
        options: May be replaced at any time.
        since: When the state began.
        cause: What brought it about, for operators; "" at first.
        up: The state is UP, which time alone does not change.
        ticket: Of requests that are let through now.
        in_a_row: Failures without a whole response between.

    Args:
        options: See above.
        now: The time.
        moved: Is told the new state and its cause whenever that changes.
    """

    __slots__ = (
        "_held",
        "_moved",
        "_passed",
        "_pause",
        "_retry_at",
        "_state",
        "_trials",
        "cause",
        "in_a_row",
        "options",
        "since",
        "ticket",
        "up",
    )

    def __init__(
        self, options: BreakerOptions, now: float, moved: Callable[[State, str], None]
    ) -> None:
        self.options = options
        self.since = now
        self.cause = ""
        self._moved = moved
        self._state = State.UP
        self.up = True
        self.ticket = 0
        self.in_a_row = 0
        self._pause = options.pause
        self._retry_at = inf
        self._held = False
        self._trials = 0
        self._passed = 0

    def state(self, now: float) -> State:
        """The state, moved on by what time alone has changed."""
        if self._state is State.DOWN and now >= self._retry_at:
            self._try(now, "the pause is over")
        elif self._state is State.SLOW_START and now >= self.since + self.options.slow_start:
            self._move(State.UP, now, "slow start is over")
        return self._state

    def permits(self, now: float) -> bool:
        """Whether a request may go there now."""
        if self.up:
            return True
        match self.state(now):
            case State.DOWN:
                return False
            case State.HALF_OPEN:
                return self._trials + self._passed < self.options.trials
            case State.UP | State.SLOW_START:
                return True

    @property
    def trying(self) -> bool:
        """Whether who is let through now is a trial."""
        return self._state is State.HALF_OPEN

    def admit(self) -> int:
        """Let a request through that `permits` permitted; its ticket."""
        if self._state is State.HALF_OPEN:
            self._trials += 1
        return self.ticket

    def answered(self, ticket: int, now: float) -> None:
        """A response has begun."""
        if ticket != self.ticket or self._state is not State.HALF_OPEN:
            return
        self._trials -= 1
        self._passed += 1
        if self._passed >= self.options.trials:
            self._pause = self.options.pause
            back = State.SLOW_START if self.options.slow_start else State.UP
            self._renew(back, now, "trials succeeded")

    def completed(self, ticket: int) -> None:
        """A response has arrived to its end."""
        if ticket == self.ticket:
            self.in_a_row = 0

    def failed(self, ticket: int, now: float, cause: str) -> None:
        """The request, or what was left of its response, failed by the origin's fault."""
        if ticket != self.ticket or self._state is State.DOWN:
            return
        if self._state is State.HALF_OPEN:
            self._pause = min(2 * self._pause, self.options.max_pause)
            self._open(now, cause)
            return
        self.in_a_row += 1
        if self.options.failures is not None and self.in_a_row >= self.options.failures:
            self._open(now, f"{self.in_a_row} failures in a row; the last: {cause}")

    def abandoned(self, ticket: int) -> None:
        """The request ended before an answer, not by the origin's fault: another may try."""
        if ticket == self.ticket and self._state is State.HALF_OPEN:
            self._trials -= 1

    def hold(self, now: float, cause: str) -> None:
        """Checks fail: DOWN until `release`."""
        self._held = True
        if self._state is State.DOWN:
            self._retry_at = inf
        else:
            self._open(now, cause)

    def release(self, now: float) -> None:
        """Checks pass again, or there are none any more."""
        if self._held:
            self._held = False
            self._try(now, "checks no longer fail")

    def share(self, now: float) -> float:
        """Of its weight, how much counts: 0.1 growing to 1 in SLOW_START, else 1."""
        if self._state is not State.SLOW_START or self.state(now) is State.UP:
            return 1.0
        return max(_LEAST_SHARE, min(1.0, (now - self.since) / self.options.slow_start))

    def retry_in(self, now: float) -> float:
        """Seconds until it is tried again; inf where only checks know."""
        return max(0.0, self._retry_at - now) if self._state is State.DOWN else 0.0

    def _open(self, now: float, cause: str) -> None:
        self._retry_at = inf if self._held else now + self._pause
        self._renew(State.DOWN, now, cause)

    def _try(self, now: float, cause: str) -> None:
        self._trials = self._passed = 0
        self._renew(State.HALF_OPEN, now, cause)

    def _renew(self, state: State, now: float, cause: str) -> None:
        """Change the state and forget what was before it."""
        self.ticket += 1
        self.in_a_row = 0
        self._move(state, now, cause)

    def _move(self, state: State, now: float, cause: str) -> None:
        self._state, self.since, self.cause = state, now, cause
        self.up = state is State.UP
        self._moved(state, cause)
