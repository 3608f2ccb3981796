"""Durations, counted by how long they are."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

SECONDS: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
"""Upper bounds, from what a hit takes to where an origin is given up."""


class Histogram:
    """How many durations lie in each of some fixed buckets.

    Attributes:
        bounds: The buckets' upper bounds, inclusive, in seconds; one more bucket has none.
        counts: How many lie in each.
        sum: All of them together, in seconds.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one; a clock that was set back has taken no time."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        if seconds > 0.0:
            self.sum += seconds

    def observe_all(self, seconds: Iterable[float]) -> None:
        """Count many, in less time."""
        ordered = sorted(seconds)
        below = 0
        for number, bound in enumerate(self.bounds):
            upto = bisect_right(ordered, bound, below)
            self.counts[number] += upto - below
            below = upto
        self.counts[-1] += len(ordered) - below
        self.sum += sum(ordered[bisect_right(ordered, 0.0) :])

    def add(self, other: "Histogram") -> None:
        """Count what another has counted, over the same buckets."""
        for number, count in enumerate(other.counts):
            self.counts[number] += count
        self.sum += other.sum
