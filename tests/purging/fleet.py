"""Processes with a cache in memory each, one shared cache, an origin, and all that goes wrong.

What a process does with an entry is the least that a gateway has to do, step by step as the promise
of `PurgeLog` demands; the log is the real `RedisPurgeLog`. `Fleet` counts as a violation:

    a request that arrived after a purge was acknowledged was answered with something that the
    origin said before that purge was asked for.
"""

import asyncio
import random
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from proxy.events import Event
from proxy.purging import (
    Limits,
    LogUnreachable,
    Mode,
    RedisPurgeLog,
    Timing,
    Unknown,
    Valid,
    host_scope,
    prefix_scope,
    scopes_of,
    tag_scope,
    url_scope,
)
from tests.purging.simulated import SimulatedClient, SimulatedRedis, VirtualLoop

URLS = tuple(f"http://h{n % 2}/{'ab'[n % 2]}/{'xyz'[n % 3]}/{n}" for n in range(12))
TAGS = {url: (f"t{n % 3}", f"u{n % 4}") for n, url in enumerate(URLS)}
SCOPES = {url: scopes_of(url, TAGS[url]) for url in URLS}
PATTERNS = ("/x/", "/[yz]/", "h1.*4", "7$", "/a/")
TARGETS = (
    *(url_scope(url) for url in URLS),
    *(tag_scope(f"t{n}") for n in range(3)),
    *(tag_scope(f"u{n}") for n in range(4)),
    prefix_scope("/a"),
    prefix_scope("//h1/b/x"),
    host_scope("h0"),
    "*",
)
TIMING = Timing(max_lag=0.6)
PATIENCE = 4.0


@dataclass(frozen=True)
class Weather:
    """What kind of world it is; each seed has one of its own, since dangers hide each other.

    Attributes:
        remembered: How many scopes a process remembers, of `recorded` that the log does.
        stream: How many records can be tailed.
        purges: Share of the steps that purge; `faults`: that break something.
        replication: How likely the replica is up to date after a command.
    """

    recorded: int
    remembered: int
    stream: int
    purges: float
    faults: float
    replication: float

    @classmethod
    def of(cls, dice: random.Random) -> "Weather":
        recorded = dice.choice((4, 1000))
        return cls(
            recorded=recorded,
            remembered=dice.choice((3, recorded)),
            stream=dice.choice((3, 1000)),
            purges=dice.choice((0.03, 0.11)),
            faults=dice.choice((0.005, 0.015)),
            replication=dice.choice((0.3, 0.03)),
        )


@dataclass(frozen=True)
class Entry:
    """What a cache holds.

    Attributes:
        said_at: When the origin said, or last confirmed, that this is so.
        through: What the process that keeps it knows it to be valid through.
    """

    url: str
    said_at: float
    born: int
    through: int = 0


@dataclass
class Counts:
    steps: int = 0
    served_from: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    unacknowledged: int = 0
    faults: dict[str, int] = field(default_factory=dict)


