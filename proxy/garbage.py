"""When Python looks for reference cycles: among young objects often, among old ones seldom.

What a request leaves behind is freed by counting references; cycles are rare. Left to itself,
Python yet goes through all old objects, every stored response among them, each time there are a
quarter more of them: 70 ms for a proxy that has just started, 2 s with a million entries, and
every request waits meanwhile.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_NEVER: Final = 1_000_000_000
"""Looks through what is neither young nor old, until Python by itself goes through all."""

_SHORTEST_PAUSE: Final = 60.0

_SHARE: Final = 1_000
"""One part in so many of all time may be spent on going through all."""


@contextmanager
def seldom_collected(
    loop: asyncio.AbstractEventLoop,
    *,
    collect: Callable[[], object] = gc.collect,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[None]:
    """While inside, old objects are gone through seldom, and those that are there by now never.

    Args:
        loop: Runs while inside.
        collect: Goes through all objects but those.
        clock: Seconds, for how long that takes.
    """
    before = gc.get_threshold()
    young, middle, _ = before
    collect()
    gc.freeze()
    gc.set_threshold(young, middle, _NEVER)

    def go_through() -> float:
        began = clock()
        collect()
        return max(_SHORTEST_PAUSE, _SHARE * (clock() - began))

    with _repeated(loop, go_through, _SHORTEST_PAUSE):
        try:
            yield
        finally:
            gc.set_threshold(*before)
            gc.unfreeze()


@contextmanager
def _repeated(
    loop: asyncio.AbstractEventLoop, work: Callable[[], float], pause: float
) -> Iterator[None]:
    """While inside, `work` is done after so many seconds, and after as many as it says, again."""
    timer: asyncio.TimerHandle

    def once() -> None:
        nonlocal timer
        timer = loop.call_later(work(), once)

    timer = loop.call_later(pause, once)
    try:
        yield
    finally:
        timer.cancel()
