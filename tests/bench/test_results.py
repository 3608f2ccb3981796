import dataclasses
from typing import Any

import pytest

from tests.bench.machine import Usage
from tests.bench.results import Goal, Metric, Outcome, Run, Sample, Spread, doubts, middle


def sample(rate: float, p99: float = 0.002, proxy: float = 1.0, others: float = 0.0) -> Sample:
    usage = Usage(proxy=proxy, load=0.5, others=others)
    return Sample(
        rate=rate, p50=0.001, p99=p99, errors=0, origin_share=0.0, usage=usage, memory=1 << 20
    )


def outcome(
    ours: list[Sample], theirs: list[Sample], metric: Metric = "rate", goal: float = 1.25
) -> Outcome:
    return Outcome(
        name="hit",
        title="Hit",
        what="A hit.",
        metric=metric,
        origin_share=0.0,
        alone=metric == "rate",
        goals=(Goal("nginx", goal),),
        samples={"warmfront": ours, "nginx": theirs},
    )


def test_a_ratio_compares_runs_of_the_same_round() -> None:
    # The second round met a busy machine. The ratio of medians would be 1.5.
    ours = [sample(100), sample(30), sample(150)]
    theirs = [sample(50), sample(10), sample(100)]
    assert outcome(ours, theirs).ratio("nginx") == Spread(median=2.0, low=1.5, high=3.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "reached"),
    [
        (sample(125), sample(100), True),
        (sample(124), sample(100), False),
        # Twice as fast in answers a second, as the peer got half a core only.
        pytest.param(sample(100), sample(50, proxy=0.5), False, id="peer held up"),
        pytest.param(sample(100, proxy=0.5), sample(100), False, id="held up itself"),
    ],
)
def test_a_goal_holds_for_rate_and_processor_time(
    ours: Sample, theirs: Sample, *, reached: bool
) -> None:
    found = outcome([ours], [theirs])
    assert found.reached(found.goals[0]) is reached


def test_where_the_load_is_full_only_processor_time_tells() -> None:
    held_up = dataclasses.replace(sample(100), usage=Usage(proxy=0.8, load=0.95, others=0.0))
    found = outcome([held_up], [sample(100)])
    assert found.reached(Goal("nginx", 1.25))
    assert not found.reached(Goal("nginx", 1.26))


@pytest.mark.parametrize(("ours", "reached"), [(0.002, True), (0.0021, False)])
def test_of_waiting_less_is_better(ours: float, *, reached: bool) -> None:
    found = outcome([sample(1, ours)], [sample(1, 0.002)], "p99", goal=1.0)
    assert found.reached(found.goals[0]) is reached


@pytest.mark.parametrize(
    ("ours", "reached"),
    [
        (sample(91), True),
        (sample(90), False),
        # As many answers a second, but it had a core to itself for them, and the other one half.
        pytest.param(sample(100, proxy=1.0), False, id="dearer"),
        # For less processor time, but slower.
        pytest.param(sample(40, proxy=0.1), False, id="slower"),
    ],
)
def test_a_cost_is_in_processor_time_and_in_rate(ours: Sample, *, reached: bool) -> None:
    theirs = sample(100, proxy=0.5 if ours.rate == 100 else 1.0)
    found = outcome([ours], [theirs], "cost", goal=1.1)
    assert found.reached(found.goals[0]) is reached


def test_what_the_load_took_of_shared_cores_is_left_out() -> None:
    # Of two cores the load took 1.2, of one 0.4: what was left to the proxies is 0.8 and 0.6.
    two = dataclasses.replace(sample(160), shared=2, usage=Usage(proxy=0.7, load=1.2, others=0.0))
    one = dataclasses.replace(sample(120), shared=1, usage=Usage(proxy=0.6, load=0.4, others=0.0))
    assert two.unloaded == pytest.approx(400)
    assert one.unloaded == pytest.approx(200)
    found = outcome([two], [one], "unloaded", goal=2.0)
    assert found.ratio("nginx").median == pytest.approx(2.0)
    assert found.reached(Goal("nginx", 1.99))
    assert not found.reached(Goal("nginx", 2.01))


def test_a_goal_without_a_peer_is_a_rate() -> None:
    found = outcome([sample(5000)], [sample(1)])
    assert found.reached(Goal(None, 5000))
    assert not found.reached(Goal(None, 5001))


def test_good_figures_leave_no_doubt() -> None:
    assert doubts(outcome([sample(2)], [sample(1)])) == []


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"usage": Usage(proxy=0.6, load=1.0, others=0.0)}, "nginx took 60% of its core"),
        ({"usage": Usage(proxy=1.0, load=0.5, others=0.2)}, "Other programs took up to 20%"),
        ({"origin_share": 0.1}, "sent 0.10 requests to the origin for each answer, not 0.00"),
        ({"errors": 3}, "left 3 requests"),
    ],
)
def test_doubtful_figures_say_so(changes: dict[str, Any], doubt: str) -> None:
    spoilt = dataclasses.replace(sample(1), **changes)
    (found,) = doubts(outcome([sample(1)], [spoilt]))
    assert doubt in found


def test_late_load_is_a_doubt_where_waiting_is_compared() -> None:
    late = dataclasses.replace(sample(1), lag=0.001)
    (found,) = doubts(outcome([sample(1)], [late], "p99"))
    assert "up to 1.00 ms late" in found


def test_what_was_found_survives_the_file() -> None:
    run = Run(
        date="2026-01-01",
        machine={"processor": "one"},
        rounds=1,
        seconds=2,
        outcomes=[outcome([sample(2)], [sample(1)])],
        skipped=["Two workers: skipped."],
    )
    assert Run.load(run.dump()) == run


@pytest.mark.parametrize(
    ("waiting", "expected"), [([7], 7), ([1, 9], 1), ([5, 900, 3], 5), ([4, 6, 5, 7, 900], 6)]
)
def test_one_turn_that_was_held_up_does_not_count(waiting: list[float], expected: float) -> None:
    assert middle([sample(1, p99=each) for each in waiting], "p99").p99 == expected


def test_errors_of_all_turns_count() -> None:
    turns = [dataclasses.replace(sample(1, p99=each), errors=int(each)) for each in (2, 3, 40)]
    assert middle(turns, "p99").errors == 45
