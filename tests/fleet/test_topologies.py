"""Sentinels and a cluster behind whole processes: hits shared, purges acknowledged, failover."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from redis.crc import key_slot

from tests.fleet.load import load
from tests.fleet.nodes import Fleet, fleet
from tests.redis_server import Cluster, RedisServer, start_cluster, start_sentinel

MAX_LAG = 1.5
SHORT_LAG = f"purge: {{max_lag: {MAX_LAG}s}}\n"
RECOVERY = 20.0

Note = Callable[[str, object], None]


async def share(made: Fleet, count: int) -> None:
    """What one process has stored, the other serves."""
    pages = [made.origin.page() for _ in range(count)]
    for page in pages:
        await made.nodes[0].get(page)
    answers = [await made.nodes[1].get(page) for page in pages]
    assert all(answer.hit for answer in answers)
    assert [page.asked for page in pages] == [1] * count
    for kind, page in zip(("tag", "url", "prefix", "host", "all"), pages, strict=False):
        page.version += 1
        await made.purge(page, kind)
        await made.look(page, rounds=2)


def owner(cluster: Cluster, key: bytes) -> RedisServer:
    """Of the node that serves `key`: slots are shared evenly, in order."""
    return cluster.nodes[key_slot(key) * len(cluster.nodes) // 16384]


async def test_sentinels_fail_over(tmp_path: Path, record_property: Note) -> None:
    async with (
        start_sentinel() as watched,
        fleet(tmp_path, [watched.url] * 2, rest=SHORT_LAG) as made,
    ):
        await share(made, 5)
        async with load(made) as clients:
            await clients.until(200, limit=RECOVERY)
            watched.primary.kill()
            await watched.promoted(watched.replica)
            seconds = await clients.until(200, limit=RECOVERY)
            await clients.served(40)
            await clients.until(200, limit=RECOVERY)
        await share(made, 5)
    record_property("seconds from failover to an acknowledged purge", round(seconds, 2))


async def test_a_cluster_loses_a_node_and_gets_it_back(
    tmp_path: Path, record_property: Note
) -> None:
    async with (
        start_cluster("--appendonly", "yes") as cluster,
        fleet(tmp_path, [cluster.url] * 2, rest=SHORT_LAG) as made,
    ):
        await share(made, 12)
        keeper = owner(cluster, b"wf:1:{purge}:seq")
        others = [node for node in cluster.nodes if node is not keeper]
        async with load(made) as clients:
            await clients.until(200, limit=RECOVERY)
            await without(others[:1], lambda: clients.until(200, limit=RECOVERY))
            await without([keeper], lambda: clients.until(503, limit=RECOVERY))
            seconds = await clients.until(200, limit=RECOVERY)
            await clients.served(40)
    record_property("seconds from its return to an acknowledged purge", round(seconds, 2))


async def without(servers: Sequence[RedisServer], check: Callable[[], object]) -> None:
    """Kill them, see what holds, bring them back with what they had."""
    for server in servers:
        server.kill()
    outcome = check()
    assert asyncio.iscoroutine(outcome)
    await outcome
    for server in servers:
        await server.restart(empty=False)
