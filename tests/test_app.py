"""The whole application: in this process, and as the command that operators run."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy import settings
from proxy.app import App
from proxy.client import AsyncPurgeClient
from proxy.purging import Mode, tag_scope
from proxy.settings import SettingsError
from tests.apparatus import PATIENCE, Answer, Origin, Reply, eventually, read_answer
from tests.redis_server import free_port

START_PATIENCE = 20.0
FRESH = ("Cache-Control", "s-maxage=60")


async def get(address: str, target: str = "/", *, authority: str = "api.example") -> Answer:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"GET {target} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            return await read_answer(reader, "GET")
        finally:
            writer.close()


@asynccontextmanager
async def scripted() -> AsyncIterator[Origin]:
    origin = Origin()
    await origin.start()
    try:
        yield origin
    finally:
        await origin.stop()


def loaded(tmp_path: Path, text: str) -> settings.Settings:
    file = tmp_path / "warmfront.yaml"
    file.write_text(text)
    return settings.load(file, {})


def yaml(origin: Origin, rest: str = "") -> str:
    return f"listen: 127.0.0.1:0\norigin: {{url: 'http://127.0.0.1:{origin.port}'}}\n{rest}"


async def test_an_app_needs_an_origin() -> None:
    with pytest.raises(SettingsError, match="origin"):
        App(settings.defaults())


async def test_it_caches_on_the_address_it_names(tmp_path: Path) -> None:
    async with scripted() as origin:
        origin.always = lambda _: Reply(headers=[FRESH], body=b"one")
        app = App(loaded(tmp_path, yaml(origin)))
        await app.start()
        try:
            answers = [await get(app.addresses[0]) for _ in range(2)]
        finally:
            await app.stop()
    assert [answer.hit for answer in answers] == [False, True]
    with pytest.raises(ConnectionError):
        await get(app.addresses[0])


async def test_a_port_in_use_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with scripted() as origin:
        text = yaml(origin).replace("127.0.0.1:0", f"[127.0.0.1:0, 127.0.0.1:{origin.port}]")
        app = App(loaded(tmp_path, text))
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            await app.start()
        with pytest.raises(ConnectionError):
            await get(app.addresses[0])


async def test_reload_changes_what_applies_and_keeps_what_is_stored(tmp_path: Path) -> None:
    async with scripted() as origin, scripted() as other:
        origin.always = lambda _: Reply(headers=[FRESH], body=b"one")
        other.always = lambda _: Reply(headers=[FRESH], body=b"other")
        app = App(loaded(tmp_path, yaml(origin)))
        await app.start()
        try:
            address = app.addresses[0]
            await get(address, "/kept")
            rest = "routes: [{match: {path: /off}, cache: off}]\n"
            assert await app.reload(loaded(tmp_path, yaml(other, rest))) == []
            kept, new = await get(address, "/kept"), await get(address, "/new")
            off = await get(address, "/off")
            limits = yaml(other, "limits: {headers: 7}\n")
            for _ in range(2):  # it goes on to need one
                assert await app.reload(loaded(tmp_path, limits)) == ["limits"]
            assert await app.reload(loaded(tmp_path, yaml(other))) == []
        finally:
            await app.stop()
    assert (kept.body, kept.hit, new.body) == (b"one", True, b"other")
    assert "detail=cache-off" in off.cache_status


async def test_it_is_ready_when_it_is_warm(tmp_path: Path) -> None:
    async with scripted() as origin:
        gate = asyncio.Event()
        origin.always = lambda seen: Reply(
            headers=[FRESH], body=b"page", wait=None if seen.target == "/cold" else gate
        )
        port = free_port()
        rest = (
            f"admin: {{listen: '127.0.0.1:{port}', token: 'a-token-of-some-length'}}\n"
            "warm: {on_start: [/1, /2], site: 'https://api.example'}\n"
        )
        app = App(loaded(tmp_path, yaml(origin, rest)))
        await app.start()
        try:
            await origin.asked(2)
            before = await get(f"127.0.0.1:{port}", "/readyz", authority=f"127.0.0.1:{port}")
            answered = await get(app.addresses[0], "/cold")
            gate.set()

            async def is_ready() -> bool:
                ready = await get(f"127.0.0.1:{port}", "/readyz", authority=f"127.0.0.1:{port}")
                return ready.status == 200

            await eventually(is_ready)
            after = [await get(app.addresses[0], target) for target in ("/1", "/2")]
            async with AsyncPurgeClient(
                f"http://127.0.0.1:{port}", "a-token-of-some-length"
            ) as client:
                stats = await client.stats()
        finally:
            await app.stop()
    assert (before.status, answered.status) == (503, 200)
    assert b'"warm":false' in before.body
    assert [answer.hit for answer in after] == [True, True]
    assert stats["warm_up"] == {
        "ready": True,
        "over": True,
        "total": 2,
        "hit": 0,
        "stored": 2,
        "not_stored": 0,
        "failed": 0,
    }


@dataclass
class Command:
    """`warmfront run` as a process.

    Attributes:
        log: All that it has written to standard error so far.
    """

    process: asyncio.subprocess.Process
    address: str
    log: list[str] = field(default_factory=list)

    async def logged(self, text: str) -> str:
        """Wait for a log line with `text` in it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while True:
                line = (await self.process.stderr.readline()).decode()
                assert line, f"ended without {text!r}: {self.log}"
                self.log.append(line)
                if text in line:
                    return line

    async def ended(self) -> int:
        assert self.process.stderr is not None
        async with asyncio.timeout(START_PATIENCE):
            self.log.append((await self.process.stderr.read()).decode())
            return await self.process.wait()


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[Command]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "run", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_PATIENCE):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"127\.0\.0\.1:[0-9]+", line)
        assert found, line
        yield Command(process, found[0])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_sigterm_lets_a_running_request_end(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with scripted() as origin:
        origin.will(Reply(body=b"late", wait=gate))
        config = tmp_path / "warmfront.yaml"
        config.write_text(yaml(origin))
        async with running(config) as command:
            waiting = asyncio.create_task(get(command.address))
            await origin.asked()
            command.process.send_signal(signal.SIGTERM)
            await command.logged("draining")
            gate.set()
            answer = await waiting
            assert await command.ended() == 0
    assert answer.body == b"late"
    assert answer.headers["Connection"] == "close"


async def test_sighup_reads_the_file_again_and_keeps_the_old_one_if_it_is_invalid(
    tmp_path: Path,
) -> None:
    async with scripted() as origin:
        origin.always = lambda _: Reply(headers=[FRESH], body=b"one")
        config = tmp_path / "warmfront.yaml"
        config.write_text(yaml(origin))
        async with running(config) as command:
            await get(command.address)
            config.write_text(yaml(origin, "rotues: []\n"))
            command.process.send_signal(signal.SIGHUP)
            line = await command.logged("reload failed")
            assert "rotues" in line
            assert (await get(command.address)).hit
            config.write_text(yaml(origin, "defaults: {cache: off}\n"))
            command.process.send_signal(signal.SIGHUP)
            await command.logged("reloaded")
            assert "detail=cache-off" in (await get(command.address)).cache_status
            command.process.send_signal(signal.SIGINT)
            assert await command.ended() == 0


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
async def test_what_was_in_demand_is_fetched_anew_after_a_purge(tmp_path: Path, soft: bool) -> None:  # noqa: FBT001
    """Before any client asks for it again."""
    rest = "admin: off\npurge: {refresh: {top: 2, rate: 1000}}\n"
    async with scripted() as origin:
        origin.always = lambda _: Reply(headers=[FRESH, ("Cache-Tag", "shop")], body=b"one")
        app = App(loaded(tmp_path, yaml(origin, rest)))
        await app.start()
        try:
            for target, uses in (("/hot", 3), ("/warm", 2), ("/cold", 1)):
                for _ in range(uses + 1):
                    await get(app.addresses[0], target)
            assert app._backing is not None
            mode = Mode.SOFT if soft else Mode.HARD
            await app._backing.log.append([tag_scope("shop")], mode)
            await origin.asked(5)
            assert [seen.target for seen in origin.seen[3:]] == ["/hot", "/warm"]

            async def both_hit() -> bool:
                return all([(await get(app.addresses[0], t)).hit for t in ("/hot", "/warm")])

            await eventually(both_hit)
            assert len(origin.seen) == 5
            assert not (await get(app.addresses[0], "/cold")).hit
        finally:
            await app.stop()
