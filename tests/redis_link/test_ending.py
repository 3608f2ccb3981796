"""Nothing is left open, whenever it is closed and whoever is cancelled meanwhile."""

import asyncio
from contextlib import suppress

import pytest

from proxy.redis_link import RedisLink, RedisOptions, connect, end, shut
from tests.redis_server import RedisServer


class Slow:
    """Takes until `gate` is open to close."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.closed = False
        self._error = error

    async def aclose(self) -> None:
        self.begun.set()
        await self.gate.wait()
        self.closed = True
        if self._error is not None:
            raise self._error


async def test_who_closes_may_be_cancelled_again_and_again_and_is_so_afterwards() -> None:
    slow = Slow()
    closing = asyncio.create_task(shut(slow))
    await slow.begun.wait()
    for _ in range(3):
        closing.cancel()
        await asyncio.sleep(0)
        assert not closing.done()
    slow.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert slow.closed


async def test_what_closing_raises_is_told() -> None:
    slow = Slow(OSError("gone"))
    slow.gate.set()
    with pytest.raises(OSError, match="gone"):
        await shut(slow)


async def test_tasks_that_swallow_a_cancellation_end_too() -> None:
    begun = asyncio.Event()

    async def stubborn() -> None:
        for _ in range(2):
            begun.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await begun.wait()
    await end((task,))
    assert task.cancelled()
    await end(())


@pytest.mark.parametrize("moments", range(8))
async def test_a_link_leaves_no_connection_open_whenever_it_is_closed(
    redis_server: RedisServer, moments: int
) -> None:
    """So many moments after another client has taken the place of one that is connected."""
    async with redis_server.client() as raw:

        async def names() -> list[str]:
            return [client["name"] for client in await raw.client_list()]

        link = RedisLink(RedisOptions.from_url(redis_server.url), lambda _: None)
        name = f"ending-{moments}"
        await link.run(lambda client: client.execute_command("CLIENT", "SETNAME", name))
        assert name in await names()
        link._replace_client(connect(link.options))
        for _ in range(moments):
            await asyncio.sleep(0)
        await link.close()
        async with asyncio.timeout(30):
            while name in await names():  # noqa: ASYNC110 - the server notices by itself
                await asyncio.sleep(0.01)
