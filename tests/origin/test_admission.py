"""Places and the queue for them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.origin.admission import Admission, LimitOptions
from proxy.origin.errors import OriginError
from proxy.rfc9111.reasons import Reason
from tests.apparatus import PATIENCE

LONG = 60.0


def admission(concurrent: int | None = 1, queue: int = 10, timeout: float = LONG) -> Admission:
    return Admission(LimitOptions(concurrent=concurrent, queue=queue, queue_timeout=timeout))


async def begun(*work: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
    """Tasks that have run up to their first wait, in this order."""
    tasks = [asyncio.create_task(one) for one in work]
    await asyncio.sleep(0)
    return tasks


async def test_without_a_limit_all_enter() -> None:
    places = admission(None, queue=0)
    for _ in range(1000):
        await places.enter()
    assert (places.taken, places.waiting) == (1000, 0)


async def test_who_waits_longest_is_next() -> None:
    places = admission()
    await places.enter()
    order: list[int] = []

    async def come(number: int) -> None:
        await places.enter()
        order.append(number)
        places.leave()

    tasks = await begun(*(come(number) for number in range(5)))
    assert (places.taken, places.waiting, order) == (1, 5, [])
    places.leave()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert (places.taken, places.waiting) == (0, 0)


async def test_who_comes_late_does_not_overtake() -> None:
    places = admission()
    await places.enter()
    (waiting,) = await begun(places.enter())
    places.leave()  # the place belongs to who waited, who has not run yet
    (late,) = await begun(places.enter())
    await waiting
    assert not late.done()
    places.leave()
    await late


async def test_a_full_queue_refuses_at_once() -> None:
    places = admission(queue=1, timeout=7.2)
    await places.enter()
    (waiting,) = await begun(places.enter())
    with pytest.raises(OriginError) as refused:
        await places.enter()
    assert refused.value.reason is Reason.ORIGIN_OVERLOADED
    assert (refused.value.status, refused.value.retry_after) == (503, 8)
    assert refused.value.unsent
    assert places.refused == 1
    places.leave()
    await waiting


async def test_waiting_takes_no_longer_than_it_may() -> None:
    places = admission(timeout=0.02)
    await places.enter()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(OriginError) as refused:
            await places.enter()
    assert refused.value.retry_after == 1
    assert (places.taken, places.waiting, places.refused) == (1, 0, 1)


async def test_a_request_with_less_time_waits_less() -> None:
    places = admission()
    await places.enter()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(OriginError):
            await places.enter(within=0.02)


async def test_who_is_cancelled_leaves_the_queue() -> None:
    places = admission()
    await places.enter()
    first, second = await begun(places.enter(), places.enter())
    first.cancel()
    await asyncio.wait([first])
    assert places.waiting == 1
    places.leave()
    await second
    assert (places.taken, places.waiting, places.refused) == (1, 0, 0)


async def test_who_is_cancelled_as_the_place_comes_passes_it_on() -> None:
    places = admission()
    await places.enter()
    first, second = await begun(places.enter(), places.enter())
    places.leave()
    first.cancel()
    async with asyncio.timeout(PATIENCE):
        await second
    assert first.cancelled()
    assert places.taken == 1


async def test_a_cancelled_one_still_in_line_is_passed_over() -> None:
    places = admission()
    await places.enter()
    first, second = await begun(places.enter(), places.enter())
    first.cancel()
    places.leave()
    async with asyncio.timeout(PATIENCE):
        await second
    assert places.taken == 1


async def test_more_places_call_in_who_waits() -> None:
    places = admission()
    await places.enter()
    tasks = await begun(places.enter(), places.enter())
    places.resize(LimitOptions(concurrent=3))
    await asyncio.gather(*tasks)
    places.resize(LimitOptions(concurrent=1, queue=0))
    places.leave()
    with pytest.raises(OriginError):
        await places.enter()
    assert places.taken == 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["come", "leave", "cancel"]), st.integers(0, 9))),
    st.integers(1, 3),
    st.integers(0, 3),
)
async def test_places_are_never_lost_nor_given_twice(
    moves: list[tuple[str, int]], concurrent: int, queue: int
) -> None:
    places = admission(concurrent, queue)
    inside = 0
    leaving: list[asyncio.Event] = []
    tasks: list[asyncio.Task[None]] = []

    async def visit(go: asyncio.Event) -> None:
        nonlocal inside
        try:
            await places.enter()
        except OriginError:
            return
        inside += 1
        try:
            await go.wait()
        finally:
            inside -= 1
            places.leave()

    for move, which in moves:
        if move == "come":
            leaving.append(asyncio.Event())
            tasks += await begun(visit(leaving[-1]))
        elif tasks and move == "leave":
            leaving[which % len(tasks)].set()
        elif tasks:
            tasks[which % len(tasks)].cancel()
        await asyncio.sleep(0)
        assert inside <= places.taken <= concurrent
        assert places.waiting <= queue
    for go in leaving:
        go.set()
    if tasks:
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait(tasks)
    assert (inside, places.taken, places.waiting) == (0, 0, 0)
