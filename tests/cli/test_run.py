"""`warmfront run` as its users start it: a process, its words, its exit code."""

import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PATIENCE = 60.0
"""Seconds that anything here may take before it counts as broken."""

ANYWHERE = "--listen=127.0.0.1:0"


@dataclass
class Warmfront:
    """A running `warmfront run`.

    Attributes:
        announced: The line that it printed when it was ready.
        base: Where it answers.
    """

    process: subprocess.Popen[str]
    announced: str
    base: str

    def get(self, path: str = "/") -> tuple[str, str]:
        """The body and the Cache-Status of a path."""
        with urllib.request.urlopen(self.base + path, timeout=PATIENCE) as response:  # noqa: S310
            return response.read().decode(), response.headers["Cache-Status"]

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


@contextmanager
def running(*flags: str | Path) -> Iterator[Warmfront]:
    command = [sys.executable, "-m", "proxy", "run", *map(str, flags)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            announced = process.stdout.readline().rstrip("\n")
            found = re.search(r" on (http://[^ ,]+:[1-9][0-9]*)", announced)
            assert found, f"it announced {announced!r}"
            yield Warmfront(process, announced, found[1])
        finally:
            watchdog.cancel()
            process.kill()


Run = Callable[..., Warmfront]


@pytest.fixture
def run() -> Iterator[Run]:
    """Start `warmfront run` with these flags; stopped when the test ends."""
    with ExitStack() as stack:
        yield lambda *flags: stack.enter_context(running(*flags))


class Named(ThreadingHTTPServer):
    """An API that says its name; the answer may be stored for a minute."""

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.name = name.encode()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """One answer of Named."""

    server: Named
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=60")
        self.send_header("Content-Length", str(len(self.server.name)))
        self.end_headers()
        self.wfile.write(self.server.name)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def serving(name: str) -> Iterator[str]:
    with Named(name) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def origin() -> Iterator[str]:
    with serving("first") as url:
        yield url


@pytest.fixture
def other_origin() -> Iterator[str]:
    with serving("second") as url:
        yield url


def refused(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "Traceback" not in done.stderr
    return done


def config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "warmfront.yaml"
    file.write_text(text)
    return file


class TestServing:
    def test_an_origin_is_all_it_needs(self, run: Run, origin: str) -> None:
        warmfront = run("--origin", origin, ANYWHERE)
        assert warmfront.announced.endswith(f"in front of {origin}")
        body, first = warmfront.get()
        assert (body, "stored" in first) == ("first", True)
        assert warmfront.get()[1].startswith("warmfront; hit")

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_it_stops_when_told_to(self, run: Run, origin: str, how: signal.Signals) -> None:
        warmfront = run("--origin", origin, ANYWHERE)
        warmfront.get()
        assert warmfront.stop(how) == 0

    def test_it_answers_on_every_address(self, run: Run, origin: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = f"127.0.0.1:{probe.getsockname()[1]}"
        warmfront = run("--origin", origin, ANYWHERE, "--listen", free)
        bases = re.findall(r"http://127\.0\.0\.1:[0-9]+", warmfront.announced.split(" in front")[0])
        assert len(set(bases)) == 2
        for base in bases:
            warmfront.base = base
            assert warmfront.get()[0] == "first"

    def test_it_says_where_the_dashboard_is_and_what_opens_it(
        self, run: Run, origin: str, tmp_path: Path
    ) -> None:
        file = config(tmp_path, "admin: {listen: 127.0.0.1:0, token: sixteen-characters}")
        warmfront = run("--config", file, "--origin", origin, ANYWHERE)
        assert re.match(r"Dashboard on http://127\.0\.0\.1:[1-9]\d*/dashboard$", warmfront.line())
        warmfront = run("--origin", origin, ANYWHERE, "--admin", "127.0.0.1:0")
        assert warmfront.line().startswith("Dashboard on")
        assert "warmfront token" in warmfront.line()

    def test_flags_win_over_the_file(
        self, run: Run, origin: str, other_origin: str, tmp_path: Path
    ) -> None:
        file = config(tmp_path, f"listen: 127.0.0.1:1\norigin:\n  url: {other_origin}\n")
        warmfront = run("--config", file, "--origin", origin, ANYWHERE)
        assert warmfront.get()[0] == "first"

    def test_sighup_keeps_the_old_settings_where_the_file_is_wrong(
        self, run: Run, origin: str, tmp_path: Path
    ) -> None:
        file = config(tmp_path, f"origin:\n  url: {origin}\n")
        warmfront = run("--config", file, ANYWHERE)
        file.write_text("orgin: nonsense\n")
        warmfront.process.send_signal(signal.SIGHUP)
        assert warmfront.get()[0] == "first"
        assert warmfront.stop() == 0

    @pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "workers"])
    def test_without_a_file_sighup_is_an_orderly_end(
        self, run: Run, origin: str, workers: Sequence[str]
    ) -> None:
        assert run("--origin", origin, ANYWHERE, *workers).stop(signal.SIGHUP) == 0

    def test_but_not_under_nohup(self, run: Run, origin: str) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            warmfront = run("--origin", origin, ANYWHERE)
        finally:
            signal.signal(signal.SIGHUP, before)
        warmfront.process.send_signal(signal.SIGHUP)
        assert warmfront.get()[0] == "first"
        assert warmfront.stop() == 0


class TestRefusing:
    def test_nothing_to_stand_in_front_of(self) -> None:
        done = refused("run")
        assert done.returncode == 2
        assert "--origin http://127.0.0.1:8000" in done.stderr

    @pytest.mark.parametrize(
        ("flags", "told"),
        [
            (["--origin", "127.0.0.1:8000"], "http://127.0.0.1:8000"),
            (["--origin", "ftp://127.0.0.1"], "ftp"),
            (["--origin", "http://127.0.0.1:8000/v1"], "path"),
            (["--origin", "http://127.0.0.1:8000", "--listen", "8080"], "port"),
            (["--origin", "http://127.0.0.1:8000", "--log-level", "loud"], "loud"),
            (["--config", "/no/such/file.yaml"], "/no/such/file.yaml"),
            (["--config", "/"], "/"),
        ],
    )
    def test_bad_flags(self, flags: list[str], told: str) -> None:
        done = refused("run", *flags)
        assert done.returncode == 2
        assert told in done.stderr

    def test_a_bad_file(self, tmp_path: Path) -> None:
        file = config(tmp_path, "origin:\n  url: http://127.0.0.1:8000\nrouts: []\n")
        done = refused("run", "--config", file)
        assert done.returncode == 2
        assert f"{file}:3" in done.stderr
        assert "routes" in done.stderr

    def test_a_port_in_use(self, origin: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = refused("run", "--origin", origin, "--listen", address)
        assert done.returncode == 1
        assert address.split(":")[1] in done.stderr
        assert "another address with --listen" in done.stderr

    def test_an_address_of_another_machine(self, origin: str) -> None:
        done = refused("run", "--origin", origin, "--listen", "192.0.2.1:8080")
        assert done.returncode == 1
        assert "an address of this machine" in done.stderr
