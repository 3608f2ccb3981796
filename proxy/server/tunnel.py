"""What follows a 101 (Switching Protocols): bytes, both ways, until a side closes."""

import asyncio
import logging

from aiohttp import StreamReader

from proxy.exchange import BodyAborted, Duplex
from proxy.server.protocol import TUNNEL_GRACE, Connection

_logger = logging.getLogger(__name__)


async def relay(connection: Connection, origin: Duplex) -> None:
    """Copy until both sides have closed, or one has and its time of grace is over.

    There is no idle timeout: a WebSocket may be silent for hours.
    """
    client = connection.open_tunnel()
    directions = {
        asyncio.create_task(_to_origin(client, origin)),
        asyncio.create_task(_to_client(origin, connection)),
    }
    try:
        with connection.cancel_on_loss():
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(directions, timeout=TUNNEL_GRACE)
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)


async def _to_origin(client: StreamReader, origin: Duplex) -> None:
    try:
        async for data in client.iter_any():
            await origin.write(data)
    except (OSError, BodyAborted):
        _logger.debug("A tunnel to the origin broke", exc_info=True)
    else:
        origin.close_write()


async def _to_client(origin: Duplex, connection: Connection) -> None:
    try:
        async for data in origin:
            connection.write(data)
            await connection.drained()
    except (OSError, BodyAborted):
        _logger.debug("A tunnel from the origin broke", exc_info=True)
    else:
        connection.close_write()
