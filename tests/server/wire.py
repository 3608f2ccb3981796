"""A client that says exactly what a test tells it to."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

from proxy.exchange import Incoming, Outgoing
from proxy.rfc9111.messages import Headers
from proxy.server import Listener, Respond

PATIENCE = 5.0
"""Seconds after which a test that waits is a test that failed."""
LONG = 30.0
"""The same where a busy machine has much to do."""

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


class Listen(Protocol):
    """Starts a listener on a free port that is closed when the test ends."""

    def __call__(
        self, respond: Respond, *, tls: ssl.SSLContext | None = None, **options: Any
    ) -> Awaitable[Listener]: ...


@dataclass
class Reply:
    """A response as it stood on the wire, its chunks joined."""

    line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""

    @property
    def status(self) -> int:
        return int(self.line.split(b" ")[1])

    def get(self, name: bytes) -> bytes | None:
        found = [value for known, value in self.fields if known.lower() == name.lower()]
        assert len(found) < 2
        return found[0] if found else None


class Peer:
    """One client connection; every wait is bounded.

    Attributes:
        patience: In seconds.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.patience = PATIENCE

    @classmethod
    async def connect(cls, listener: Listener, **options: Any) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", listener.port, **options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def send_slowly(self, data: bytes) -> None:
        """Byte by byte, so that each arrives alone (TCP_NODELAY is on)."""
        for i in range(len(data)):
            self.writer.write(data[i : i + 1])
            await asyncio.sleep(0)

    async def head(self) -> Reply:
        async with asyncio.timeout(self.patience):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = raw[:-4].split(b"\r\n")
        pairs = (field.partition(b": ") for field in lines)
        return Reply(line, [(name, value) for name, _, value in pairs])

    async def reply(self, method: str = "GET") -> Reply:
        """The next response, with its body."""
        reply = await self.head()
        if method == "HEAD" or reply.status in {204, 304} or reply.status < 200:
            return reply
        async with asyncio.timeout(self.patience):
            reply.body = await self._body(reply)
        return reply

    async def _body(self, reply: Reply) -> bytes:
        if (length := reply.get(b"Content-Length")) is not None:
            return await self.reader.readexactly(int(length))
        if reply.get(b"Transfer-Encoding") is None:
            return await self.reader.read()
        body = b""
        while data := await self.chunk():
            body += data
        return body

    async def chunk(self) -> bytes:
        async with asyncio.timeout(self.patience):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            data = await self.reader.readexactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def ask(self, data: bytes = GET, method: str = "GET") -> Reply:
        self.send(data)
        return await self.reply(method)

    async def rest(self) -> bytes:
        """What comes until the connection ends."""
        async with asyncio.timeout(self.patience):
            return await self.reader.read()

    async def closed(self) -> None:
        """Assert that the connection ends, with or without a reset, and nothing comes before."""
        with contextlib.suppress(ConnectionError):
            assert await self.rest() == b""


def ok(body: bytes | AsyncIterator[bytes] = b"ok", length: int | None = None) -> Outgoing:
    return Outgoing(200, "OK", Headers(), body, length=length)


async def echo(incoming: Incoming) -> Outgoing:
    """Tell what arrived: method and target, then the body."""
    body = b"".join([piece async for piece in incoming.body]) if incoming.body else b""
    request = incoming.request
    return ok(f"{request.method} {request.target} ".encode("latin-1") + body)


def always(outgoing: Callable[[], Outgoing]) -> Respond:
    async def respond(_: Incoming) -> Outgoing:
        return outgoing()

    return respond


async def eventually(check: Callable[[], bool]) -> None:
    """Wait until `check` holds; for what no event tells."""
    async with asyncio.timeout(PATIENCE):
        while not check():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)
