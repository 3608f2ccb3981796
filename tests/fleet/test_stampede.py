"""Many ask two processes for the same at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.apparatus import Reply, Seen
from tests.fleet.nodes import LIMIT, Fleet, Page, fleet, version_of
from tests.redis_server import start_redis

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT_LAG = "purge: {max_lag: 2s}\n"  # what a new log waits for before it acknowledges


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    async with start_redis() as redis:
        # A busy machine is no reason to think that Redis is away.
        urls, store = [redis.url] * 2, ", timeout: 3s, connect_timeout: 3s"
        async with fleet(
            tmp_path_factory.mktemp("stampede"), urls, store=store, rest=SHORT_LAG
        ) as made:
            yield made


async def test_one_asks_the_origin_for_all(made: Fleet) -> None:
    page, gate = made.origin.page(), asyncio.Event()
    reply = page.reply()
    reply.wait = gate
    page.script.append(lambda _: reply)
    tasks = [asyncio.create_task(made.nodes[n % 2].get(page)) for n in range(200)]
    await made.origin.asked(len(made.origin.seen) + 1)
    done, _ = await asyncio.wait(tasks, timeout=0.5)
    assert not done
    gate.set()
    async with asyncio.timeout(LIMIT):
        answers = await asyncio.gather(*tasks)
    assert {(answer.status, version_of(answer)) for answer in answers} == {(200, 1)}
    assert page.asked == 1


@pytest.mark.parametrize("known", [False, True], ids=["cold", "known to be uncacheable"])
async def test_what_cannot_be_stored_is_fetched_side_by_side(made: Fleet, known: bool) -> None:  # noqa: FBT001 - a case
    """The origin answers when all are there but the first, who finds out for the others."""
    page, crowd = made.origin.page(("Cache-Control", "no-store")), 40
    if known:
        for node in made.nodes:
            await node.get(page)
    alone = page.asked + (0 if known else len(made.nodes))
    together = asyncio.Event()

    def answer(_: Seen) -> Reply:
        reply = page.reply()
        if page.asked > alone:
            reply.wait = together
        if page.asked == alone + crowd - len(made.nodes):
            together.set()
        return reply

    page.script.extend([answer] * crowd)
    await ask_all(made, page, crowd)
    assert together.is_set()


async def ask_all(made: Fleet, page: Page, crowd: int) -> None:
    async with asyncio.timeout(LIMIT):
        tasks = [made.nodes[n % 2].get(page) for n in range(crowd)]
        answers = await asyncio.gather(*tasks)
    assert all(answer.status == 200 and not answer.hit for answer in answers)
