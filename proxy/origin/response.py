"""The response, as the gateway gets it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from proxy.exchange import BodyAborted
from proxy.origin.connection import Connection
from proxy.origin.errors import OriginError
from proxy.origin.upload import Upload
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason


class ResponseBody(Protocol):
    """The body's bytes as they arrive; reading is what lets more of them come.

    Iteration ends only behind the last byte of a whole body; else it raises BodyAborted, and
    goes on doing so. A cancelled read loses nothing: somebody else may read on.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Lose interest: drops the connection if the exchange is unfinished."""
        ...


class ConnectionBody:
    """The ResponseBody of a Connection."""

    def __init__(self, connection: Connection, idle_timeout: float, upload: Upload | None) -> None:
        self._connection = connection
        self._idle_timeout = idle_timeout
        self._upload = upload
        self._complete = False
        self._failure: Reason | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._failure is not None:
            raise BodyAborted(self._failure)
        piece = self._connection.buffered() if not self._complete else b""
        if not piece and not self._complete:
            piece = await self._wait()
        await self.settle()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def _wait(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle_timeout):
                return await self._connection.chunk()
        except TimeoutError:
            await self._abandon(Reason.ORIGIN_IDLE_TIMEOUT)
            raise BodyAborted(Reason.ORIGIN_IDLE_TIMEOUT) from None
        except OriginError as error:
            await self._abandon(error.reason)
            raise BodyAborted(error.reason) from error
        except Exception:  # what broke the request body off
            await self._abandon(Reason.ORIGIN_BROKEN)
            raise

    async def settle(self) -> None:
        """Give the connection back as soon as the last byte has been taken."""
        if self._complete or not self._connection.body_ended:
            return
        self._complete = True
        if self._upload is None or self._upload.finished:
            self._connection.release()
        else:
            self._connection.drop()
            await self._upload.stop()

    async def aclose(self) -> None:
        """Lose interest: drops the connection if the body is not read to its end."""
        if not self._complete and self._failure is None:
            await self._abandon(Reason.ORIGIN_BROKEN)

    async def _abandon(self, reason: Reason) -> None:
        self._failure = reason
        self._connection.drop()
        if self._upload is not None:
            await self._upload.stop()


class Tunnel:
    """The origin's side of a connection after 101 (Switching Protocols); a Duplex."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._read():
            yield piece

    async def _read(self) -> bytes:
        try:
            return await self._connection.chunk()
        except OriginError:  # reset, or closed by this end: it is over either way
            return b""

    async def write(self, data: bytes) -> None:
        """Send, and wait while the origin is slow. Raises ConnectionError when it is gone."""
        self._connection.send(data)
        await self._connection.drain()

    def close_write(self) -> None:
        """Tell the origin that nothing more comes, where the transport can (TLS cannot)."""
        self._connection.close_write()

    def close(self) -> None:
        """Close the connection; what was written is still sent."""
        self._connection.close_tunnel()


@dataclass(slots=True)
class OriginResponse:
    """A final response, or a 101 with its tunnel. Read `body` to its end or call `aclose`.

    Attributes:
        headers: As received, framing and hop-by-hop fields included.
        length: Bytes in `body` where the head told, else None; 0 for HEAD, 204 and 304.
        request_time: Wall clock when the request was sent; the last try counts.
        response_time: Wall clock when the final head arrived.
        body: An AsyncIterator that may raise BodyAborted; `body.aclose()` is `aclose()`.
        content: All of the body where it came with the head, else None. Whoever takes it from
            here can leave `body` alone: the exchange is over.
    """

    status: int
    reason: str
    headers: Headers
    length: int | None
    request_time: float
    response_time: float
    body: ResponseBody
    tunnel: Tunnel | None = None
    content: bytes | None = None

    async def aclose(self) -> None:
        """Drop the connection if the exchange is unfinished. May be called again."""
        if self.tunnel is not None:
            self.tunnel.close()
        await self.body.aclose()
