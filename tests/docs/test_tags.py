"""The APIs of docs/tags.md, run as their users run them, behind a real `warmfront run`."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from proxy.client import PurgeClient
from tests.apis.conftest import GUNICORN, PATIENCE, UVICORN, free_port, wait_until_accepting
from tests.docs.pages import ROOT, Page

TOKEN = "0123456789abcdef"  # noqa: S105
SERVERS = {"flask": GUNICORN, "fastapi": UVICORN, "django": GUNICORN}
HEADINGS = {"flask": "Flask", "fastapi": "FastAPI", "django": "Django"}


def shown(framework: str) -> str:
    """The API under a framework's heading."""
    page = Page(ROOT / "docs" / "tags.md")
    start = page.text.index(f"## {HEADINGS[framework]}\n")
    line = page.text.count("\n", 0, start)
    return next(b.text for b in page.blocks if b.language == "python" and b.line > line)


class Servers:
    """Processes that are started side by side, and end with the context."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._waiting: list[tuple[str, subprocess.Popen[bytes], int, Path]] = []

    def start(self, name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> int:
        """`{port}` and `{address}` stand for where it listens; returns that port."""
        port = free_port()
        words = [part.format(port=port, address=f"127.0.0.1:{port}") for part in command]
        log = self._directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                words,
                cwd=self._directory,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            )
        self._stack.callback(self._end, process)
        self._waiting.append((name, process, port, log))
        return port

    def wait(self) -> None:
        for waiting in self._waiting:
            wait_until_accepting(*waiting)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@dataclass(frozen=True)
class Fleet:
    """All APIs, and one Warmfront that tells them apart by host.

    Attributes:
        direct: Where each API is, without Warmfront in between.
    """

    client: httpx.Client
    admin: PurgeClient
    direct: Mapping[str, str]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("tags")
    admin = free_port()
    with ExitStack() as stack:
        servers = Servers(directory, stack)
        direct = {}
        for framework, server in SERVERS.items():
            text = shown(framework)
            assert "http://127.0.0.1:8081" in text
            text = text.replace("http://127.0.0.1:8081", f"http://127.0.0.1:{admin}")
            (directory / f"shown_{framework}.py").write_text(text)
            command = (*server, f"shown_{framework}:app")
            port = servers.start(framework, command, {"WARMFRONT_ADMIN_TOKEN": TOKEN})
            direct[framework] = f"http://127.0.0.1:{port}"
        config = directory / "warmfront.yaml"
        config.write_text(
            "origin: {url: http://127.0.0.1:9}\norigins:\n"
            + "".join(f"  {name}: {{url: '{url}'}}\n" for name, url in direct.items())
            + "routes:\n"
            + "".join(
                f"  - {{match: {{hosts: [{name}.test]}}, origin: {name}}}\n" for name in direct
            )
            + f"admin: {{listen: '127.0.0.1:{admin}', token: '{TOKEN}'}}\n"
        )
        words = ("-m", "proxy", "run", "--config", str(config), "--listen", "{address}")
        proxy = f"http://127.0.0.1:{servers.start('warmfront', (sys.executable, *words), {})}"
        servers.wait()
        client = httpx.Client(base_url=proxy, trust_env=False, timeout=PATIENCE)
        yield Fleet(
            stack.enter_context(client),
            stack.enter_context(PurgeClient(f"http://127.0.0.1:{admin}", TOKEN)),
            direct,
        )


@pytest.mark.parametrize("framework", SERVERS)
def test_the_api_tags_its_answers_and_purges_after_a_change(fleet: Fleet, framework: str) -> None:
    host, path = f"{framework}.test", "/products/42"

    def show() -> httpx.Response:
        return fleet.client.get(path, headers={"Host": host})

    assert "; stored;" in show().headers["Cache-Status"]
    answer = show()
    assert "; hit;" in answer.headers["Cache-Status"]
    assert "Surrogate-Key" not in answer.headers
    (entry,) = fleet.admin.entries(f"http://{host}{path}")
    assert set(entry.tags) == {"products", "product:42"}

    written = httpx.put(fleet.direct[framework] + path, json={"price": 7}, trust_env=False)
    assert written.json() == {"purged": True}
    answer = show()
    assert "fwd=uri-miss" in answer.headers["Cache-Status"]
    assert answer.json() == {"id": "42", "price": 7}
