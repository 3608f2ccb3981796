"""Work that outlives the request that started it: bounded, one at a time per key, supervised."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, TypeAlias

from proxy.events import BackgroundFailed, Emit

Work: TypeAlias = Coroutine[Any, Any, None]

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0


async def kept(name: str, make: Callable[[], Work], emit: Emit) -> None:
    """Run what `make` makes for ever: after a bug it is told, and made anew after a pause.

    The pause doubles with each failure, and is short again once the work has run for longer than
    the longest. Work that ends has failed too, since it was meant to go on.
    """
    loop = asyncio.get_running_loop()
    pause = _FIRST_PAUSE
    while True:
        began = loop.time()
        try:
            await make()
            error: Exception = RuntimeError("work that was to go on has ended")
        except Exception as failure:  # noqa: BLE001 - whatever the bug is, it is told
            error = failure
        emit(BackgroundFailed(name, error))
        if loop.time() - began > _LONGEST_PAUSE:
            pause = _FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


class Background:
    """Runs coroutines as tasks that nobody awaits.

    Attributes:
        limit: Most tasks at a time; more are refused, since all of them are optional. What is
            kept running does not count.
    """

    def __init__(self, emit: Emit, limit: int = 256) -> None:
        self.limit = limit
        self._emit = emit
        self._running: dict[Hashable, asyncio.Task[None]] = {}
        self._kept: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        """How many tasks run, apart from those that never end."""
        return len(self._running)

    def keep(self, name: str, make: Callable[[], Work]) -> None:
        """Have work done until `close`, whatever befalls it; see `kept`."""
        task = asyncio.get_running_loop().create_task(kept(name, make, self._emit), name=name)
        self._kept.append(task)

    def start(self, key: Hashable, work: Work) -> bool:
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
        """Wait for all that runs now and has an end."""
        if self._running:
            await asyncio.wait(list(self._running.values()))

    async def close(self) -> None:
        """Cancel all that runs and wait for it to end."""
        tasks = [*self._kept, *self._running.values()]
        self._kept.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, key: Hashable, task: asyncio.Task[None]) -> None:
        del self._running[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._emit(BackgroundFailed(task.get_name(), error))
