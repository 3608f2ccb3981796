"""What stands behind the gateway: the purge reaches memory, and nothing is lost on the way out."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from proxy.background import Background
from proxy.backing import Backing
from proxy.events import BackgroundFailed, Event
from proxy.purging import MemoryPurgeLog, Mode, tag_scope
from proxy.redis_link import RedisOptions, connect
from proxy.stores import CacheKey, reclaiming
from proxy.stores.redis import RedisStoreOptions
from proxy.stores.redis_fill import Fill
from proxy.stores.tiered import TieredStore
from tests.apparatus import eventually
from tests.purging.unhurried import TIMING
from tests.redis_server import RedisServer, patient, shared_redis
from tests.stores.conftest import Clock, make_entry

KEY = CacheKey("http://api/a")
_NAMESPACES = itertools.count()


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with shared_redis() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisOptions:
    namespace = f"backing{next(_NAMESPACES)}"
    return patient(redis_server.url, namespace=namespace)


@asynccontextmanager
async def backed(
    redis: RedisOptions | None, events: list[Event] | None = None
) -> AsyncIterator[Backing]:
    events = [] if events is None else events
    background = Background(events.append)
    clock = Clock()
    if redis is None:
        backing = Backing(
            MemoryPurgeLog(clock), max_size=1 << 20, clock=clock, background=background
        )
    else:
        backing = Backing.with_redis(
            redis,
            max_size=1 << 20,
            store=RedisStoreOptions(),
            timing=TIMING,
            tag_index=True,
            fill_lock=True,
            clock=clock,
            background=background,
            emit=events.append,
        )
    await backing.start()
    try:
        yield backing
    finally:
        await background.close()
        await backing.close()


async def empty(backing: Backing) -> bool:
    return len(backing.memory) == 0


@pytest.mark.parametrize("purges", [1, 200], ids=["one", "more than wait in line"])
async def test_the_memory_of_what_was_purged_is_given_back(purges: int) -> None:
    async with backed(None) as backing:
        for number in range(300):
            await backing.store.put(CacheKey(f"http://api/{number}"), make_entry(tags=("t",)))
        for number in range(purges):
            await backing.log.append([tag_scope(f"other:{number}")], Mode.HARD)
        await backing.log.append([tag_scope("t")], Mode.HARD)
        await eventually(lambda: empty(backing))
        assert backing.memory.size == 0


async def test_what_was_on_its_way_to_redis_at_the_end_arrives(redis: RedisOptions) -> None:
    async with backed(redis) as one:
        entry = make_entry(born=one.log.state.position)
        await one.store.put(KEY, entry)
    async with backed(redis) as two:
        assert list(await two.store.lookup(KEY)) == [entry]


async def test_a_purge_by_another_reaches_memory_and_redis(redis: RedisOptions) -> None:
    async with backed(redis) as one, backed(redis) as two:
        await one.store.put(KEY, make_entry(tags=("t",), born=one.log.state.position))
        seq = await two.log.append([tag_scope("t")], Mode.HARD)

        async def known() -> bool:
            return one.log.state.position >= seq

        await eventually(known)
        assert list(await one.store.lookup(KEY)) == []
        assert list(await two.store.lookup(KEY)) == []
        await eventually(lambda: empty(one))


async def test_redis_gets_back_the_memory_of_what_was_purged_by_tag(
    redis_server: RedisServer, redis: RedisOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks for any of it; one process does it, and takes its time but for this test."""
    monkeypatch.setattr(reclaiming, "_REST", 0.0)
    async with backed(redis) as one, backed(redis) as two, redis_server.client() as raw:

        async def used() -> int:
            """Bytes of all keys; the server's own figure moves with the buffers of connections."""
            keys = [name async for name in raw.scan_iter(f"{redis.prefix}*", count=1000)]
            sizes = [await raw.memory_usage(name, samples=0) for name in keys]
            return sum(size for size in sizes if size is not None)

        async def names() -> int:
            """How many keys there are, but for the tags' own, which expire by themselves."""
            return len([name async for name in raw.scan_iter(f"{redis.prefix}*:[ec]*", count=1000)])

        born = one.log.state.position
        before = await used()
        assert isinstance(one.store, TieredStore)
        for number in range(200):
            entry = make_entry(bytes(20_000), tags=("t", f"t:{number}"), born=born)
            await one.store.put(CacheKey(f"http://api/{number}"), entry)
        await one.store.put(KEY, make_entry(tags=("another",), born=born))
        await one.store.writes.drain(30.0)
        grown = await used() - before
        assert grown > 200 * 20_000
        asked = one.link.counts.commands if one.link is not None else 0
        await two.log.append([tag_scope("t")], Mode.HARD)

        async def returned() -> bool:
            return await names() == 1

        await eventually(returned)
        assert await used() - before < 0.02 * grown
        assert one.link is not None
        assert one.link.counts.commands == asked
        assert two.index is not None
        assert await two.index.count("t") == 0
        assert list(await two.store.lookup(KEY)) != []


async def test_a_log_that_began_anew_empties_memory(redis: RedisOptions) -> None:
    async with backed(redis) as backing:
        await backing.store.put(KEY, make_entry(born=backing.log.state.position))
        assert len(backing.memory) == 1
        client = connect(redis)
        await client.execute_command("DEL", f"{redis.prefix.rstrip(':')}:{{purge}}:head")
        await client.aclose()
        await eventually(lambda: empty(backing))
        assert list(await backing.store.lookup(KEY)) == []


async def test_a_cluster_leaves_no_work_undone(redis_server: RedisServer) -> None:
    """How full it is cannot be asked of one server: that is no failure, again and again."""
    events: list[Event] = []
    options = patient(f"redis+cluster://127.0.0.1:{redis_server.port}")
    async with backed(options, events) as backing:
        for _ in range(10):
            await asyncio.sleep(0)
        assert backing.redis_fill is not None
        assert backing.redis_fill.last == Fill()
    assert not [event for event in events if isinstance(event, BackgroundFailed)]
