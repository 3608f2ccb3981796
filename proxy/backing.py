"""What keeps entries and knows of purges: this process's memory, or that with Redis behind it."""

import asyncio
from collections.abc import Callable, Sequence

from proxy.background import Background
from proxy.events import Emit
from proxy.purging import TAIL_TIMEOUT, Purge, PurgeLog, RedisPurgeLog, Timing
from proxy.redis_link import Client, Mode, RedisLink, RedisOptions, connect, shut
from proxy.stores import MemoryStore, Store
from proxy.stores.fill_lock import FillLocks
from proxy.stores.index import TagIndex
from proxy.stores.memory import Purged
from proxy.stores.reclaiming import Reclaimer
from proxy.stores.redis import RedisStore, RedisStoreOptions
from proxy.stores.redis_fill import RedisFill
from proxy.stores.tiered import TieredStore

_MOST_WAITING = 64
"""Purges whose memory is yet to be reclaimed; with more, all that is held is looked through."""


class Backing:
    """The purge log and the store, with what they stand on.

    Attributes:
        log: What was purged.
        memory: The store in this process.
        store: What the gateway uses: `memory`, or `shared` behind it.
        link: The way to Redis; None without.
        shared: The store in Redis; None without.
        index: Which keys carry which tag in Redis; None without.
        redis_fill: How full that is; None without.
        on_purged: Called with what purges have concerned in memory, some time after they came.
        on_reclaimed: Called when that was all.
    """

    def __init__(
        self,
        log: PurgeLog,
        *,
        max_size: int,
        clock: Callable[[], float],
        background: Background,
    ) -> None:
        self.log = log
        self.memory = MemoryStore(max_size, clock, log.state)
        self.store: Store = self.memory
        self.link: RedisLink | None = None
        self.shared: RedisStore | None = None
        self.index: TagIndex | None = None
        self.redis_fill: RedisFill | None = None
        self._background = background
        self.on_purged: list[Callable[[Sequence[Purged]], None]] = []
        self.on_reclaimed: list[Callable[[], None]] = []
        self._to_reclaim: list[Purge | None] = []
        self._clients: tuple[Client, ...] = ()
        self._watch()

    @classmethod
    def with_redis(
        cls,
        options: RedisOptions,
        *,
        max_size: int,
        store: RedisStoreOptions,
        timing: Timing,
        tag_index: bool,
        fill_lock: bool,
        clock: Callable[[], float],
        background: Background,
        emit: Emit,
    ) -> "Backing":
        """Redis behind memory; must be made while an event loop runs."""
        client = connect(options)
        tail = connect(options, socket_timeout=TAIL_TIMEOUT, max_connections=1)
        log = RedisPurgeLog(
            client, tail, emit=emit, namespace=options.prefix.rstrip(":"), timing=timing
        )
        link = RedisLink(options, emit)
        backing = cls(log, max_size=max_size, clock=clock, background=background)
        backing.link = link
        backing.shared = RedisStore(link, clock, store)
        backing.index = TagIndex(link, clock) if tag_index else None
        backing.redis_fill = RedisFill(link)
        if options.mode is not Mode.CLUSTER:
            background.keep("fill of redis", backing.redis_fill.run)
        tiered = TieredStore(
            backing.memory,
            backing.shared,
            log.judge,
            clock,
            index=backing.index,
            locks=FillLocks(link) if fill_lock else None,
        )
        backing.store = tiered
        backing._clients = (client, tail)
        if tag_index:
            # One process of the fleet does it: that which has recorded the purge.
            reclaimer = Reclaimer(tiered, lambda: log.trusted)
            log.on_append.append(reclaimer.note)
            background.keep("reclaim in redis", reclaimer.run)
        return backing

    async def start(self) -> None:
        """Begin to read the log."""
        if self.link is not None:
            await self.link.start()
        await self.log.start()

    async def close(self) -> None:
        """Let go of Redis, after what is on its way there has had a moment."""
        if isinstance(self.store, TieredStore):
            await self.store.close()
        await self.log.close()
        if self.link is not None:
            await self.link.close()
        for client in self._clients:
            await shut(client)

    def _watch(self) -> None:
        self.log.on_purge.append(self._reclaim_later)
        self.log.on_reset.append(lambda: self._reclaim_later(None))

    def _reclaim_later(self, purge: Purge | None) -> None:
        self._to_reclaim.append(purge)
        if len(self._to_reclaim) > _MOST_WAITING:
            self._to_reclaim[:] = [None]
        self._background.start("reclaim", self._reclaim())

    async def _reclaim(self) -> None:
        """Give memory back a little at a time: requests come first."""
        while self._to_reclaim:
            for purged in self.memory.reclaim(self._to_reclaim.pop(0)):
                for note in self.on_purged:
                    note(purged)
                await asyncio.sleep(0)
            for end in self.on_reclaimed:
                end()
