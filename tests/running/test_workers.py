"""Several workers under a supervisor, as processes: one proxy to clients and to the operator."""

import asyncio
import itertools
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.apparatus import Answer, read_answer
from tests.redis_server import RedisServer, free_port, shared_redis
from tests.running.clients import load
from tests.running.origin import ScriptedOrigin, content
from tests.running.processes import LIMIT, Running, running

TOKEN = "a-token-for-the-workers-0123456789"  # noqa: S105 - of servers that live for a test


@dataclass
class Proxy:
    """A supervisor with its workers.

    Attributes:
        supervisor: Its process.
        admin: Port of the admin API.
        config: Its file.
    """

    supervisor: Running
    admin: int
    config: Path

    @property
    def workers(self) -> list[int]:
        """Process ids, as the system has them."""
        pid = self.supervisor.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    async def get(self, target: str) -> Answer:
        """On a connection of its own, so by any worker."""
        return await ask(self.supervisor.port, "GET", target)

    async def admin_api(
        self, method: str, target: str, document: Any = None
    ) -> tuple[int, dict[str, Any]]:
        body = b"" if document is None else json.dumps(document).encode()
        answer = await ask(self.admin, method, target, body, host="localhost")
        return answer.status, json.loads(answer.body)

    async def warm(self, target: str) -> None:
        """Have it in the memory of both workers."""
        url = f"http://api.example{target}"
        _, job = await self.admin_api("POST", "/warm", {"urls": [url]})
        async with asyncio.timeout(LIMIT):
            while job["state"] == "running":
                await asyncio.sleep(0.02)
                _, job = await self.admin_api("GET", f"/warm/{job['id']}")
        assert (job["stored"], job["failed"]) == (1, 0), job

    async def renewed(self, gone: int) -> None:
        """Wait until there are two workers again, without one."""
        async with asyncio.timeout(LIMIT):
            while True:
                workers = self.workers
                with suppress(OSError, asyncio.IncompleteReadError):
                    _, told = await self.admin_api("POST", "/purge", {"tags": ["nobody"]})
                    if len(workers) == 2 and gone not in workers and told["nodes"] == 2:
                        return
                await asyncio.sleep(0.02)


