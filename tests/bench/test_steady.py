import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import chain, repeat

import pytest

from tests.bench import steady


def test_times_are_as_dense_as_the_rate_and_the_same_each_time() -> None:
    due = steady.times(1000, 10)
    assert due == steady.times(1000, 10)
    assert due == sorted(due)
    assert len(due) == 10_000
    assert due[-1] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (0.995, 100), (1.0, 100)])
def test_percentiles(share: float, expected: float) -> None:
    assert steady.percentile([float(each) for each in range(1, 101)], share) == expected


def test_no_figures_no_percentile() -> None:
    assert steady.percentile([], 0.5) == 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="epoll")
async def test_waiting_counts_from_when_a_request_was_due() -> None:
    """Once all connections have had an answer, the server holds others back until it has 20."""
    asked = 0
    enough = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await reader.read(1 << 16):
            asked += 1
            if asked == steady.CONNECTIONS + 20:
                enough.set()
            if asked > steady.CONNECTIONS:
                await enough.wait()
            # In two parts: an answer counts when all of it has come.
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe")
            await writer.drain()
            writer.write(b"re")
        writer.close()

    figures = await _figures(answer, [number / 100 for number in range(20)])
    assert figures["answers"] == 20
    assert figures["errors"] == 0
    # The first request waited for the last one, which was due 190 ms later.
    assert figures["p99"] >= 190_000
    assert figures["p50"] >= 90_000


@pytest.mark.skipif(sys.platform != "linux", reason="epoll")
async def test_no_waiting_counts_while_the_load_is_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told that it was held up for a second, and makes up for that."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    told = chain([5.0], repeat(6.0))
    monkeypatch.setattr(steady, "held_up", lambda: next(told))
    monkeypatch.setattr(steady, "_LONG", 0.0)
    before = time.perf_counter()
    figures = await _figures(answer, [0.1, 0.2])
    assert figures["answers"] == 2
    assert time.perf_counter() - before > 1.2
    assert figures["microseconds"] < (time.perf_counter() - before - 1) * 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_being_held_up_is_told_by_the_kernel() -> None:
    before = steady.held_up()
    assert 0 <= before <= steady.held_up()


async def _figures(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    due: list[float],
) -> dict[str, float]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    figures = await asyncio.to_thread(steady.run, port, [b"GET / HTTP/1.1\r\n\r\n"], due)
    server.close()
    await server.wait_closed()
    return figures
