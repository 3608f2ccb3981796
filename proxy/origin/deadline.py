"""The clock for the response head."""

import asyncio
from types import TracebackType
from typing import Self

from proxy.origin.errors import OriginError
from proxy.rfc9111.reasons import Reason


class HeadDeadline:
    """Bounds the wait for the final head; runs only while it is the origin that owes a step.

    An asynchronous context manager that raises OriginError(ORIGIN_HEADER_TIMEOUT). `pause` and
    `restart` do nothing once the context is left: the upload may outlive the wait for the head.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(seconds)
        self._entered = False

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered = False
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise OriginError(
                Reason.ORIGIN_HEADER_TIMEOUT, f"{self._seconds:g} s without a response head"
            ) from None

    def pause(self) -> None:
        """The client owes the next step."""
        self._move(None)

    def restart(self) -> None:
        """The origin made progress, or owes the next step from now on."""
        self._move(asyncio.get_running_loop().time() + self._seconds)

    def _move(self, when: float | None) -> None:
        if self._entered and not self._timeout.expired():
            self._timeout.reschedule(when)
