"""Reading an origin's body once: to all clients that share it, and to the store when it is whole.

    KEEPING   what has arrived is kept: for the store, and for readers from the first byte on
    WHOLE     it has landed in the store; readers go on in the very bytes that are stored
    PASSING   too large or given up: only what the slowest reader still wants is kept
    ENDED     the last byte is in, or a failure is, which every reader meets in its turn

Whoever needs the next piece reads it for all, so the fastest reader sets the pace.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from proxy.exchange import BodyAborted
from proxy.origin import OriginResponse
from proxy.rfc9111.reasons import Reason

Land = Callable[[bytes], Awaitable[Reason | None]]
"""Store the whole body; why it was not, None where it was."""

NotLanded = Callable[[Reason], None]
"""The body will not be stored, and why."""

FinishLater = Callable[[Coroutine[Any, Any, None]], bool]
"""Go on reading with no client to read for; False where there is no room for that."""

FINISH_WITHIN = 60.0
"""Seconds that it may take: a stream of events would go on for ever."""

SLOWEST = 10.0
"""Seconds that others wait for a reader that holds more than may be kept; then it is cut off."""

_SLICE = 256 * 1024
"""Bytes of a whole body that a reader gets at a time, lest each holds a copy of it."""


@dataclass(slots=True)
class Fate:
    """What became of a response that was to be stored, which shows when its head is gone.

    Attributes:
        refused: Why it was not stored after all; None as long as nothing forbids it.
    """

    refused: Reason | None = None


class Reader:
    """One client's way through a body, at its own pace.

    Attributes:
        next: Number of the piece that it gets next.
        offset: Bytes that it has got.
        cut: It was so slow that others could wait no longer.
    """

    __slots__ = ("_filling", "cut", "next", "offset")

    def __init__(self, filling: "Filling") -> None:
        self._filling = filling
        self.next = 0
        self.offset = 0
        self.cut = False

    @property
    def held(self) -> tuple[object, int]:
        """What stays in memory for as long as somebody reads, and its bytes."""
        filling = self._filling
        whole = filling.whole
        return (filling, filling.kept) if whole is None else (whole, len(whole))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._filling.piece_for(self)
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """The client has no more use for the body."""
        await self._filling.leave(self)


class Filling:
    """One origin body that is being stored, and the clients that read it meanwhile.

    The body lands *before* its last bytes reach a client, so that a client that has seen the
    whole response finds it stored. When the last client leaves, the rest is read in the
    background, since the work has been asked of the origin already.

    Attributes:
        limit: Bytes above which the body only streams through, and that are kept at most.
        length: Bytes in all; None where the origin has not told.
        fate: What became of it, for who asks later: it outlives the body.
        settled: Done when it has landed, or will not: nobody can begin to read any more.
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
        self.length = response.length
        self.fate = Fate()
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._response = response
        self._chunks = aiter(response.body)
        self._land = land
        self._not_landed = not_landed
        self._finish_later = finish_later
        self._finishing = False
        self._readers: set[Reader] = set()
        self._pieces: deque[bytes] = deque()
        self._first = 0  # number of the first piece that is kept
        self._kept = 0
        self._keeping = True
        self._whole: bytes | None = None
        self._ended = False
        self._failure: Reason | None = None
        self._pulling = asyncio.Lock()
        self._caught_up: asyncio.Event | None = None

    @property
    def whole(self) -> bytes | None:
        """All of it, once it is here and was not too large."""
        return self._whole

    @property
    def kept(self) -> int:
        """Bytes that are here, and of use to the store or to somebody who reads."""
        return self._kept

    @property
    def keeping(self) -> bool:
        """Whether all of it so far is here, and more to come: one may begin to read."""
        return self._keeping

    def reader(self) -> Reader:
        """A new reader, from the first byte; only while `keeping`."""
        reader = Reader(self)
        self._readers.add(reader)
        return reader

    async def piece_for(self, reader: Reader) -> bytes | None:
        """The next bytes for `reader`; None behind the last. Raises BodyAborted."""
        while True:
            if reader.cut:
                raise BodyAborted(Reason.TOO_SLOW)
            if self._whole is not None:
                piece = self._whole[reader.offset : reader.offset + _SLICE]
                reader.offset += len(piece)
                return piece or None
            if reader.next < self._first + len(self._pieces):
                return self._hand_out(reader)
            if self._failure is not None:
                raise BodyAborted(self._failure)
            if self._ended:
                return None
            if not self._keeping and self._kept > self.limit:
                await self._wait_for_the_slow()
            else:
                await self._pull()

    async def leave(self, reader: Reader) -> None:
        """Without `reader`; the last one leaves the rest to be read in the background."""
        self._readers.discard(reader)
        if self._readers:
            self._forget_what_all_have()
            return
        if self._finishing or (self._keeping and self._finish_later(self.finish())):
            return
        self._give_up(Reason.ABANDONED)
        await self._response.aclose()

    async def finish(self) -> None:
        """Read what is left, for the store alone."""
        self._finishing = True
        try:
            async with asyncio.timeout(FINISH_WITHIN):
                while self._keeping:
                    await self._pull()
        except TimeoutError:
            pass
        finally:
            self._finishing = False
            self._give_up(Reason.ABANDONED)
            if not self._readers:
                await self._response.aclose()

    def _hand_out(self, reader: Reader) -> bytes:
        piece = self._pieces[reader.next - self._first]
        reader.next += 1
        reader.offset += len(piece)
        if not self._keeping:
            self._forget_what_all_have()
        return piece

    async def _pull(self) -> None:
        """Read one piece, once for all who wait for it."""
        before = self._first + len(self._pieces)
        async with self._pulling:
            if self._ended or self._first + len(self._pieces) > before:
                return
            try:
                piece = await anext(self._chunks)
            except StopAsyncIteration:
                await self._end()
            except BodyAborted as aborted:
                self._fail(aborted.reason)
            except Exception:
                self._fail(Reason.ORIGIN_BROKEN)
                raise
            else:
                await self._take(piece)

    async def _take(self, piece: bytes) -> None:
        kept = self._kept + len(piece)
        if self._keeping and kept > self.limit:
            self._give_up(Reason.TOO_LARGE)
        if self._keeping and kept == self.length:
            # What has not landed is not shown: see the class.
            await self._complete(b"".join((*self._pieces, piece)))
        elif piece:
            self._kept += len(piece)
            self._pieces.append(piece)

    async def _end(self) -> None:
        if self._keeping:
            await self._complete(b"".join(self._pieces))
        self._ended = True

    async def _complete(self, body: bytes) -> None:
        try:
            self.fate.refused = await self._land(body)
        except BaseException:
            self._give_up(Reason.ABANDONED)
            raise
        finally:
            self._whole = body
            self._pieces.clear()
            self._ended = True
            self._settle()

    def _fail(self, reason: Reason) -> None:
        self._failure = reason
        self._ended = True
        self._give_up(reason)

    def _give_up(self, reason: Reason) -> None:
        if self._keeping:
            self._settle()
            self._forget_what_all_have()
            self.fate.refused = reason
            self._not_landed(reason)

    def _settle(self) -> None:
        self._keeping = False
        if not self.settled.done():
            self.settled.set_result(None)

    def _forget_what_all_have(self) -> None:
        """Let go of pieces that no reader wants any more."""
        if self._keeping:
            return
        wanted = min((reader.next for reader in self._readers), default=None)
        while self._pieces and (wanted is None or self._first < wanted):
            self._kept -= len(self._pieces.popleft())
            self._first += 1
        if self._caught_up is not None and self._kept <= self.limit:
            self._caught_up.set()

    async def _wait_for_the_slow(self) -> None:
        """Wait until less is kept for slow readers; cut off those that keep others waiting."""
        if self._caught_up is None:
            self._caught_up = asyncio.Event()
        self._caught_up.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._caught_up.wait(), SLOWEST)
            return
        behind = [one for one in self._readers if one.next == self._first]
        for one in behind:
            one.cut = True
            self._readers.discard(one)
        self._forget_what_all_have()
