"""Asking origins how they are, apart from all requests of clients."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from proxy.background import kept
from proxy.events import Emit
from proxy.origin.client import OriginClient
from proxy.origin.errors import OriginError
from proxy.origin.member import Member
from proxy.origin.outbound import Outbound
from proxy.rfc9111.messages import Headers

_JITTER = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How to ask. All durations in seconds.

    Attributes:
        path: Request target of the GET.
        interval: Between two checks of one origin, give or take a tenth: nodes that start
            together do not ask together for ever.
        timeout: For the connection, and again for the response head.
        healthy: Passed checks in a row after which an origin that failed them counts as back.
        unhealthy: Failed checks in a row after which it counts as down.
        statuses: Ranges of statuses that pass.
        host: What Host says; None for the authority of the origin's URL.
    """

    path: str
    interval: float = 5.0
    timeout: float = 2.0
    healthy: int = 2
    unhealthy: int = 3
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)
    host: str | None = None


class Verdict:
    """What checks in a row amount to; healthy until they say otherwise."""

    def __init__(self, options: CheckOptions) -> None:
        self.healthy = True
        self._options = options
        self._against = 0

    def note(self, *, passed: bool) -> bool:
        """Note a check; whether it changed the verdict."""
        if passed is self.healthy:
            self._against = 0
            return False
        self._against += 1
        needed = self._options.unhealthy if self.healthy else self._options.healthy
        if self._against < needed:
            return False
        self.healthy = passed
        self._against = 0
        return True


class Checks:
    """Checks one origin again and again, in a supervised task of its own.

    Must be made while an event loop runs; end with `stop`.

    Args:
        member: Whose breaker is told.
        options: See above.
        clock: The breaker's.
        emit: Is told about bugs.
        random: Spreads the checks.
    """

    def __init__(
        self,
        member: Member,
        options: CheckOptions,
        *,
        clock: Callable[[], float],
        emit: Emit,
        random: Random,
    ) -> None:
        self.options = options
        self._member = member
        self._clock = clock
        self._random = random
        self._verdict = Verdict(options)
        # Not the pool of the requests: when that is crowded, the origin is not down.
        self._client = OriginClient(
            replace(
                member.options.origin,
                connect_timeout=options.timeout,
                header_timeout=options.timeout,
                connections=1,
            )
        )
        self._headers = Headers(
            {
                "Host": options.host or self._client.endpoint.authority,
                "User-Agent": "warmfront-health",
            }
        )
        self._task = asyncio.create_task(kept("health checks", self._run, emit))

    async def stop(self) -> None:
        """Check no more."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._client.close()

    async def _run(self) -> None:
        # Not all origins at once, and none long after the start.
        await asyncio.sleep(self._random.uniform(0.0, min(1.0, self.options.interval)))
        while True:
            await self._check()
            spread = self._random.uniform(1.0 - _JITTER, 1.0 + _JITTER)
            await asyncio.sleep(self.options.interval * spread)

    async def _check(self) -> None:
        problem = await self._problem()
        if not self._verdict.note(passed=problem is None):
            return
        breaker, now = self._member.breaker, self._clock()
        if problem is None:
            breaker.release(now)
        else:
            breaker.hold(now, f"checks fail: {problem}")

    async def _problem(self) -> str | None:
        """What is wrong with the origin; None for nothing."""
        try:
            response = await self._client.fetch(Outbound("GET", self.options.path, self._headers))
        except OriginError as error:
            return error.reason.value
        await response.aclose()
        if any(low <= response.status <= high for low, high in self.options.statuses):
            return None
        return f"status {response.status}"
