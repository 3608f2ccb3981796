import asyncio
from collections.abc import Sized

from proxy.origin.waits import Waits
from tests.steady_loop import ON_A_STEADY_LOOP


async def until(overdue: Sized, count: int) -> None:
    async with asyncio.timeout(5):
        while len(overdue) < count:  # noqa: ASYNC110 - `Waits` tells nobody but the list
            await asyncio.sleep(0.005)


async def test_what_waits_for_too_long_is_told_in_order() -> None:
    overdue: list[str] = []
    waits: Waits[str] = Waits(0.01, overdue.append)
    for item in ("a", "b", "c"):
        waits.start(item)
    await until(overdue, 3)
    assert overdue == ["a", "b", "c"]


async def test_what_was_stopped_is_not_told() -> None:
    overdue: list[str] = []
    waits: Waits[str] = Waits(0.01, overdue.append)
    waits.start("a")
    waits.start("b")
    waits.stop("a")
    waits.stop("a")
    waits.stop("never begun")
    await until(overdue, 1)
    assert overdue == ["b"]


@ON_A_STEADY_LOOP
async def test_every_wait_gets_its_whole_time() -> None:
    """One timer serves all, and is set anew for those that began later."""
    overdue: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    waits: Waits[str] = Waits(0.2, lambda item: overdue.update({item: loop.time()}))
    begun = {}
    for item in ("a", "b", "a"):
        waits.stop(item)
        begun[item] = loop.time()
        waits.start(item)
        await asyncio.sleep(0.03)
    await until(overdue, 2)
    assert list(overdue) == ["b", "a"]
    assert all(overdue[item] - begun[item] >= 0.2 for item in begun)


async def test_one_may_stop_another_or_begin_again() -> None:
    overdue: list[str] = []

    def expire(item: str) -> None:
        overdue.append(item)
        waits.stop("b")
        if len(overdue) == 1:
            waits.start("a")

    waits: Waits[str] = Waits(0.01, expire)
    waits.start("a")
    waits.start("b")
    await until(overdue, 2)
    assert overdue == ["a", "a"]


async def test_nothing_is_told_after_the_end() -> None:
    overdue: list[str] = []
    waits: Waits[str] = Waits(0.01, overdue.append)
    waits.close()
    waits.start("a")
    waits.close()
    await asyncio.sleep(0.05)
    assert overdue == []
