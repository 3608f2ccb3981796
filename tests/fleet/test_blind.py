"""Served blind: the operator would rather have old answers than none of the cache, for a while."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.fleet.nodes import LIMIT, Fleet, Node, Page, fleet, version_of
from tests.fleet.wire import Wire
from tests.redis_server import RedisServer, start_redis

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_LAG = 1.0
LONGER = 3 * MAX_LAG
"""Seconds without news after which nothing would be trusted if it were not served blind."""


@dataclass
class Scene:
    """Two processes, the second with a wire of its own, and their Redis."""

    fleet: Fleet
    redis: RedisServer
    wire: Wire


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with start_redis() as redis:
        wire = Wire(redis.port)
        await wire.start()
        rest = f"purge: {{max_lag: {MAX_LAG}s, serve_blind: 10m}}\n"
        directory = tmp_path_factory.mktemp("blind")
        try:
            async with fleet(directory, [redis.url, wire.url], rest=rest) as made:
                yield Scene(made, redis, wire)
        finally:
            await wire.stop()


async def test_hits_go_on_as_fast_while_redis_is_frozen(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    page = scene.fleet.origin.page()
    await scene.fleet.warm(page)
    before = await hits(scene.fleet.nodes, page, MAX_LAG)
    scene.redis.freeze()
    try:
        during = await hits(scene.fleet.nodes, page, LONGER)
        page.version += 1
        for node in scene.fleet.nodes:
            status, _ = await node.purge(page.names("tag"), wait=0.1)
            assert status == 503
    finally:
        scene.redis.thaw()
    record_property("p99 before, in ms", round(1000 * p99(before), 2))
    record_property("p99 while frozen, in ms", round(1000 * p99(during), 2))
    assert p99(during) < 5 * p99(before) + 0.02
    await purged(scene.fleet, page)
    await scene.fleet.look(page)


async def test_what_was_purged_in_the_meantime_is_gone_when_redis_is_back(scene: Scene) -> None:
    """Until then a process that is cut off serves it, as the operator has chosen."""
    page = scene.fleet.origin.page()
    await scene.fleet.warm(page)
    here, cut_off = scene.fleet.nodes
    await scene.wire.stop()
    try:
        page.version += 1
        status, told = await here.purge(page.names("tag"), wait=LIMIT)
        assert (status, told["acked"], told["nodes"]) == (200, 1, 1)
        assert version_of(await here.get(page)) == 2
        blind = await cut_off.get(page)
        assert (version_of(blind), blind.hit) == (1, True)
    finally:
        await scene.wire.start()
    async with asyncio.timeout(LIMIT):
        while version_of(await cut_off.get(page)) == 1:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
    page.floor = 2
    await scene.fleet.look(page)


async def hits(nodes: Sequence[Node], page: Page, duration: float) -> list[float]:
    """Seconds that each took, asked one after the other for so long; all are from memory."""
    asked, seconds = page.asked, []
    deadline = time.monotonic() + duration
    while time.monotonic() < deadline:
        for node in nodes:
            began = time.monotonic()
            answer = await node.get(page)
            seconds.append(time.monotonic() - began)
            assert answer.hit, answer.cache_status
            assert version_of(answer) == page.version
        await asyncio.sleep(0.005)
    assert page.asked == asked
    return seconds


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


async def purged(fleet: Fleet, page: Page) -> None:
    """Purge what has changed as soon as all processes are there to acknowledge it."""
    async with asyncio.timeout(LIMIT):
        while True:
            status, told = await fleet.nodes[0].purge(page.names("tag"))
            if status == 200 and told["acked"] == len(fleet.nodes):
                break
            await asyncio.sleep(0.05)
    page.floor = page.version
