"""Reading an origin's body once: to the client as it arrives, and to the store when it is whole."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from proxy.exchange import BodyAborted
from proxy.origin import OriginResponse
from proxy.rfc9111.reasons import Reason

Land = Callable[[bytes], Awaitable[None]]
"""Store the whole body."""

NotLanded = Callable[[Reason], None]
"""The body will not be stored, and why."""

FinishLater = Callable[[Coroutine[Any, Any, None]], bool]
"""Go on reading with no client to read for; False where there is no room for that."""

FINISH_WITHIN = 60.0
"""Seconds that it may take: a stream of events would go on for ever."""


class Filling:
    """The stream of one origin body that is also being stored.

    The body lands *before* its last bytes reach the client, so that a client that has seen the
    whole response finds it stored. A client that leaves does not end the filling: the rest is
    read in the background, since the work has been asked of the origin already.

    Attributes:
        limit: Bytes above which the body only streams through.
    """

    def __init__(
        self,
        response: OriginResponse,
        limit: int,
        *,
        land: Land,
        not_landed: NotLanded,
        finish_later: FinishLater,
    ) -> None:
        self.limit = limit
        self._response = response
        self._chunks = aiter(response.body)
        self._land = land
        self._not_landed = not_landed
        self._finish_later = finish_later
        self._pieces: list[bytes] = []
        self._size = 0
        self._filling = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            await self._complete()
            raise
        except BodyAborted as aborted:
            self._give_up(aborted.reason)
            raise
        if self._filling:
            await self._keep(chunk)
        return chunk

    async def aclose(self) -> None:
        """The client has no more use for the body."""
        if self._filling and self._finish_later(self.finish()):
            return
        self._give_up(Reason.ABANDONED)
        await self._response.aclose()

    async def finish(self) -> None:
        """Read what is left, for the store alone."""
        try:
            async with asyncio.timeout(FINISH_WITHIN):
                while self._filling:
                    await anext(self, None)
        except (TimeoutError, BodyAborted):
            pass  # of a body that broke off the reason was given to not_landed
        finally:
            self._give_up(Reason.ABANDONED)
            await self._response.aclose()

    async def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self.limit:
            self._give_up(Reason.TOO_LARGE)
            return
        self._pieces.append(chunk)
        if self._size == self._response.length:
            await self._complete()

    async def _complete(self) -> None:
        if self._filling:
            self._filling = False
            body, self._pieces = b"".join(self._pieces), []
            try:
                await self._land(body)
            except BaseException:
                self._not_landed(Reason.ABANDONED)
                raise

    def _give_up(self, reason: Reason) -> None:
        if self._filling:
            self._filling = False
            self._pieces = []
            self._not_landed(reason)
