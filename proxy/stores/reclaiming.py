"""Giving Redis its memory back after purges: in the background, and in no hurry.

What was purged is never served again, whatever becomes of its memory; it would also expire by
itself. So what goes wrong here is let go: Redis away, no news of purges, too much to do.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress

from proxy.purging.scopes import tag_scope
from proxy.purging.state import Mode, Purge
from proxy.redis_link import LinkError
from proxy.stores.tiered import TieredStore

_MOST_TAGS = 1024
_REST = 9.0
"""Times that the last step took: how long requests have the loop and Redis to themselves."""

_TAG_SCOPE = tag_scope("")


class Reclaimer:
    """Drops from Redis what purges by tag have made worthless.

    Args:
        store: Where it is dropped.
        trusted: Whether this process knows of all purges; see PurgeLog.
    """

    def __init__(self, store: TieredStore, trusted: Callable[[], bool]) -> None:
        self._store = store
        self._trusted = trusted
        self._tags: dict[str, None] = {}
        self._news = asyncio.Event()

    def note(self, purge: Purge) -> None:
        """Have it reclaimed soon, if it is a hard one by tag and there is room to note it."""
        if purge.mode is not Mode.HARD:
            return
        for scope in purge.scopes:
            if scope.startswith(_TAG_SCOPE) and len(self._tags) < _MOST_TAGS:
                self._tags[scope.removeprefix(_TAG_SCOPE)] = None
                self._news.set()

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._tags:
                tag = next(iter(self._tags))
                del self._tags[tag]
                with suppress(LinkError):
                    await self._reclaim(tag)

    async def _reclaim(self, tag: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with aclosing(self._store.reclaim(tag)) as steps:
            async for _ in steps:
                if not self._trusted():
                    return
                await asyncio.sleep(_REST * (loop.time() - began))
                began = loop.time()
