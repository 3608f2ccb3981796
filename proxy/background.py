"""Work that outlives the request that started it: bounded, one at a time per key, supervised."""

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any

from proxy.events import BackgroundFailed, Emit


class Background:
    """Runs coroutines as tasks that nobody awaits.

    Attributes:
        limit: Most tasks at a time; more are refused, since all of them are optional.
    """

    def __init__(self, emit: Emit, limit: int = 256) -> None:
        self.limit = limit
        self._emit = emit
        self._running: dict[Hashable, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """How many tasks run."""
        return len(self._running)

    def start(self, key: Hashable, work: Coroutine[Any, Any, None]) -> bool:
        """Run `work` unless one with the same key runs already or there are too many."""
        if key in self._running or len(self._running) >= self.limit:
            work.close()
            return False
        # Not named by the key, which may hold what must not be logged (a query, a cookie).
        task = asyncio.get_running_loop().create_task(
            work, name=getattr(work, "__qualname__", "background work")
        )
        self._running[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))
        return True

    async def drain(self) -> None:
        """Wait for all that runs now."""
        if self._running:
            await asyncio.wait(list(self._running.values()))

    async def close(self) -> None:
        """Cancel all that runs and wait for it to end."""
        for task in self._running.values():
            task.cancel()
        await self.drain()

    def _ended(self, key: Hashable, task: asyncio.Task[None]) -> None:
        del self._running[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._emit(BackgroundFailed(task.get_name(), error))
