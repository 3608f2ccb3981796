"""What a purge costs does not depend on how much it concerns."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from proxy import admin
from proxy.background import Background
from proxy.backing import Backing
from proxy.clock import wall
from proxy.control import ProxyControl
from proxy.exchange import Incoming, Outgoing
from proxy.gateway import Gateway
from proxy.metrics import Counts
from proxy.purging import Timing
from proxy.redis_link import RedisOptions
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.policy import KeyPolicy
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse, packed
from proxy.stores import CacheKey, Entry
from proxy.stores.redis import RedisStoreOptions
from tests.fleet.nodes import LIMIT, fleet
from tests.redis_server import start_redis

IN_MEMORY = 100_000
IN_REDIS = 5_000
GROUPS = 5
NEVER_MORE_THAN = 5.0


@asynccontextmanager
async def backing_of_its_own(url: str) -> AsyncIterator[tuple[Backing, Background]]:
    """A member of the fleet in this process, whose store can be filled without HTTP."""
    background = Background(lambda _: None)
    backing = Backing.with_redis(
        RedisOptions.from_url(url, timeout=5.0, background_timeout=10.0),
        max_size=1 << 30,
        store=RedisStoreOptions(),
        timing=Timing(),
        tag_index=True,
        fill_lock=True,
        clock=wall,
        background=background,
        emit=lambda _: None,
    )
    await backing.start()
    try:
        yield backing, background
    finally:
        await background.close()
        await backing.close()


def control_of(backing: Backing) -> ProxyControl:
    return ProxyControl(
        backing,
        respond=_nobody,
        gateway=_no_gateway,
        decisions=lambda: None,
        key_policies=lambda: [KeyPolicy()],
        draining=lambda: False,
        counts=Counts(),
        expose=lambda _: admin.Exposition(b"", ""),
        emit=lambda _: None,
        clock=wall,
    )


def _no_gateway() -> Gateway:
    raise NotImplementedError


async def _nobody(_: Incoming) -> Outgoing:
    raise NotImplementedError


def entry(number: int, tag: str, born: int) -> tuple[CacheKey, Entry]:
    now = wall()
    response = StoredResponse(
        status=200,
        reason="OK",
        **packed(Headers([("content-type", "text/plain")])),
        request_time=now,
        freshness=Freshness(
            lifetime=600.0, source=LifetimeSource.MAX_AGE, initial_age=0.0, response_time=now
        ),
        variant=(),
        date=now,
        tags=(tag, "everything"),
        born=born,
    )
    return CacheKey(f"http://api.example/{number}"), Entry(response, b"body")


async def fill(backing: Backing) -> None:
    """Each group has a tag of its own; some of it is in Redis too."""
    shared, index = backing.shared, backing.index
    assert shared is not None
    assert index is not None
    born = backing.log.state.position

    async def share(first: int) -> None:
        for number in range(first, IN_REDIS, 16):
            key, made = entry(number, f"many:{number % GROUPS}", born)
            await shared.put(key, made)
            await index.add(key, made)

    await asyncio.gather(*(share(first) for first in range(16)))
    for number in range(IN_MEMORY):
        key, made = entry(number, f"many:{number % GROUPS}", born)
        await backing.memory.put(key, made)
        if number % 1000 == 0:
            await asyncio.sleep(0)  # the heartbeat goes on
    assert len(backing.memory) == IN_MEMORY


async def test_purging_many_is_acknowledged_like_purging_one(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with (
        start_redis() as redis,
        fleet(tmp_path, [redis.url] * 2) as made,
        backing_of_its_own(redis.url) as (backing, background),
    ):
        control = control_of(backing)

        async def timed(tag: str, *, soft: bool = False) -> float:
            """Milliseconds; what was purged before is reclaimed by then."""
            await background.drain()
            order = admin.PurgeOrder(tags=(tag,), soft=soft)
            began = time.perf_counter()
            receipt = await control.purge(order, wait=LIMIT)
            assert receipt.acknowledged
            assert receipt.nodes == len(made.nodes) + 1
            return 1000 * (time.perf_counter() - began)

        await timed("warm up")
        one, many = [], []
        for number in range(9):
            key, alone = entry(IN_MEMORY + number, f"one:{number}", backing.log.state.position)
            await backing.store.put(key, alone)
            one.append(await timed(f"one:{number}"))
        await fill(backing)
        everything = [await timed("everything", soft=True) for _ in range(3)]
        many = [await timed(f"many:{number}") for number in range(GROUPS)]
    figures = {1: median(one), IN_MEMORY // GROUPS: median(many), IN_MEMORY: median(everything)}
    for entries, milliseconds in figures.items():
        record_property(f"milliseconds for {entries}", round(milliseconds, 1))
        record_property(f"ratio of {entries} to 1", round(milliseconds / figures[1], 2))
        assert milliseconds / figures[1] < NEVER_MORE_THAN
