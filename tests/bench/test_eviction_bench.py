"""The comparison of eviction policies compares what it says it does."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.eviction import traces
from tests.bench.eviction.optimum import NEVER, belady, bound, next_uses
from tests.bench.eviction.policies import POLICIES
from tests.bench.eviction.report import COLUMNS, SHARES, Result, measure, page
from tests.bench.eviction.traces import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    whole = traces.zipf(0.9)
    names = whole.names[:5000]
    return Trace("short", names, {name: whole.sizes[name] for name in names})


@pytest.fixture(scope="module")
def result(trace: Trace) -> Result:
    return measure(trace)


def uniform(*names: int) -> Trace:
    return Trace("uniform", names, dict.fromkeys(names, 1))


def test_belady_is_the_optimum_where_sizes_are_equal() -> None:
    trace = uniform(1, 2, 3, 1, 2, 4, 1, 3, 2)
    following = next_uses(trace.names)
    assert following == [3, 4, 7, 6, 8, NEVER, NEVER, NEVER, NEVER]
    assert belady(trace, following, 2) == (4, 4)
    assert belady(trace, following, 3) == (5, 5)


def test_the_bound_is_reached_where_everything_fits() -> None:
    trace = uniform(*range(10), *range(10))
    following = next_uses(trace.names)
    assert bound(trace, following, [10]) == [(10, 10)]
    assert bound(trace, following, [5])[0] == pytest.approx((10, 10))
    assert bound(trace, following, [1])[0] == pytest.approx((2, 2))


@pytest.mark.parametrize("share", SHARES)
def test_nobody_finds_more_than_the_bound(result: Result, share: float) -> None:
    for row in (result.requests[share], result.bytes[share]):
        assert row.keys() == set(COLUMNS)
        assert all(row[name] <= row["bound"] for name in COLUMNS)
    assert all(
        result.requests[share][name] <= result.requests[share]["Belady"] for name in POLICIES
    )


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_that_has_room_for_all_forgets_nothing(name: str) -> None:
    trace = uniform(*range(300), *range(300))
    policy = POLICIES[name](30_000)
    assert sum(policy.request(one, 1) for one in trace.names) == 300


def test_traces_are_the_same_each_time() -> None:
    one, other = traces.drift(), traces.drift()
    assert one.names[:1000] == other.names[:1000]
    assert one.sizes == other.sizes


@pytest.mark.parametrize("real", [True, False])
def test_the_page_says_where_its_traces_come_from(result: Result, *, real: bool) -> None:
    text = page([replace(result, title="Twitter, cluster 52")], real=real)
    assert ("libCacheSim" in text) == real
    assert ("could not be had" in text) != real
    assert text.count("| Twitter, cluster 52 |") == 2 * len(SHARES)


def test_the_page_in_docs_is_of_this_version() -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmarks-eviction.md").read_text()
    assert f"| trace | cache | {' | '.join(COLUMNS)} |" in text
