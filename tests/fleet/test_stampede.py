"""Many ask two nodes of two processes for the same at once."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.apparatus import Answer, Reply, Seen
from tests.fleet.nodes import LIMIT, Fleet, Page, lock_of, unhurried, version_of
from tests.redis_server import RedisServer, eventually, start_redis

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNCACHEABLE = ("Cache-Control", "no-store")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def redis() -> AsyncIterator[RedisServer]:
    async with start_redis() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(
    redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    async with unhurried(tmp_path_factory.mktemp("stampede"), redis, [redis.url] * 4) as made:
        yield made


async def test_one_asks_the_origin_for_all(made: Fleet, redis: RedisServer) -> None:
    """The origin answers when those who ask have had time to make a mistake."""
    page, gate = made.origin.page(), asyncio.Event()
    reply = page.reply()
    reply.wait = gate
    page.script.append(lambda _: reply)
    asking = asyncio.create_task(ask_all(made, page, 500))
    await made.origin.asked(len(made.origin.seen) + 1)
    async with redis.client() as raw:

        async def all_others_wait() -> bool:
            ((_, listeners),) = await raw.pubsub_numsub(lock_of(page))
            return bool(listeners == len(made.nodes) - 1)

        await eventually(all_others_wait, "nobody waits for the fill")
    assert not asking.done()
    gate.set()
    await asking
    assert page.asked == 1


@pytest.mark.parametrize("known", [False, True], ids=["cold", "known to be uncacheable"])
async def test_what_cannot_be_stored_is_fetched_side_by_side(made: Fleet, known: bool) -> None:  # noqa: FBT001 - a case
    """The first finds out for all. Then the origin answers when it has everybody else's request."""
    page, crowd, together = made.origin.page(UNCACHEABLE), 50, asyncio.Event()
    if known:
        await asyncio.gather(*(node.get(page) for node in made.nodes))
    before = page.asked
    alone = 0 if known else 1

    def answer(_: Seen) -> Reply:
        reply = page.reply()
        reply.wait = together
        if page.asked == before + alone:  # in its own time, so that all others wait for it
            reply.wait = first = asyncio.Event()
            asyncio.get_running_loop().call_later(0.2, first.set)
        if page.asked == before + crowd:
            together.set()
        return reply

    page.script.extend([answer] * crowd)
    answers = await ask_all(made, page, crowd)
    assert not any(answer.hit for answer in answers)
    assert page.asked == before + crowd


async def ask_all(made: Fleet, page: Page, crowd: int) -> list[Answer]:
    nodes = itertools.islice(itertools.cycle(made.nodes), crowd)
    async with asyncio.timeout(LIMIT):
        answers = await asyncio.gather(*(node.get(page) for node in nodes))
    assert {(answer.status, version_of(answer)) for answer in answers} == {(200, 1)}
    return answers
