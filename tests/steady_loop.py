"""An event loop for which time stands still while the machine does.

A test and what it tests share a loop. Were the process stopped for two seconds, time limits of a
tenth would be over at once when it goes on, before anything that is due within them could happen.
Here no turn of the loop takes longer than it was to wait, and a moment for what it had to do.
"""

import asyncio
import selectors
import time
from typing import Final

import pytest

ON_A_STEADY_LOOP: Final = pytest.mark.asyncio(loop_factories=["asyncio"])
"""For tests of limits that are not to be reached, where others run on uvloop as well."""

MOMENT: Final = 0.02
"""Seconds that a turn may take in the clock of the loop, besides its waiting."""


class SteadyLoop(asyncio.SelectorEventLoop):
    """What asyncio takes anyway, with `time` as above."""

    def __init__(self) -> None:
        self._selects = _TimedSelector()
        super().__init__(self._selects)

    def time(self) -> float:
        return self._selects.time()


class _TimedSelector(selectors.DefaultSelector):
    """Tells the time by what it was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self._now = self._seen = time.monotonic()

    def time(self) -> float:
        return self._now + min(time.monotonic() - self._seen, MOMENT)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._now, self._seen = self.time(), time.monotonic()
        events = super().select(timeout)
        seen = time.monotonic()
        passed = seen - self._seen
        self._now += passed if timeout is None else min(passed, max(timeout, 0.0) + MOMENT)
        self._seen = seen
        return events
