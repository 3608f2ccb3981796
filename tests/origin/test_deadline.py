import asyncio

import pytest

from proxy.origin.deadline import HeadDeadline
from proxy.origin.errors import OriginError
from proxy.rfc9111.reasons import Reason
from tests.steady_loop import ON_A_STEADY_LOOP


async def test_time_runs_out() -> None:
    with pytest.raises(OriginError) as raised:
        async with HeadDeadline(0.01):
            await asyncio.Event().wait()
    assert raised.value.reason is Reason.ORIGIN_HEADER_TIMEOUT
    assert raised.value.detail == "0.01 s without a response head"


async def test_no_time_runs_while_paused() -> None:
    async with HeadDeadline(0.02) as deadline:
        deadline.pause()
        await asyncio.sleep(0.05)


@ON_A_STEADY_LOOP
async def test_a_restart_gives_the_whole_time_again() -> None:
    async with HeadDeadline(0.1) as deadline:
        for _ in range(4):
            await asyncio.sleep(0.04)
            deadline.restart()


@ON_A_STEADY_LOOP
async def test_it_can_be_moved_by_another_task() -> None:
    async with HeadDeadline(0.02) as deadline:
        await asyncio.create_task(pause(deadline))
        await asyncio.sleep(0.05)


async def pause(deadline: HeadDeadline) -> None:
    deadline.pause()


async def test_moving_it_is_harmless_before_and_after() -> None:
    deadline = HeadDeadline(0.02)
    deadline.restart()
    async with deadline:
        pass
    deadline.pause()
    deadline.restart()
    await asyncio.sleep(0.05)


async def test_other_timeouts_pass_through() -> None:
    with pytest.raises(TimeoutError, match="mine"):
        async with HeadDeadline(1.0):
            raise TimeoutError("mine")
