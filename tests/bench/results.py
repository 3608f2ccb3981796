"""What was measured, and the ratios that follow from it. No I/O but reading and writing JSON."""

import dataclasses
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.bench.machine import Usage

Metric = Literal["rate", "p99", "cost", "unloaded"]
"""What a case compares: answers a second, the time 99 of 100 answers took, what one costs, or
answers a second less what the load took of the cores."""

NAMES = {
    "warmfront": "Warmfront",
    "nginx": "nginx",
    "nginx-tuned": "nginx, tuned",
    "varnish": "Varnish",
    "varnish-tuned": "Varnish, tuned",
}
"""Contenders that people know by another name."""

_SATURATED = 0.95
"""A core busier than this has nothing left to give."""

_NOISE = 0.05
_LAG = 250e-6
_ORIGIN_TOLERANCE = 0.03


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one contender. Seconds and answers a second."""

    rate: float
    p50: float
    p99: float
    errors: int
    origin_share: float
    """Requests that reached the origin for each answer."""
    usage: Usage
    memory: int
    """Bytes that the proxy's processes held at the end."""
    lag: float = 0.0
    """What the load itself may have added to `p99`."""
    shared: int = 0
    """Cores that proxy and load have in common; 0 where each has its own."""

    @property
    def unloaded(self) -> float:
        """Answers a second if the load had not taken its part of the shared cores.

        Time in which these cores were idle counts against the proxy.
        """
        return self.rate * self.shared / (self.shared - self.usage.load)

    @property
    def capacity(self) -> float:
        """Answers for each second of processor time; `rate`, if the proxy took all of its core."""
        return self.rate / self.usage.proxy

    @property
    def cost(self) -> float:
        """Seconds of processor time for each answer."""
        return 1 / self.capacity


def middle(turns: Sequence[Sample], metric: Metric) -> Sample:
    """The one that half of the others are not above, by this metric; errors are those of all."""
    ordered = sorted(turns, key=lambda sample: float(getattr(sample, metric)))
    errors = sum(sample.errors for sample in turns)
    return dataclasses.replace(ordered[(len(ordered) - 1) // 2], errors=errors)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a case is meant to reach against `other`, or by itself where that is None."""

    other: str | None
    value: float


@dataclass(frozen=True)
class Outcome:
    """All rounds of one case; the n-th samples of all contenders come from the same round."""

    name: str
    title: str
    what: str
    metric: Metric
    origin_share: float
    alone: bool
    """The proxy has its core for itself, and is meant to fill it."""
    goals: tuple[Goal, ...] = ()
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The contender that the others are compared with."""
        return next(iter(self.samples))

    @property
    def others(self) -> list[str]:
        return list(self.samples)[1:]

    def ratio(self, other: str, of: str | None = None) -> "Spread":
        """Subject to `other`, round by round: above 1 is faster, for p99 and cost slower."""
        figure = of or self.metric
        return Spread.of(
            getattr(ours, figure) / getattr(theirs, figure)
            for ours, theirs in zip(self.samples[self.subject], self.samples[other], strict=True)
        )

    def reached(self, goal: Goal) -> bool:
        """Whether the medians over the rounds meet it.

        In processor time, too: a peer may have been held up by the load and not by its own core.
        Where the load held up the subject itself, only that tells.
        """
        if goal.other is None:
            return self.spread(self.subject, self.metric).median >= goal.value
        if self.metric == "p99":
            return self.ratio(goal.other).median <= goal.value
        if self.metric == "cost":
            slower = 1 / self.ratio(goal.other, "rate").median
            return max(slower, self.ratio(goal.other).median) <= goal.value
        return all(self.ratio(goal.other, of).median >= goal.value for of in self._figures)

    @property
    def _figures(self) -> tuple[str, ...]:
        if not self.alone:
            return (self.metric,)
        held_up = self.usage(self.subject).load >= _SATURATED
        return ("capacity",) if held_up else ("rate", "capacity")

    def spread(self, contender: str, of: str) -> "Spread":
        """A figure of the samples, by its name there."""
        return Spread.of(getattr(sample, of) for sample in self.samples[contender])

    def usage(self, contender: str) -> Usage:
        """Medians of the processor shares."""
        usages = [sample.usage for sample in self.samples[contender]]
        return Usage(
            *(
                statistics.median(getattr(usage, each.name) for usage in usages)
                for each in dataclasses.fields(Usage)
            )
        )


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some figures, and how far they reach."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> "Spread":
        measured = list(figures)
        return cls(statistics.median(measured), min(measured), max(measured))


def doubts(outcome: Outcome) -> list[str]:
    """Why the figures of a case may not say what they seem to say."""
    found = [
        f"{NAMES.get(name, name)} {doubt}."
        for name in outcome.samples
        for doubt in _of(outcome, name)
    ]
    if busy(outcome):
        others = max(outcome.usage(name).others for name in outcome.samples)
        found.append(f"Other programs took up to {others:.0%} of a core.")
    return found


def busy(outcome: Outcome) -> bool:
    """Whether programs that have no part in this ran meanwhile."""
    return any(outcome.usage(name).others > _NOISE for name in outcome.samples)


def _of(outcome: Outcome, name: str) -> Iterator[str]:
    usage = outcome.usage(name)
    share, lag = (outcome.spread(name, of).median for of in ("origin_share", "lag"))
    errors = sum(sample.errors for sample in outcome.samples[name])
    if outcome.alone and usage.proxy < _SATURATED:
        yield (
            f"took {usage.proxy:.0%} of its core, load and origin {usage.load:.0%} of theirs; "
            "it may be faster than this"
        )
    if abs(share - outcome.origin_share) > _ORIGIN_TOLERANCE:
        expected = f"{outcome.origin_share:.2f}"
        yield f"sent {share:.2f} requests to the origin for each answer, not {expected}"
    if errors:
        yield f"left {errors:,} requests without an answer, or answered too late"
    if outcome.metric == "p99" and lag > _LAG:
        yield f"was asked up to {lag * 1e3:.2f} ms late by the load itself"


@dataclass(frozen=True)
class Run:
    """Everything one call of the benchmark found out."""

    date: str
    machine: Mapping[str, str]
    rounds: int
    seconds: int
    outcomes: Sequence[Outcome]
    skipped: Sequence[str] = ()
    """A line for each case that could not run."""

    def dump(self) -> str:
        """JSON, from which `load` makes the same again."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def load(cls, text: str) -> "Run":
        content = json.loads(text)
        return cls(**content | {"outcomes": [_outcome(each) for each in content["outcomes"]]})


def _outcome(content: dict[str, Any]) -> Outcome:
    samples = {
        name: [Sample(**each | {"usage": Usage(**each["usage"])}) for each in measured]
        for name, measured in content["samples"].items()
    }
    goals = tuple(Goal(**each) for each in content["goals"])
    return Outcome(**content | {"samples": samples, "goals": goals})
