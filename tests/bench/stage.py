"""Where a case plays: a folder in memory, the origin, the cores; and how one run is measured."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench import load, peers, traffic
from tests.bench.load import Figures
from tests.bench.machine import Cores, Meter, at_once, resident_bytes, started, tree
from tests.bench.peers import Server
from tests.bench.results import Sample

_RAMP = 0.3
"""Seconds at the start of a run, and a third of it at the end, that processor time leaves out."""

CONNECTIONS = 64
_WARM = 0.01
_WARM_RUNS = 30


@dataclass(frozen=True, slots=True)
class Requests:
    """A file of requests, and how many are in it."""

    path: Path
    count: int


@dataclass(frozen=True, slots=True)
class Trial:
    """Contenders by name, the one that the others are compared with first."""

    contenders: Mapping[str, Callable[[], Sample]]
    before_round: Callable[[], None] = lambda: None
    turns: int = 1
    """Of each contender in a round; the one in the middle counts."""


@dataclass(frozen=True)
class Stage:
    """What all contenders of a case share."""

    folder: Path
    cores: Cores
    origin: Server
    peers: Sequence[str]
    """Warmfront first; those that are installed."""
    seconds: int
    _series: Iterator[int] = field(default_factory=itertools.count)

    def peer(
        self,
        name: str,
        *,
        cores: Sequence[int] = (),
        workers: int = 1,
        **values: object,
    ) -> AbstractContextManager[Server]:
        """A peer, on the proxy's core if nothing else is said; see `peers.peer`."""
        return peers.peer(
            name,
            self.folder,
            cores or [self.cores.proxy],
            origin_port=self.origin.port,
            workers=workers,
            **values,
        )

    def requests(self, paths: traffic.Paths, count: int = traffic.POOL) -> Requests:
        """A file with requests for these targets."""
        path = self.folder / "requests"
        path.write_bytes(b"".join(traffic.pool(paths, count)))
        return Requests(path, count)

    def warm(self, server: Server, requests: Requests, *, origin_share: float = 0.0) -> None:
        """Ask for everything, until at most `origin_share` of the requests reach the origin."""
        asked = 0
        for _ in range(_WARM_RUNS):
            before = peers.requests_at(self.origin)
            command = self._wrk(server, requests, CONNECTIONS, seconds=1, start=asked)
            with started([self.cores.load], command) as process:
                answers = load.parse(process.communicate()[0]).answers
            reached = peers.requests_at(self.origin) - before - 1
            asked += answers
            if asked > 2 * requests.count and reached <= answers * (origin_share + _WARM):
                return

    def saturate(
        self, server: Server, requests: Requests, connections: int, *, cores: Sequence[int] = ()
    ) -> Sample:
        """As many requests as the proxy answers, from one wrk on each of the cores.

        Args:
            server: The proxy.
            requests: What is asked for, in turn.
            connections: Of each wrk.
            cores: Shared with the proxy, which is not interrupted there while it has work; if none
                are named, it is one that the proxy has not.
        """
        commands = {
            core: self._wrk(server, requests, connections, self.seconds, yields=bool(cores))
            for core in cores or [self.cores.load]
        }
        return replace(self.measured(server, commands), shared=len(cores))

    def saturate_beside(self, server: Server, requests: Requests, connections: int) -> Sample:
        """The same from one wrk on the proxy's core, which waits while the proxy has work."""
        command = self._wrk(server, requests, connections, self.seconds, yields=True)
        return self.measured(server, {self.cores.proxy: command})

    def steady(self, server: Server, requests: Requests, rate: float, seconds: int) -> Sample:
        """So many requests a second."""
        command = load.steady(server.port, requests.path, rate=rate, seconds=seconds)
        with at_once(server.processes()):
            return self.measured(server, {self.cores.load: command}, seconds)

    def measured(
        self, server: Server, commands: dict[int, list[str]], seconds: int | None = None
    ) -> Sample:
        """What the loads count, one on each of these cores, and what that took.

        Args:
            server: The proxy.
            commands: Of the loads.
            seconds: How long they take, if not as long as others do.
        """
        before = peers.requests_at(self.origin)
        with ExitStack() as stack:
            processes = [
                stack.enter_context(started([core], command)) for core, command in commands.items()
            ]
            time.sleep(_RAMP)
            loading = [child for process in processes for child in tree(process.pid)]
            meter = Meter(self.cores, server.processes(), loading + self.origin.processes())
            time.sleep((seconds or self.seconds) - _RAMP * 4 / 3)
            usage = meter.read()
            memory = resident_bytes(server.processes())
            figures = [load.parse(process.communicate()[0]) for process in processes]
        answers = sum(each.answers for each in figures)
        return Sample(
            rate=sum(each.answers / each.seconds for each in figures),
            p50=_slowest(figures, "p50"),
            p99=_slowest(figures, "p99"),
            errors=sum(each.errors for each in figures),
            origin_share=(peers.requests_at(self.origin) - before - 1) / max(1, answers),
            usage=usage,
            memory=memory,
            lag=_slowest(figures, "lag"),
        )

    def _wrk(
        self,
        server: Server,
        requests: Requests,
        connections: int,
        seconds: int,
        start: int = 0,
        *,
        yields: bool = False,
    ) -> list[str]:
        return load.wrk(
            server.port,
            requests.path,
            connections=connections,
            seconds=seconds,
            series=next(self._series),
            start=start,
            yields=yields,
        )


def check(server: peers.Server, probe: traffic.Target, status: int, size: int) -> None:
    """Ask twice, so that a second answer may come from the cache.

    Raises:
        RuntimeError: the answer is not what the case is about.
    """
    peers.fetch(server.port, probe)
    got, body = peers.fetch(server.port, probe)
    if (got, len(body)) != (status, size):
        raise RuntimeError(
            f"{server.name} answers {probe.path} with {got} and {len(body)} bytes, "
            f"not {status} and {size}"
        )


def _slowest(figures: list[Figures], of: str) -> float:
    return max(float(getattr(each, of)) for each in figures)
