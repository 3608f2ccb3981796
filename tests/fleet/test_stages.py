"""Two nodes of two processes on one Redis: a purge at every stage of a fill.

At each stage something of the old version is on its way. Then the page changes, a purge is
acknowledged by all four processes, and what was on its way lands: nobody serves it. A soft purge
is no exception here, as the pages allow no stale use, but for those that say so.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.apparatus import Answer, Reply, Seen
from tests.fleet.nodes import LIMIT, Fleet, Page, lock_of, unhurried, version_of
from tests.fleet.wire import Wire
from tests.redis_server import start_redis

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = ["tag", "url", "prefix", "host", "all", "pattern", "soft tag", "soft all", "soft pattern"]
HARD = [kind for kind in KINDS if not kind.startswith("soft")]
SOFT = [kind for kind in KINDS if kind not in HARD]
FRESH = ("Cache-Control", "s-maxage=600")
ON_TRIAL = ("Cache-Control", "max-age=0, stale-while-revalidate=600")
STALE_FOR_LONG = ("Cache-Control", "max-age=600, stale-while-revalidate=600")
TO_VALIDATE = ("Cache-Control", "no-cache")


@dataclass
class Scene:
    """The fleet, and the wire of each process to Redis."""

    fleet: Fleet
    wires: list[Wire]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    directory: Path = tmp_path_factory.mktemp("stages")
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(start_redis())
        wires = [Wire(redis.port) for _ in range(4)]
        for wire in wires:
            await wire.start()
            stack.push_async_callback(wire.stop)
        urls = [wire.url for wire in wires]
        # What is held on purpose is not to count as a Redis that is slow.
        made = await stack.enter_async_context(unhurried(directory, redis, urls))
        yield Scene(made, wires)
        # After everything has landed.
        await asyncio.gather(*(made.look(page, rounds=1) for page in made.origin.pages.values()))


async def purge_meanwhile(
    scene: Scene, page: Page, kind: str, caught: Awaitable[object], land: Callable[[], None]
) -> None:
    """Change the page when the old version is `caught` on its way, purge, and let it `land`.

    Who asks after the acknowledgement may find the old fill still running.
    """
    async with asyncio.timeout(LIMIT):
        await caught
    page.version += 1
    await scene.fleet.purge(page, kind)
    asked = asyncio.create_task(scene.fleet.look(page, rounds=1))
    await asyncio.sleep(0)
    land()
    await asked
    await scene.fleet.look(page)


async def ended(*tasks: asyncio.Task[Answer]) -> list[Answer]:
    async with asyncio.timeout(LIMIT):
        answers = await asyncio.gather(*tasks)
    assert all(answer.status == 200 and answer.complete for answer in answers)
    return answers


async def stored_by_another(scene: Scene, page: Page) -> None:
    """Have it in Redis, and in the memory of another process."""
    await ended(*start(scene, page, 3))
    async with asyncio.timeout(LIMIT):
        while not (await scene.fleet.nodes[2].get(page)).hit:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


def start(scene: Scene, page: Page, *numbers: int) -> list[asyncio.Task[Answer]]:
    return [asyncio.create_task(scene.fleet.nodes[number].get(page)) for number in numbers]


def gated(page: Page, gate: asyncio.Event, *lines: tuple[str, str]) -> asyncio.Event:
    """Have the next answer be what the page is now, once the gate is open; when it was asked."""
    asked = asyncio.Event()
    reply = page.reply(*lines)
    reply.wait = gate

    def answer(_: Seen) -> Reply:
        asked.set()
        return reply

    page.script.append(answer)
    return asked


def look_at_lock(page: Page) -> bytes:
    """What a process sends that waits for another's fill."""
    name = lock_of(page).encode()
    return b"GET\r\n$%d\r\n%b\r\n" % (len(name), name)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_stored_everywhere(scene: Scene, kind: str) -> None:
    page = scene.fleet.origin.page()
    await scene.fleet.warm(page)
    page.version += 1
    await scene.fleet.purge(page, kind)
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_redis_is_asked(scene: Scene, kind: str) -> None:
    """The question reaches it after the purge, and it still has what was before."""
    page = scene.fleet.origin.page()
    await stored_by_another(scene, page)
    with scene.wires[0].holding(b"HGETALL") as held:
        tasks = start(scene, page, 0)
        await purge_meanwhile(scene, page, kind, held.caught.wait(), held.release)
        (answer,) = await ended(*tasks)
    assert version_of(answer) == page.version
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_the_origin_has_not_accepted(scene: Scene, kind: str) -> None:
    page, gate = scene.fleet.origin.page(), asyncio.Event()
    origin = scene.fleet.origin
    gated(page, gate)
    gate.set()
    origin.stop_accepting()
    tasks = start(scene, page, 0)
    await purge_meanwhile(scene, page, kind, origin.knocked.wait(), origin.accepting.set)
    await ended(*tasks)
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_the_head_is_awaited(scene: Scene, kind: str) -> None:
    page, gate = scene.fleet.origin.page(), asyncio.Event()
    asked = gated(page, gate)
    tasks = start(scene, page, 0)
    await purge_meanwhile(scene, page, kind, asked.wait(), gate.set)
    await ended(*tasks)
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_the_body_is_on_its_way(scene: Scene, kind: str) -> None:
    page, gate = scene.fleet.origin.page(), asyncio.Event()
    whole = page.reply().encode("GET")
    page.script.append(lambda _: Reply(interim=whole[:-500], wait=gate, raw=whole[-500:]))
    node = scene.fleet.nodes[0]
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    try:
        writer.write(f"GET {page.target} HTTP/1.1\r\nHost: {page.host}\r\n\r\n".encode())
        begun = reader.readuntil(b"version=1;")  # the client has seen a part of it
        await purge_meanwhile(scene, page, kind, begun, gate.set)
        async with asyncio.timeout(LIMIT):
            await reader.readexactly(2000)
    finally:
        writer.close()
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_it_is_written_to_redis(scene: Scene, kind: str) -> None:
    """It reaches Redis after the purge, where all others would find it."""
    page = scene.fleet.origin.page()
    with scene.wires[0].holding(page.body()[:20]) as held:
        await ended(*start(scene, page, 0))
        await purge_meanwhile(scene, page, kind, held.caught.wait(), held.release)
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_another_process_takes_it_from_redis(scene: Scene, kind: str) -> None:
    page = scene.fleet.origin.page()
    await stored_by_another(scene, page)
    with scene.wires[0].holding(page.body()[:20], replies=True) as held:
        tasks = start(scene, page, 0)
        await purge_meanwhile(scene, page, kind, held.caught.wait(), held.release)
        (answer,) = await ended(*tasks)
    assert version_of(answer) == page.version  # what came from Redis was judged after the purge
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_a_304_is_on_its_way(scene: Scene, kind: str) -> None:
    """It confirms the old version, and makes it fresh for ten minutes."""
    page, gate = scene.fleet.origin.page(TO_VALIDATE), asyncio.Event()
    await ended(*start(scene, page, 0))
    confirmed = Reply(status=304, headers=[FRESH, ("ETag", '"1"')], wait=gate)
    asked = asyncio.Event()

    def confirm(seen: Seen) -> Reply:
        assert "If-None-Match" in seen.headers
        asked.set()
        return confirmed

    page.script.append(confirm)
    tasks = start(scene, page, 0)
    await purge_meanwhile(scene, page, kind, asked.wait(), gate.set)
    await ended(*tasks)
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", HARD)
async def test_while_it_is_refreshed_in_the_background(scene: Scene, kind: str) -> None:
    page, gate = scene.fleet.origin.page(ON_TRIAL), asyncio.Event()
    await ended(*start(scene, page, 0))
    asked = gated(page, gate, FRESH)
    (answer,) = await ended(*start(scene, page, 0))
    assert answer.hit  # stale, and refreshed behind it
    page.lines = (FRESH,)
    await purge_meanwhile(scene, page, kind, asked.wait(), gate.set)
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", SOFT)
async def test_a_soft_purge_while_it_is_refreshed_in_the_background(
    scene: Scene, kind: str
) -> None:
    """What may be served stale still is; the refresh that lands late does not make it fresh."""
    page, gate = scene.fleet.origin.page(ON_TRIAL), asyncio.Event()
    node = scene.fleet.nodes[0]
    await ended(*start(scene, page, 0))
    asked = gated(page, gate, FRESH)
    await ended(*start(scene, page, 0))
    async with asyncio.timeout(LIMIT):
        await asked.wait()
    page.version, page.lines = 2, (FRESH,)
    status, told = await node.purge(page.names(kind))
    assert (status, told["acked"]) == (200, 4)
    answer = await node.get(page)
    assert (version_of(answer), answer.hit, "detail=stale" in answer.cache_status) == (
        1,
        True,
        True,
    )
    gate.set()
    await refreshed(scene, page)


