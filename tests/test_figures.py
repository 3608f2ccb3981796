"""Counts as totals."""

from proxy import admin, figures
from proxy.events import Answered, OriginAnswered
from proxy.metrics import Counts
from proxy.rfc9111.cache_status import Outcome


def answered(route: str, outcome: Outcome, length: int | None = 100) -> Answered:
    return Answered("GET", "http://a/", 200, "", 0.02, route, outcome, None, length=length)


def test_totals_add_up_all_answers() -> None:
    counts = Counts()
    for route, outcome in (
        ("a", Outcome.HIT),
        ("a", Outcome.MISS),
        ("b", Outcome.STALE),
        ("b", Outcome.REVALIDATED),
        ("b", Outcome.COLLAPSED),
        ("b", Outcome.BYPASS),
    ):
        counts(answered(route, outcome))
    counts(answered("b", Outcome.ERROR, None))
    for group in ("", "other"):
        counts(OriginAnswered(group, 200, 0.3, validates=False))
    totals = figures.totals(counts)
    assert (totals.requests, totals.from_store, totals.origin) == (7, 4, 2)
    assert (totals.sent, totals.saved) == (600, 400)
    assert totals.routes == {"a": admin.RouteTotals(2, 1), "b": admin.RouteTotals(5, 3)}
    assert {name: sum(one.counts) for name, one in totals.durations.items()} == {
        "hit": 2,
        "miss": 5,
        "origin": 2,
    }


def test_nothing_happened() -> None:
    totals = figures.totals(Counts())
    assert (totals.requests, totals.routes) == (0, {})
    assert totals.durations["hit"].quantile(0.5) is None
