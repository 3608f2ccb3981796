"""Writes that nobody waits for, in order for each key, bounded in number and in bytes.

What there is no room for is dropped and counted: a cache may forget, it may not hold anybody up.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from proxy.redis_link import LinkError
from proxy.rfc9111.stored import VariantKey
from proxy.stores.entry import CacheKey, Entry

Step: TypeAlias = Callable[[], Awaitable[object]]

_WORKERS = 64
"""They mostly wait; what many of them send at one moment goes together, and keeps up with a crowd
of misses.
"""


@dataclass(slots=True)
class _Work:
    """What is to be done for one key: drop, then keep, then what comes afterwards."""

    removals: list[Entry] = field(default_factory=list)
    entries: dict[VariantKey, Entry] = field(default_factory=dict)
    endings: list[Step] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(entry.size for entry in (*self.removals, *self.entries.values()))


@dataclass(slots=True)
class WriteCounts:
    """What became of writes.

    Attributes:
        written: Reached Redis.
        dropped: Found no room in the queue, or Redis away at once.
        failed: Were tried in vain.
    """

    written: int = 0
    dropped: int = 0
    failed: int = 0


class WriteBehind:
    """The queue and those who work it off.

    Attributes:
        counts: What became of writes.
    """

    def __init__(
        self,
        put: Callable[[CacheKey, Entry], Awaitable[object]],
        remove: Callable[[CacheKey, Entry], Awaitable[object]],
        *,
        max_keys: int = 4096,
        max_size: int = 64 << 20,
        workers: int = _WORKERS,
    ) -> None:
        self.counts = WriteCounts()
        self._put = put
        self._remove = remove
        self._max_keys = max_keys
        self._max_size = max_size
        self._max_workers = workers
        self._queue: OrderedDict[CacheKey, _Work] = OrderedDict()
        self._in_hand: dict[CacheKey, _Work] = {}
        self._size = 0
        self._workers: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many keys have something to be done."""
        return len(self._queue) + len(self._in_hand)

    @property
    def size(self) -> int:
        """Bytes of all that is queued or in hand."""
        return self._size

    def put(self, key: CacheKey, entry: Entry) -> bool:
        """Keep `entry` soon; False where there is no room."""
        work = self._room_for(key, entry)
        if work is None:
            return False
        replaced = work.entries.pop(entry.response.variant, None)
        self._size -= replaced.size if replaced is not None else 0
        work.entries[entry.response.variant] = entry
        return True

    def remove(self, key: CacheKey, entry: Entry) -> bool:
        """Drop `entry` soon, also where it has not even been written; False: no room."""
        queued = self._queue.get(key)
        if queued is not None and queued.entries.get(entry.response.variant) is entry:
            del queued.entries[entry.response.variant]
            self._size -= entry.size
        work = self._room_for(key, entry)
        if work is None:
            return False
        work.removals.append(entry)
        return True

    def afterwards(self, key: CacheKey, ending: Step) -> None:
        """Do this when all that is queued for `key` so far is done."""
        self._of(key).endings.append(ending)

    def pending(self, key: CacheKey) -> Sequence[Entry]:
        """What is queued for `key` and perhaps not in Redis yet."""
        works = (self._in_hand.get(key), self._queue.get(key))
        return [entry for work in works if work is not None for entry in work.entries.values()]

    async def drain(self, limit: float) -> None:
        """Give what is queued `limit` seconds to get done."""
        if self._workers:
            await asyncio.wait(set(self._workers), timeout=limit)

    async def close(self) -> None:
        """Leave the rest."""
        for task in self._workers:
            task.cancel()
        if self._workers:
            await asyncio.wait(set(self._workers))
        self.counts.dropped += sum(len(work.entries) for work in self._queue.values())
        self._queue.clear()
        self._size = 0

    def _room_for(self, key: CacheKey, entry: Entry) -> _Work | None:
        """The work of `key` with room for one more entry, which is counted already."""
        crowded = key not in self._queue and len(self) >= self._max_keys
        if crowded or self._size + entry.size > self._max_size:
            self.counts.dropped += 1
            return None
        self._size += entry.size
        return self._of(key)

    def _of(self, key: CacheKey) -> _Work:
        work = self._queue.setdefault(key, _Work())
        if len(self._workers) < self._max_workers:
            task = asyncio.get_running_loop().create_task(self._work_off(), name="redis writes")
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
        return work

    async def _work_off(self) -> None:
        while (key := self._next()) is not None:
            work = self._in_hand[key] = self._queue.pop(key)
            try:
                await self._do(key, work)
            finally:
                del self._in_hand[key]
                self._size -= work.size

    def _next(self) -> CacheKey | None:
        """The oldest key that nobody has in hand: what concerns one key stays in order."""
        return next((key for key in self._queue if key not in self._in_hand), None)

    async def _do(self, key: CacheKey, work: _Work) -> None:
        try:
            for entry in work.removals:
                await self._try(self._remove(key, entry))
            for entry in work.entries.values():
                await self._try(self._put(key, entry))
        finally:
            for ending in work.endings:
                await ending()

    async def _try(self, write: Awaitable[object]) -> None:
        try:
            await write
        except (LinkError, ValueError):
            self.counts.failed += 1
        else:
            self.counts.written += 1
