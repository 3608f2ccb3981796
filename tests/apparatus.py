"""A real origin, a real proxy and a plain client, joined by real sockets; only the clock is ours.

The origin answers from a script and remembers what it was asked. The proxy is built as the
application builds it: listener, gateway, memory store, origin client.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from proxy.background import Background
from proxy.events import Event, PassedOn
from proxy.gateway import Decisions, ForwardingOptions, Gateway
from proxy.journal import singly
from proxy.origin import GroupOptions, MemberOptions, OriginOptions, Origins
from proxy.purging import MemoryPurgeLog
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.policy import Policy
from proxy.routes import Route, RouteTable
from proxy.server import Listener, ServerOptions
from proxy.stores import MemoryStore

START = 1_800_000_000.0
PATIENCE = 5.0

Lines = Sequence[tuple[str, str]]


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def date(self, offset: float = 0.0) -> str:
        """An HTTP date `offset` seconds from now."""
        return format_http_date(self.now + offset)


@dataclass
class Seen:
    """A request as the origin saw it."""

    method: str
    target: str
    headers: Headers
    body: bytes

    def values(self, name: str) -> list[str]:
        return self.headers.getall(name, [])


@dataclass
class Reply:
    """What the origin says next.

    Attributes:
        raw: These bytes and nothing else, then the connection is closed.
        wait: Answer only when this is set.
        interim: Bytes sent first.
    """

    status: int = 200
    headers: Lines = ()
    body: bytes = b""
    raw: bytes | None = None
    wait: asyncio.Event | None = None
    interim: bytes = b""

    def encode(self, method: str) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Scripted"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        bodiless = self.status in {204, 304}
        if not bodiless:
            lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head if bodiless or method == "HEAD" else head + self.body


class Origin:
    """Answers with `script` in turn, then with `always`."""

    def __init__(self) -> None:
        self.script: list[Reply] = []
        self.always: Callable[[Seen], Reply] = lambda _seen: Reply(body=b"unscripted")
        self.seen: list[Seen] = []
        self.port = 0
        self._news = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}

    def will(self, *replies: Reply) -> None:
        self.script.extend(replies)

    async def asked(self, count: int = 1) -> None:
        """Wait until so many requests have come in all."""
        async with asyncio.timeout(PATIENCE):
            while len(self.seen) < count:
                self._news.clear()
                await self._news.wait()

    @property
    def connections(self) -> int:
        """How many the other side has not closed."""
        return sum(not reader.at_eof() for reader in self._connections.values())

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = reader
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self._connections[writer]
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head[:-4].split("\r\n")
        method, target, _ = request_line.split(" ")
        headers: Headers = Headers()
        for line in lines:
            name, _, value = line.partition(":")
            headers.add(name, value.strip(" \t"))
        body = await reader.readexactly(int(headers.get("Content-Length", "0")))
        seen = Seen(method, target, headers, body)
        self.seen.append(seen)
        self._news.set()
        reply = self.script.pop(0) if self.script else self.always(seen)
        if reply.interim:
            writer.write(reply.interim)
        if reply.wait is not None:
            await reply.wait.wait()
        writer.write(reply.encode(method) if reply.raw is None else reply.raw)
        await writer.drain()
        return reply.raw is None


@dataclass
class Answer:
    """A response as the client saw it.

    Attributes:
        complete: False where the connection ended before the message did.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes
    interim: list[tuple[int, Headers]] = field(default_factory=list)
    complete: bool = True

    @property
    def cache_status(self) -> str:
        return self.headers.getall("Cache-Status", [""])[-1]

    @property
    def hit(self) -> bool:
        return "; hit" in self.cache_status


