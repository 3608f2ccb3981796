"""What is measured. A case opens its trial: contenders, each a run that gives one sample."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from tests.bench import load, peers, seeing, slow_readers, traffic
from tests.bench.machine import started
from tests.bench.results import Goal, Metric, Sample
from tests.bench.stage import CONNECTIONS, Stage, Trial, check

SLOW_READERS = 500
REDIS_NAMES = 10_000
MIXED_NAMES = 10_000
MIXED_POOL = 20_000
TURNS = 3
"""In a round, where the goal is close to what can be reached: the one in the middle counts."""
STEADY_TURNS = 5
STEADY_SECONDS = 1
_PRODUCT = "/stored/1k/product"


class SkippedError(Exception):
    """A case that cannot run here; says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of traffic."""

    name: str
    title: str
    what: str
    trial: Callable[[Stage], AbstractContextManager[Trial]]
    origin_share: float = 0.0
    """Requests that must reach the origin for each answer, in every proxy."""
    goals: tuple[Goal, ...] = ()
    metric: Metric = "rate"
    alone: bool = True
    """The proxy has its core for itself, and is meant to fill it."""


Opener = Callable[[Stage], AbstractContextManager[Trial]]


def saturated(
    paths: traffic.Paths,
    *,
    probe: traffic.Target,
    status: int = 200,
    size: int = 0,
    connections: int = CONNECTIONS,
    pool: int = traffic.POOL,
    origin_share: float = 0.0,
    tuned: bool = True,
    turns: int = 1,
) -> Opener:
    """Every peer gets more requests than it can answer; `probe` shows that it works."""

    @contextmanager
    def trial(stage: Stage) -> Iterator[Trial]:
        requests = stage.requests(paths, pool)
        with ExitStack() as stack:
            contenders = {}
            for name in stage.peers:
                if name.endswith("-tuned") and not tuned:
                    continue
                server = stack.enter_context(stage.peer(name))
                check(server, probe, status, size)
                stage.warm(server, requests, origin_share=origin_share)
                contenders[name] = partial(stage.saturate, server, requests, connections)
            yield Trial(contenders, turns=turns)

    return trial


@contextmanager
def _besieged(stage: Stage) -> Iterator[Trial]:
    """Hits, while others read slowly from the same proxy."""
    requests = stage.requests(traffic.always(_PRODUCT))
    with ExitStack() as stack:
        servers = [stack.enter_context(stage.peer(name)) for name in stage.peers]

        def run(server: peers.Server) -> Sample:
            readers = load.slow_readers(server.port, SLOW_READERS)
            with started([stage.cores.load], readers) as process:
                assert process.stdout is not None
                if (said := process.stdout.readline()) != "ready\n":
                    raise RuntimeError(f"{server.name} did not answer slow readers: {said}")
                return stage.saturate(server, requests, CONNECTIONS)

        for server in servers:
            check(server, slow_readers.TARGET, 200, peers.SIZES["1m"])
            stage.warm(server, requests)
        yield Trial({server.name: partial(run, server) for server in servers})


@contextmanager
def _half_of_nginx(stage: Stage) -> Iterator[Trial]:
    """Each round begins with what nginx can do at most."""
    requests = stage.requests(traffic.always(_PRODUCT))
    with ExitStack() as stack:
        servers = {name: stack.enter_context(stage.peer(name)) for name in stage.peers}
        for server in servers.values():
            check(server, traffic.Target(_PRODUCT), 200, peers.SIZES["1k"])
            stage.warm(server, requests)
        rate = 0.0

        def before_round() -> None:
            nonlocal rate
            rate = stage.saturate(servers["nginx"], requests, CONNECTIONS).rate / 2

        def run(server: peers.Server) -> Sample:
            return stage.steady(server, requests, rate, STEADY_SECONDS)

        contenders = {name: partial(run, each) for name, each in servers.items()}
        yield Trial(contenders, before_round, STEADY_TURNS)


@contextmanager
def _from_redis(stage: Stage) -> Iterator[Trial]:
    """Memory has room for less than a hundredth of what is asked for in turn."""
    if not shutil.which("redis-server"):
        raise SkippedError("redis-server is not installed")
    requests = stage.requests(traffic.around("/stored/1k/", REDIS_NAMES), REDIS_NAMES)
    with (
        peers.redis(stage.folder, stage.cores) as redis,
        stage.peer("warmfront-redis", redis=redis.port) as server,
    ):
        check(server, traffic.Target(_PRODUCT), 200, peers.SIZES["1k"])
        stage.warm(server, requests)
        yield Trial({"warmfront": partial(stage.saturate, server, requests, CONNECTIONS)})


def _two_to_one(name: str) -> Opener:
    """A worker and its load on one core; two workers and twice the load on two."""

    @contextmanager
    def trial(stage: Stage) -> Iterator[Trial]:
        if name == "warmfront" and not peers.takes_workers(stage.folder):
            raise SkippedError("this version of Warmfront runs as one process")
        requests = stage.requests(traffic.always(_PRODUCT))
        both = [stage.cores.proxy, stage.cores.load]
        with ExitStack() as stack:
            contenders = {}
            for label, cores in (("two workers", both), ("one worker", both[:1])):
                peer = stage.peer(name, cores=cores, workers=len(cores))
                server = stack.enter_context(peer)
                check(server, traffic.Target(_PRODUCT), 200, peers.SIZES["1k"])
                stage.warm(server, requests)
                peers.spread(server, cores)
                contenders[label] = partial(
                    stage.saturate, server, requests, CONNECTIONS, cores=cores
                )
            yield Trial(contenders, turns=TURNS)

    return trial


def _hit(
    size: str,
    title: str,
    goals: tuple[Goal, ...],
    connections: int = CONNECTIONS,
    turns: int = 1,
) -> Case:
    path = f"/stored/{size}/product"
    return Case(
        f"hit-{size}",
        f"Hit, {title}",
        f"One stored response with a body of {title}, asked for again and again.",
        saturated(
            traffic.always(path),
            probe=traffic.Target(path),
            size=peers.SIZES[size],
            connections=connections,
            turns=turns,
        ),
        goals=goals,
    )


def _through(name: str, title: str, what: str, path: str, goals: tuple[Goal, ...] = ()) -> Case:
    probe = traffic.Target(path.replace(traffic.UNIQUE, "probe"))
    return Case(
        name,
        title,
        what,
        saturated(traffic.always(path), probe=probe, size=peers.SIZES["1k"], tuned=False),
        origin_share=1.0,
        goals=goals,
    )


def _seen(name: str, title: str, of: str, paths: traffic.Paths) -> Case:
    return Case(
        name,
        title,
        f"{of} of 1 KiB: what a hit costs in processor time with access log, explain ring and "
        "metrics, to what it costs without.",
        seeing.seen(paths, traffic.Target(_PRODUCT)),
        goals=(Goal(seeing.OFF, 1.1),),
        metric="cost",
        alone=False,
    )


def _nginx_varnish(nginx: float, varnish: float) -> tuple[Goal, ...]:
    return Goal("nginx", nginx), Goal("varnish", varnish)


CASES = (
    _hit("1k", "1 KiB", _nginx_varnish(1.25, 2.0), turns=TURNS),
    _hit("64k", "64 KiB", (Goal("nginx", 1.1),)),
    _hit("1m", "1 MiB", _nginx_varnish(1.0, 1.0), connections=16),
    _through(
        "miss",
        "Miss",
        "Every request asks for something new of 1 KiB, which is fetched and stored.",
        f"/stored/1k/{traffic.UNIQUE}",
    ),
    _through(
        "pass-through",
        "Pass-through",
        "1 KiB that is not cached, as the configuration of each says.",
        "/pass/account",
        _nginx_varnish(0.65, 2.0),
    ),
    _through(
        "no-store",
        "Pass-through, unforeseen",
        "1 KiB that is not cached, as only the response says (no-store).",
        "/private/account",
    ),
    Case(
        "304",
        "304 Not Modified",
        "The client has the stored response (If-None-Match) and is told that it is current.",
        saturated(
            traffic.always(_PRODUCT, conditional=True),
            probe=traffic.Target(_PRODUCT, conditional=True),
            status=304,
        ),
    ),
    Case(
        "mixed",
        "Mixed",
        f"Zipf over {MIXED_NAMES:,} resources of 1, 8 and 64 KiB; 10 % conditional, 5 % seen for "
        "the first time, 5 % pass-through.",
        saturated(
            traffic.mixed(MIXED_NAMES),
            probe=traffic.Target(_PRODUCT),
            size=peers.SIZES["1k"],
            pool=MIXED_POOL,
            origin_share=0.10,
        ),
        origin_share=0.10,
    ),
    Case(
        "slow-clients",
        "Hit beside slow clients",
        f"As hits of 1 KiB, while {SLOW_READERS} clients take 4 KiB a second each of 1 MiB.",
        _besieged,
    ),
    Case(
        "half-rate",
        "Waiting at half of nginx's rate",
        "Hits of 1 KiB asked for at fixed times, half as many as nginx answers at most.",
        _half_of_nginx,
        goals=(Goal("nginx", 1.0),),
        metric="p99",
        alone=False,
    ),
    Case(
        "redis",
        "Hit from Redis",
        f"{REDIS_NAMES:,} stored responses of 1 KiB in turn, of which memory holds next to none.",
        _from_redis,
        goals=(Goal(None, 5000),),
    ),
    _seen("seen-one", "Seen, one URL", "One stored response", traffic.always(_PRODUCT)),
    _seen(
        "seen-popular",
        "Seen, popular URLs",
        f"Zipf over {seeing.NAMES:,} stored responses",
        traffic.popular("/stored/1k/", seeing.NAMES),
    ),
    _seen(
        "seen-all",
        "Seen, all URLs alike",
        f"{seeing.NAMES:,} stored responses, all asked for equally often,",
        traffic.evenly("/stored/1k/", seeing.NAMES),
    ),
    Case(
        "workers",
        "Two workers",
        "Hits of 1 KiB: two workers and two loads on two cores, to one of each on one core.",
        _two_to_one("warmfront"),
        goals=(Goal("one worker", 1.8),),
        metric="unloaded",
        alone=False,
    ),
    Case(
        "workers-nginx",
        "Two workers of nginx",
        "The same with nginx, to see what the method can show at most.",
        _two_to_one("nginx"),
        metric="unloaded",
        alone=False,
    ),
)
