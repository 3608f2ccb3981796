"""A write to a connection that is gone, on the loops that proxies run on."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from proxy.redis_link import Mode, RedisOptions, connect, shut
from tests.redis_server import RedisServer

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


async def _write_to_a_lost_connection(options: RedisOptions) -> None:
    client: Any = connect(options)
    pool = client.connection_pool
    connection = await pool.get_connection()
    transport = connection._writer.transport
    try:
        transport.abort()
        for _ in range(3):  # the loop closes it
            await asyncio.sleep(0)
        for _ in range(10):  # asyncio notices with the second
            await connection.send_command("PING")
    finally:
        await connection.disconnect(nowait=True)
        await pool.release(connection)
        await shut(client)


@pytest.mark.filterwarnings("ignore:.*socket.send.*")
@pytest.mark.parametrize("loop", LOOPS)
def test_it_is_a_connection_error(loop: str, redis_server: RedisServer) -> None:
    options = RedisOptions(nodes=(("127.0.0.1", redis_server.port),))
    with (
        asyncio.Runner(loop_factory=LOOPS[loop]) as runner,
        pytest.raises(RedisConnectionError),
    ):
        runner.run(_write_to_a_lost_connection(options))


def test_all_that_is_asked_for_the_way_to_redis_is_ready_for_it() -> None:
    options = RedisOptions(
        mode=Mode.SENTINEL, nodes=(("127.0.0.1", 1), ("127.0.0.1", 2)), service="one"
    )

    async def kinds() -> list[type[Any]]:
        client: Any = connect(options)
        pool = client.connection_pool
        pools = [pool, *(each.connection_pool for each in pool.sentinel_manager.sentinels)]
        await shut(client)
        return [each.connection_class for each in pools]

    found = asyncio.run(kinds())
    assert len(found) == 3
    assert all("_Losing" in (base.__name__ for base in kind.__mro__) for kind in found)
