"""How many requests may be under way to a group of origins, and who waits."""

import asyncio
from dataclasses import dataclass
from math import ceil, inf

from proxy.origin.errors import OriginError
from proxy.rfc9111.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """How much a group of origins is asked at a time.

    Attributes:
        concurrent: Requests under way; None for no limit.
        queue: Requests that wait until one of them has ended.
        queue_timeout: Seconds for which they do.
    """

    concurrent: int | None = None
    queue: int = 100
    queue_timeout: float = 5.0


class Admission:
    """A place for each request under way, and a queue for those who find none.

    The queue is fair (first come, first served) and bounded in length and time.

    Attributes:
        taken: Places that are taken.
        refused: Requests that got none.
    """

    def __init__(self, options: LimitOptions) -> None:
        self.taken = 0
        self.refused = 0
        self._options = options
        self._queue: dict[asyncio.Future[None], None] = {}

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    async def enter(self, within: float = inf) -> None:
        """Take a place, now or when it is one's turn; ends in `leave`.

        Args:
            within: Seconds, where the request has fewer than queue_timeout left.

        Raises:
            OriginError: ORIGIN_OVERLOADED: the queue is full, or the wait took too long.
        """
        if not self._queue and self._free():
            self.taken += 1
            return
        options = self._options
        if len(self._queue) >= options.queue:
            raise self._overloaded(f"{self.taken} under way, {len(self._queue)} waiting")
        turn = asyncio.get_running_loop().create_future()
        self._queue[turn] = None
        try:
            async with asyncio.timeout(min(options.queue_timeout, within)):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise self._overloaded("no place in time") from None
        except BaseException:
            self._give_up(turn)
            raise

    def leave(self) -> None:
        """Give the place to who waits longest."""
        self.taken -= 1
        self._call_in()

    def resize(self, options: LimitOptions) -> None:
        """Apply other options: a lower limit as places are left, the rest to who comes now."""
        self._options = options
        self._call_in()

    def _free(self) -> bool:
        concurrent = self._options.concurrent
        return concurrent is None or self.taken < concurrent

    def _call_in(self) -> None:
        while self._queue and self._free():
            turn = next(iter(self._queue))
            del self._queue[turn]
            if not turn.done():  # else its request is cancelled and about to give up
                turn.set_result(None)
                self.taken += 1

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        """Leave the queue, or pass on the place that was given in the same moment."""
        self._queue.pop(turn, None)
        if turn.done() and not turn.cancelled():
            self.leave()

    def _overloaded(self, detail: str) -> OriginError:
        self.refused += 1
        return OriginError(
            Reason.ORIGIN_OVERLOADED, detail, retry_after=max(1, ceil(self._options.queue_timeout))
        )
