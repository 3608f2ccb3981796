"""What is answered without waiting is told together: soon, and before anybody looks."""

from proxy.events import Answered, Event, Hit, Passed, PassedOn, Repeated
from proxy.gateway.decisions import Decisions
from proxy.gateway.telling import Telling
from proxy.journal import MOST, names_in, times_in
from proxy.request_ids import RequestIds
from proxy.rfc9111.cache_status import Outcome
from tests.apparatus import eventually

ANSWERED = Answered("GET", "http://a/", 200, "", 0.0, "r", Outcome.BYPASS, None)


def telling(told: list[Event], decisions: Decisions | None = None) -> Telling:
    return Telling(emit=told.append, ids=RequestIds(), decisions=decisions, named=True)


async def test_it_is_told_by_itself() -> None:
    told: list[Event] = []
    one, kind, hit = telling(told), Passed(ANSWERED, "o", sized=True), Hit(ANSWERED)
    one.hit(hit, b"h", 1.0)
    one.passed(kind, b"a", 2.0, 0.25, 7)
    one.passed(kind, b"b", 3.0, 0.5, 0)
    assert told == []

    async def both() -> bool:
        return len(told) == 2

    await eventually(both)
    passed, repeated = told
    assert isinstance(passed, PassedOn)
    assert passed.kinds == [kind, kind]
    assert list(times_in(passed.times)) == [2.0, 3.0]
    assert (list(passed.durations), list(passed.lengths)) == ([0.25, 0.5], [7.0, 0.0])
    assert names_in(passed.names) == [b"a", b"b"]
    assert isinstance(repeated, Repeated)
    assert repeated.hits == [hit]
    one.tell()
    assert len(told) == 2


async def test_what_is_full_is_told_at_once() -> None:
    told: list[Event] = []
    one, kind = telling(told), Passed(ANSWERED, "", sized=True)
    for number in range(MOST + 1):
        one.passed(kind, None, float(number), 0.0, 0)
    (event,) = told
    assert isinstance(event, PassedOn)
    assert len(event.kinds) == MOST
    one.tell()
    assert len(told) == 2


async def test_who_looks_at_decisions_sees_all() -> None:
    told: list[Event] = []
    decisions = Decisions(10, 1.0)
    one, kind = telling(told, decisions), Passed(ANSWERED, "", sized=True)
    kind.decision = decided = object()
    one.passed(kind, b"mine", 2.0, 0.0, 0)
    found = decisions.find("mine")
    assert found is not None
    assert found[1] is decided
    assert len(decisions) == len(told) == 1
