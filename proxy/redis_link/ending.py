"""Ending what uses redis-py, which takes some care.

- It can swallow a cancellation while it connects.
- Where its `aclose` is cancelled, it leaves connections open, to the garbage collector.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

_CANCEL_AGAIN = 0.1


class Closable(Protocol):
    """A client or a connection of redis-py."""

    def aclose(self) -> Awaitable[None]:
        """Close it."""
        ...


async def end(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    """Cancel until they end."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN)


async def shut(client: Closable) -> None:
    """Close it, to the end: whoever is cancelled meanwhile is so afterwards."""
    closing = asyncio.ensure_future(client.aclose())
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.wait((closing,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    closing.result()
