"""The last minutes: figures taken once a second, and who waits for the next ones."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from proxy.admin.control import Control, Stats
from proxy.admin.figures import Rates, Totals, rates

_logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
KEPT: Final = 300
"""Seconds of history."""
_WINDOW: Final = 5
"""Intervals over which a rate is taken: calm, and soon right."""


class Recent:
    """Takes figures as long as it runs.

    Args:
        clock: POSIX time.
        elapsed: Monotonic time.

    Attributes:
        rates: One for each second, the oldest first.
        stats: The last that were taken; None before.
    """

    def __init__(
        self,
        control: Control,
        *,
        clock: Callable[[], float],
        elapsed: Callable[[], float] = time.monotonic,
        interval: float = INTERVAL,
    ) -> None:
        self.rates: deque[Rates] = deque(maxlen=KEPT)
        self.stats: Stats | None = None
        self._control = control
        self._clock = clock
        self._elapsed = elapsed
        self._interval = interval
        self._totals: deque[tuple[float, Totals]] = deque(maxlen=_WINDOW)
        self._next: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; does nothing while it runs."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="figures")

    async def close(self) -> None:
        """Stop; who waits is told that there is nothing more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._wake()

    @property
    def running(self) -> bool:
        """Whether there will be more."""
        return self._task is not None

    async def next(self, timeout: float) -> bool:  # noqa: ASYNC109 - no failure
        """Wait for new figures, or for the end; whether that came in time."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([self._next], timeout=timeout)
        return bool(done)

    async def take(self) -> None:
        """Take figures now."""
        stats, now = await self._control.stats(), self._elapsed()
        at = self._clock()
        if self._totals:
            before, totals = self._totals[0]
            self.rates.append(rates(totals, stats.totals, seconds=max(now - before, 1e-3), at=at))
        self._totals.append((now, stats.totals))
        self.stats = stats
        self._wake()

    def last(self) -> Rates | None:
        """The latest rates; None in the first second."""
        return self.rates[-1] if self.rates else None

    def history(self) -> Sequence[Rates]:
        """All rates that are kept."""
        return tuple(self.rates)

    async def _run(self) -> None:
        while True:
            try:
                await self.take()
            except Exception:
                _logger.exception("No figures could be taken")
            await asyncio.sleep(self._interval)

    def _wake(self) -> None:
        waiting, self._next = self._next, None
        if waiting is not None:
            waiting.set_result(None)
