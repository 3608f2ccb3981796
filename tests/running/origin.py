"""An origin whose every byte can be checked, and that fails in every way that origins fail.

What it answers follows from the target and its version:

    /kept/N?size=S      may be stored for a second, and used for a minute when the origin fails
    /passed/N?size=S    must not be stored
    /varied/N?size=S    may be stored for each X-Variant
    /endless            has no end, and could be stored if it had one
    /deaf               nothing more is read or answered
"""

import asyncio
import hashlib
import itertools
from contextlib import suppress
from enum import Enum
from urllib.parse import parse_qs, urlsplit

_KEPT = "Cache-Control: s-maxage=1, stale-while-revalidate=1, stale-if-error=60"
_VARIED = "Cache-Control: s-maxage=60\r\nVary: X-Variant"
_PASSED = "Cache-Control: no-store"
_ENDLESS = b"HTTP/1.1 200 OK\r\nCache-Control: s-maxage=60\r\nContent-Length: 1099511627776\r\n\r\n"
_LINES = {"kept": _KEPT, "varied": _VARIED}
_DRIP = 1.0


class Fault(Enum):
    """What is wrong with it."""

    NONE = "in good health"
    KILLED = "nobody listens"
    FROZEN = "requests are read, and that is all"
    DRIPPING = "answers come at a byte a second"
    FAILING = "500"
    GARBAGE = "something that is no HTTP"
    CUT = "half a body, and the end"


def content(target: str, version: int) -> bytes:
    """The body at `target` in a version."""
    wanted = parse_qs(urlsplit(target).query)
    size = int(wanted.get("size", ["1000"])[0])
    seed = hashlib.sha256(f"{target} {version}".encode()).digest()
    return b"".join(itertools.islice(itertools.repeat(seed), size // len(seed) + 1))[:size]


class ScriptedOrigin:
    """Listens on a port that stays its own while it is killed and comes back.

    Attributes:
        version: Of all that it answers.
        requests: How many it has read.
    """

    def __init__(self) -> None:
        self.version = 1
        self.requests = 0
        self.port = 0
        self.fault = Fault.NONE
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Nobody listens, and every connection is reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut_connections()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def suffer(self, fault: Fault) -> None:
        """Have this fault instead of the one before."""
        before, self.fault = self.fault, fault
        if fault is Fault.KILLED:
            await self.stop()
        elif before is Fault.KILLED:
            await self.start()
        if before in {Fault.FROZEN, Fault.DRIPPING}:
            self.cut_connections()

    def cut_connections(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.requests += 1
        target = head.split(" ", 2)[1]
        if target in {"/endless", "/deaf"}:
            await _never_ends(target, writer)
        answer = self._answer(target)
        match self.fault:
            case Fault.FROZEN:
                await asyncio.Event().wait()
            case Fault.DRIPPING:
                for byte in answer:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(_DRIP)
            case Fault.FAILING:
                answer = b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nsorry"
            case Fault.GARBAGE:
                answer = b"\x00\x01 garbage \r\n\r\n" * 20
            case Fault.CUT:
                writer.write(answer[: len(answer) // 2])
                return False
            case Fault.NONE | Fault.KILLED:
                pass
        writer.write(answer)
        await writer.drain()
        return self.fault is not Fault.GARBAGE

    def _answer(self, target: str) -> bytes:
        version = self.version
        body = content(target, version)
        head = (
            "HTTP/1.1 200 OK\r\n"
            f"{_LINES.get(target.split('/')[1], _PASSED)}\r\n"
            f'ETag: "{version}"\r\n'
            f"X-Version: {version}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _never_ends(target: str, writer: asyncio.StreamWriter) -> None:
    if target == "/deaf":
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()
    writer.write(_ENDLESS)
    while True:
        writer.write(bytes(65536))
        await writer.drain()
