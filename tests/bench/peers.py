"""Origin, Warmfront and the peers as processes, each with its configuration from `peers/`."""

import contextlib
import http.client
import itertools
import os
import shutil
import socket
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import traffic
from tests.bench.machine import Cores, started, tree

TEMPLATES = Path(__file__).parent / "peers"
PACKAGES = {
    "nginx": "nginx-core",
    "varnishd": "varnish",
    "wrk": "wrk",
    "redis-server": "redis-server",
}
"""Commands needed and the Debian packages they come from."""

NAMES = ("warmfront", "nginx", "nginx-tuned", "varnish", "varnish-tuned")
"""What can be compared. The tuned ones are run for hits, which their tuning is about."""

NGINX = {
    "nginx": {"output_buffers": "2 128k", "open_file_cache": "off"},
    "nginx-tuned": {
        "output_buffers": "2 512k",
        "open_file_cache": "max=100000 inactive=1h",
    },
}
"""In what the two runs of nginx differ."""

SIZES = {"1k": 1 << 10, "8k": 8 << 10, "64k": 64 << 10, "1m": 1 << 20}
"""Bodies of the origin, by the name they have in its paths."""

_START_LIMIT = 20.0


class Template(string.Template):
    """A text with `@{name}` in it: nginx and Warmfront use the dollar sign themselves."""

    delimiter = "@"


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens on a loopback port, with all that it started."""

    name: str
    port: int
    root: int
    output: Path
    """What it says."""

    def processes(self) -> list[int]:
        return tree(self.root)


def install_missing() -> list[str]:
    """Install what is not there, where that is possible; the commands still missing."""
    packages = [package for command, package in PACKAGES.items() if not shutil.which(command)]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        # In single-user mode, as which this passes, packages start no services of their own.
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for step in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "--quiet", "--quiet", *step], env=environment, check=False)
    return [command for command in PACKAGES if not shutil.which(command)]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, where there is such a file system, that every user may use."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder within has a name of its own
    with tempfile.TemporaryDirectory(
        prefix="warmfront-bench-", dir=memory if memory.is_dir() else None
    ) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def origin(folder: Path, cores: Cores) -> Iterator[Server]:
    """An nginx of its own with constant answers."""
    bodies = folder / "bodies"
    bodies.mkdir()
    for name, size in SIZES.items():
        (bodies / name).write_bytes(b"x" * size)
    port = free_port()
    configuration = _configure("origin.conf", folder, port=port, body="x" * SIZES["1k"])
    with _running("origin", _nginx(configuration), [cores.origin], port, folder) as server:
        yield server


@contextmanager
def redis(folder: Path, cores: Cores) -> Iterator[Server]:
    """A Redis that keeps nothing on disk, on the core of the load."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)]
    with _running("redis", command, [cores.origin], port, folder) as server:
        yield server


@contextmanager
def peer(
    name: str,
    folder: Path,
    cores: Iterable[int],
    *,
    origin_port: int,
    workers: int = 1,
    **others: object,
) -> Iterator[Server]:
    """One of `NAMES`, kept to these cores, with a folder of its own in `folder`.

    Args:
        name: One of `NAMES`, or the name of another configuration for Warmfront.
        others: What is to be filled into that.
    """
    port = free_port()
    own = Path(tempfile.mkdtemp(dir=folder))
    own.chmod(0o777)  # workers of nginx are nobody
    values = {"port": port, "origin": origin_port, "workers": workers, **others}
    match name:
        case "nginx" | "nginx-tuned":
            command = _nginx(_configure("nginx.conf", own, **values, **NGINX[name]))
        case "varnish" | "varnish-tuned":
            configuration = _configure("varnish.vcl", own, **values)
            command = [*varnish(configuration, own, port), *(unlogged() if "-" in name else ())]
        case _:
            configuration = _configure(f"{name}.yaml", own, **values)
            command = [*warmfront(), "run", "--config", str(configuration)]
    with _running(name, command, cores, port, own) as server:
        yield server


def warmfront() -> list[str]:
    """The installed command of this environment; without one, the package as it lies here."""
    installed = Path(sys.executable).parent / "warmfront"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "proxy"]


def spread(server: Server, cores: Sequence[int]) -> None:
    """Keep each process that the server has started to one of these cores, in turn."""
    children = [process for process in server.processes() if process != server.root]
    for child, core in zip(children, itertools.cycle(cores), strict=False):
        for thread in Path(f"/proc/{child}/task").iterdir():
            os.sched_setaffinity(int(thread.name), [core])


def takes_workers(folder: Path) -> bool:
    """Whether this version of Warmfront runs as more than one process."""
    configuration = _configure("warmfront.yaml", folder, port=1, origin=1, workers=2)
    checked = subprocess.run(
        [*warmfront(), "check", str(configuration)], capture_output=True, check=False
    )
    return checked.returncode == 0


def fetch(port: int, target: traffic.Target) -> tuple[int, bytes]:
    """Status and body of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Host": traffic.HOST}
    if target.conditional:
        headers["If-None-Match"] = traffic.ETAG
    with contextlib.closing(connection):
        connection.request("GET", target.path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


def requests_at(origin: Server) -> int:
    """How many requests the origin has had, this one included."""
    _, body = fetch(origin.port, traffic.Target("/requests"))
    return int(body.split()[9])


def free_port() -> int:
    """A loopback port nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configure(template: str, folder: Path, **values: object) -> Path:
    text = (TEMPLATES / template).read_text()
    # A path inside the folder is quoted nowhere: tempfile makes names without spaces.
    configured = folder / template
    configured.write_text(Template(text).substitute(values, folder=folder))
    return configured


def _nginx(configuration: Path) -> list[str]:
    return ["nginx", "-c", str(configuration), "-e", str(configuration.with_suffix(".log"))]


def varnish(configuration: Path, folder: Path, port: int) -> list[str]:
    """The command, which holds a good part of the configuration."""
    return [
        *("varnishd", "-F", "-f", str(configuration), "-n", str(folder / "varnish")),
        *("-a", f"127.0.0.1:{port}", "-s", "malloc,1g", "-j", "none"),
        *("-p", "http_gzip_support=off", "-p", "timeout_idle=3600", "-p", "send_timeout=3600"),
        *("-p", "idle_send_timeout=3600"),
    ]


def unlogged() -> list[str]:
    """Keeps Varnish from writing of each request to its log in shared memory."""
    records = (TEMPLATES / "varnish-unlogged.txt").read_text().split()
    return ["-p", "vsl_mask=" + ",".join(f"-{record}" for record in records)]


@contextmanager
def _running(
    name: str, command: list[str], cores: Iterable[int], port: int, folder: Path
) -> Iterator[Server]:
    output = folder / f"{name}.out"
    # Appended to, so that it can be emptied meanwhile.
    with output.open("a") as log, started(cores, command, log) as process:
        _await(name, process, port, output)
        yield Server(name, port, process.pid, output)


def _await(name: str, process: subprocess.Popen[str], port: int, output: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{name} does not answer; it said:\n{output.read_text()}")
