"""File descriptors that run out."""

import asyncio
import resource
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.running.crowd import affordable, crowd, silent
from tests.running.origin import ScriptedOrigin
from tests.running.processes import Running, running
from tests.running.test_memory import answers, request

_DESCRIPTORS = 300
_PATIENCE = 30.0


def yaml(origin: ScriptedOrigin) -> str:
    return (
        "listen: 127.0.0.1:0\n"
        f"origin: {{url: 'http://127.0.0.1:{origin.port}', pool: {{connections: 20}}}}\n"
        "limits: {header_timeout: 10m, keepalive: 10m}\n"
        "admin: off\nlog: {access: off}\n"
    )


async def busy(proxy: Running, seconds: float) -> float:
    """The share of one processor that it uses while nobody asks for anything."""
    began, used = time.monotonic(), proxy.cpu
    await asyncio.sleep(seconds)
    return (proxy.cpu - used) / (time.monotonic() - began)


async def recovers(proxy: Running) -> None:
    """Somebody is served, soon and by itself."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            with suppress(OSError):
                if await answers(proxy, "/passed/1"):
                    return
            await asyncio.sleep(0.05)


async def test_clients_leave_descriptors_for_the_origin(
    origin: ScriptedOrigin, tmp_path: Path
) -> None:
    affordable(1000)
    async with running(tmp_path, yaml(origin), descriptors=_DESCRIPTORS) as proxy:
        assert proxy.logged("too few file descriptors") == 1
        with crowd(proxy.port, 200, b"") as first, crowd(proxy.port, 200, b""):
            await proxy.says("connections are open")
            first[0].sendall(request("/passed/1"))  # no connection to the origin is open yet
            first[0].settimeout(_PATIENCE)
            assert (await asyncio.to_thread(first[0].recv, 20)).startswith(b"HTTP/1.1 200 ")
            assert not await answers(proxy, "/passed/1")
            assert await busy(proxy, 1.0) < 0.3
            assert proxy.logged("connections are open: further ones") == 1
        await recovers(proxy)
        await proxy.says("connections are open; ")
        assert proxy.logged("connections are open; ") == 1


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux has it")
async def test_none_left_at_all(origin: ScriptedOrigin, tmp_path: Path) -> None:
    """By a limit that comes later, since the one at the start is kept to."""
    affordable(1000)
    async with running(tmp_path, yaml(origin)) as proxy:
        assert await answers(proxy, "/passed/1")
        before = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
        few = proxy.descriptors + 10
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (few, before[1]))
        with crowd(proxy.port, 200, b"") as clients:
            await proxy.says("Out of file descriptors")
            assert not await answers(proxy, "/passed/1")
            assert await busy(proxy, 1.0) < 0.3
            assert proxy.descriptors <= few
            assert sum(not silent([client]) for client in clients) >= 150
        await recovers(proxy)
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, before)
        await proxy.says("No longer: Out of")
        assert proxy.logged("Out of file descriptors") == 2  # the beginning and the end
