"""What befalls Redis, under light load: no error, nothing stale, no false "done", recovery."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.fleet.load import load
from tests.fleet.nodes import Fleet, Node, Page, fleet
from tests.fleet.wire import Wire
from tests.redis_server import RedisServer, free_port, start_redis

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_LAG = 1.5
RECOVERY = 15.0
"""Seconds; on an idle machine it is `retry_limit` (2 s) and a cut log's `expiry` at most."""


@dataclass
class Scene:
    """Two processes, and what lies between them and their Redis."""

    fleet: Fleet
    redis: RedisServer
    wires: list[Wire]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(start_redis())
        wires = [Wire(redis.port) for _ in range(2)]
        for wire in wires:
            await wire.start()
            stack.push_async_callback(wire.stop)
        made = fleet(
            tmp_path_factory.mktemp("faults"),
            [wire.url for wire in wires],
            rest=f"purge: {{max_lag: {MAX_LAG}s}}\n",
        )
        yield Scene(await stack.enter_async_context(made), redis, wires)


@asynccontextmanager
async def killed(scene: Scene) -> AsyncIterator[None]:
    """kill -9; what comes back is empty."""
    scene.redis.kill()
    yield
    await scene.redis.restart(empty=True)


@asynccontextmanager
async def frozen(scene: Scene) -> AsyncIterator[None]:
    scene.redis.freeze()
    try:
        yield
    finally:
        scene.redis.thaw()


@asynccontextmanager
async def unplugged(scene: Scene) -> AsyncIterator[None]:
    for wire in scene.wires:
        await wire.stop()
    yield
    for wire in scene.wires:
        await wire.start()


@asynccontextmanager
async def cut_in_replies(scene: Scene) -> AsyncIterator[None]:
    """Every reply is cut in its middle."""
    for wire in scene.wires:
        wire.cut_replies = True
    yield
    for wire in scene.wires:
        wire.cut_replies = False


@asynccontextmanager
async def read_only(scene: Scene) -> AsyncIterator[None]:
    """A replica of a primary that is away."""
    async with scene.redis.client() as client:
        await client.execute_command("REPLICAOF", "127.0.0.1", free_port())
        yield
        await client.execute_command("REPLICAOF", "NO", "ONE")


@asynccontextmanager
async def another_password(scene: Scene) -> AsyncIterator[None]:
    async with scene.redis.client() as client:
        await client.config_set("requirepass", "changed")
        await client.execute_command("AUTH", "changed")
        await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        yield
        await client.config_set("requirepass", "")


Fault = Callable[[Scene], AbstractAsyncContextManager[None]]

LASTS: dict[Fault, float] = {frozen: 10.0}
"""Seconds, where it is not twice `MAX_LAG`: for longer than what was known is trusted."""


@pytest.mark.parametrize(
    "fault", [killed, frozen, unplugged, cut_in_replies, read_only, another_password]
)
async def test_redis_of_no_help(
    scene: Scene, fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    nodes = scene.fleet.nodes
    told = [len(node.told("purge log")) for node in nodes]
    async with load(scene.fleet) as clients:
        assert await clients.until(200, limit=RECOVERY) >= 0
        await clients.served(40)
        async with fault(scene):
            refused = await clients.until(503, limit=RECOVERY)
            began = len(clients.purges)
            async with asyncio.timeout(RECOVERY):
                await asyncio.sleep(LASTS.get(fault, 2 * MAX_LAG))
                await clients.served(40)
                assert all([await asks_the_origin(node, clients.pages[0]) for node in nodes])
                for _ in range(3):
                    assert await clients.change(wait=0.2) == 503
            assert {status for status, _ in clients.purges[began:]} == {503}
        recovered = await clients.until(200, limit=RECOVERY)
        await clients.served(40)
        for node, before in zip(nodes, told, strict=True):
            await regained(node, before)
            for what, states in (("redis", {"up", "down", "refusing"}), ("purge log", {"lost"})):
                changes = [state for state in node.told(what) if state in states | {"regained"}]
                assert all(one != next_ for one, next_ in itertools.pairwise(changes)), changes
    record_property("seconds until a purge was refused", round(refused, 2))
    record_property("seconds until one was acknowledged again", round(recovered, 2))
    record_property("slowest answer in seconds", round(clients.slowest, 2))
    assert clients.slowest < 5


async def asks_the_origin(node: Node, page: Page) -> bool:
    """Whether a page that is kept in memory is not served from there unseen."""
    await node.get(page)
    answer = await node.get(page)
    return not answer.hit and "detail=purges-unknown" in answer.cache_status


async def regained(node: Node, before: int) -> None:
    """Wait until its log tells that the purge log was lost and found, after so many changes."""
    async with asyncio.timeout(RECOVERY):
        while True:
            states = [state for state in node.told("purge log")[before:] if state != "reset"]
            if states and states[-1] == "regained":
                assert "lost" in states
                return
            await asyncio.sleep(0.05)


async def test_redis_restarted_without_anybody_noticing(scene: Scene) -> None:
    """Empty, within one heartbeat: what it knew of purges is gone, the purges are not."""
    async with load(scene.fleet) as clients:
        for _ in range(3):
            await clients.until(200, limit=RECOVERY)
            await clients.served(10)
            await scene.redis.restart(empty=True)
        await clients.until(200, limit=RECOVERY)
        await clients.served(40)


async def test_a_full_redis(scene: Scene) -> None:
    """It takes no entries; purges are small and go on, or are refused."""
    async with load(scene.fleet) as clients, scene.redis.client() as client:
        await clients.until(200, limit=RECOVERY)
        used = int((await client.info("memory"))["used_memory"])
        try:
            await client.config_set("maxmemory", used // 2)
            refused = False
            for _ in range(100):
                assert await clients.change(wait=2.0) in {200, 503}
                await clients.served(10)
                refused = "errorstat_OOM" in await client.info("errorstats")
                if refused:
                    break
            assert refused
        finally:
            await client.config_set("maxmemory", 0)
        await clients.until(200, limit=RECOVERY)
        await clients.served(40)


async def test_one_process_cut_off(scene: Scene) -> None:
    """Until it has stopped trusting what it knows, no purge is called done."""
    async with load(scene.fleet) as clients:
        await clients.until(200, limit=RECOVERY)
        await scene.wires[1].stop()
        try:
            page = clients.pages[0]
            page.version += 1
            status, told = await scene.fleet.nodes[0].purge(page.names("tag"), wait=0.3)
            assert (status, told["acked"], told["nodes"]) == (202, 1, 2)
            status, told = await scene.fleet.nodes[0].purge(page.names("tag"), wait=10.0)
            assert (status, told["acked"], told["nodes"]) == (200, 1, 1)
            page.floor = page.version
            await clients.served(40)
            status, _ = await scene.fleet.nodes[1].purge(page.names("tag"), wait=0.0)
            assert status == 503
        finally:
            await scene.wires[1].start()
        async with asyncio.timeout(RECOVERY):
            while told.get("nodes", 0) < 2:
                _, told = await scene.fleet.nodes[0].purge({"tags": ["nothing"]})
        await clients.until(200, limit=RECOVERY)