class Process:
    """One process of the fleet; bugs are planted by overriding its steps."""

    def __init__(self, fleet: "Fleet", name: str) -> None:
        self.fleet = fleet
        self.memory: dict[str, Entry] = {}
        self.flights: dict[str, asyncio.Future[Entry | None]] = {}
        self.clients = [SimulatedClient(fleet.redis, fleet.dice) for _ in range(2)]
        rate = 1 + fleet.dice.uniform(-0.02, 0.02)
        self.log = fleet.log_type(
            self.clients[0],
            self.clients[1],
            emit=fleet.events.append,
            timing=fleet.timing,
            limits=Limits(scopes=fleet.weather.recorded, patterns=3),
            name=name,
            clock=lambda: fleet.loop.time() * rate,
        )
        remembered = Limits(scopes=fleet.weather.remembered, patterns=3)
        self.log.state = type(self.log.state)(remembered)
        self.log.on_reset.append(self.forget_all)
        self.tasks: set[asyncio.Task[None]] = set()
        self.run(self.log.start())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.fleet.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def forget_all(self) -> None:
        self.memory.clear()

    async def answer(self, url: str) -> None:
        """One request, from its arrival to its answer."""
        arrived = self.fleet.loop.time()
        needed = self.fleet.promised(url)
        kept = self.memory.get(url)
        if kept is not None and await self.is_valid_here(kept):
            return self.serve(kept, needed, "memory")
        shared = await self.fleet.read_shared(url)
        if shared is not None:
            judgement = await self.log.judge(shared.born, url, SCOPES[url])
            if isinstance(judgement, Valid) and self.log.trusted:
                self.promote(shared, judgement)
                return self.serve(shared, needed, "shared")
        flight = self.flights.get(url)
        if flight is not None:
            landed = await asyncio.shield(flight)
            if landed is not None and await self.may_share(landed):
                return self.serve(landed, needed, "flight")
        fetched = await self.fetch(url)
        assert fetched.said_at >= arrived
        return self.serve(fetched, needed, "origin")

    async def is_valid_here(self, kept: Entry) -> bool:
        judgement = self.log.state.judge(kept.through, kept.url, SCOPES[kept.url])
        if isinstance(judgement, Unknown):
            judgement = await self.log.judge(kept.born, kept.url, SCOPES[kept.url])
        if not isinstance(judgement, Valid):
            if self.memory.get(kept.url) is kept:
                del self.memory[kept.url]
            return False
        return self.log.trusted

    async def may_share(self, landed: Entry) -> bool:
        """A follower judges the answer it gets by its leader's `born`."""
        judgement = await self.log.judge(landed.born, landed.url, SCOPES[landed.url])
        return isinstance(judgement, Valid) and self.log.trusted

    def promote(self, shared: Entry, judgement: Valid) -> None:
        self.keep(replace(shared, through=judgement.through))

    def keep(self, entry: Entry) -> None:
        """Into memory, if all that came since it was judged is known and leaves it alone."""
        judgement = self.log.state.judge(entry.through, entry.url, SCOPES[entry.url])
        if isinstance(judgement, Valid):
            self.memory[entry.url] = entry

    async def fetch(self, url: str) -> Entry:
        """Ask the origin; the answer lands in both caches whenever it comes."""
        flight = self.flights.setdefault(url, self.fleet.loop.create_future())
        entry: Entry | None = None
        try:
            entry = await self.contact_origin(url)
            self.keep(entry)
            self.fleet.write_shared(entry)
            return entry
        finally:
            if not flight.done():
                flight.set_result(entry)
            if self.flights.get(url) is flight:
                del self.flights[url]

    async def contact_origin(self, url: str) -> Entry:
        born = self.log.state.position
        await self.fleet.travel()
        said_at = self.fleet.loop.time()
        await self.fleet.travel()
        return Entry(url, said_at, born, through=born)

    async def refresh(self, url: str) -> None:
        """Validate what is kept: 304, and it is as good as new."""
        kept = self.memory.get(url) or await self.fleet.read_shared(url)
        if kept is None:
            return
        confirmed = await self.contact_origin(url)
        self.keep(confirmed)
        self.fleet.write_shared(confirmed)

    async def purge(self, scopes: tuple[str, ...], mode: Mode, pattern: str | None) -> None:
        asked_at = self.fleet.loop.time()
        try:
            seq = await self.log.append(scopes, mode, pattern)
            assert self.log.state.position >= seq
            done = await self.log.wait(seq, PATIENCE)
        except LogUnreachable:
            self.fleet.counts.unacknowledged += 1
            return
        if done.complete:
            self.fleet.acknowledge(scopes, pattern, asked_at)
        else:
            self.fleet.counts.unacknowledged += 1

    def serve(self, entry: Entry, needed: float, source: str) -> None:
        self.fleet.counts.served_from[source] = self.fleet.counts.served_from.get(source, 0) + 1
        if entry.said_at < needed:
            self.fleet.violations.append(
                f"{self.fleet.loop.time():.3f}: {entry.url} from {source} of {self.log.name} was "
                f"said at {entry.said_at:.3f}, a purge of {needed:.3f} is acknowledged"
            )

    async def die(self) -> None:
        for client in self.clients:
            client.kill()
        doomed = [*self.tasks, *self.log._tasks, *self.log._commands._running]
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)


