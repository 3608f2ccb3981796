"""What stands behind the gateway: the purge reaches memory, and nothing is lost on the way out."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from proxy.background import Background
from proxy.backing import Backing
from proxy.events import Event
from proxy.purging import Mode, Timing, tag_scope
from proxy.redis_link import RedisOptions, connect
from proxy.stores import CacheKey
from proxy.stores.redis import RedisStoreOptions
from tests.apparatus import eventually
from tests.redis_server import RedisServer, shared_redis
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
    return RedisOptions.from_url(redis_server.url, namespace=namespace, timeout=2.0)


@asynccontextmanager
async def backed(redis: RedisOptions | None) -> AsyncIterator[Backing]:
    events: list[Event] = []
    background = Background(events.append)
    clock = Clock()
    if redis is None:
        backing = Backing(max_size=1 << 20, clock=clock, background=background)
    else:
        backing = Backing.with_redis(
            redis,
            max_size=1 << 20,
            store=RedisStoreOptions(),
            timing=Timing(max_lag=0.6),
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
        await two.log.wait(seq, 5.0)
        assert list(await one.store.lookup(KEY)) == []
        assert list(await two.store.lookup(KEY)) == []
        await eventually(lambda: empty(one))


async def test_a_log_that_began_anew_empties_memory(redis: RedisOptions) -> None:
    async with backed(redis) as backing:
        await backing.store.put(KEY, make_entry(born=backing.log.state.position))
        assert len(backing.memory) == 1
        client = connect(redis)
        await client.execute_command("DEL", f"{redis.prefix.rstrip(':')}:{{purge}}:head")
        await client.aclose()
        await eventually(lambda: empty(backing))
        assert list(await backing.store.lookup(KEY)) == []
