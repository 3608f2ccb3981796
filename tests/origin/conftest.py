import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol

import pytest
import uvloop
from multidict import CIMultiDict

from proxy.exchange import BodyAborted
from proxy.origin import OriginClient, OriginOptions, OriginResponse, Outbound
from tests.certificates import Certify, certificate_for
from tests.scripted_origin import Script, ScriptedOrigin
from tests.steady_loop import SteadyLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test in this folder on both loops."""
    return {"asyncio": SteadyLoop, "uvloop": uvloop.new_event_loop}


class Serve(Protocol):
    def __call__(self, script: Script, **options: Any) -> Awaitable[ScriptedOrigin]: ...


class Connect(Protocol):
    def __call__(self, origin: ScriptedOrigin | str, **options: Any) -> OriginClient: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(script: Script, **options: Any) -> ScriptedOrigin:
            origin = await ScriptedOrigin(script).start(**options)
            stack.push_async_callback(origin.stop)
            return origin

        yield start


@pytest.fixture
def lean() -> bool:
    """Which path requests without a body take; modules that show both give this parameters."""
    return True


@pytest.fixture
async def connect(*, lean: bool) -> AsyncIterator[Connect]:
    async with contextlib.AsyncExitStack() as stack:

        def make(origin: ScriptedOrigin | str, **options: Any) -> OriginClient:
            url = origin if isinstance(origin, str) else origin.url
            client = OriginClient(OriginOptions(url, **{"lean": lean, **options}))
            stack.push_async_callback(client.close)
            return client

        # Depends on nothing of `serve`: clients are closed first where both are used.
        yield make


@contextlib.contextmanager
def deaf(address: str, port: int = 0) -> Iterator[tuple[str, int]]:
    """Where connects are not answered: the address and the port."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server((address, port), backlog=0))
        where: tuple[str, int] = server.getsockname()
        for _ in range(4):  # the backlog has no room for all of them, nor for any other
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003
            waiting.connect_ex(where)
        yield where


def get(target: str = "/", *, method: str = "GET", **more: Any) -> Outbound:
    return Outbound(method, target, CIMultiDict({"Host": "api.example"}), **more)


async def read(response: OriginResponse) -> bytes:
    return b"".join([piece async for piece in response.body])


async def fetch(client: OriginClient, target: str = "/", **more: Any) -> bytes:
    return await read(await client.fetch(get(target, **more)))


async def aborted(response: OriginResponse) -> tuple[bytes, BodyAborted]:
    """Read a body that must be cut short: what came of it, and how it ended."""
    read = b""
    try:
        async for piece in response.body:
            read += piece
    except BodyAborted as how:
        return read, how
    pytest.fail(f"the body ended as if it were whole: {read!r}")


class Pieces:
    """A request body that a test feeds piece by piece."""

    def __init__(self, *pieces: bytes, length: int | None = None) -> None:
        self.length = length
        self.taken = 0
        self.closed = False
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        for piece in pieces:
            self._queue.put_nowait(piece)
        if pieces:
            self.finish()

    def put(self, piece: bytes | Exception) -> None:
        self._queue.put_nowait(piece)

    def finish(self) -> None:
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await self._queue.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                self.taken += len(piece)
                yield piece
        finally:
            self.closed = True


@pytest.fixture(scope="session")
def certify(tmp_path_factory: pytest.TempPathFactory) -> Certify:
    folder = tmp_path_factory.mktemp("certificates")
    return lambda name: certificate_for(name, folder)
