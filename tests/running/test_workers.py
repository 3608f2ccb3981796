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
import pytest_asyncio

from tests.apparatus import Answer, read_answer
from tests.redis_server import RedisServer, free_port, shared_redis
from tests.running.clients import load
from tests.running.origin import ScriptedOrigin, content
from tests.running.processes import LIMIT, START_LIMIT, Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

_NUMBERS = itertools.count(100)

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

    async def warmed(self) -> str:
        """A target like no other, in the memory of both workers."""
        target = f"/kept/{next(_NUMBERS)}"
        url = f"http://api.example{target}"
        _, job = await self.admin_api("POST", "/warm", {"urls": [url]})
        async with asyncio.timeout(LIMIT):
            while job["state"] == "running":
                await asyncio.sleep(0.02)
                _, job = await self.admin_api("GET", f"/warm/{job['id']}")
        assert (job["stored"], job["failed"]) == (1, 0), job
        return target

    async def renewed(self, gone: int) -> None:
        """Wait until there are two workers again, without one."""
        async with asyncio.timeout(START_LIMIT):
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin() -> AsyncIterator[ScriptedOrigin]:
    made = ScriptedOrigin()
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(
    origin: ScriptedOrigin, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Proxy]:
    """One for all tests that leave it as well as they found it."""
    async with started(origin, tmp_path_factory.mktemp("workers")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def proxy(lasting: Proxy) -> Proxy:
    """The lasting one, with two workers and none that is on its way out."""
    await lasting.renewed(0)
    return lasting


@pytest_asyncio.fixture(loop_scope="module")
async def mortal(origin: ScriptedOrigin, tmp_path: Path) -> AsyncIterator[Proxy]:
    """One that may be brought to its end."""
    async with started(origin, tmp_path) as made:
        yield made


def pages(count: int) -> Iterator[str]:
    return (f"/kept/{number % count}?size=2000" for number in itertools.count())


def version_of(answer: Answer) -> int:
    return int(answer.headers["X-Version"])


async def test_one_admin_api_speaks_for_all(proxy: Proxy, origin: ScriptedOrigin) -> None:
    await proxy.admin_api("POST", "/purge", {"all": True})
    _, before = await proxy.admin_api("GET", "/stats")
    asked = origin.requests
    target = await proxy.warmed()
    assert origin.requests == asked + 2  # one for each worker
    url = f"/entries?url=http://api.example{target}"
    _, found = await proxy.admin_api("GET", url)
    assert [entry["tier"] for entry in found["entries"]] == ["memory", "memory"]
    for _ in range(10):
        answer = await proxy.get(target)
        assert answer.hit
        past = f"/explain/requests/{answer.headers['Warmfront-Request-Id']}"
        status, told = await proxy.admin_api("GET", past)
        assert (status, told["answer"]["cache_status"]) == (200, answer.cache_status)
    _, stats = await proxy.admin_api("GET", "/stats")
    assert stats["requests"]["hit"] == before["requests"].get("hit", 0) + 10
    assert stats["memory"]["max_size"] == 256 << 20
    assert len(stats["log"]["nodes"]) == 2
    counted = [one["origins"][0]["origins"][0]["requests"] for one in (before, stats)]
    assert counted[1] == counted[0] + 2
    metrics = (await ask(proxy.admin, "GET", "/metrics", host="localhost")).body.decode()
    shown = re.search(r'_requests_total\{.*outcome="hit".*\} (.*)\n', metrics)
    assert shown is not None
    assert float(shown[1]) == stats["requests"]["hit"]
    names = {"urls": [f"http://api.example{target}"]}
    _, told = await proxy.admin_api("POST", "/purge", {**names, "dry_run": True})
    assert told["entries"] == 2
    status, told = await proxy.admin_api("POST", "/purge", names)
    assert (status, told["acked"], told["nodes"], told["entries"]) == (200, 2, 2, 2)
    assert len(proxy.workers) == 2


async def test_an_explanation_tells_how_many_workers_agree(proxy: Proxy) -> None:
    await proxy.admin_api("POST", "/purge", {"all": True})
    target = "/kept/explained"
    await proxy.get(target)
    asked = f"/explain?url=http://api.example{target}&header=Accept:%20a/b"
    _, told = await proxy.admin_api("GET", asked)
    assert told["workers"] == {"hit": 1, "miss": 1}
    assert told["summary"].startswith("Would be a hit in 1 of 2 workers. ")
    asked = f"/explain?url=http://api.example{await proxy.warmed()}"
    _, told = await proxy.admin_api("GET", asked)
    assert told["workers"] == {"hit": 2}
    assert told["summary"].startswith("Would be a hit. ")


async def test_after_a_purge_nobody_sees_anything_older(
    proxy: Proxy, origin: ScriptedOrigin
) -> None:
    """Purges of everything, by turns with changes, while clients ask all the time."""
    await proxy.admin_api("POST", "/purge", {"all": True})
    floor = origin.version
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
    target = await proxy.warmed()
    ended = proxy.supervisor.logged("a worker has ended")
    victim = proxy.workers[index]
    os.kill(victim, signal.SIGKILL)
    origin.version += 1
    status, told = await proxy.admin_api("POST", "/purge", {"all": True})
    assert status == 200, told  # by those who live: nobody waits for the dead
    assert told["acked"] == told["nodes"] >= 1
    for _ in range(10):
        assert version_of(await proxy.get(target)) == origin.version
    await proxy.renewed(victim)
    for _ in range(10):
        assert version_of(await proxy.get(target)) == origin.version
    assert proxy.supervisor.logged("a worker has ended") == ended + 1


async def test_others_accept_for_one_that_is_not_there(proxy: Proxy) -> None:
    before = proxy.workers
    os.kill(before[1], signal.SIGKILL)
    async with asyncio.timeout(LIMIT):
        while not (successors := set(proxy.workers) - set(before)):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    os.kill(next(iter(successors)), signal.SIGSTOP)  # it takes its time
    answers = await asyncio.gather(*(proxy.get(f"/kept/{number}") for number in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    os.kill(next(iter(successors)), signal.SIGCONT)
    await proxy.renewed(before[1])
    answers = await asyncio.gather(*(proxy.get(f"/kept/{number}") for number in range(20)))
    assert [answer.status for answer in answers] == [200] * 20


async def test_a_worker_that_hangs_is_told_as_pending(proxy: Proxy, origin: ScriptedOrigin) -> None:
    target = await proxy.warmed()
    _, stats = await proxy.admin_api("GET", "/stats")
    in_charge = int(stats["node"].rpartition(":")[2])
    (hanging,) = set(proxy.workers) - {in_charge}
    os.kill(hanging, signal.SIGSTOP)
    origin.version += 1
    status, told = await proxy.admin_api("POST", "/purge", {"all": True, "wait": 0.2})
    assert (status, told["acked"], told["nodes"]) == (202, 1, 2)
    assert str(hanging) in told["pending"][0]
    os.kill(hanging, signal.SIGCONT)
    status, told = await proxy.admin_api("POST", "/purge", {"tags": ["nobody"]})
    assert (status, told["acked"], told["nodes"]) == (200, 2, 2)
    for _ in range(10):
        assert version_of(await proxy.get(target)) == origin.version


async def test_without_the_supervisor_the_workers_end(mortal: Proxy) -> None:
    workers = mortal.workers
    mortal.supervisor.process.kill()
    async with asyncio.timeout(LIMIT):
        while any(map(_runs, workers)):  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.02)
    assert mortal.supervisor.logged("the supervisor is gone") == 2


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


async def test_reload_in_place_and_worker_by_worker(proxy: Proxy) -> None:
    target = await proxy.warmed()
    workers = proxy.workers
    text = proxy.config.read_text()

    async def reload(changed: str, says: str) -> None:
        before = proxy.supervisor.logged(says)
        proxy.config.write_text(changed)
        proxy.supervisor.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(START_LIMIT):
            while proxy.supervisor.logged(says) == before:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.02)

    await reload(f"{text}rotues: []\n", "reload failed")
    await reload(f"{text}routes: [{{match: {{path: /passed/*}}, cache: off}}]\n", "reloaded")
    assert (await proxy.get(target)).hit  # nothing was lost
    assert "detail=cache-off" in (await proxy.get("/passed/1")).cache_status
    assert proxy.workers == workers
    async with load(proxy.supervisor.port, pages(20), keeping=3, fresh=3) as seen:
        await reload(f"{text}limits: {{headers: 150}}\n", "all workers are new")
        await seen.served(200)
        await proxy.renewed(workers[0])
        assert not set(proxy.workers) & set(workers)
    assert (seen.lost, seen.turned_away, seen.wrong) == ([], [], [])
    await reload(text, "all workers are new")
    status, _ = await proxy.admin_api("GET", "/readyz")
    assert status == 200


async def test_it_is_ready_when_all_workers_are_warm(
    origin: ScriptedOrigin, tmp_path: Path
) -> None:
    rest = "warm: {on_start: ['http://api.example/kept/1', 'http://api.example/kept/2']}\n"
    async with started(origin, tmp_path, rest) as proxy, asyncio.timeout(LIMIT):
        while (await proxy.admin_api("GET", "/readyz"))[0] != 200:  # noqa: ASYNC110 - as probes do
            await asyncio.sleep(0.02)
        _, stats = await proxy.admin_api("GET", "/stats")
        told = stats["warm_up"]
        assert (told["ready"], told["over"], told["total"]) == (True, True, 4)
        assert (told["hit"] + told["stored"], told["not_stored"], told["failed"]) == (4, 0, 0)


async def test_the_end_loses_no_request(mortal: Proxy, origin: ScriptedOrigin) -> None:
    async with asyncio.timeout(LIMIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", mortal.supervisor.port)
        writer.write(b"GET /passed/1 HTTP/1.1\r\nHost: api.example\r\n\r\n")
        mortal.supervisor.terminate()
        answer = await read_answer(reader, "GET")
        writer.close()
    assert (answer.status, version_of(answer)) == (200, origin.version)
    assert await mortal.supervisor.ended() == 0
    assert mortal.supervisor.logged("error") == 0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with shared_redis() as server:
        yield server


async def test_workers_share_a_redis(
    origin: ScriptedOrigin, tmp_path: Path, redis: RedisServer
) -> None:
    async with started(origin, tmp_path, f"store: {{redis: {{url: '{redis.url}'}}}}\n") as proxy:
        await proxy.renewed(0)  # each knows of the other
        asked = origin.requests
        target = await proxy.warmed()
        assert origin.requests == asked + 1
        origin.version += 1
        status, told = await proxy.admin_api("POST", "/purge", {"all": True})
        assert (status, told["acked"], told["nodes"]) == (200, 2, 2)
        for _ in range(4):
            assert version_of(await proxy.get(target)) == origin.version


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
