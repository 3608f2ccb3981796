"""What is due when: once, in order, and without a trace of what has left."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.expiry import STEP, Expiry, Step


class Thing:
    def __init__(self) -> None:
        self.step: Step | None = None
        self.before: Thing | Step | None = None
        self.after: Thing | Step | None = None


START = 1_800_000_000.0


def all_noted(expiry: Expiry[Any]) -> list[object]:
    """All that is in the rings; each reads the same in both directions."""
    noted: list[object] = []
    for step in expiry._steps.values():
        there = list(ring(step, "after"))
        assert there == list(ring(step, "before"))[::-1]
        assert all(thing.step is step for thing in there)
        noted += there
    return noted


def ring(step: Step, way: str) -> Iterator[Any]:
    thing = getattr(step, way)
    while thing is not step:
        yield thing
        thing = getattr(thing, way)


def noted(*seconds: float) -> tuple[Expiry[Thing], list[Thing]]:
    expiry: Expiry[Thing] = Expiry()
    things = [Thing() for _ in seconds]
    for thing, at in zip(things, seconds, strict=True):
        expiry.note(thing, START + at)
    return expiry, things


def test_things_are_due_in_the_order_of_time_and_once() -> None:
    expiry, things = noted(100, 0, 50)
    assert list(expiry.due(START + 60)) == [things[1], things[2]]
    assert list(expiry.due(START + 60)) == []
    assert list(expiry.due(START + 200)) == [things[0]]


@pytest.mark.parametrize("at", [0, 0.5, 3, 7.9, 8])
def test_nothing_is_due_early_and_nothing_a_step_late(at: float) -> None:
    expiry, things = noted(at)
    assert list(expiry.due(START + at - 0.01)) == []
    assert list(expiry.due(START + at + STEP)) == things


def test_a_note_can_be_moved_and_taken_back() -> None:
    expiry, (one, other, third) = noted(10, 20, 30)
    expiry.note(one, START + 200)
    expiry.note_earlier(other, START + 300)
    expiry.remove(third)
    expiry.remove(third)
    assert list(expiry.due(START + 100)) == [other]
    expiry.note_earlier(one, START + 110)
    expiry.note_earlier(other, START + 110)
    assert set(expiry.due(START + 120)) == {one, other}
    assert not expiry._steps


def test_what_was_useless_from_the_start_is_due_next() -> None:
    expiry, _ = noted(0)
    list(expiry.due(START + 1000))
    late = Thing()
    expiry.note(late, START)
    assert list(expiry.due(START + 1000)) == []
    assert list(expiry.due(START + 1000 + STEP)) == [late]


def test_who_stops_half_way_finds_the_rest_later() -> None:
    expiry, things = noted(0, 0, 100, 100, 200)
    seen = [next(expiry.due(START + 500)) for _ in range(3)]
    assert set(seen) | set(expiry.due(START + 500)) == set(things)


def test_a_clock_that_leaps_costs_no_more_than_there_are_things() -> None:
    expiry, things = noted(0)
    assert list(expiry.due(START + 1e15)) == things
    back = Thing()
    list(expiry.due(START))
    expiry.note(back, START + 10)
    assert list(expiry.due(START + 20)) == [back]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["note", "earlier", "remove", "due"]),
            st.integers(0, 5),
            st.integers(0, 300),
        )
    )
)
def test_each_thing_has_one_note_at_most(steps: list[tuple[str, int, int]]) -> None:
    expiry: Expiry[Thing] = Expiry()
    things = [Thing() for _ in range(6)]
    for step, number, at in steps:
        match step:
            case "note":
                expiry.note(things[number], START + at)
            case "earlier":
                expiry.note_earlier(things[number], START + at)
            case "remove":
                expiry.remove(things[number])
            case _:
                assert all(thing.step is None for thing in expiry.due(START + at))
        noted = all_noted(expiry)
        assert len(noted) == len(set(noted))
        assert set(noted) == {thing for thing in things if thing.step is not None}
        assert all(kept.after is not kept for kept in expiry._steps.values())
