"""The body of a request, as the gateway reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable
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

    Attributes:
        length: Bytes in all; None when it is chunked.
        fault: What to answer if the client is to blame for an abort, and still there.
    """

    def __init__(
        self,
        payload: StreamReader,
        length: int | None,
        idle_timeout: float,
        send_continue: Callable[[], None] | None,
    ) -> None:
        self._payload = payload
        self._idle_timeout = idle_timeout
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
        async with asyncio.timeout(self._idle_timeout):
            return await self._payload.readany()