@pytest.mark.parametrize("kind", SOFT)
async def test_what_may_be_served_stale_still_is_after_a_soft_purge(
    scene: Scene, kind: str
) -> None:
    """In every process, from memory and from Redis, and each is refreshed behind it."""
    page = scene.fleet.origin.page(STALE_FOR_LONG)
    await ended(*start(scene, page, 0))
    await stored_by_another(scene, page)
    page.version = 2
    status, told = await scene.fleet.nodes[1].purge(page.names(kind))
    assert (status, told["acked"]) == (200, 4)
    gate = asyncio.Event()
    for _ in scene.fleet.nodes:
        gated(page, gate)
    answers = await ended(*start(scene, page, 0, 1, 2, 3))
    assert {version_of(answer) for answer in answers} == {1}
    assert all(answer.hit and "detail=stale" in answer.cache_status for answer in answers)
    gate.set()
    await refreshed(scene, page)


async def refreshed(scene: Scene, page: Page) -> None:
    """Wait until all have what the origin has now; from then on nobody sees anything older."""
    async with asyncio.timeout(LIMIT):
        while True:
            answers = [await node.get(page) for node in scene.fleet.nodes]
            if all(answer.hit and version_of(answer) == page.version for answer in answers):
                break
            await asyncio.sleep(0.01)
    page.floor = page.version
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_others_wait_for_the_fill(scene: Scene, kind: str) -> None:
    """They asked before the purge, in all processes, and are answered after it."""
    page, gate = scene.fleet.origin.page(), asyncio.Event()
    asked = gated(page, gate)
    tasks = start(scene, page, 0)
    async with asyncio.timeout(LIMIT):
        await asked.wait()
    with scene.wires[3].holding(look_at_lock(page)) as waiting:
        tasks += start(scene, page, 0, 1, 2, 3)
        async with asyncio.timeout(LIMIT):
            await waiting.caught.wait()
    await purge_meanwhile(scene, page, kind, asked.wait(), gate.set)
    first, *followers = await ended(*tasks)
    assert version_of(first) == 1  # its own answer of the origin, asked for before the purge
    assert {version_of(answer) for answer in followers} == {2}
    await scene.fleet.look(page)


@pytest.mark.parametrize("kind", ["tag", "all", "pattern", "soft tag"])
async def test_who_asks_later_outlasts_an_old_fill(scene: Scene, kind: str) -> None:
    """The old fill goes on all the while: nobody waits for it longer than a bound."""
    page, gate = scene.fleet.origin.page(), asyncio.Event()
    asked = gated(page, gate)
    tasks = start(scene, page, 0)
    async with asyncio.timeout(LIMIT):
        await asked.wait()
    page.version += 1
    await scene.fleet.purge(page, kind)
    await scene.fleet.look(page)
    gate.set()
    await ended(*tasks)
    await scene.fleet.look(page)
