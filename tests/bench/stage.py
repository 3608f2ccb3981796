"""Where a case plays: a folder in memory, the origin, the cores; and its one kind of run by wrk."""

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import peers, traffic, wrk
from tests.bench.machine import Cores, Meter, resident_bytes, tree
from tests.bench.peers import Server
from tests.bench.results import Sample

_RAMP = 0.3
"""Seconds at the start of a run, and a third of it at the end, that processor time leaves out."""


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
        self, name: str, *, workers: int = 1, redis_port: int | None = None
    ) -> AbstractContextManager[Server]:
        """A peer on the proxy's core."""
        return peers.peer(
            name,
            self.folder,
            [self.cores.proxy],
            origin_port=self.origin.port,
            workers=workers,
            redis_port=redis_port,
        )

    def requests(self, paths: traffic.Paths, size: int = traffic.POOL) -> Path:
        """A file with requests for these targets."""
        path = self.folder / "requests"
        path.write_bytes(b"".join(traffic.pool(paths, size)))
        return path

    def warm(self, server: Server, requests: Path, connections: int) -> None:
        """Let the proxy see every request once, and run for a while."""
        with wrk.started(
            self.cores.load, server.port, requests, connections, seconds=1, series=self._next()
        ) as process:
            wrk.parse(process.communicate()[0])

    def saturate(self, server: Server, requests: Path, connections: int) -> Sample:
        """As many requests as the proxy answers."""
        before = peers.requests_at(self.origin)
        with wrk.started(
            self.cores.load,
            server.port,
            requests,
            connections,
            seconds=self.seconds,
            series=self._next(),
        ) as process:
            time.sleep(_RAMP)
            meter = Meter(
                self.cores, server.processes(), tree(process.pid) + self.origin.processes()
            )
            time.sleep(self.seconds - _RAMP * 4 / 3)
            usage = meter.read()
            memory = resident_bytes(server.processes())
            load = wrk.parse(process.communicate()[0])
        return Sample(
            rate=load.answers / load.seconds,
            p50=load.p50,
            p99=load.p99,
            errors=load.errors,
            origin_share=(peers.requests_at(self.origin) - before - 1) / load.answers,
            usage=usage,
            memory=memory,
        )

    def _next(self) -> str:
        return str(next(self._series))
