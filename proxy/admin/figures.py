"""What the cache has done, in figures: counted since the start, and as rates of the last seconds.

Totals are all that is counted; a rate is the difference of two totals over the time between, and
it is made here, once, for whoever shows it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

FROM_STORE: Final = frozenset({"hit", "stale", "revalidated", "collapsed"})
"""Outcomes for which the origin's body was not needed (again)."""

_MEDIAN, _MOST = 0.5, 0.95


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took, counted by class.

    Attributes:
        bounds: Upper bounds of the classes in seconds, ascending; what is above the last is a class
            more.
        counts: One for each class.
    """

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)

    def since(self, earlier: "Durations") -> "Durations":
        """What has come to it; all of it where the classes have changed."""
        if earlier.bounds != self.bounds:
            return self
        pairs = zip(self.counts, earlier.counts, strict=True)
        return Durations(self.bounds, tuple(now - before for now, before in pairs))

    def quantile(self, share: float) -> float | None:
        """Seconds that no more than `share` took, interpolated; None without any."""
        if not self.bounds or not any(self.counts):
            return None
        rank, below = share * sum(self.counts), 0
        for number, inside in enumerate(self.counts[:-1]):
            if inside and below + inside >= rank:
                lower = self.bounds[number - 1] if number else 0.0
                return lower + (self.bounds[number] - lower) * (rank - below) / inside
            below += inside
        return self.bounds[-1]


@dataclass(frozen=True, slots=True)
class RouteTotals:
    """One route since the start."""

    requests: int
    from_store: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """All since the start.

    Attributes:
        requests: How many were answered.
        from_store: How many of them needed no body of the origin, see FROM_STORE.
        origin: Requests that an origin answered, those of no client included.
        sent: Bytes of body in answers, as far as they were known beforehand.
        saved: Those of them that no origin had to send for it.
        durations: Of answers by `hit` and `miss`, and of the `origin`, each to the head.
    """

    requests: int = 0
    from_store: int = 0
    origin: int = 0
    sent: int = 0
    saved: int = 0
    durations: Mapping[str, Durations] = field(default_factory=dict)
    routes: Mapping[str, RouteTotals] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BusyUrl:
    """A URL in memory.

    Attributes:
        hits: How often what is stored of it now was served.
        size: Bytes.
    """

    url: str
    hits: int
    entries: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPurge:
    """A purge that this process has applied, whoever asked for it.

    Attributes:
        at: POSIX seconds.
        what: In words: its first names.
        names: How many there are.
        entries: How many entries it touched; None where that is not known.
        acked: Names of the live processes that have applied it.
        pending: Names of those that have not.
    """

    seq: int
    at: float
    what: str
    names: int
    soft: bool
    entries: int | None = None
    acked: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Seconds; None where nothing was measured."""

    median: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class RouteRates:
    """One route of late."""

    name: str
    requests: float
    hit_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How it has been of late.

    Attributes:
        at: POSIX seconds.
        seconds: So long that is.
        requests: Answered by second.
        origin: Asked of the origin by second.
        hit_ratio: Share of the requests that needed no body of the origin; None without any.
        sent: Bytes of body by second.
        saved: Bytes by second that no origin had to send.
        durations: Seconds by `hit`, `miss` and `origin`.
        routes: Those with most requests first.
    """

    at: float
    seconds: float
    requests: float = 0.0
    origin: float = 0.0
    hit_ratio: float | None = None
    sent: float = 0.0
    saved: float = 0.0
    durations: Mapping[str, Quantiles] = field(default_factory=dict)
    routes: tuple[RouteRates, ...] = ()


def rates(earlier: Totals, later: Totals, *, seconds: float, at: float) -> Rates:
    """What has come between two totals, by second."""
    if later.requests < earlier.requests:  # a worker has begun anew
        earlier = later
    requests = later.requests - earlier.requests
    routes = [
        _route(name, earlier.routes.get(name, RouteTotals(0, 0)), now, seconds)
        for name, now in later.routes.items()
    ]
    return Rates(
        at=at,
        seconds=seconds,
        requests=requests / seconds,
        origin=(later.origin - earlier.origin) / seconds,
        hit_ratio=_ratio(later.from_store - earlier.from_store, requests),
        sent=(later.sent - earlier.sent) / seconds,
        saved=(later.saved - earlier.saved) / seconds,
        durations={
            name: _quantiles(now.since(earlier.durations.get(name, Durations())))
            for name, now in later.durations.items()
        },
        routes=tuple(_busiest(routes)),
    )


def _route(name: str, before: RouteTotals, now: RouteTotals, seconds: float) -> RouteRates:
    requests = now.requests - before.requests
    return RouteRates(
        name, requests / seconds, _ratio(now.from_store - before.from_store, requests)
    )


def _busiest(routes: Sequence[RouteRates]) -> Sequence[RouteRates]:
    return sorted(routes, key=lambda one: (-one.requests, one.name))


def _quantiles(durations: Durations) -> Quantiles:
    return Quantiles(durations.quantile(_MEDIAN), durations.quantile(_MOST))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
