import asyncio
import contextlib

from proxy.origin.slots import Slots


async def test_no_more_than_there_are() -> None:
    slots = Slots(2)
    assert [slots.take_now() for _ in range(3)] == [True, True, False]
    slots.give_back()
    assert slots.take_now()


async def test_zero_is_no_limit() -> None:
    slots = Slots(0)
    assert all(slots.take_now() for _ in range(10_000))


async def test_who_waits_is_served_in_turn() -> None:
    slots, served = Slots(1), []

    async def take(name: str) -> None:
        await slots.take()
        served.append(name)
        slots.give_back()

    assert slots.take_now()
    tasks = [asyncio.create_task(take(name)) for name in "abc"]
    await asyncio.sleep(0)
    slots.give_back()
    assert not slots.take_now(), "it is on its way to the first in the queue"
    await asyncio.gather(*tasks)
    assert served == ["a", "b", "c"]
    assert slots.take_now()


async def test_nobody_who_left_is_served() -> None:
    slots = Slots(1)
    assert slots.take_now()
    gone, waiting = (asyncio.create_task(slots.take()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    slots.give_back()
    await waiting
    assert gone.cancelled()
    slots.give_back()
    assert slots.take_now()


async def test_a_slot_on_its_way_to_one_who_leaves_is_not_lost() -> None:
    slots = Slots(1)
    assert slots.take_now()
    waiting = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    slots.give_back()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert slots.take_now()