async def ask(
    port: int, method: str, target: str, body: bytes = b"", *, host: str = "api.example"
) -> Answer:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {TOKEN}"]
    lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []
    async with asyncio.timeout(LIMIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
            return await read_answer(reader, method)
        finally:
            writer.close()


def written(origin: ScriptedOrigin, admin: int, rest: str = "", listen: str = "127.0.0.1:0") -> str:
    return (
        f"listen: {listen}\n"
        f"origin: {{url: 'http://127.0.0.1:{origin.port}'}}\n"
        f"admin: {{listen: '127.0.0.1:{admin}', token: '{TOKEN}'}}\n"
        f"workers: 2\nlog: {{access: off}}\ndefaults: {{ttl: 10m}}\n{rest}"
    )


@asynccontextmanager
async def started(origin: ScriptedOrigin, directory: Path, rest: str = "") -> AsyncIterator[Proxy]:
    admin = free_port()
    async with running(directory, written(origin, admin, rest)) as supervisor:
        yield Proxy(supervisor, admin, directory / "proxy.yaml")


@pytest.fixture
async def proxy(origin: ScriptedOrigin, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with started(origin, tmp_path) as made:
        yield made


def pages(count: int) -> Iterator[str]:
    return (f"/kept/{number % count}?size=2000" for number in itertools.count())


def version_of(answer: Answer) -> int:
    return int(answer.headers["X-Version"])


async def test_one_admin_api_speaks_for_all(proxy: Proxy, origin: ScriptedOrigin) -> None:
    await proxy.warm("/kept/1")
    assert origin.requests == 2  # one for each worker
    url = "/entries?url=http://api.example/kept/1"
    _, found = await proxy.admin_api("GET", url)
    assert [entry["tier"] for entry in found["entries"]] == ["memory", "memory"]
    for _ in range(10):
        answer = await proxy.get("/kept/1")
        assert answer.hit
        past = f"/explain/requests/{answer.headers['Warmfront-Request-Id']}"
        status, told = await proxy.admin_api("GET", past)
        assert (status, told["answer"]["cache_status"]) == (200, answer.cache_status)
    _, stats = await proxy.admin_api("GET", "/stats")
    assert stats["requests"]["hit"] == 10
    assert stats["memory"]["entries"] == 2
    assert stats["memory"]["max_size"] == 256 << 20
    assert len(stats["log"]["nodes"]) == 2
    assert stats["origins"][0]["origins"][0]["requests"] == 2
    metrics = (await ask(proxy.admin, "GET", "/metrics", host="localhost")).body.decode()
    assert re.search(
        r'^warmfront_requests_total\{.*outcome="hit".*\} 10\.0$', metrics, re.MULTILINE
    )
    names = {"urls": ["http://api.example/kept/1"]}
    _, told = await proxy.admin_api("POST", "/purge", {**names, "dry_run": True})
    assert told["entries"] == 2
    status, told = await proxy.admin_api("POST", "/purge", names)
    assert (status, told["acked"], told["nodes"], told["entries"]) == (200, 2, 2, 2)
    assert len(proxy.workers) == 2


async def test_after_a_purge_nobody_sees_anything_older(
    proxy: Proxy, origin: ScriptedOrigin
) -> None:
    """Purges of everything, by turns with changes, while clients ask all the time."""
    floor = 0
    wrong: list[str] = []

    async def look(targets: Iterator[str]) -> None:
        while True:
            least = floor
            target = next(targets)
            answer = await proxy.get(target)
            if version_of(answer) < least or answer.body != content(target, version_of(answer)):
                wrong.append(f"{target}: {version_of(answer)} after {least}: {answer.cache_status}")

    clients = [asyncio.create_task(look(pages(5))) for _ in range(4)]
    for _ in range(30):
        await asyncio.sleep(0.02)
        origin.version += 1
        version = origin.version
        status, told = await proxy.admin_api("POST", "/purge", {"all": True})
        assert (status, told["acked"], told["nodes"]) == (200, 2, 2), told
        floor = version
    for client in clients:
        assert not client.done()
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    assert wrong == []


@pytest.mark.parametrize("index", [0, 1])
async def test_a_worker_that_is_killed_has_a_successor(
    proxy: Proxy, origin: ScriptedOrigin, index: int
) -> None:
    await proxy.warm("/kept/1")
    victim = sorted(proxy.workers)[index]
    os.kill(victim, signal.SIGKILL)
    origin.version += 1
    status, told = await proxy.admin_api("POST", "/purge", {"all": True})
    assert status == 200, told  # by those who live: nobody waits for the dead
    assert told["acked"] == told["nodes"] >= 1
    for _ in range(10):
        assert version_of(await proxy.get("/kept/1")) == origin.version
    await proxy.renewed(victim)
    for _ in range(10):
        assert version_of(await proxy.get("/kept/1")) == origin.version
    assert proxy.supervisor.logged("a worker has ended") == 1


async def test_a_worker_that_hangs_is_told_as_pending(proxy: Proxy, origin: ScriptedOrigin) -> None:
    await proxy.warm("/kept/1")
    hanging = max(proxy.workers)  # the other one has the admin API
    os.kill(hanging, signal.SIGSTOP)
    origin.version += 1
    status, told = await proxy.admin_api("POST", "/purge", {"all": True, "wait": 0.2})
    assert (status, told["acked"], told["nodes"]) == (202, 1, 2)
    assert str(hanging) in told["pending"][0]
    os.kill(hanging, signal.SIGCONT)
    status, told = await proxy.admin_api("POST", "/purge", {"tags": ["nobody"]})
    assert (status, told["acked"], told["nodes"]) == (200, 2, 2)
    for _ in range(10):
        assert version_of(await proxy.get("/kept/1")) == origin.version


async def test_without_the_supervisor_the_workers_end(proxy: Proxy) -> None:
    workers = proxy.workers
    proxy.supervisor.process.kill()
    async with asyncio.timeout(LIMIT):
        while any(map(_runs, workers)):  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.02)
    assert proxy.supervisor.logged("the supervisor is gone") == 2


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


async def test_reload_in_place_and_worker_by_worker(proxy: Proxy) -> None:
    await proxy.warm("/kept/1")
    workers = proxy.workers
    text = proxy.config.read_text()

    async def reload(changed: str, says: str) -> None:
        before = proxy.supervisor.logged(says)
        proxy.config.write_text(changed)
        proxy.supervisor.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(LIMIT):
            while proxy.supervisor.logged(says) == before:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.02)

    await reload(f"{text}rotues: []\n", "reload failed")
    await reload(f"{text}routes: [{{match: {{path: /passed/*}}, cache: off}}]\n", "reloaded")
    assert (await proxy.get("/kept/1")).hit  # nothing was lost
    assert "detail=cache-off" in (await proxy.get("/passed/1")).cache_status
    assert proxy.workers == workers
    async with load(proxy.supervisor.port, pages(20), keeping=3, fresh=3) as seen:
        await reload(f"{text}limits: {{headers: 150}}\n", "all workers are new")
        await seen.served(200)
        await proxy.renewed(workers[0])
        assert not set(proxy.workers) & set(workers)
    assert (seen.lost, seen.turned_away, seen.wrong) == ([], [], [])
    status, _ = await proxy.admin_api("GET", "/readyz")
    assert status == 200


async def test_the_end_loses_no_request(proxy: Proxy, origin: ScriptedOrigin) -> None:
    async with asyncio.timeout(LIMIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.supervisor.port)
        writer.write(b"GET /passed/1 HTTP/1.1\r\nHost: api.example\r\n\r\n")
        proxy.supervisor.terminate()
        answer = await read_answer(reader, "GET")
        writer.close()
    assert (answer.status, version_of(answer)) == (200, origin.version)
    assert await proxy.supervisor.ended() == 0
    assert proxy.supervisor.logged("error") == 0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with shared_redis() as server:
        yield server


async def test_workers_share_a_redis(
    origin: ScriptedOrigin, tmp_path: Path, redis: RedisServer
) -> None:
    async with started(origin, tmp_path, f"store: {{redis: {{url: '{redis.url}'}}}}\n") as proxy:
        await proxy.renewed(0)  # each knows of the other
        await proxy.warm("/kept/1")
        assert origin.requests == 1
        origin.version += 1
        status, told = await proxy.admin_api("POST", "/purge", {"all": True})
        assert (status, told["acked"], told["nodes"]) == (200, 2, 2)
        for _ in range(4):
            assert version_of(await proxy.get("/kept/1")) == origin.version


async def test_what_a_worker_cannot_do_is_told_at_start(
    origin: ScriptedOrigin, tmp_path: Path
) -> None:
    config = tmp_path / "proxy.yaml"
    tls = f"tls: {{cert: {tmp_path}/none.pem, key: {tmp_path}/none.pem}}\n"
    config.write_text(written(origin, free_port(), tls))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "run", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert "No such file" in errors.decode()
    assert "Traceback" not in errors.decode()
