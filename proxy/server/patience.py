"""How long a client is waited for that does not take what it is sent."""

import asyncio
from collections.abc import Callable


class Patience:
    """One client's; it is cut when that ends.

    Args:
        loop: Its connection's.
        cut: Cuts the connection.

    Attributes:
        written: Bytes that it has been sent so far, whether it has taken them or not.
    """

    __slots__ = ("_cut", "_grace", "_loop", "_stall", "_taken", "_transport", "written")

    def __init__(self, loop: asyncio.AbstractEventLoop, cut: Callable[[], None]) -> None:
        self.written = 0
        self._loop = loop
        self._cut = cut
        self._transport: asyncio.Transport | None = None
        self._taken = 0
        self._grace: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """The client is here."""
        self._transport = transport

    def end(self) -> None:
        """It is gone."""
        self._transport = None
        for timer in (self._grace, self._stall):
            if timer is not None:
                timer.cancel()

    def watch(self, timeout: float) -> None:
        """Cut it if it takes nothing for so many seconds, from now on until it has taken all."""
        waiting = self._waiting
        if waiting and self._stall is None:
            self._taken = self.written - waiting
            self._stall = self._loop.call_later(timeout, self._check, timeout)

    def grant(self, seconds: float) -> None:
        """Give a client that has closed its side some time, and more as long as it takes bytes."""
        self._grace = self._loop.call_later(seconds, self._end_grace, seconds, self.written)

    @property
    def _waiting(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _check(self, timeout: float) -> None:
        self._stall = None
        waiting = self._waiting
        if waiting and self.written - waiting == self._taken:
            self._cut()
        else:
            self.watch(timeout)

    def _end_grace(self, seconds: float, written: int) -> None:
        if self.written > written:  # one that is gone would have answered those with a reset
            self.grant(seconds)
        else:
            self._cut()
