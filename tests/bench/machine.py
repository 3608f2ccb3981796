"""The machine: which core does what, where processor time went, what ran here."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_TICK = os.sysconf("SC_CLK_TCK")
_BEFORE_ALL = -20
_FIRST = -19
_STOP_LIMIT = 20.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Where proxy, load and origin run; the last two share a core where there are only two."""

    proxy: int
    load: int
    origin: int


def choose_cores() -> Cores:
    """Cores that share no execution units, as far as this process may use so many.

    Raises:
        RuntimeError: there is one core only, and load would be measured with the proxy.
    """
    usable = sorted(os.sched_getaffinity(0))
    apart = list({_siblings(core): core for core in reversed(usable)}.values())[::-1]
    chosen = apart if len(apart) > 1 else usable
    if len(chosen) < 2:
        raise RuntimeError("the benchmark needs two cores: one for the proxy, one for the load")
    return Cores(proxy=chosen[0], load=chosen[1], origin=chosen[2 if len(chosen) > 2 else 1])


def _siblings(core: int) -> str:
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    return path.read_text().strip() if path.exists() else str(core)


@contextmanager
def started(
    cores: Iterable[int], command: Sequence[str], stdout: int | IO[str] = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """A process kept to these cores with all that it starts, before other programs if allowed.

    It does not outlive the block.
    """
    process = subprocess.Popen(
        ["taskset", "--cpu-list", ",".join(map(str, cores)), *command],
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        _prefer(process.pid, _FIRST)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()


def prefer_measuring() -> None:
    """Put this process before all that it starts: where they fill all cores, it would be late."""
    _prefer(os.getpid(), _BEFORE_ALL)


def _prefer(process: int, priority: int) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process, priority)
        # Where the kernel divides time among sessions first, that says nothing outside of this
        # one; and what a session gets it divides among cores, so each process needs its own.
        Path(f"/proc/{process}/autogroup").write_text(str(priority))


@contextmanager
def at_once(processes: Iterable[int]) -> Iterator[None]:
    """While inside, these run as soon as they have something to do, if that is allowed.

    A priority alone tells how much of a core one gets. Whoever ran while these had nothing to do
    may go on for a while when they have: up to 4 ms where the kernel's clock ticks 250 times a
    second, as often as any program wakes up.
    """
    found = list(processes)
    _schedule(found, os.SCHED_RR, os.sched_get_priority_min(os.SCHED_RR))
    try:
        yield
    finally:
        _schedule(found, os.SCHED_OTHER, 0)


def _schedule(processes: Iterable[int], policy: int, priority: int) -> None:
    for process in processes:
        for thread in Path(f"/proc/{process}/task").glob("*"):
            with contextlib.suppress(OSError):  # it has ended, or this is not root
                os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for process in found:
        found.extend(children.get(process, ()))
    return found


def processor_seconds(processes: Iterable[int]) -> float:
    """Time these processes, without their children, have had on any core."""
    ticks = 0
    for process in processes:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


def busy_seconds(cores: Iterable[int]) -> float:
    """Time these cores were not idle, whoever kept them busy; stolen time counts as well."""
    names = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in names:
            user, nice, system, _idle, _iowait, *rest = map(int, fields[:8])
            ticks += user + nice + system + sum(rest)
    return ticks / _TICK


def resident_bytes(processes: Iterable[int]) -> int:
    """Memory of the processes, what they share counted once for each."""
    pages = 0
    for process in processes:
        try:
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except OSError:  # it has ended
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Shares of one core: 1.0 is a whole core for the whole time."""

    proxy: float
    load: float
    """Load and origin together."""
    others: float
    """Whatever else ran on these cores; above 0.05 the figures are not worth much."""


class Meter:
    """What proxy and load take from now on."""

    def __init__(self, cores: Cores, proxy: list[int], load: list[int]) -> None:
        self._cores = {cores.proxy, cores.load, cores.origin}
        self._proxy, self._load = proxy, load
        self._start = self._read()

    def read(self) -> Usage:
        now = self._read()
        wall, proxy, load, busy = (
            after - before for before, after in zip(self._start, now, strict=True)
        )
        return Usage(
            proxy=proxy / wall, load=load / wall, others=max(0.0, (busy - proxy - load) / wall)
        )

    def _read(self) -> tuple[float, float, float, float]:
        return (
            time.monotonic(),
            processor_seconds(self._proxy),
            processor_seconds(self._load),
            busy_seconds(self._cores),
        )


def describe(cores: Cores) -> dict[str, str]:
    """The machine, its system and the versions of all that took part, for people to read."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "cores used": f"proxy on {cores.proxy}, load on {cores.load}, origin on {cores.origin}",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{_distribution()}, Linux {platform.release()}",
        "Warmfront": commit(),
        "Python": _python(),
        "nginx": _version("nginx", "-v"),
        "Varnish": _version("varnishd", "-V"),
        "Redis": _version("redis-server", "--version"),
        "wrk": _version("wrk", "--version"),
    }


def _python() -> str:
    """Which it is, and whose: how it was built matters as much as its version."""
    version = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{version} of {sys.base_prefix}, {platform.python_compiler()}"


def commit() -> str:
    """The checked out commit, and whether files differ from it."""
    root = Path(__file__).parents[2]
    try:
        name = _output("git", "-C", str(root), "rev-parse", "--short=10", "HEAD")
        changed = _output("git", "-C", str(root), "status", "--porcelain", "--", "proxy")
    except (OSError, subprocess.CalledProcessError):
        return "not a checkout"
    return f"commit {name.strip()}" + (" with changes" if changed.strip() else "")


def _version(command: str, option: str) -> str:
    if not shutil.which(command):
        return "not installed"
    found = re.search(r"\d+\.\d+[\w.]*", _output(command, option))
    return found.group() if found else "unknown"


def _output(*command: str) -> str:
    # nginx and Varnish name their version on standard error; wrk ends with 1 after it did.
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if command[0] == "git":
        done.check_returncode()
    return done.stdout


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()