class Proxied:
    """Warmfront in front of an `Origin`."""

    def __init__(self, origin: Origin, clock: Clock, front: "Front") -> None:
        self.origin = origin
        self.clock = clock
        self.gateway = front.gateway
        self.listener = front.listener
        self.origins = front.origins
        self.store = front.store
        self.log = front.log
        self.background = front.background
        self.events = front.events

    async def get(self, target: str = "/", *lines: tuple[str, str]) -> Answer:
        return await self.ask("GET", target, *lines)

    async def ask(
        self, method: str, target: str = "/", *lines: tuple[str, str], body: bytes | None = None
    ) -> Answer:
        """Send one request on a connection of its own; `Host` is added unless given."""
        fields = list(lines)
        if not any(name.lower() == "host" for name, _ in fields):
            fields.insert(0, ("Host", "api.example"))
        if body is not None:
            fields.append(("Content-Length", str(len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        raw = f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")
        return await self.send(raw, method)

    async def send(self, raw: bytes, method: str = "GET") -> Answer:
        """Send these bytes and read one response."""
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
            try:
                writer.write(raw)
                await writer.drain()
                return await read_answer(reader, method)
            finally:
                writer.close()

    async def settled(self) -> None:
        """Wait until nothing runs in the background."""
        async with asyncio.timeout(PATIENCE):
            await self.background.drain()


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `check` holds; for what no event tells."""
    async with asyncio.timeout(PATIENCE):
        while not await check():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)


async def read_answer(reader: asyncio.StreamReader, method: str) -> Answer:
    interim: list[tuple[int, Headers]] = []
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head[:-4].split("\r\n")
        _, code, reason = status_line.split(" ", 2)
        headers: Headers = Headers()
        for line in lines:
            name, _, value = line.partition(": ")
            headers.add(name, value)
        if not code.startswith("1") or code == "101":
            break
        interim.append((int(code), headers))
    answer = Answer(int(code), reason, headers, b"", interim)
    if method == "HEAD" or code in {"204", "304", "101"}:
        return answer
    try:
        answer.body = await _read_body(reader, headers)
    except asyncio.IncompleteReadError as error:
        answer.body, answer.complete = error.partial, False
    except ConnectionError:
        answer.complete = False
    return answer


async def _read_body(reader: asyncio.StreamReader, headers: Headers) -> bytes:
    if "Content-Length" in headers:
        return await reader.readexactly(int(headers["Content-Length"]))
    if "Transfer-Encoding" not in headers:
        return await reader.read()
    body = b""
    while size := int(await reader.readline() or b"0", 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


hot_by_default: ContextVar[bool] = ContextVar("hot_by_default", default=True)


@dataclass
class Front:
    """Warmfront as the application builds it, listening on a free port."""

    gateway: Gateway
    listener: Listener
    origins: Origins
    store: MemoryStore
    log: MemoryPurgeLog
    background: Background
    events: list[Event]


def told(front: Front) -> list[Event]:
    """What has been told so far, and what was to be told together, one by one."""
    front.gateway.tell()
    single: list[Event] = []
    for event in front.events:
        if isinstance(event, PassedOn):
            single += chain.from_iterable(singly(event))
        else:
            single.append(event)
    return single


def tell_at_once(front: Front) -> None:
    """Have what is told together be told one by one, in order with all else."""
    hot = front.gateway.hot
    for teller in (hot.means, hot._passings):
        note: Callable[..., bytes] = teller.note

        def noting(*noted: Any, note: Callable[..., bytes] = note) -> bytes:
            ending = note(*noted)
            front.gateway.tell()
            return ending

        teller.note = noting


@asynccontextmanager
async def fronted(
    origin: OriginOptions | GroupOptions,
    policy: Policy | None = None,
    routes: Sequence[Route] = (),
    *,
    clock: Clock | None = None,
    forwarding: ForwardingOptions | None = None,
    server: ServerOptions | None = None,
    listen: str = "127.0.0.1:0",
    tls: ssl.SSLContext | None = None,
    max_size: int = 1 << 24,
    max_object_size: int = 1 << 20,
    hot: bool = True,
    decisions: Decisions | None = None,
) -> AsyncIterator[Front]:
    """Warmfront with a memory store in front of any origin."""
    clock = clock or Clock()
    if isinstance(origin, OriginOptions):
        origin = GroupOptions(members=(MemberOptions(origin=origin),))
    events: list[Event] = []
    origins = Origins(events.append)
    origins.apply({"": origin}, drain=0.0)
    background = Background(events.append)
    log = MemoryPurgeLog(clock)
    store = MemoryStore(max_size, clock, log.state)
    gateway = Gateway(
        origin=origins[""],
        store=store,
        log=log,
        routes=RouteTable(routes, Route(name="default", policy=policy or Policy())),
        background=background,
        forwarding_options=forwarding
        or ForwardingOptions(
            host="preserve", origin_authority=origin.members[0].origin.endpoint.authority
        ),
        max_object_size=max_object_size,
        clock=clock,
        emit=events.append,
        decisions=decisions,
    )
    listener = Listener(gateway.respond, server or ServerOptions(), events.append)
    if hot:
        listener.answer_from(gateway.hot)
    await listener.start(listen, tls=tls)
    try:
        yield Front(gateway, listener, origins, store, log, background, events)
    finally:
        await listener.close()
        await background.close()
        await origins.close()


@asynccontextmanager
async def proxied(
    policy: Policy | None = None,
    routes: Sequence[Route] = (),
    *,
    host: str = "preserve",
    max_size: int = 1 << 24,
    max_object_size: int = 1 << 20,
    hot: bool | None = None,
    decisions: Decisions | None = None,
) -> AsyncIterator[Proxied]:
    """Warmfront with a memory store in front of a scripted origin, both on free ports.

    With or without its hot path, as `hot_by_default` says if nothing else is said.
    """
    origin, clock = Origin(), Clock()
    await origin.start()
    address = f"127.0.0.1:{origin.port}"
    try:
        async with fronted(
            OriginOptions(url=f"http://{address}"),
            policy,
            routes,
            clock=clock,
            forwarding=ForwardingOptions(host=host, origin_authority=address),
            max_size=max_size,
            max_object_size=max_object_size,
            hot=hot_by_default.get() if hot is None else hot,
            decisions=decisions,
        ) as front:
            yield Proxied(origin, clock, front)
    finally:
        await origin.stop()
