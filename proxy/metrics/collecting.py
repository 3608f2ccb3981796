"""From what has been counted, and from what is alive, to metric families: at each scrape anew."""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

from prometheus_client.registry import Collector

from proxy import __version__
from proxy.background import Background
from proxy.backing import Backing
from proxy.gateway import Gateway
from proxy.histogram import Histogram
from proxy.metrics import specs
from proxy.metrics.counts import Answers, Counts
from proxy.metrics.counts import Kind as AnswerKind
from proxy.metrics.specs import Family, Kind, Spec, durations, numbers
from proxy.origin import OriginGroup, Origins
from proxy.redis_link import LinkState
from proxy.rfc9111.cache_status import Outcome
from proxy.server import Listener
from proxy.stores.redis_fill import Fill
from proxy.stores.tiered import TieredStore

_MEMORY: Final = "memory"
_STATES: Final = ("up", "down", "half_open", "slow_start", "draining")
_SERVING: Final = frozenset({"up", "half_open", "slow_start"})

Sample = tuple[Sequence[str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the figures come from.

    Attributes:
        gateway: The one that answers now; None before the start.
    """

    counts: Counts
    backing: Backing
    origins: Origins
    background: Background
    listener: Listener
    gateway: Callable[[], Gateway | None]


class ProxyCollector(Collector):
    """Yields all metrics of one proxy."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> Iterator[Family]:
        """All families, so that nothing is collected to learn their names."""
        for spec in specs.SPECS.values():
            yield durations(spec) if spec.kind is Kind.HISTOGRAM else numbers(spec)

    def collect(self) -> Iterator[Family]:
        """See the module."""
        sources = self._sources
        version, python = __version__, platform.python_version()
        yield _made(specs.BUILD_INFO, [((version, python), 1)])
        yield from _requests(sources.counts)
        yield from _gateway(sources)
        yield from _cache(sources.backing)
        yield from _purges(sources.counts, sources.backing)
        yield from _origins(sources.counts, sources.origins)
        yield from _redis(sources.backing)


def _made(spec: Spec, samples: Iterable[Sample]) -> Family:
    made = numbers(spec)
    for labels, value in samples:
        made.add_metric(labels, value)
    return made


def _one(spec: Spec, value: float) -> Family:
    return _made(spec, [((), value)])


def _timed(spec: Spec, samples: Iterable[tuple[Sequence[str], Histogram]]) -> Family:
    made = durations(spec)
    for labels, histogram in samples:
        made.add_metric(labels, _cumulative(histogram), histogram.sum)
    return made


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*histogram.bounds, inf), histogram.counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == inf else str(bound), below))
    return buckets


def _requests(counts: Counts) -> Iterator[Family]:
    answers = list(counts.answers.items())
    requests: Counter[tuple[str, ...]] = Counter()
    reasons: Counter[tuple[str, ...]] = Counter()
    sizes: Counter[tuple[str, ...]] = Counter()
    for (route, status, outcome, reason), those in answers:
        requests[route, f"{status // 100}xx", outcome.value] += those.number
        sizes[route, outcome.value] += those.size
        if reason is not None:
            reasons[outcome.value, reason.value] += those.number
    yield _made(specs.REQUESTS, requests.items())
    yield _made(specs.REASONS, reasons.items())
    yield _made(specs.RESPONSE_BYTES, sizes.items())
    yield _timed(specs.DURATIONS, _durations(answers))
    yield _made(specs.REFUSED, (((str(key),), n) for key, n in counts.refused.items()))
    yield _made(specs.NOT_STORED, (((key.value,), n) for key, n in counts.not_stored.items()))
    yield _made(specs.VALIDATIONS, (((key,), n) for key, n in counts.validations.items()))
    yield _one(specs.BACKGROUND_FAILURES, counts.failures)


def _durations(
    answers: Iterable[tuple[AnswerKind, Answers]],
) -> Iterator[tuple[Sequence[str], Histogram]]:
    """Those of all kinds with one outcome, and of what recurs, which nobody has measured."""
    by_outcome = {outcome: Histogram() for outcome in Outcome}
    for (_, _, outcome, _), those in answers:
        histogram = by_outcome[outcome]
        histogram.add(those.durations)
        histogram.counts[0] += those.number - sum(those.durations.counts)
    for outcome, histogram in by_outcome.items():
        yield (outcome.value,), histogram


def _gateway(sources: Sources) -> Iterator[Family]:
    gateway = sources.gateway()
    flights, waiting = (0, 0) if gateway is None else gateway.coalescing
    yield _one(specs.FLIGHTS, flights)
    yield _one(specs.FOLLOWERS, waiting)
    yield _one(specs.CONNECTIONS, sources.listener.connections)
    yield _one(specs.BACKGROUND, len(sources.background))


