"""Reclaiming in Redis: what is worth it, in what order, and how much of the time it takes."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.purging.state import Mode, Purge
from proxy.redis_link import LinkError
from proxy.stores import reclaiming
from proxy.stores.reclaiming import Reclaimer
from tests.stores.conftest import NOW

LIMIT = 30.0


class Steps:
    """A store that takes `steps` steps of `duration` seconds for each tag."""

    def __init__(self, steps: int = 3, duration: float = 0.0) -> None:
        self.steps = steps
        self.duration = duration
        self.done: list[str] = []
        self.failing = False
        self.trusted = True
        self.news = asyncio.Event()

    async def reclaim(self, tag: str) -> AsyncGenerator[int, None]:
        for _ in range(self.steps):
            await asyncio.sleep(self.duration)
            self.done.append(tag)
            self.news.set()
            if self.failing:
                raise LinkError
            yield 1

    async def finished(self, count: int) -> None:
        async with asyncio.timeout(LIMIT):
            while len(self.done) < count:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def reclaiming_in(store: Steps) -> AsyncIterator[Reclaimer]:
    reclaimer = Reclaimer(store, lambda: store.trusted)  # type: ignore[arg-type]
    task = asyncio.create_task(reclaimer.run())
    try:
        yield reclaimer
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled()


def purge(*scopes: str, mode: Mode = Mode.HARD) -> Purge:
    return Purge(1, scopes, mode, at=NOW)


async def test_hard_purges_by_tag_are_reclaimed_in_turn_and_once_for_all_that_wait() -> None:
    store = Steps(steps=1)
    async with reclaiming_in(store) as reclaimer:
        reclaimer.note(purge("tag:soft", mode=Mode.SOFT))
        reclaimer.note(purge("url:http://api/a", "tag:one", "tag:two"))
        reclaimer.note(purge("tag:three"))
        reclaimer.note(purge("tag:one"))
        await store.finished(3)
        reclaimer.note(purge("tag:one"))
        await store.finished(4)
    assert store.done == ["one", "two", "three", "one"]


async def test_most_of_the_time_is_left_to_requests() -> None:
    """Slower steps, as on a busy machine, are further apart."""
    store = Steps(steps=4, duration=0.01)
    async with reclaiming_in(store) as reclaimer:
        began = time.monotonic()
        reclaimer.note(purge("tag:one"))
        await store.finished(4)
        assert time.monotonic() - began > 4 * 0.01 + 3 * 9 * 0.01 - 0.05


async def test_without_news_of_purges_it_is_let_go() -> None:
    store = Steps()
    store.trusted = False
    async with reclaiming_in(store) as reclaimer:
        reclaimer.note(purge("tag:one", "tag:two"))
        await store.finished(2)
    assert store.done == ["one", "two"], "one step each"


async def test_where_redis_is_of_no_help_it_is_let_go() -> None:
    store = Steps(steps=1)
    store.failing = True
    async with reclaiming_in(store) as reclaimer:
        reclaimer.note(purge("tag:one"))
        await store.finished(1)
        store.failing = False
        reclaimer.note(purge("tag:two"))
        await store.finished(2)
    assert store.done == ["one", "two"]


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reclaiming, "_MOST_TAGS", 2)
    store = Steps(steps=1)
    async with reclaiming_in(store) as reclaimer:
        reclaimer.note(purge("tag:one", "tag:two", "tag:three"))
        await store.finished(2)
        reclaimer.note(purge("tag:four"))
        await store.finished(3)
    assert store.done == ["one", "two", "four"]