class Fleet:
    """The world: it throws the dice."""

    process_type: type[Process] = Process
    log_type: type[RedisPurgeLog] = RedisPurgeLog
    redis_type: type[SimulatedRedis] = SimulatedRedis
    timing = TIMING

    def __init__(self, seed: int, size: int = 4) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.weather = Weather.of(self.dice)
        self.loop = VirtualLoop()
        self.redis = self.redis_type(self.loop.time, stream_limit=self.weather.stream)
        self.redis.replication = self.weather.replication
        self.shared: dict[str, Entry] = {}
        self.events: list[Event] = []
        self.violations: list[str] = []
        self.counts = Counts()
        self._promised: dict[str, float] = {}
        self._promised_patterns: dict[str, float] = {}
        self._size = size
        self._born = 0
        self._background: set[asyncio.Task[None]] = set()
        self.processes: list[Process] = []

    def run(self, steps: int, *, stop_early: bool = False) -> None:
        try:
            self.loop.run_until_complete(self._run(steps, stop_early=stop_early))
        finally:
            self.loop.close()

    async def _run(self, steps: int, *, stop_early: bool) -> None:
        self.processes = [self._spawn() for _ in range(self._size)]
        while self.counts.steps < steps and not (stop_early and self.violations):
            self.counts.steps += 1
            self._act()
            await asyncio.sleep(self.dice.random() * 0.02)
        for process in self.processes:
            await process.die()
        rest = [*self._background]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _act(self) -> None:
        dice = self.dice.random()
        process = self.dice.choice(self.processes)
        # Some are asked for all the time, some are nearly forgotten.
        url = URLS[int(len(URLS) * self.dice.random() ** 3)]
        acts: tuple[tuple[float, Callable[[], None]], ...] = (
            (self.weather.faults, lambda: self._fault(process)),
            (self.weather.purges, lambda: self._purge(process)),
            (0.01, lambda: process.log.append_later((self.dice.choice(TARGETS),), Mode.HARD)),
            (0.06, lambda: process.run(process.refresh(url))),
            (1.0, lambda: process.run(process.answer(url))),
        )
        for share, act in acts:
            if dice < share:
                return act()
            dice -= share
        return None

    def _purge(self, process: Process) -> None:
        mode = self.dice.choice(tuple(Mode))
        if self.dice.random() < 0.1:
            process.run(process.purge((), mode, self.dice.choice(PATTERNS)))
        else:
            scopes = tuple(self.dice.sample(TARGETS[:-1], self.dice.choice((1, 1, 1, 2))))
            if self.dice.random() < 0.02:
                scopes = ("*",)
            process.run(process.purge(scopes, mode, None))

    def _fault(self, process: Process) -> None:
        faults = (
            (6, self._crash_process),
            (6, self._cut_off),
            (3, self._redis_restart_empty),
            (3, self._redis_restart),
            (4, self._redis_failover),
            (2, self._redis_freeze),
            (1, self._redis_flush),
            (3, self._redis_evict),
            (2, self._power_cut),
        )
        (fault,) = self.dice.choices([f for _, f in faults], [weight for weight, _ in faults])
        self.counts.faults[fault.__name__] = self.counts.faults.get(fault.__name__, 0) + 1
        fault(process)

    def _crash_process(self, process: Process) -> None:
        self.processes[self.processes.index(process)] = self._spawn()
        self.start(process.die())

    def _cut_off(self, process: Process) -> None:
        """One process cannot reach Redis for a while; all else goes on."""

        async def cut_off() -> None:
            for client in process.clients:
                client.cut_off = True
            await asyncio.sleep(self.dice.random() * 2)
            for client in process.clients:
                client.cut_off = False

        self.start(cut_off())

    def _redis_restart_empty(self, _process: Process) -> None:
        self.start(self._redis_down(lambda: self.redis.restart(empty=True)))

    def _redis_restart(self, _process: Process) -> None:
        self.start(self._redis_down(lambda: self.redis.restart(empty=False)))

    def _redis_failover(self, _process: Process) -> None:
        self.start(self._redis_down(self.redis.fail_over))

    async def _redis_down(self, comes_back: Callable[[], None]) -> None:
        self.redis.available = False
        await asyncio.sleep(self.dice.choice((0.0, 0.05, 0.3, 1.5)))
        comes_back()
        self.redis.available = True

    def _power_cut(self, _process: Process) -> None:
        """All processes at once, and what only the old server knew."""
        for process in tuple(self.processes):
            self._crash_process(process)
        self._redis_failover(_process)

    def _redis_freeze(self, _process: Process) -> None:
        self.redis.frozen_until = self.loop.time() + self.dice.random() * 2

    def _redis_flush(self, _process: Process) -> None:
        self.redis.data = type(self.redis.data)()

    def _redis_evict(self, _process: Process) -> None:
        name = self.dice.choice(("head", "hard", "soft", "patterns", "log", "nodes"))
        getattr(self.redis.data, name).clear()

    def _spawn(self) -> Process:
        self._born += 1
        return self.process_type(self, f"p{self._born}")

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def travel(self) -> None:
        """To the origin or back."""
        await asyncio.sleep(self.dice.random() * self.dice.choice((0.01, 0.05, 0.5)))

    async def read_shared(self, url: str) -> Entry | None:
        await asyncio.sleep(self.dice.random() * 0.003)
        entry = self.shared.get(url)
        await asyncio.sleep(self.dice.random() * self.dice.choice((0.003, 0.003, 0.1)))
        return entry

    def write_shared(self, entry: Entry) -> None:
        """Behind the answer's back, now and then long after it, whatever was purged since."""

        async def write() -> None:
            await asyncio.sleep(self.dice.random() * self.dice.choice((0.003, 0.05, 2.0)))
            self.shared[entry.url] = entry

        self.start(write())

    def acknowledge(self, scopes: tuple[str, ...], pattern: str | None, asked_at: float) -> None:
        self.counts.acknowledged += 1
        for scope in scopes:
            self._promised[scope] = max(self._promised.get(scope, 0.0), asked_at)
        if pattern is not None:
            before = self._promised_patterns.get(pattern, 0.0)
            self._promised_patterns[pattern] = max(before, asked_at)

    def promised(self, url: str) -> float:
        """No answer to a request that arrives now may be older than this."""
        times = [self._promised.get(scope, 0.0) for scope in SCOPES[url]]
        times += [at for p, at in self._promised_patterns.items() if re.search(p, url)]
        return max(times)
