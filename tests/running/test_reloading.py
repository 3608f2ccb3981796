"""Settings read anew under load: no request is lost, what is stored stays, routes change."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.client import AsyncPurgeClient, Refused
from tests.redis_server import free_port
from tests.running.clients import Load, load
from tests.running.origin import ScriptedOrigin
from tests.running.processes import Running, running
from tests.test_app import get

TOKEN = "a-token-of-some-length"  # noqa: S105 - of these tests
KEPT = "/varied/1"
"""May be stored for a minute."""


@dataclass
class Site:
    """A proxy under load, its file, and its admin API."""

    proxy: Running
    config: Path
    base: str
    seen: Load
    admin: AsyncPurgeClient

    def write(self, rest: str) -> None:
        self.config.write_text(self.base + rest)

    async def header(self, name: str) -> set[str | None]:
        """What a field of stored answers is, over some connections; each is a hit."""
        answers = [await get(f"127.0.0.1:{self.proxy.port}", KEPT) for _ in range(8)]
        assert all(answer.hit for answer in answers), [one.cache_status for one in answers]
        return {answer.headers.get(name) for answer in answers}


@asynccontextmanager
async def site(directory: Path, origin: ScriptedOrigin, workers: int) -> AsyncIterator[Site]:
    admin = free_port()
    base = (
        f"listen: 127.0.0.1:{free_port()}\n"
        f"workers: {workers}\n"
        f"origin: {{url: 'http://127.0.0.1:{origin.port}'}}\n"
        f"admin: {{listen: '127.0.0.1:{admin}', token: {TOKEN}}}\n"
        "log: {access: off}\n"
    )
    targets = itertools.cycle(["/kept/1?size=5000", "/passed/1?size=100", KEPT])
    async with (
        running(directory, base) as proxy,
        AsyncPurgeClient(f"http://127.0.0.1:{admin}", TOKEN, timeout=20.0) as client,
        load(proxy.port, targets) as seen,
    ):
        await seen.served(150)
        for _ in range(20 * workers):  # until each worker has it
            await get(f"127.0.0.1:{proxy.port}", KEPT)
        yield Site(proxy, directory / "proxy.yaml", base, seen, client)
    assert (seen.lost, seen.wrong, seen.turned_away) == ([], [], [])
    assert {status for _, status in seen.statuses} == {200}


def route(value: str) -> str:
    return f"routes: [{{response_headers: {{set: {{X-Now: {value}}}}}}}]\n"


@pytest.mark.parametrize("workers", [1, 2])
async def test_under_load(origin: ScriptedOrigin, tmp_path: Path, workers: int) -> None:
    async with site(tmp_path, origin, workers) as here:
        here.write(route("one"))
        here.proxy.process.send_signal(signal.SIGHUP)
        await here.proxy.says("reloaded")
        assert await here.header("X-Now") == {"one"}
        assert here.proxy.logged("response_headers.set: {X-Now: one}") == 1

        here.write(route("two"))
        reloaded = await here.admin.reload()
        assert [(one.key, one.old, one.new) for one in reloaded.changes] == [
            ("routes[0].response_headers.set", "{X-Now: one}", "{X-Now: two}")
        ]
        assert await here.header("X-Now") == {"two"}

        here.write(route("three") + "drain_timout: 5s\ntls: {}\n")
        with pytest.raises(Refused) as caught:
            await here.admin.reload()
        assert caught.value.problem is not None
        assert [fault.where.partition(" ")[2] for fault in caught.value.problem.faults] == [
            "drain_timout",
            "tls.cert",
            "tls.key",
        ]
        assert await here.header("X-Now") == {"two"}
        await here.seen.served(50)


async def test_what_takes_new_workers_gets_them(origin: ScriptedOrigin, tmp_path: Path) -> None:
    async with site(tmp_path, origin, 2) as here:
        here.write("limits: {headers: 150}\nreuse_port: on\n")
        reloaded = await here.admin.reload()
        assert (reloaded.renewing, reloaded.restart) == (("limits",), ("reuse_port",))
        await here.proxy.says("all workers are new")
        await here.seen.served(50)
        async with asyncio.timeout(20):
            assert (await here.admin.reload()).changes == ()
