"""The end of a process, as its clients see it, and the process that takes its place."""

import asyncio
import itertools
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from tests.redis_server import free_port
from tests.running.clients import Load, load
from tests.running.origin import ScriptedOrigin
from tests.running.processes import Running, running

_HAND_DOWN = """
import os, sys
os.dup2({}, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "proxy", *sys.argv[1:]])
"""
"""What systemd does for a service with a socket unit."""


def targets() -> Iterator[str]:
    sizes = itertools.cycle([100, 5_000, 100_000])
    kinds = itertools.cycle(["kept", "passed"])
    for number in itertools.count():
        yield f"/{next(kinds)}/{number % 50}?size={next(sizes)}"


def yaml(origin: ScriptedOrigin, port: int, rest: str = "") -> str:
    return (
        f"listen: 127.0.0.1:{port}\n"
        f"origin: {{url: 'http://127.0.0.1:{origin.port}'}}\n"
        f"log: {{access: off}}\n{rest}"
    )


async def leave(old: Running, load: Load) -> None:
    """End `old` while another one is there already."""
    await load.served(200)
    old.terminate()
    assert await old.ended() == 0
    await load.served(200)


async def test_a_successor_on_the_same_port(origin: ScriptedOrigin, tmp_path: Path) -> None:
    text = yaml(origin, free_port(), "admin: off\nreuse_port: on\n")
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(running(tmp_path, text, name="old"))
        async with load(old.port, targets()) as seen:
            await stack.enter_async_context(running(tmp_path, text, name="new"))
            await leave(old, seen)
    assert (seen.lost, seen.wrong) == ([], [])
    # Between the last look into the queue and the close of the socket one may still enter.
    assert len(seen.turned_away) <= 1, seen.turned_away
    assert {status for _, status in seen.statuses} == {200}


async def test_sockets_that_are_handed_down_outlive_processes(
    origin: ScriptedOrigin, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as kept:
        text = yaml(origin, kept.getsockname()[1], "admin: off\n")

        async def started(name: str) -> Running:
            return await stack.enter_async_context(
                running(
                    tmp_path,
                    text,
                    name=name,
                    command=(sys.executable, "-c", _HAND_DOWN.format(kept.fileno())),
                    pass_fds=[kept.fileno()],
                )
            )

        async with AsyncExitStack() as stack:
            first = await started("first")
            async with load(first.port, targets()) as seen:
                second = await started("second")
                await leave(first, seen)
                second.terminate()  # nobody is there for a while: who comes waits
                assert await second.ended() == 0
                await started("third")
                await seen.served(200)
    assert (seen.lost, seen.turned_away, seen.wrong) == ([], [], [])
    assert {status for _, status in seen.statuses} == {200}


async def test_readiness_turns_first(origin: ScriptedOrigin, tmp_path: Path) -> None:
    admin = free_port()
    rest = f"admin: {{listen: '127.0.0.1:{admin}'}}\ndrain_delay: 8s\n"  # to look at it in
    async with running(tmp_path, yaml(origin, 0, rest)) as proxy:
        assert await head(admin, "/readyz") == (200, None)
        assert await head(proxy.port, "/passed/1") == (200, None)
        proxy.terminate()
        await proxy.says("draining")
        assert (await head(admin, "/readyz"))[0] == 503
        assert await head(proxy.port, "/passed/1") == (200, "close")
        assert await proxy.ended() == 0
        with socket.socket() as nobody:
            assert nobody.connect_ex(("127.0.0.1", proxy.port)) != 0


async def head(port: int, target: str) -> tuple[int, str | None]:
    """The status and Connection of an answer."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        writer.close()
    found = [line.partition(": ")[2] for line in lines if line.startswith("Connection: ")]
    return int(lines[0].split()[1]), found[0] if found else None
