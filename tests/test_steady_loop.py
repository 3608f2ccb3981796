"""Time stands still while the machine does, and goes on otherwise."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.steady_loop import MOMENT, SteadyLoop

STALL = 0.5


def stop_for_a_moment() -> None:
    """What a machine does to a process that it has no time for."""
    wake = f"import os, time; time.sleep({STALL}); os.kill({os.getpid()}, {int(signal.SIGCONT)})"
    with subprocess.Popen([sys.executable, "-c", wake]):
        os.kill(os.getpid(), signal.SIGSTOP)


async def test_it_is_what_tests_run_on() -> None:
    assert isinstance(asyncio.get_running_loop(), SteadyLoop)


@pytest.mark.parametrize("stall", [stop_for_a_moment, lambda: time.sleep(STALL)])
async def test_a_stall_outlasts_no_limit(stall: object) -> None:
    assert callable(stall)
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = loop.create_future()
    async with asyncio.timeout(STALL / 2):
        stall()
        loop.call_soon(loop.call_soon, answer.set_result, None)
        await answer
    assert loop.time() - began < STALL / 2


async def test_a_limit_is_a_limit() -> None:
    loop = asyncio.get_running_loop()
    began, really = loop.time(), time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(loop.create_future(), 0.1)
    assert loop.time() - began >= 0.1
    assert time.monotonic() - really >= 0.1


async def test_turns_that_never_wait_take_time_too() -> None:
    async def busy() -> None:
        while True:  # noqa: ASYNC110 - nothing else is to happen
            await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(busy(), MOMENT)
