"""Commands of one moment: one round trip, and to each his own answer."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from redis.exceptions import ResponseError

from proxy.redis_link import (
    LinkDown,
    LinkError,
    LinkRefused,
    LinkState,
    RedisLink,
    RedisOptions,
    Script,
)
from tests.redis_server import RedisServer, start_cluster, start_redis

LIMIT = 20.0
"""Seconds that anything may take on a busy machine."""

MOST = 32
_NUMBERS = count()


@asynccontextmanager
async def linked(url: str, **options: Any) -> AsyncIterator[RedisLink]:
    patient = {"timeout": LIMIT, "connect_timeout": LIMIT, "background_timeout": LIMIT}
    link = RedisLink(RedisOptions.from_url(url, **{**patient, **options}), lambda _: None)
    yield link
    await link.close()


async def filled(link: RedisLink, number: int) -> list[str]:
    """Names of keys; the n-th of them holds n."""
    prefix = f"reads{next(_NUMBERS)}"
    names = [f"{prefix}:{position}" for position in range(number)]
    for position, name in enumerate(names):
        words = ("SET", name, position, "PX", 60_000)
        await link.run(lambda client, words=words: client.execute_command(*words), key=name)  # type: ignore[misc]
    return names


@pytest.mark.parametrize(
    ("number", "round_trips"),
    [
        pytest.param(1, 1, id="one"),
        pytest.param(MOST, 1, id="as many as go together"),
        pytest.param(MOST + 1, 2, id="one more"),
        pytest.param(3 * MOST, 3, id="many"),
    ],
)
async def test_what_is_read_at_one_moment_goes_together(
    redis_server: RedisServer, number: int, round_trips: int
) -> None:
    async with linked(redis_server.url) as link:
        names = await filled(link, number)
        before = link.counts.commands
        found = await asyncio.gather(*(link.read("GET", name) for name in names))
        assert found == [b"%d" % position for position in range(number)]
        assert link.counts.commands - before == round_trips


async def test_what_is_read_one_after_the_other_does_not_wait(redis_server: RedisServer) -> None:
    async with linked(redis_server.url) as link:
        names = await filled(link, 3)
        assert [await link.read("GET", name) for name in names] == [b"0", b"1", b"2"]


async def test_another_type_is_nothing_and_takes_nothing_from_others(
    redis_server: RedisServer,
) -> None:
    async with linked(redis_server.url) as link:
        (name,) = await filled(link, 1)
        hashed, other = await asyncio.gather(link.read("HGETALL", name), link.read("GET", name))
        assert (hashed, other) == (None, b"0")
        assert link.counts.refusals == 0


async def test_who_leaves_takes_nothing_from_others(redis_server: RedisServer) -> None:
    async with linked(redis_server.url) as link:
        names = await filled(link, 3)
        leaving, *staying = [asyncio.create_task(link.read("GET", name)) for name in names]
        await asyncio.sleep(0)
        leaving.cancel()
        assert await asyncio.gather(*staying) == [b"1", b"2"]


async def outcomes(link: RedisLink, number: int = 10) -> list[Any]:
    reads = (link.read("GET", f"{position}") for position in range(number))
    return await asyncio.gather(*reads, return_exceptions=True)


async def test_a_refusal_is_told_to_each() -> None:
    async with start_redis() as server:
        async with server.client() as raw:
            await raw.execute_command("ACL", "SETUSER", "writer", "on", ">pw", "~*", "+@write")
        async with linked(server.url.replace("//", "//writer:pw@")) as link:
            refused = await outcomes(link)
            assert [type(error) for error in refused] == [LinkRefused] * 10
            assert len(set(map(id, refused))) == 10, "each raises an error of its own"
            assert (link.counts.refusals, link.counts.failures) == (1, 0)


async def test_a_frozen_server_keeps_all_for_one_time_limit() -> None:
    async with start_redis() as server, linked(server.url, timeout=0.1) as link:
        server.freeze()
        assert [type(error) for error in await outcomes(link)] == [LinkDown] * 10
        assert link.counts.failures == 1
        server.thaw()


async def test_a_link_that_closes_leaves_nobody_waiting() -> None:
    async with start_redis() as server, linked(server.url) as link:
        server.freeze()
        reads = asyncio.create_task(outcomes(link, 3 * MOST))
        await asyncio.sleep(0.05)
        await link.close()
        assert all(isinstance(error, LinkError) for error in await reads)
        server.thaw()


async def test_a_bug_is_raised_where_it_is_waited_for(redis_server: RedisServer) -> None:
    async with linked(redis_server.url) as link:
        with pytest.raises(TypeError):
            await link.read(None, "k")  # type: ignore[arg-type]


ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def test_scripts_go_together_and_reads_by_themselves(redis_server: RedisServer) -> None:
    async with linked(redis_server.url) as link:
        names = await filled(link, 10)
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(link.read("GET", name)) for name in names]
            writes = [group.create_task(link.write(ADD, (name,), (5,))) for name in names]
        assert {task.result() for task in reads} & {b"0", b"5"}
        assert [task.result() for task in writes] == [position + 5 for position in range(10)]
        assert link.counts.commands == 10 + 2


async def test_a_server_that_forgot_the_scripts_gets_them_again() -> None:
    async with start_redis() as server, linked(server.url) as link:
        added = await asyncio.gather(*(link.write(ADD, (f"{n % 2}",), (5,)) for n in range(4)))
        assert added == [5, 5, 10, 10]
        async with server.client() as raw:
            await raw.script_flush()
        assert await link.write(ADD, ("0",), (5,)) == 15
        assert link.counts.refusals == 0


async def test_a_refusal_is_each_ones_own_and_what_was_done_is_told() -> None:
    async with start_redis() as server:
        async with server.client() as raw:
            rights = ("on", ">pw", "~mine:*", "+@all")
            await raw.execute_command("ACL", "SETUSER", "owner", *rights)
        async with linked(server.url.replace("//", "//owner:pw@")) as link:
            await link.write(ADD, ("mine:0",), (1,))
            names = ("mine:1", "other", "mine:2")
            found = await asyncio.gather(
                *(link.write(ADD, (name,), (1,)) for name in names), return_exceptions=True
            )
            assert [found[0], type(found[1]), found[2]] == [1, LinkRefused, 1]
            assert link.state is LinkState.REFUSING


async def test_nothing_that_is_refused_is_left_to_the_collector() -> None:
    async with start_redis() as server:
        async with server.client() as raw:
            await raw.execute_command("ACL", "SETUSER", "writer", "on", ">pw", "~*", "+@write")
        async with linked(server.url.replace("//", "//writer:pw@")) as link:
            await outcomes(link)
            gc.collect()  # redis-py leaves something behind where it connects
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                while link.counts.refusals < 3:
                    await outcomes(link)
                    await asyncio.sleep(0.1)  # until Redis is asked again
                gc.collect()
                left = [one for one in gc.garbage if isinstance(one, LinkError | ResponseError)]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
            assert left == []


async def test_who_leaves_at_once_sends_nothing(redis_server: RedisServer) -> None:
    async with linked(redis_server.url) as link:
        (name,) = await filled(link, 1)
        leaving = asyncio.create_task(link.write(ADD, (name,), (5,)))
        staying = asyncio.create_task(link.write(ADD, (name,), (7,)))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == 7


async def test_in_a_cluster_each_node_has_its_own() -> None:
    async with start_cluster() as cluster, linked(cluster.url) as link:
        names = await filled(link, 30)
        before = link.counts.commands
        found = await asyncio.gather(*(link.read("GET", name) for name in names))
        assert found == [b"%d" % position for position in range(30)]
        assert link.counts.commands - before == 3
