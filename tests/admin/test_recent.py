"""The last minutes: taken once a second, told to who waits."""

import asyncio

import pytest

from proxy.admin.figures import Totals
from proxy.admin.recent import KEPT, Recent
from tests.admin.conftest import Shelf

LONG = 5.0


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_rates_are_taken_over_some_seconds_and_kept_for_minutes(shelf: Shelf) -> None:
    clock = Time()
    recent = Recent(shelf, clock=lambda: 1e9, elapsed=clock)
    for _ in range(KEPT + 10):
        shelf.totals = Totals(requests=shelf.totals.requests + 20)
        await recent.take()
        clock.now += 2.0
    assert {one.requests for one in recent.history()} == {10.0}
    assert len(recent.history()) == KEPT
    last = recent.last()
    assert last is not None
    assert last.seconds == 10.0
    assert recent.stats is not None


async def test_the_first_second_has_no_rate(shelf: Shelf) -> None:
    recent = Recent(shelf, clock=lambda: 1e9)
    assert recent.last() is None
    await recent.take()
    assert recent.last() is None
    assert recent.stats is not None


async def test_who_waits_hears_of_news_of_silence_and_of_the_end(shelf: Shelf) -> None:
    recent = Recent(shelf, clock=lambda: 1e9, interval=3600.0)
    assert not await recent.next(0.0)
    recent.start()
    recent.start()
    assert await recent.next(LONG)
    assert recent.running
    waiting = [asyncio.create_task(recent.next(LONG)) for _ in range(2)]
    await asyncio.sleep(0)
    await recent.close()
    assert all(await asyncio.gather(*waiting))
    assert not recent.running


async def test_a_failure_is_logged_and_the_next_second_comes(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.reachable = False
    recent = Recent(shelf, clock=lambda: 1e9, interval=0.01)
    recent.start()
    while "No figures could be taken" not in caplog.text:  # noqa: ASYNC110 - the log has no event
        await asyncio.sleep(0.01)
    shelf.reachable = True
    assert await recent.next(LONG)
    await recent.close()
