"""What is measured. A case opens its trial: contenders, each a run that gives one sample."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from tests.bench import peers, traffic
from tests.bench.results import Goal, Metric, Sample
from tests.bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Trial:
    """Contenders by name, the one that the others are compared with first."""

    contenders: Mapping[str, Callable[[], Sample]]
    before_round: Callable[[], None] = lambda: None


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


def saturated(
    paths: traffic.Paths,
    *,
    probe: traffic.Target,
    status: int = 200,
    size: int = 0,
    connections: int = 64,
    pool: int = traffic.POOL,
) -> Callable[[Stage], AbstractContextManager[Trial]]:
    """Every peer gets more requests than it can answer; `probe` is asked for beforehand."""

    @contextmanager
    def trial(stage: Stage) -> Iterator[Trial]:
        requests = stage.requests(paths, pool)
        with ExitStack() as stack:
            contenders = {}
            for name in stage.peers:
                server = stack.enter_context(stage.peer(name))
                check(server, probe, status, size)
                stage.warm(server, requests, connections)
                contenders[name] = partial(stage.saturate, server, requests, connections)
            yield Trial(contenders)

    return trial


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


def _hit(size: str, title: str, goals: tuple[Goal, ...], connections: int = 64) -> Case:
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
        ),
        goals=goals,
    )


def _through(name: str, title: str, what: str, path: str, goals: tuple[Goal, ...] = ()) -> Case:
    probe = traffic.Target(path.replace(traffic.UNIQUE, "probe"))
    return Case(
        name,
        title,
        what,
        saturated(traffic.always(path), probe=probe, size=peers.SIZES["1k"]),
        origin_share=1.0,
        goals=goals,
    )


def _nginx_varnish(nginx: float, varnish: float) -> tuple[Goal, ...]:
    return Goal("nginx", nginx), Goal("varnish", varnish)


CASES = (
    _hit("1k", "1 KiB", _nginx_varnish(1.25, 2.0)),
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
)
