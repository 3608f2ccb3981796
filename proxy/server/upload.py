"""The body of a request, as the gateway reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Final

from aiohttp import StreamReader

from proxy.exchange import BodyAborted
from proxy.rfc9111.reasons import Reason
from proxy.server.rejection import RequestRejected

_DISCARD_LIMIT: Final = 64 * 1024
"""Bytes of a body that nobody wants which are read away to keep the connection."""

_DISCARD_TIME: Final = 5.0
"""Seconds that this may take."""


class Upload:
    """A request body: iterate once; raises BodyAborted where it cannot be completed.

    Waiting is bounded twice: for the next piece (`idle`), and in all, so that a client cannot
    hold a request for ever by sending a byte now and then. Time in which nobody wants to read
    is not the client's.

    Args:
        payload: What the connection receives.
        length: See below.
        send_continue: Tells a client that waits for it to go on; None where none does.
        idle: Seconds between two pieces.
        rate: Bytes a second that extend `idle` to the time for the whole; 0 for no such bound.

    Attributes:
        length: Bytes in all; None when it is chunked.
        fault: What to answer if the client is to blame for an abort, and still there.
    """

    def __init__(
        self,
        payload: StreamReader,
        length: int | None,
        send_continue: Callable[[], None] | None,
        *,
        idle: float,
        rate: int,
    ) -> None:
        self._payload = payload
        self._idle = idle
        self._rate = rate
        self._waited = 0.0
        self._send_continue = send_continue
        self._reading = False
        self._ended = False
        self.length = length
        self.fault: RequestRejected | None = None

    @property
    def complete(self) -> bool:
        """All of it has arrived, read or not."""
        return self._payload.is_eof()

    @property
    def can_be_left(self) -> bool:
        """Unread as it is, it does not stand in the way of the next request."""
        if self.complete:
            return True
        if self._send_continue is not None:
            return False  # whether the client will send it at all is unknown (RFC 9110 §10.1.1)
        return self.length is None or self.length - self._payload.total_bytes <= _DISCARD_LIMIT

    def continued(self) -> bool:
        """Note that 100 (Continue) goes out; False if it is not, or no longer, waited for."""
        waited_for, self._send_continue = self._send_continue is not None, None
        return waited_for

    def end(self) -> None:
        """The request has been answered: a late reader must not take the rest for all of it."""
        self._ended = True

    async def discard(self) -> bool:
        """Read away what is left, within bounds; returns whether that was all."""
        if self._reading:
            return False
        taken = 0
        try:
            async with asyncio.timeout(_DISCARD_TIME):
                while not self._payload.at_eof() and taken <= _DISCARD_LIMIT:
                    taken += len(await self._payload.readany())
        except Exception:  # noqa: BLE001 - aiohttp sets all sorts of errors; each means: no
            return False
        return self._payload.at_eof()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise BodyAborted(Reason.REQUEST_INCOMPLETE)
        if self._payload.at_eof():
            raise StopAsyncIteration
        if self._send_continue is not None:
            self._send_continue()
        self._reading = True
        try:
            piece = self._payload.read_nowait() or await self._wait()
        except RequestRejected as fault:
            self.fault = fault
            raise BodyAborted(Reason.REQUEST_INCOMPLETE) from fault
        except TimeoutError:
            self.fault = RequestRejected(408, "The request body did not arrive in time.")
            raise BodyAborted(Reason.REQUEST_INCOMPLETE) from None
        except Exception as error:
            raise BodyAborted(Reason.REQUEST_INCOMPLETE) from error
        finally:
            self._reading = False
        if not piece:
            raise StopAsyncIteration
        return piece

    async def _wait(self) -> bytes:
        start = monotonic()
        try:
            async with asyncio.timeout(self._patience()):
                return await self._payload.readany()
        finally:
            self._waited += monotonic() - start

    def _patience(self) -> float:
        """Seconds that the next piece may take."""
        if not self._rate:
            return self._idle
        earned = self._idle + self._payload.total_bytes / self._rate
        return min(self._idle, earned - self._waited)
