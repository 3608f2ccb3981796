"""What a process occupies while clients do their worst; docs/running.md states these bounds."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.running.crowd import affordable, crowd, first_bytes
from tests.running.origin import ScriptedOrigin
from tests.running.processes import Running, running

MIB = 1 << 20
MAX_SIZE = 4 * MIB

CROWD = 2_000
"""10,000 have been tried by hand: see docs/running.md."""

PER_CONNECTION = 20 * 1024
"""Bytes that a connection may take, whatever its client does."""

IN_HAND = 512 * 1024
"""The same for one that is being answered from the origin: buffers on either side."""

SLACK = 8 * MIB
"""What the allocator keeps, and what runs for the first time."""


@pytest.fixture
async def proxy(origin: ScriptedOrigin, tmp_path: Path) -> AsyncIterator[Running]:
    affordable(CROWD)
    text = (
        "listen: 127.0.0.1:0\n"
        f"origin: {{url: 'http://127.0.0.1:{origin.port}', pool: {{connections: 100}}}}\n"
        f"store: {{memory: {{max_size: {MAX_SIZE}B}}}}\n"
        "limits: {header_timeout: 10m, keepalive: 10m, body_idle: 10m}\n"
        "defaults: {ttl: 1h}\n"
        "admin: off\nlog: {access: off}\n"
    )
    async with running(tmp_path, text) as made:
        assert await answers(made, "/kept/1")
        yield made


async def answers(proxy: Running, target: str) -> bool:
    """Whether somebody who behaves is served."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(request(target, "Connection: close"))
    answer = b""
    with suppress(ConnectionResetError):  # a refusal comes before the request has been read
        async with asyncio.timeout(30):
            answer = await reader.read()
    writer.close()
    return answer.startswith(b"HTTP/1.1 200 ")


def request(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: api.example", *lines, "", ""]).encode()


@asynccontextmanager
async def grows_by(proxy: Running, most: int) -> AsyncIterator[None]:
    """Assert that it occupies no more than so much more at the end of the context."""
    before = proxy.rss
    yield
    grown = proxy.rss - before
    assert grown <= most, f"grown by {grown / MIB:.1f} MiB, more than {most / MIB:.1f}"


BIG = "/kept/big?size=4000000"


@pytest.mark.parametrize(
    ("sends", "reads"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", 0, id="heads that do not end"),
        pytest.param(request("/kept/1"), 4096, id="idle between requests"),
        pytest.param(request(BIG), 10, id="readers that do not read"),
    ],
)
async def test_slow_clients(proxy: Running, sends: bytes, reads: int) -> None:
    size = CROWD if sends != request(BIG) else CROWD // 10  # the system's buffers hold megabytes
    assert await answers(proxy, BIG)

    def hold(until: Callable[[], None]) -> None:
        with crowd(proxy.port, size, sends) as clients:
            if reads:
                assert all(first_bytes(clients, reads))
            until()

    async with grows_by(proxy, size * PER_CONNECTION + SLACK):
        loop = asyncio.get_running_loop()

        def look() -> None:
            assert asyncio.run_coroutine_threadsafe(answers(proxy, "/kept/1"), loop).result(60)
            assert proxy.descriptors > size

        await asyncio.to_thread(hold, look)


async def test_bodies_without_end(proxy: Running) -> None:
    """Downloads that nobody reads, uploads that nobody reads, and one that is read."""
    size = 20
    async with grows_by(proxy, 2 * size * IN_HAND + MAX_SIZE + SLACK):
        upload = b"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n"
        with (
            crowd(proxy.port, size, request("/endless")) as readers,
            crowd(proxy.port, size, upload) as writers,
        ):
            assert all(await asyncio.to_thread(first_bytes, readers, 10))
            assert await asyncio.to_thread(push, writers) > size * 65536
            assert await asyncio.to_thread(read, readers[0], 100 * MIB)
            assert await answers(proxy, "/kept/1")


def push(writers: Iterable[socket.socket]) -> int:
    """Send until nothing more is taken; how many bytes were."""
    pushed = 0
    data = bytes(1 << 18)
    for writer in writers:
        writer.settimeout(0.05)
        with suppress(TimeoutError):
            while True:
                pushed += writer.send(data)
    return pushed


def read(reader: socket.socket, size: int) -> bool:
    while size > 0:
        size -= len(reader.recv(1 << 20))
    return True


@pytest.mark.parametrize("kind", ["kept", "varied"])
async def test_more_than_fits(proxy: Running, kind: str) -> None:
    """A key for every request, or a variant."""
    async with grows_by(proxy, 2 * MAX_SIZE + SLACK):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for number in range(1_500):
            varied = kind == "varied"
            target = "/varied/1" if varied else f"/kept/{number}"
            writer.write(request(f"{target}?size=4000", f"X-Variant: {number}"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(4000)
        writer.close()
    assert proxy.descriptors < 50
