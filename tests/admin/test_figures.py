"""Rates as differences of totals, and durations by class."""

import pytest

from proxy.admin.figures import Durations, Rates, RouteRates, RouteTotals, Totals, rates

BOUNDS = (0.1, 0.2, 0.4)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        pytest.param((0, 0, 0, 0), 0.5, None, id="nothing"),
        pytest.param((4, 0, 0, 0), 0.5, 0.05, id="in the middle of the first class"),
        pytest.param((2, 2, 0, 0), 0.5, 0.1, id="at a bound"),
        pytest.param((0, 0, 4, 0), 1.0, 0.4, id="all"),
        pytest.param((0, 0, 4, 0), 0.0, 0.2, id="the least"),
        pytest.param((1, 0, 0, 9), 0.95, 0.4, id="beyond the last bound"),
    ],
)
def test_a_quantile_is_interpolated(
    counts: tuple[int, ...], share: float, expected: float | None
) -> None:
    assert Durations(BOUNDS, counts).quantile(share) == pytest.approx(expected)


def test_what_was_never_measured_has_no_quantile() -> None:
    assert Durations().quantile(0.5) is None


def test_since_takes_the_difference_or_all_where_the_classes_changed() -> None:
    now = Durations(BOUNDS, (3, 3, 3, 3))
    assert now.since(Durations(BOUNDS, (1, 2, 3, 0))).counts == (2, 1, 0, 3)
    assert now.since(Durations()) is now


def test_rates_are_differences_by_second() -> None:
    earlier = Totals(
        requests=10, from_store=5, origin=5, sent=100, saved=50, routes={"a": RouteTotals(10, 5)}
    )
    later = Totals(
        requests=30,
        from_store=20,
        origin=10,
        sent=1100,
        saved=550,
        routes={"a": RouteTotals(12, 5), "b": RouteTotals(18, 15), "c": RouteTotals(0, 0)},
        durations={"hit": Durations(BOUNDS, (4, 0, 0, 0)), "miss": Durations(BOUNDS, (0,) * 4)},
    )
    found = rates(earlier, later, seconds=2.0, at=7.0)
    assert (found.at, found.seconds) == (7.0, 2.0)
    assert (found.requests, found.origin, found.sent, found.saved) == (10.0, 2.5, 500.0, 250.0)
    assert found.hit_ratio == 0.75
    assert found.durations["hit"].median == pytest.approx(0.05)
    assert found.durations["miss"].p95 is None
    assert found.routes == (
        RouteRates("b", 9.0, 15 / 18),
        RouteRates("a", 1.0, 0.0),
        RouteRates("c", 0.0, None),
    )


def test_without_requests_there_is_no_ratio() -> None:
    assert rates(Totals(), Totals(), seconds=1.0, at=0.0) == Rates(at=0.0, seconds=1.0)
