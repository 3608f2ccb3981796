"""A stretch of network between one process and Redis, which can be held, delayed and cut."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

_CHUNK = 65536


@dataclass
class Held:
    """One connection's traffic that was stopped on its way.

    Attributes:
        caught: Set when what was looked for came by.
    """

    marker: bytes
    replies: bool
    caught: asyncio.Event = field(default_factory=asyncio.Event)
    _free: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        self._free.set()

    async def stop(self) -> None:
        self.caught.set()
        await self._free.wait()


class Wire:
    """Takes connections on `port` and passes them on to `target`.

    Attributes:
        cut_replies: Cut every connection in the middle of its next reply.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.cut_replies = False
        self._target = target
        self._held: list[Held] = []
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut it: what is open ends at once, what comes is refused."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    @contextlib.contextmanager
    def holding(self, marker: bytes, *, replies: bool = False) -> Iterator[Held]:
        """Stop the first connection on which `marker` comes by, to Redis or in its `replies`."""
        held = Held(marker, replies)
        self._held.append(held)
        try:
            yield held
        finally:
            held.release()
            if held in self._held:
                self._held.remove(held)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(far)
            ways = (
                self._carry(reader, far, self._send),
                self._carry(far_reader, writer, self._answer),
            )
            tasks = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    self._open.discard(end)
                    end.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        step: Callable[[asyncio.StreamWriter, bytes], Awaitable[bool]],
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                if not await step(writer, chunk):
                    return

    async def _send(self, writer: asyncio.StreamWriter, chunk: bytes) -> bool:
        await self._hold(chunk, replies=False)
        writer.write(chunk)
        await writer.drain()
        return True

    async def _answer(self, writer: asyncio.StreamWriter, chunk: bytes) -> bool:
        await self._hold(chunk, replies=True)
        cut = self.cut_replies
        writer.write(chunk[: len(chunk) // 2] if cut else chunk)
        await writer.drain()
        return not cut

    async def _hold(self, chunk: bytes, *, replies: bool) -> None:
        for held in list(self._held):
            if held.replies is replies and held.marker in chunk:
                self._held.remove(held)
                await held.stop()
