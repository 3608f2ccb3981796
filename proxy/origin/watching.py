"""The body of a response, watched to its end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from proxy.exchange import BodyAborted
from proxy.origin.member import Member
from proxy.origin.response import ResponseBody
from proxy.rfc9111.reasons import Reason

_NOT_ITS_FAULT: Final = frozenset(
    {Reason.REQUEST_INCOMPLETE, Reason.ORIGIN_TOTAL_TIMEOUT, Reason.TOO_SLOW}
)
"""Reasons for a body to break off that nobody blames on the origin."""


class WatchedBody:
    """A ResponseBody that tells its origin how it ended, and frees the request's place then.

    It behaves like the body within; with a deadline it is cut short there
    (ORIGIN_TOTAL_TIMEOUT), which nobody blames on the origin: it may be the client that is slow.

    Args:
        body: What is watched.
        member: The origin that it comes from.
        ticket: Of the request.
        leave: Frees the request's place; None where there are no places.
        deadline: On the loop's clock, or None.
    """

    __slots__ = ("_body", "_deadline", "_leave", "_member", "_open", "_ticket")

    def __init__(
        self,
        body: ResponseBody,
        member: Member,
        ticket: int,
        leave: Callable[[], None] | None,
        deadline: float | None,
    ) -> None:
        self._body = body
        self._member = member
        self._ticket = ticket
        self._leave = leave
        self._deadline = deadline
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            if self._deadline is None:
                return await anext(self._body)
            return await self._before(self._deadline)
        except StopAsyncIteration:
            self._deadline = None
            if self._end():
                self._member.completed(self._ticket)
            raise
        except BodyAborted as aborted:
            if self._end():
                self._blame(aborted.reason)
            raise
        except Exception:  # what broke the request body off
            if self._end():
                self._member.left()
            raise

    async def aclose(self) -> None:
        """Lose interest."""
        try:
            await self._body.aclose()
        finally:
            if self._end():
                self._member.left()

    def __del__(self) -> None:
        """Nobody has read or closed it, nor ever will."""
        if self._end():
            self._member.left()

    async def _before(self, deadline: float) -> bytes:
        if asyncio.get_running_loop().time() < deadline:
            clock = asyncio.timeout_at(deadline)
            try:
                async with clock:
                    return await anext(self._body)
            except TimeoutError:
                if not clock.expired():
                    raise
        self._deadline = 0.0  # for good: clocks of loops are coarse
        await self._body.aclose()
        raise BodyAborted(Reason.ORIGIN_TOTAL_TIMEOUT)

    def _blame(self, reason: Reason) -> None:
        if reason in _NOT_ITS_FAULT:
            self._member.left()
        else:
            self._member.failed(self._ticket, reason)

    def _end(self) -> bool:
        """Whether this is the end; it comes once."""
        ends, self._open = self._open, False
        if ends and self._leave is not None:
            self._leave()
        return ends
