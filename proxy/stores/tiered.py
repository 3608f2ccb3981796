"""Memory in front of Redis: one store.

- A hit in memory awaits nothing of Redis. What memory does not have is read from Redis, once for
  all who ask at the same time, judged by the purge log, and kept in memory as it is: its age and
  what it was born after do not change by moving.
- What is stored is in memory at once and in Redis soon; nobody waits for Redis.
- Where Redis is of no help, this is the memory store.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from proxy.purging.scopes import scopes_of
from proxy.purging.state import Invalid, Judgement, Softened, Unknown, Valid
from proxy.redis_link import Access, LinkError
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse, VariantKey
from proxy.stores.entry import CacheKey, Enough, Entry, Filled, Kept, Lease, softened
from proxy.stores.fill_lock import FillLocks, Waited
from proxy.stores.index import TagIndex
from proxy.stores.memory import Promoted
from proxy.stores.redis import RedisStore, renews
from proxy.stores.sharing import shared_entry
from proxy.stores.write_behind import WriteBehind

Judge: TypeAlias = Callable[[int, str, Sequence[str]], Awaitable[Judgement]]
"""(born, URL, scopes) to what the purge log says of an entry."""

_REMEMBERED_REMOVALS = 4096
_RECLAIMED_AT_ONCE = 16


_Read: TypeAlias = Sequence[Entry] | LinkError | None
"""What has come of a read; None for nothing, as it was cancelled."""


class Memory(Protocol):
    """What is asked of the store in memory."""

    @property
    def changes(self) -> int:
        """See MemoryStore."""
        ...

    def lookup_now(self, key: CacheKey, *, counts: bool = True) -> Sequence[Kept]:
        """See Store."""
        ...

    def put(
        self,
        key: CacheKey,
        entry: Entry,
        *,
        replaces: Entry | None = None,
        promoted: Promoted | None = None,
    ) -> Awaitable[Reason | None]:
        """See MemoryStore."""
        ...

    def remove(self, key: CacheKey, entry: Entry) -> Awaitable[None]:
        """See Store."""
        ...


@dataclass(slots=True)
class TierCounts:
    """Where lookups ended.

    Attributes:
        memory: In memory.
        shared: In Redis.
        nowhere: Nowhere.
        helpless: Nowhere in memory, and Redis was of no help.
        purged: Entries in Redis that a purge had made worthless.
    """

    memory: int = 0
    shared: int = 0
    nowhere: int = 0
    helpless: int = 0
    purged: int = 0


@dataclass(frozen=True, slots=True)
class _Outlived:
    """An entry that purges have left, and what memory is to know of that."""

    entry: Entry
    known: Promoted


class TieredStore:
    """Memory, then Redis. See the module.

    Attributes:
        counts: Where lookups ended.
        writes: What is on its way to Redis.
    """

    at_once: Final = None

    def __init__(
        self,
        memory: Memory,
        shared: RedisStore,
        judge: Judge,
        clock: Callable[[], float],
        *,
        index: TagIndex | None = None,
        locks: FillLocks | None = None,
        queue_keys: int = 4096,
        queue_size: int = 64 << 20,
    ) -> None:
        self.counts = TierCounts()
        self.writes = WriteBehind(
            self._put_shared, shared.remove, max_keys=queue_keys, max_size=queue_size
        )
        self._memory = memory
        self._shared = shared
        self._judge = judge
        self._clock = clock
        self._index = index
        self._locks = locks
        self._reads: dict[CacheKey, list[asyncio.Future[_Read]]] = {}
        self._removed: OrderedDict[_Identity, None] = OrderedDict()

    async def lookup(self, key: CacheKey, enough: Enough = bool) -> Sequence[Entry]:
        """All variants under `key`, oldest first; () for none.

        Memory's answer will do where it is `enough`: by default, where there is any.
        """
        held = self._held(key)
        if held and enough(held):
            self.counts.memory += 1
            return held
        return await self.lookup_shared(key)

    def lookup_now(self, key: CacheKey, *, counts: bool = True) -> Sequence[Kept]:
        """See Store: what memory has."""
        held = self._memory.lookup_now(key, counts=counts)
        self.counts.memory += counts and bool(held)
        return held

    async def lookup_shared(self, key: CacheKey) -> Sequence[Entry]:
        """What memory has when it has been given what Redis has."""
        on_their_way = [shared_entry(entry) for entry in self.writes.pending(key)]
        try:
            read = await self._read(key)
        except LinkError:
            self.counts.helpless += 1
            return self._held(key)
        found = []
        for entry in (*read, *on_their_way):
            if self._removed and _identity(key, entry) in self._removed:
                continue
            outlived = await self._judged(key, entry, entry.response.born)
            if outlived is not None:
                found.append(outlived)
        if found:
            self.counts.shared += 1
        else:
            self.counts.nowhere += 1
        return await self._promote(key, found)

    async def put(
        self, key: CacheKey, entry: Entry, *, replaces: Entry | None = None
    ) -> Reason | None:
        """See Store: in memory at once, in Redis soon."""
        outcome = await self._memory.put(key, entry, replaces=replaces)
        queued = outcome in (None, Reason.TOO_LARGE) and self._put_soon(key, entry)
        if replaces is not None:
            self._forget(key, replaces, in_redis=not (queued and renews(replaces, entry)))
        return None if queued else outcome

    async def remove(self, key: CacheKey, entry: Entry) -> None:
        """See Store: from memory at once and from Redis soon; until then it is not found."""
        await self._memory.remove(key, entry)
        self._forget(key, entry)

    async def begin_fill(
        self, key: CacheKey, born: int, enough: Enough = bool
    ) -> Lease | Sequence[Entry]:
        """See Store: one at a time, across all that share Redis."""
        if self._locks is None:
            return Lease(key)
        deadline = self._locks.deadline()
        while True:
            lease = await self._locks.take(key, born)
            if lease is None:
                waited = await self._locks.wait(key, born, deadline)
                if waited is not Waited.LOOK:
                    return Lease(key, alone=waited is Waited.ALONE)
            elif not lease.stored:
                return lease
            found = await self._look_again(key, lease, enough)
            if found is not None:
                return found
            if lease is not None:
                return lease

    def end_fill(self, lease: Lease, outcome: Filled) -> None:
        """See Store: those that wait are woken when what was put meanwhile has reached Redis."""
        locks = self._locks
        if locks is not None and lease.token:
            self.writes.afterwards(lease.key, lambda: locks.release(lease, outcome))

    async def _look_again(
        self, key: CacheKey, lease: Lease | None, enough: Enough
    ) -> Sequence[Entry] | None:
        """What has been stored meanwhile, if it is enough; then nobody needs the lease."""
        try:
            found = await self.lookup_shared(key)
        except asyncio.CancelledError:
            if lease is not None:
                self.end_fill(lease, Filled.FAILED)
            raise
        if not enough(found):
            return None
        if lease is not None:
            self.end_fill(lease, Filled.STORED)
        return found

    async def reclaim(self, tag: str) -> AsyncGenerator[int, None]:
        """Drop from Redis what was purged among all that carries `tag`, in small steps.

        Yields:
            After each step, how many entries it has dropped.

        Raises:
            LinkError: Redis is of no help now.
        """
        offset = 0
        while self._index is not None and (
            marks := await self._index.marks(tag, _RECLAIMED_AT_ONCE, offset)
        ):
            gone, dropped = [], 0
            for mark in marks:
                purged, kept = await self._drop_purged(mark.key)
                dropped += purged
                if not kept:
                    gone.append(mark)
            offset += len(marks) - len(gone)
            if gone:
                await self._index.discard(tag, gone)
            yield dropped

    async def _drop_purged(self, key: CacheKey) -> tuple[int, int]:
        """Drop from Redis what was purged under `key`; how many entries, and how many are left."""
        records = await self._shared.records(key)
        purged = [one for one in records if await self._is_purged(key, one.response)]
        for record in purged:
            await self._shared.drop(record)
        return len(purged), len(records) - len(purged)

    async def _is_purged(self, key: CacheKey, response: StoredResponse) -> bool:
        scopes = scopes_of(key.url, response.tags, response.groups)
        return isinstance(await self._judge(response.born, key.url, scopes), Invalid)

    async def close(self, limit: float = 1.0) -> None:
        """Give the queue `limit` seconds, then let go."""
        await self.writes.drain(limit)
        await self.writes.close()
        if self._locks is not None:
            await self._locks.close()

    async def _read(self, key: CacheKey) -> Sequence[Entry]:
        """Read from Redis, together with all who want to read the same now."""
        while (waiting := self._reads.get(key)) is not None:
            turn: asyncio.Future[_Read] = asyncio.get_running_loop().create_future()
            waiting.append(turn)
            read = await turn
            if isinstance(read, LinkError):
                raise type(read)(*read.args) from read
            if read is not None:
                return read
        return await self._read_for_all(key)

    async def _read_for_all(self, key: CacheKey) -> Sequence[Entry]:
        """Read, and hand it to whoever comes meanwhile; where this is cancelled, they read."""
        self._reads[key] = []
        try:
            read = await self._shared.lookup(key)
        except LinkError as error:
            self._hand_on(key, error)
            raise
        except BaseException:
            self._hand_on(key, None)
            raise
        self._hand_on(key, read)
        return read

    def _hand_on(self, key: CacheKey, read: _Read) -> None:
        for turn in self._reads.pop(key):
            if not turn.done():
                turn.set_result(read)

    async def _judged(self, key: CacheKey, entry: Entry, since: int) -> _Outlived | None:
        """The entry as the purge log leaves it, None where it must not be used.

        Args:
            key: Where it belongs.
            entry: What to judge.
            since: Number of the last purge that it is known to have outlived.
        """
        response = entry.response
        scopes = scopes_of(key.url, response.tags, response.groups)
        changes = self._memory.changes  # before: what comes meanwhile is judged by memory
        match await self._judge(since, key.url, scopes):
            case Valid(through=through):
                return _Outlived(entry, Promoted(through, changes))
            case Softened(at=at, through=through):
                stale = softened(entry, min(at, self._clock()))
                return _Outlived(stale, Promoted(through, changes))
            case Invalid():
                self.counts.purged += 1
                self._remove_soon(key, entry)
                return None
            case Unknown():  # to this process, now: others may well use it
                return None

    async def _promote(self, key: CacheKey, found: Sequence[_Outlived]) -> Sequence[Entry]:
        """Put into memory what was found, and look there.

        Memory judges anew, as purges may have come while Redis was asked; what is too large for
        memory is judged once more at the end.
        """
        known = {_identity(key, entry) for entry in self._held(key)}
        large = []
        for one in found:
            if known and _identity(key, one.entry) in known:
                continue
            outcome = await self._memory.put(key, one.entry, promoted=one.known)
            if outcome is Reason.TOO_LARGE:
                large.append(one)
        if not large:
            return self._held(key)
        again = [await self._judged(key, one.entry, one.known.through) for one in large]
        left = [one.entry for one in again if one is not None]
        return _newest(key, [*self._held(key), *left])

    def _held(self, key: CacheKey) -> list[Entry]:
        return [one.entry for one in self._memory.lookup_now(key)]

    async def _put_shared(self, key: CacheKey, entry: Entry) -> None:
        refused = await self._shared.put(key, entry)
        if refused is None and self._index is not None:
            await self._index.add(key, entry)

    def _put_soon(self, key: CacheKey, entry: Entry) -> bool:
        self._removed.pop(_identity(key, entry), None)
        if not self._shared.usable(key, Access.WRITE):
            self.writes.counts.dropped += 1
            return False
        return self.writes.put(key, entry)

    def _forget(self, key: CacheKey, entry: Entry, *, in_redis: bool = True) -> None:
        """Do not find this entry any more, whether or not Redis still has it."""
        self._removed[_identity(key, entry)] = None
        while len(self._removed) > _REMEMBERED_REMOVALS:
            self._removed.popitem(last=False)
        if in_redis:
            self._remove_soon(key, entry)

    def _remove_soon(self, key: CacheKey, entry: Entry) -> None:
        if self._shared.usable(key, Access.WRITE):
            self.writes.remove(key, entry)


_Identity: TypeAlias = tuple[CacheKey, VariantKey, float, float, int, int]


def _identity(key: CacheKey, entry: Entry) -> _Identity:
    """What tells an entry from every other, also when it has been to Redis and back."""
    response = entry.response
    times = (response.request_time, response.freshness.response_time)
    return (key, response.variant, *times, response.born, len(entry.body))


def _newest(key: CacheKey, entries: Sequence[Entry]) -> list[Entry]:
    """One entry per variant, the one asked for last; of equals the last, of copies the first."""
    best: dict[VariantKey, Entry] = {}
    for entry in entries:
        variant = entry.response.variant
        old = best.get(variant)
        if old is not None and (
            old.response.request_time > entry.response.request_time
            or _identity(key, old) == _identity(key, entry)
        ):
            continue
        best.pop(variant, None)
        best[variant] = entry
    return list(best.values())
