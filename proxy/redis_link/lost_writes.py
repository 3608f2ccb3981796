"""Writes to a connection that is gone fail as such, on every event loop.

uvloop raises RuntimeError for them, which redis-py hands on as it is: nobody expects it of a Redis
that is merely away.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any


def expect_lost_writes(pool: Any) -> None:
    """Have the connections that a redis-py pool makes raise ConnectionError for lost writes."""
    pool.connection_class = _losing(pool.connection_class)


@cache
def _losing(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (_Losing, kind), {})


class _Losing:
    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        try:
            await super()._send_packed_command(command)  # type: ignore[misc]  # it is mixed in
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from error
