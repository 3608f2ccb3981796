"""How many exchanges may run at a time."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 4.0
"""Seconds after which who has a slot and is of no use loses it to those that wait."""


class Slots:
    """A number of places; who finds none waits, and is served in turn.

    Args:
        limit: How many there are; 0 for no limit.

    Attributes:
        free: How many nobody has.
        make_room: Called when somebody waits, and again after `PATIENCE`.
    """

    __slots__ = ("_waiting", "free", "make_room")

    def __init__(self, limit: int) -> None:
        # Nobody waits while one is free.
        self.free = limit or sys.maxsize
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.make_room: Callable[[], None] = lambda: None

    def take_now(self) -> bool:
        """Take a slot if one is free."""
        if not self.free:
            return False
        self.free -= 1
        return True

    async def take(self) -> None:
        """Take a slot, and wait for it as long as the caller lets us."""
        if self.take_now():
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        self.make_room()
        later = loop.call_later(PATIENCE, self.make_room)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise
        finally:
            later.cancel()

    def give_back(self) -> None:
        """Give back what was taken."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1
