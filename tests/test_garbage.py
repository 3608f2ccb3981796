"""The collector of reference cycles, told when to work."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from proxy.garbage import seldom_collected


class Timers:
    """The part of a loop that runs timers, at times that a test says.

    Attributes:
        waiting: Seconds until each, and what is due then.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        self.waiting.append((delay, callback))
        return self

    def cancel(self) -> None:
        self.waiting.clear()

    def run_next(self) -> None:
        _, callback = self.waiting.pop()
        callback()


@pytest.fixture
def timers() -> Timers:
    return Timers()


@pytest.fixture(autouse=True)
def _collector_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def _collected(timers: Timers, took: list[float]) -> list[float]:
    """The pauses after collections that take so many seconds."""
    now = 0.0
    pauses = []
    durations = iter([0.0, *took])  # the first one is before there are any requests

    def collect() -> None:
        nonlocal now
        now += next(durations)

    loop = cast("asyncio.AbstractEventLoop", timers)
    with seldom_collected(loop, collect=collect, clock=lambda: now):
        for _ in took:
            timers.run_next()
            pauses.append(timers.waiting[0][0])
    assert not timers.waiting
    return pauses


def test_it_takes_at_most_one_part_in_a_thousand_of_all_time(timers: Timers) -> None:
    assert _collected(timers, [0.01, 0.06, 2.0, 0.5]) == pytest.approx([60, 60, 2000, 500])


def test_what_is_there_is_left_alone_and_python_collects_the_young_only() -> None:
    with seldom_collected(cast("asyncio.AbstractEventLoop", Timers())):
        assert gc.get_freeze_count() > 0
        assert gc.isenabled()
        young, middle, old = gc.get_threshold()
        assert 0 < young * middle < 1_000_000 < old


async def test_cycles_that_grow_old_are_found_in_the_end(timers: Timers) -> None:
    class Node:
        other: "Node"

    freed = []
    with seldom_collected(cast("asyncio.AbstractEventLoop", timers)):
        one, two = Node(), Node()
        one.other, two.other = two, one
        gc.collect(1)
        gc.collect(1)  # it has survived: it is old
        gc.callbacks.append(lambda phase, found: freed.append((phase, found["collected"])))
        try:
            del one, two
            timers.run_next()
        finally:
            gc.callbacks.pop()
    assert freed[-1][0] == "stop"
    assert freed[-1][1] >= 2
