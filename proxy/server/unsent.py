"""What clients are slow to take of answers, and how much memory that may hold.

A body that is being sent stays in memory to its end, though the store has long dropped it. Whoever
takes it slowly keeps it there, and each of many clients may keep another one. So all of these
together are bounded, and beyond the bound those are cut that have been waited for the longest.
"""

import asyncio
import logging
from typing import Final, Protocol

_logger = logging.getLogger(__name__)

_GRACE: Final = 1.0
"""Seconds that everybody is waited for: a burst of requests is no reason to cut anybody."""


class Taker(Protocol):
    """A connection that is being sent to."""

    def abort(self) -> None:
        """Cut it."""
        ...


class Unsent:
    """The bodies that clients are waited for to take; one that many take counts once.

    Args:
        limit: Bytes that they may hold; None for any number.

    Attributes:
        size: Bytes that they hold.
    """

    def __init__(self, limit: int | None) -> None:
        self.size = 0
        self._limit = limit
        self._waits: dict[Taker, tuple[object, float]] = {}  # the one that began first stands first
        self._held: dict[int, tuple[int, int]] = {}

    def begin(self, client: Taker, body: object) -> None:
        """From now on `client` is waited for to take more of `body`.

        Args:
            client: Who is slow.
            body: bytes, or what has `held`: what is kept for its sake, and how many bytes that is.
        """
        held, size = (body, len(body)) if isinstance(body, bytes) else getattr(body, "held", _NONE)
        if self._limit is None or not size:
            return
        self.end(client)
        now = asyncio.get_running_loop().time()
        self._waits[client] = (held, now)
        size, clients = self._held.get(id(held), (size, 0))
        self._held[id(held)] = (size, clients + 1)
        if not clients:
            self.size += size
            self._make_room(self._limit, now)

    def end(self, client: Taker) -> None:
        """It has taken enough, or is gone."""
        held, _ = self._waits.pop(client, _NO_WAIT)
        if held is None:
            return
        size, clients = self._held.pop(id(held))
        if clients > 1:
            self._held[id(held)] = (size, clients - 1)
        else:
            self.size -= size

    def _make_room(self, limit: int, now: float) -> None:
        while self.size > limit:
            client, (_, since) = next(iter(self._waits.items()))
            if now - since < _GRACE:
                return
            _logger.info("Cut a client that was too slow to take its answer")
            self.end(client)
            client.abort()


_NONE: Final = (None, 0)
_NO_WAIT: Final = (None, 0.0)
