"""The same malformed requests for Warmfront and for nginx, before origins that read strictly.

A strict reader of what the client has sent says which requests there are in it. No others may
reach the origin, in no other form. Whatever nginx does is recorded and not judged: `pytest -s`
prints it.
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.origin import OriginOptions
from proxy.server import ServerOptions
from tests.apparatus import fronted
from tests.hostile.mutants import everything
from tests.hostile.strict import Received, StrictOrigin, echo, understood

LANES = 16
MUTANTS = 400
SERVER_PATIENCE = 0.5
"""Seconds after which a server closes a connection whose request is never completed."""
CLIENT_PATIENCE = 60.0
"""Seconds, far more than any server takes: a case that is given up early arrives among the next."""

LAST = b"GET /last HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n"

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

CONFIG = """
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_header_timeout 1s;
    client_body_timeout 1s;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    {servers}
}}
"""
SERVER = "server {{ listen unix:{path}; location / {{ proxy_pass http://127.0.0.1:{origin}; }} }}"


@dataclass
class Findings:
    """What reached an origin that a strict reader would not have sent, by the name of the case."""

    passed: int = 0
    malformed: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)

    def judge(self, name: str, raw: bytes, origin: StrictOrigin) -> None:
        """Compare what arrived with what a strict reader of `raw` understands; forget it."""
        arrived, origin.seen = origin.seen, []
        faults, origin.faults = origin.faults, []
        expected = understood(raw + LAST)
        self.passed += bool(arrived)
        if faults:
            self.malformed.append(f"{name} ({faults[0]})")
        if list(map(_meaning, arrived)) != list(map(_meaning, expected))[: len(arrived)]:
            self.invented.append(name)


def _meaning(request: Received) -> tuple[bytes, bytes, bytes]:
    return request.method, request.target, request.body


@asynccontextmanager
async def origins() -> AsyncIterator[list[StrictOrigin]]:
    """One for each lane."""
    started = [StrictOrigin(echo) for _ in range(LANES)]
    for origin in started:
        await origin.start()
    try:
        yield started
    finally:
        for origin in started:
            await origin.stop()


async def send(path: str, raw: bytes) -> None:
    """Send on a connection of its own, until the server ends it."""
    reader, writer = await asyncio.open_unix_connection(path)
    async with asyncio.timeout(CLIENT_PATIENCE):
        with suppress(ConnectionError):
            writer.write(raw)
            while await reader.read(65536):
                pass
    writer.close()


async def compare(
    cases: Sequence[tuple[str, bytes]], behind: list[StrictOrigin], paths: list[str]
) -> Findings:
    """All cases, each lane one after the other."""
    findings = Findings()

    async def lane(number: int) -> None:
        for name, raw in cases[number::LANES]:
            await send(paths[number], raw + LAST)
            findings.judge(name, raw, behind[number])

    await asyncio.gather(*map(lane, range(LANES)))
    return findings


@contextmanager
def nginx(folder: Path, ports: list[int]) -> Iterator[list[str]]:
    """Nginx as its documentation has it, with a server for each origin; yields their sockets."""
    assert NGINX is not None
    paths = [str(folder / f"{number}.sock") for number in range(LANES)]
    servers = [
        SERVER.format(path=path, origin=port) for path, port in zip(paths, ports, strict=True)
    ]
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, servers="\n    ".join(servers)))
    process = subprocess.Popen([NGINX, "-c", str(config), "-p", str(folder)])
    try:
        yield paths
    finally:
        process.terminate()
        process.wait()


async def reachable(path: str) -> None:
    async with asyncio.timeout(10):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_unix_connection(path)
                writer.close()
                return
            await asyncio.sleep(0.02)


CASES = everything(MUTANTS)


async def test_nothing_reaches_the_origin_that_a_strict_reader_would_not_send(
    tmp_path: Path,
) -> None:
    limits = ServerOptions(header_timeout=SERVER_PATIENCE, body_idle=SERVER_PATIENCE)
    async with origins() as behind, AsyncExitStack() as stack:
        paths = []
        for number, origin in enumerate(behind):
            paths.append(str(tmp_path / f"{number}.sock"))
            await stack.enter_async_context(
                fronted(
                    OriginOptions(url=f"http://127.0.0.1:{origin.port}"),
                    server=limits,
                    listen=f"unix:{paths[-1]}",
                )
            )
        found = await compare(CASES, behind, paths)
    tell("Warmfront", found)
    assert not found.malformed
    assert not found.invented
    assert found.passed > len(CASES) // 20  # some mutations do no harm


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
async def test_what_nginx_lets_through(tmp_path: Path) -> None:
    """The reader has teeth: it finds in nginx what is known of it."""
    async with origins() as behind:
        with nginx(tmp_path, [origin.port for origin in behind]) as paths:
            for path in paths:
                await reachable(path)
            found = await compare(CASES, behind, paths)
    tell("nginx", found)
    assert found.passed > len(CASES) // 20
    assert found.malformed or found.invented


def tell(who: str, found: Findings) -> None:
    lines = [f"{who}: of {len(CASES)} cases, {found.passed} have something reach the origin"]
    for what, names in [("malformed", found.malformed), ("not sent so", found.invented)]:
        lines += [f"  {what}: {len(names)}", *(f"    {name}" for name in names)]
    print("", *lines, sep="\n")  # noqa: T201 - for `pytest -s`
