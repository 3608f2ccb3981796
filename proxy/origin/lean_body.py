"""A response body, from the wire to its reader."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from proxy.exchange import BodyAborted
from proxy.origin.errors import OriginError
from proxy.rfc9111.reasons import Reason


class Source(Protocol):
    """The connection that a body comes from."""

    def await_content(self, body: "LeanBody") -> None:
        """A reader waits: the clock runs, until `content_came`."""
        ...

    def content_came(self, body: "LeanBody") -> None:
        """The reader waits no more."""
        ...

    def taken(self) -> None:
        """All that had arrived was taken: more may come."""
        ...

    def stalled(self) -> None:
        """The clock ran out."""
        ...

    def drop(self) -> None:
        """Close at once."""
        ...


class LeanBody:
    """The body's bytes as they arrive; see ResponseBody, whose promises it keeps.

    What has arrived is handed out without waiting. Once the last byte is here, the connection is
    free, however slow the reader.

    Args:
        source: Where more than `content` comes from; None where that is all there is.
    """

    __slots__ = ("__weakref__", "_failure", "_pieces", "_reader", "_source", "held")

    def __init__(self, content: bytes, source: Source | None = None) -> None:
        self.held = len(content)
        self._source = source
        self._pieces = [content] if content else []
        self._failure: OriginError | None = None
        self._reader: asyncio.Future[None] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._failure is not None:
                raise BodyAborted(self._failure.reason) from self._failure
            if self._source is None:
                raise StopAsyncIteration
            await self._wait(self._source)
        return self._take()

    def _take(self) -> bytes:
        pieces = self._pieces
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.held = 0
        if self._source is not None:
            self._source.taken()
        return taken

    async def _wait(self, source: Source) -> None:
        if self._reader is not None:
            raise RuntimeError("two readers of one body")
        self._reader = asyncio.get_running_loop().create_future()
        source.await_content(self)
        try:
            await self._reader
        finally:
            self._reader = None
            source.content_came(self)

    async def aclose(self) -> None:
        """Lose interest: drops the connection if the rest of the body has not arrived."""
        self.discard()

    def discard(self) -> None:
        """As `aclose`, from where nothing can be awaited."""
        if self._pieces or self._source is not None:
            self._pieces.clear()
            self._failure = OriginError(Reason.ORIGIN_BROKEN, "not read to its end")
            if self._source is not None:
                self._source.drop()

    # For the connection.

    def feed(self, piece: bytes) -> None:
        """Bytes have arrived."""
        self._pieces.append(piece)
        self.held += len(piece)
        self._wake()

    def finish(self, failure: OriginError | None = None) -> None:
        """Nothing more comes: the body is whole, or its end is missing because of `failure`."""
        self._source = None
        self._failure = self._failure or failure
        self._wake()

    def overdue(self) -> None:
        """A reader has waited for too long."""
        if self._source is not None:
            self._source.stalled()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
