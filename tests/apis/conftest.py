"""Real APIs, each with a real `warmfront run` in front of it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds that anything here may take before it counts as broken; the machine may be busy."""

GUNICORN = (sys.executable, "-m", "gunicorn", "--threads", "4", "--bind", "{address}")
UVICORN = (sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}")
APIS: Mapping[str, tuple[str, ...]] = {
    "flask": (*GUNICORN, "tests.apis.flask_app:app"),
    "fastapi": (*UVICORN, "tests.apis.fastapi_app:app"),
    "django": (*GUNICORN, "tests.apis.django_app:application"),
}


@dataclass(frozen=True)
class Api:
    """An API and the proxy in front of it.

    Attributes:
        url: Where the proxy answers.
        through: A client of the proxy.
        direct: A client of the API itself.
    """

    url: str
    through: httpx.Client
    direct: httpx.Client

    def hits(self, path: str, method: str = "GET") -> int:
        """How often the API was asked for `path`."""
        counted = self.direct.get("/_hits").raise_for_status().json().get(f"{method} {path}", 0)
        assert isinstance(counted, int)
        return counted


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


@contextmanager
def running(name: str, command: tuple[str, ...], log: Path) -> Iterator[str]:
    """A server as its users start it, from when it accepts until the block ends; its address.

    `{port}` and `{address}` in the command stand for a free port and for HOST:PORT.
    """
    port = free_port()
    address = f"127.0.0.1:{port}"
    arguments = [part.format(port=port, address=address) for part in command]
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_accepting(name, process, port, log)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def wait_until_accepting(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(
        f"{name} does not accept connections (exit code {process.poll()}):\n{log.read_text()}"
    )


@pytest.fixture(scope="session", params=list(APIS))
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    logs = tmp_path_factory.mktemp(request.param)
    warmfront = (sys.executable, "-m", "proxy", "run", "--listen", "{address}", "--origin")
    with (
        running(request.param, APIS[request.param], logs / "api.log") as origin,
        running("warmfront", (*warmfront, f"http://{origin}"), logs / "warmfront.log") as proxy,
        httpx.Client(base_url=f"http://{proxy}", trust_env=False, timeout=PATIENCE) as through,
        httpx.Client(base_url=f"http://{origin}", trust_env=False, timeout=PATIENCE) as direct,
    ):
        yield Api(f"http://{proxy}", through, direct)


ids = count(1)


@pytest.fixture
def fresh() -> str:
    """An id that no other test uses, so that tests share servers but nothing else."""
    return f"item-{next(ids)}"
