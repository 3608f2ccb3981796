"""Raw bytes on both sides, and the whole proxy in between."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import pytest
import uvloop

from proxy import splicing
from proxy.origin import OriginOptions
from proxy.server import plain, writing
from tests.apparatus import START, Clock, Front, fronted
from tests.certificates import Certify, certificate_for
from tests.scripted_origin import PATIENCE, Received, Script, ScriptedOrigin
from tests.server.wire import Peer, Reply, eventually
from tests.steady_loop import SteadyLoop

MIB = 1 << 20

AHEAD = 24 * MIB
"""Most that may wait between a fast end and a slow one: mostly buffers of the system's sockets."""

STALL = 0.3
"""Seconds without progress that count as a stall."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test in this folder on both loops."""
    return {"asyncio": SteadyLoop, "uvloop": uvloop.new_event_loop}


@dataclass
class Chain:
    """A scripted origin with Warmfront in front of it."""

    origin: ScriptedOrigin
    front: Front
    clock: Clock

    async def connect(self) -> Peer:
        """A client's connection."""
        return await Peer.connect(self.front.listener)

    async def ask(self, raw: bytes, method: str = "GET") -> Reply:
        """One request on a connection of its own, and the answer to it."""
        async with await self.connect() as client:
            return await client.ask(raw, method)

    async def asked(self, count: int) -> None:
        """Wait until the origin has read the heads of so many requests in all."""
        await eventually(lambda: len(self.origin.requests) >= count)


class Through(Protocol):
    """Puts Warmfront in front of a script; everything is closed when the test ends.

    Args:
        serve: How the origin listens: `tls`, `path`, `host`.
        url: The origin's URL, where it is not the address that it listens on.
        origin: Fields of OriginOptions.
        options: Arguments of `fronted`.
    """

    def __call__(
        self,
        script: Script,
        *,
        serve: dict[str, Any] | None = None,
        url: Callable[[ScriptedOrigin], str] | None = None,
        origin: dict[str, Any] | None = None,
        **options: Any,
    ) -> Awaitable[Chain]: ...


@pytest.fixture
async def through() -> AsyncIterator[Through]:
    before = asyncio.all_tasks()
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            script: Script,
            *,
            serve: dict[str, Any] | None = None,
            url: Callable[[ScriptedOrigin], str] | None = None,
            origin: dict[str, Any] | None = None,
            **options: Any,
        ) -> Chain:
            scripted = await ScriptedOrigin(script).start(**(serve or {}))
            stack.push_async_callback(scripted.stop)
            settings = OriginOptions(url(scripted) if url else scripted.url)
            settings = replace(settings, **(origin or {}))
            clock = Clock()
            front = await stack.enter_async_context(fronted(settings, clock=clock, **options))
            return Chain(scripted, front, clock)

        yield start
    assert not asyncio.all_tasks() - before - {asyncio.current_task()}


@pytest.fixture(scope="session")
def certify(tmp_path_factory: pytest.TempPathFactory) -> Certify:
    folder = tmp_path_factory.mktemp("certificates")
    return lambda name: certificate_for(name, folder)


RunAlone: TypeAlias = Callable[[Coroutine[Any, Any, int]], int]


@pytest.fixture(params=["asyncio", "uvloop"])
def run_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RunAlone:
    """Runs something on a loop of its own: of either kind, on one of them without C.

    The date of answers that are the door's own is always the same.
    """
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    if request.param == "asyncio":
        make = asyncio.new_event_loop
        monkeypatch.setattr(plain, "_plain", None)
        monkeypatch.setattr(splicing, "_splice", None)
    monkeypatch.setattr(writing, "wall", lambda: START)

    def run(work: Coroutine[Any, Any, int]) -> int:
        with asyncio.Runner(loop_factory=make) as runner:
            return runner.run(work)

    return run


def request(line: bytes = b"GET / HTTP/1.1", *fields: bytes, body: bytes = b"") -> bytes:
    """A request with Host in front and no framing but what `fields` say."""
    return b"\r\n".join([line, b"Host: api.example", *fields, b"", body])


def lines(message: Reply | Received, *names: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of these names, as they came."""
    return [(name, value) for name, value in message.fields if name.lower() in names]


async def until_cut(client: Peer) -> bytes:
    """What still comes on a connection that is about to be cut, in whatever way."""
    async with asyncio.timeout(PATIENCE):
        return await until_eof(client.reader)


async def until_eof(reader: asyncio.StreamReader) -> bytes:
    """All that comes on a connection, however it ends."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65_536):
            received += piece
    return received


async def write_until_stalled(writer: asyncio.StreamWriter, piece: bytes, total: int) -> int:
    """Write `piece` again and again until nothing moves, or `total`; how much was written."""
    written = 0
    with contextlib.suppress(TimeoutError):
        while written < total:
            writer.write(piece)
            written += len(piece)
            async with asyncio.timeout(STALL):
                await writer.drain()
    return written
