"""An origin that says byte for byte what a test tells it to, over a real socket."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

PATIENCE = 5.0
"""Seconds after which a test that waits is a test that failed."""


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class HungUpError(Exception):
    """The proxy closed the connection; it ends a script without failing the test."""


@dataclass(slots=True)
class Received:
    """One request as it stood on the wire."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        lines = self.head.rstrip(b"\r\n").split(b"\r\n")[1:]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]

    def get(self, name: bytes) -> bytes | None:
        found = [value for known, value in self.fields if known.lower() == name.lower()]
        return found[0] if found else None


@dataclass(slots=True)
class Wire:
    """One connection that the proxy opened, seen from the origin."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    origin: "ScriptedOrigin"

    async def head(self) -> Received:
        """The next request head; the body stays unread."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            raise HungUpError from None
        request = Received(head)
        self.origin.requests.append(request)
        return request

    async def request(self) -> Received:
        """The next request with its body."""
        request = await self.head()
        request.body = await self.body(request)
        return request

    async def body(self, request: Received) -> bytes:
        if request.get(b"Transfer-Encoding") == b"chunked":
            body = b""
            while size := int(await self.line(), 16):
                body += await self.read(size)
                await self.line()
            await self.line()
            return body
        return await self.read(int(request.get(b"Content-Length") or 0))

    async def line(self) -> bytes:
        try:
            return (await self.reader.readuntil(b"\r\n"))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            raise HungUpError from None

    async def read(self, size: int) -> bytes:
        try:
            return await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise HungUpError from None

    async def rest(self) -> bytes:
        """Whatever comes until the proxy closes the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE)
        except ConnectionError:
            return b""

    async def send(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            raise HungUpError from None

    def close(self) -> None:
        """Close in order: what was sent arrives."""
        self.writer.close()

    def reset(self) -> None:
        """Close with RST."""
        reset(self.writer)


Script: TypeAlias = Callable[[Wire], Awaitable[None]]


@dataclass(slots=True)
class ScriptedOrigin:
    """Runs one script per connection; remembers every request head it read."""

    script: Script
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    url: str = ""
    _server: asyncio.Server | None = None
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _failures: list[BaseException] = field(default_factory=list)

    async def start(
        self, *, tls: ssl.SSLContext | None = None, path: str | None = None, host: str = "127.0.0.1"
    ) -> "ScriptedOrigin":
        if path is not None:
            self._server = await asyncio.start_unix_server(self._accept, path)
            self.url = f"unix://{path}"
            return self
        self._server = await asyncio.start_server(self._accept, host, 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        return self

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        wire = Wire(reader, writer, self.connections, self)
        task = asyncio.create_task(self._play(wire))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _play(self, wire: Wire) -> None:
        try:
            await self.script(wire)
        except HungUpError:
            pass
        except Exception as failure:  # noqa: BLE001 - raised again in `stop`
            self._failures.append(failure)
        finally:
            wire.close()

    async def idle(self) -> None:
        """Wait until every script has ended, which mostly means: until the proxy hung up."""
        if self._running:
            done = asyncio.gather(*self._running, return_exceptions=True)
            await asyncio.wait_for(done, PATIENCE)

    def refuse(self) -> None:
        """Accept no connection any more."""
        assert self._server is not None
        self._server.close()

    async def stop(self) -> None:
        """Stop, and raise what a script raised."""
        if self._server is not None:
            self._server.close()
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        # Python 3.12 waits for connections, too.
        if self._server is not None:
            await asyncio.wait_for(self._server.wait_closed(), PATIENCE)
        if self._failures:
            raise self._failures[0]


def answering(*responses: bytes) -> Script:
    """A script: the n-th request in all gets the n-th response, the last one ever after."""
    left = list(responses)

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def reply(body: bytes = b"", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A response with Content-Length."""
    lines = [b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


def once(*parts: Any) -> Script:
    """A script: read one request, send the parts, close. A callable part is awaited."""

    async def script(wire: Wire) -> None:
        await wire.request()
        for part in parts:
            if isinstance(part, bytes):
                await wire.send(part)
            else:
                await part(wire)

    return script