def _cache(backing: Backing) -> Iterator[Family]:
    memory, tier = backing.memory, (_MEMORY,)
    yield _made(specs.ENTRIES, [(tier, len(memory))])
    yield _made(specs.CACHE_BYTES, [(tier, memory.size)])
    yield _made(specs.CACHE_LIMIT, [(tier, memory.max_size)])
    yield _made(specs.EVICTIONS, [(tier, memory.evictions)])


def _purges(counts: Counts, backing: Backing) -> Iterator[Family]:
    log = backing.log
    positions = [log.state.position, *(node.position for node in log.nodes)]
    yield _made(specs.PURGES, (((mode,), counts.purges[mode]) for mode in ("hard", "soft")))
    yield _timed(specs.ACKNOWLEDGEMENTS, [((), counts.acknowledgements)])
    yield _one(specs.LOG_POSITION, log.state.position)
    yield _one(specs.LOG_LAG, max(positions) - min(positions))
    if isfinite(log.age):
        yield _one(specs.LOG_AGE, log.age)
    yield _one(specs.LOG_TRUSTED, log.trusted)
    yield _one(specs.LOG_NODES, len(log.nodes) or 1)
    yield _one(specs.LOG_PATTERNS, log.state.patterns)
    yield _one(specs.LOG_RESETS, counts.log_resets)


def _origins(counts: Counts, origins: Origins) -> Iterator[Family]:
    yield _timed(
        specs.ORIGIN_DURATIONS,
        (((name, f"{status}xx"), timed) for (name, status), timed in counts.origins.items()),
    )
    failures = counts.origin_failures
    yield _made(specs.ORIGIN_ERRORS, (((key.value,), n) for key, n in failures.items()))
    groups = list(origins.groups.items())
    for spec, figure in _OF_GROUPS:
        yield _made(spec, (((name,), figure(group)) for name, group in groups))
    yield from _members(origins)
    yield _made(specs.ORIGIN_CONNECTIONS, _connections(groups))


_OF_GROUPS: Final[Sequence[tuple[Spec, Callable[[OriginGroup], float]]]] = (
    (specs.ORIGIN_WAITING, lambda group: group.admission.waiting),
    (specs.ORIGIN_OVERLOADED, lambda group: group.admission.refused),
    (specs.ORIGIN_RETRIES, lambda group: group.retries),
    (specs.ORIGIN_RETRY_BUDGET, lambda group: group.budget.tokens),
)


def _members(origins: Origins) -> Iterator[Family]:
    # An origin that has left its group may stand there a second time, as it drains.
    all_of = {
        (name, one.url): one
        for name in origins.groups
        for one in sorted(origins.status(name), key=lambda one: one.state != "draining")
    }.items()
    yield _made(specs.ORIGIN_REQUESTS, ((at, one.requests) for at, one in all_of))
    yield _made(specs.ORIGIN_FAILURES, ((at, one.failures) for at, one in all_of))
    yield _made(specs.ORIGIN_IN_FLIGHT, ((at, one.in_flight) for at, one in all_of))
    yield _made(specs.ORIGIN_UP, ((at, one.state in _SERVING) for at, one in all_of))
    yield _made(
        specs.ORIGIN_STATE,
        (((*at, state), one.state == state) for at, one in all_of for state in _STATES),
    )


def _connections(groups: Iterable[tuple[str, OriginGroup]]) -> Iterator[Sample]:
    for name, group in groups:
        for member in group.members:
            url = member.options.origin.url
            opened, idle = member.client.connections
            yield (name, url, "busy"), opened - idle
            yield (name, url, "idle"), idle


def _redis(backing: Backing) -> Iterator[Family]:
    """What is missing where there is no Redis."""
    link, store = backing.link, backing.store
    if link is None or not isinstance(store, TieredStore):
        return
    counts, found, writes = link.counts, store.counts, store.writes
    yield _one(specs.REDIS_UP, link.state is LinkState.UP)
    yield _one(specs.REDIS_COMMANDS, counts.commands)
    yield _named(
        specs.REDIS_ERRORS,
        failure=counts.failures,
        refusal=counts.refusals,
        skipped=counts.skipped,
        busy=counts.busy,
    )
    yield _timed(specs.REDIS_DURATIONS, [((), link.durations)])
    fill = Fill() if backing.redis_fill is None else backing.redis_fill.last
    for spec, size in ((specs.REDIS_BYTES, fill.size), (specs.REDIS_LIMIT, fill.max_size)):
        yield _made(spec, [] if size is None else [((), size)])
    yield _named(
        specs.REDIS_LOOKUPS, found=found.shared, missing=found.nowhere, failed=found.helpless
    )
    yield _one(specs.REDIS_QUEUE, len(writes))
    yield _one(specs.REDIS_QUEUE_BYTES, writes.size)
    done = writes.counts
    yield _named(specs.REDIS_WRITES, written=done.written, dropped=done.dropped, failed=done.failed)


def _named(spec: Spec, **figures: float) -> Family:
    return _made(spec, (((name,), value) for name, value in figures.items()))
