"""How rounds and turns make the samples of a case."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench.__main__ import measure
from tests.bench.cases import Case
from tests.bench.machine import Cores
from tests.bench.peers import Server
from tests.bench.results import Sample
from tests.bench.stage import Stage, Trial
from tests.bench.test_results import sample

STAGE = Stage(Path(), Cores(0, 1, 1), Server("origin", 1, 1, Path()), ("a", "b"), seconds=2)


def test_turns_alternate_and_the_middle_one_of_each_round_counts() -> None:
    asked: list[str] = []
    waiting = {"a": iter([3, 800, 1, 4, 5, 900]), "b": iter([70, 6, 7, 8, 9, 1])}

    def run(name: str) -> Sample:
        asked.append(name)
        return sample(100, p99=next(waiting[name]))

    @contextmanager
    def trial(_: Stage) -> Iterator[Trial]:
        contenders = {name: partial(run, name) for name in waiting}
        yield Trial(contenders, lambda: asked.append("round"), turns=3)

    found = measure(Case("c", "C", "A case.", trial, metric="p99"), STAGE, rounds=2)
    assert asked == ["round", *"abbaab", "round", *"baabba"]
    assert {name: [each.p99 for each in kept] for name, kept in found.samples.items()} == {
        "a": [3, 5],
        "b": [7, 8],
    }
