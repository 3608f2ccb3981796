"""Events become integers."""

from dataclasses import replace
from itertools import chain

import pytest

from proxy.events import (
    Answered,
    BackgroundFailed,
    Event,
    Hit,
    NotStored,
    OriginAnswered,
    OriginFailed,
    Passed,
    PassedOn,
    Purged,
    PurgeLogChanged,
    RedisChanged,
    Refused,
    Repeated,
)
from proxy.journal import packed_names, packed_times, singly
from proxy.metrics import Counts
from proxy.rfc9111.cache_status import Outcome
from proxy.rfc9111.reasons import Reason

MISS = Answered(
    "GET",
    "http://api/a",
    200,
    "warmfront; fwd=uri-miss",
    0.02,
    "routes[0]",
    Outcome.MISS,
    Reason.URI_MISS,
    origin_time=0.01,
    length=100,
)
HIT = replace(MISS, outcome=Outcome.HIT, reason=Reason.FRESH)


def counted(*events: Event) -> Counts:
    counts = Counts()
    for event in events:
        counts(event)
    return counts


def test_answers_are_counted_by_route_status_outcome_and_reason() -> None:
    counts = counted(MISS, MISS, HIT, replace(MISS, status=404), replace(MISS, length=None))
    miss = counts.answers["routes[0]", 200, Outcome.MISS, Reason.URI_MISS]
    assert (miss.number, miss.size) == (3, 200)
    assert miss.durations.sum == pytest.approx(0.06)
    assert counts.answers["routes[0]", 404, Outcome.MISS, Reason.URI_MISS].number == 1
    assert counts.outcomes() == {"miss": 4, "hit": 1}


def test_what_is_given_again_takes_no_time() -> None:
    one, other = Hit(HIT), Hit(replace(HIT, uri="http://api/b"))
    counts = counted(Repeated([one, other, one, one, other], b"", b""))
    hit = counts.answers["routes[0]", 200, Outcome.HIT, Reason.FRESH]
    assert (hit.number, hit.size, sum(hit.durations.counts)) == (5, 500, 0)


def passed_on(*rows: tuple[Passed, float, int]) -> PassedOn:
    kinds, durations, lengths = zip(*rows, strict=True)
    times = packed_times([0.0] * len(rows))
    return PassedOn(list(kinds), times, durations, lengths, packed_names([b""] * len(rows)))


def test_what_is_passed_on_counts_as_if_it_had_been_told_singly() -> None:
    bypass = replace(MISS, outcome=Outcome.BYPASS, reason=Reason.CACHE_OFF, length=None)
    one = Passed(bypass, "", sized=True)
    other = Passed(replace(bypass, uri="http://api/b"), "", sized=True)
    broken = Passed(replace(bypass, status=503), "search", sized=True)
    without = Passed(bypass, "", sized=False)
    events = [
        passed_on((one, 0.0005, 10), (broken, 31.0, 5), (other, 0.3, 7), (one, -1.0, 0)),
        passed_on((without, 0.0006, 0), (one, 0.0, 3)),
    ]
    together = counted(*events)
    one_by_one: list[Event] = []
    for pair in chain.from_iterable(map(singly, events)):
        one_by_one += pair
    single = counted(*one_by_one)
    assert together.outcomes() == {"bypass": 6}
    assert together.answers.keys() == single.answers.keys()
    assert together.origins.keys() == single.origins.keys()
    for kind, answers in together.answers.items():
        expected = single.answers[kind]
        assert (answers.number, answers.size) == (expected.number, expected.size)
        assert answers.durations.counts == expected.durations.counts
        assert answers.durations.sum == pytest.approx(expected.durations.sum)
    for group, durations in together.origins.items():
        assert durations.counts == single.origins[group].counts
        assert durations.sum == pytest.approx(single.origins[group].sum)


def test_who_looks_sees_what_has_not_been_told_yet() -> None:
    counts = Counts()
    counts.pull = lambda: counts(Repeated([Hit(HIT)], b"", b""))
    assert counts.outcomes() == {"hit": 1}


def test_what_is_refused_at_the_door_is_no_answer() -> None:
    counts = counted(Refused(400, "no", ""), Refused(429, "no", ""), Refused(400, "no", ""))
    assert counts.refused == {400: 2, 429: 1}
    assert counts.outcomes() == {"refused": 3}


def test_origins_are_timed_by_class_of_status() -> None:
    counts = counted(
        OriginAnswered("", 200, 0.1, validates=False),
        OriginAnswered("", 204, 0.1, validates=False),
        OriginAnswered("search", 503, 0.2, validates=True),
        OriginFailed("http://api/a", Reason.ORIGIN_REFUSED, "errno 111"),
    )
    assert {key: sum(h.counts) for key, h in counts.origins.items()} == {
        ("", 2): 2,
        ("search", 5): 1,
    }
    assert counts.origin_failures == {Reason.ORIGIN_REFUSED: 1}


@pytest.mark.parametrize(
    ("status", "result"),
    [(304, "confirmed"), (200, "replaced"), (404, "replaced"), (500, "failed"), (503, "failed")],
)
def test_what_comes_of_a_validation(status: int, result: str) -> None:
    assert counted(OriginAnswered("", status, 0.1, validates=True)).validations == {result: 1}


def test_purges_and_what_happens_to_their_log() -> None:
    counts = counted(
        Purged(1, soft=False, acked=2, pending=(), duration=0.1),
        Purged(2, soft=True, acked=1, pending=("b",), duration=5.0),
        PurgeLogChanged("reset", "the server has restarted"),
        PurgeLogChanged("lost", "refused"),
    )
    assert counts.purges == {"hard": 1, "soft": 1}
    assert sum(counts.acknowledgements.counts) == 2
    assert counts.log_resets == 1


def test_the_rest() -> None:
    counts = counted(
        NotStored("http://api/a", Reason.TOO_LARGE),
        BackgroundFailed("sweep", ValueError("a bug")),
        RedisChanged("127.0.0.1", "down", "refused"),
    )
    assert counts.not_stored == {Reason.TOO_LARGE: 1}
    assert counts.failures == 1
