"""How full Redis is, asked now and then."""

import asyncio
from dataclasses import dataclass
from typing import Final

from redis.exceptions import ResponseError

from proxy.redis_link import Client, LinkError, RedisLink

_INTERVAL: Final = 10.0


@dataclass(frozen=True, slots=True)
class Fill:
    """What all that use this server keep there, in bytes; None where that is not known."""

    size: int | None = None
    max_size: int | None = None


class RedisFill:
    """Asks one server, while `run` runs; of a cluster's many nothing is known.

    Attributes:
        last: What it said last.
    """

    def __init__(self, link: RedisLink) -> None:
        self.last = Fill()
        self._link = link

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            try:
                self.last = await self._link.run(_ask)
            except LinkError:
                self.last = Fill()
            await asyncio.sleep(_INTERVAL)


async def _ask(client: Client) -> Fill:
    """A user who may not ask this is no fault of Redis, and no reason to leave it alone."""
    try:
        told = await client.execute_command("INFO", "memory")
    except ResponseError:
        return Fill()
    return Fill(int(told["used_memory"]), int(told.get("maxmemory", 0)) or None)
