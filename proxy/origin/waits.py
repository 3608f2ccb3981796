"""Many waits of the same length, and one timer for all of them."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Waits(Generic[T]):
    """Tells when something has waited for too long.

    Waits of equal length end in the order they began, so one timer, set for the oldest, serves
    all; starting and stopping a wait costs one entry in a dict.

    Args:
        seconds: Length of every wait.
        expire: Called with each item whose wait was not stopped in time.
    """

    __slots__ = ("_due", "_expire", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float, expire: Callable[[T], None]) -> None:
        self._seconds = seconds
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        self._due: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, item: T) -> None:
        """Begin to wait for `item`, which is not being waited for."""
        due = self._due[item] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._look)

    def stop(self, item: T) -> None:
        """Wait for `item` no longer, if it was waited for."""
        self._due.pop(item, None)

    def close(self) -> None:
        """Forget all."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        overdue = []
        for item, due in self._due.items():
            if due > now:
                self._timer = self._loop.call_at(due, self._look)
                break
            overdue.append(item)
        for item in overdue:
            # Ending one wait may have stopped another.
            if self._due.pop(item, None) is not None:
                self._expire(item)
