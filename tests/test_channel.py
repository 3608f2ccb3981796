"""Calls, news, and the end of a conversation."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.channel import CallFailed, Channel, ChannelLost


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[Channel, Channel]]:
    here, there = Channel(), Channel()
    one, other = socket.socketpair()
    await here.open(one)
    await there.open(other)
    try:
        async with asyncio.timeout(10):
            yield here, there
    finally:
        await here.close()
        await there.close()


async def test_calls_are_answered_as_they_are_done() -> None:
    async with joined() as (here, there):
        gate = asyncio.Event()

        async def slow(value: Any) -> Any:
            await gate.wait()
            return [value, "é"]

        async def quick(value: Any) -> Any:
            gate.set()
            return {"told": value}

        there.calls.update(slow=slow, quick=quick)
        answers = await asyncio.gather(here.call("slow", "a" * 1_000_000), here.call("quick"))
    assert list(answers) == [["a" * 1_000_000, "é"], {"told": None}]


async def test_what_goes_wrong_is_told() -> None:
    async with joined() as (here, there):

        async def fails(_: Any) -> Any:
            raise ValueError("a bug")

        there.calls["fails"] = fails
        with pytest.raises(CallFailed, match="a bug"):
            await here.call("fails")
        with pytest.raises(CallFailed, match="unknown"):
            await here.call("unknown")


async def test_news_come_in_order_and_before_what_is_answered_later() -> None:
    async with joined() as (here, there):
        told: list[int] = []
        here.news["number"] = told.append

        async def count(upto: int) -> int:
            for number in range(upto):
                there.tell("number", number)
            return upto

        there.calls["count"] = count
        assert await here.call("count", 100) == 100
        assert told == list(range(100))


async def test_when_one_side_ends_the_other_learns_of_it() -> None:
    async with joined() as (here, there):

        async def never(_: Any) -> Any:
            await asyncio.Event().wait()

        there.calls["never"] = never
        waiting = asyncio.create_task(here.call("never"))
        await asyncio.sleep(0)
        await there.close()
        await here.lost.wait()
        with pytest.raises(ChannelLost):
            await waiting
        with pytest.raises(ChannelLost):
            here.tell("news")
        with pytest.raises(ChannelLost):
            await here.call("never")
        assert there.lost.is_set()


@pytest.mark.parametrize("noise", [b"\0\0\0\2[]", b"\0\0\0\1x", b'\0\0\0\x11["news", "what", 1]'])
async def test_what_is_no_message_ends_it(noise: bytes, caplog: pytest.LogCaptureFixture) -> None:
    one, other = socket.socketpair()
    channel = Channel()
    await channel.open(one)
    with other:
        other.sendall(noise)
        async with asyncio.timeout(5):
            await channel.lost.wait()
    await channel.close()
    assert "cannot be understood" in caplog.text


async def test_one_that_was_never_opened() -> None:
    channel = Channel()
    assert channel.backlog == 0
    with pytest.raises(ChannelLost):
        channel.tell("news")
    await channel.close()
