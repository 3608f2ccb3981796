"""How many exchanges may run at a time."""

import asyncio
import sys
from collections import deque


class Slots:
    """A number of places; who finds none waits, and is served in turn.

    Args:
        limit: How many there are; 0 for no limit.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, limit: int) -> None:
        # Nobody waits while one is free.
        self._free = limit or sys.maxsize
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take_now(self) -> bool:
        """Take a slot if one is free."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def take(self) -> None:
        """Take a slot, and wait for it as long as the caller lets us."""
        if self.take_now():
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def give_back(self) -> None:
        """Give back what was taken."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
