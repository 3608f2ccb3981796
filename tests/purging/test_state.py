"""The rule, held against its own definition over whole histories."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.purging import (
    ALL,
    LONGEST_SEARCHED,
    Gap,
    Invalid,
    Limits,
    Mode,
    Purge,
    PurgeState,
    Remembered,
    Softened,
    Unknown,
    Valid,
)

URL = "http://h/a?b=1"


def hard(seq: int, *scopes: str, pattern: str | None = None) -> Purge:
    return Purge(seq, scopes, Mode.HARD, 100.0 + seq, pattern)


def soft(seq: int, *scopes: str, pattern: str | None = None) -> Purge:
    return Purge(seq, scopes, Mode.SOFT, 100.0 + seq, pattern)


def state_of(*purges: Purge, limits: Limits | None = None) -> PurgeState:
    state = PurgeState(limits)
    for purge in purges:
        state.apply(purge)
    return state


@pytest.mark.parametrize(
    ("purges", "born", "judgement"),
    [
        pytest.param([], 0, Valid(), id="nothing was purged"),
        pytest.param([hard(1, "tag:x")], 0, Invalid(), id="purged after it was born"),
        pytest.param([hard(1, "tag:x")], 1, Valid(), id="born after the purge"),
        pytest.param([hard(1, "tag:y")], 0, Valid(), id="another scope"),
        pytest.param([hard(1, ALL)], 0, Invalid(), id="everything"),
        pytest.param([soft(1, "tag:x")], 0, Softened(101.0), id="softly"),
        pytest.param([soft(1, "tag:x")], 1, Valid(), id="softly before it was born"),
        pytest.param([soft(1, "tag:x"), soft(2, ALL)], 0, Softened(101.0), id="stale since first"),
        pytest.param([soft(1, ALL), hard(2, "tag:x")], 0, Invalid(), id="hard beats soft"),
        pytest.param([hard(1, "tag:x"), soft(2, "tag:x")], 0, Invalid(), id="hard, then soft"),
        pytest.param([hard(1, "tag:x"), soft(2, "tag:x")], 1, Softened(102.0), id="born between"),
        pytest.param([hard(1, pattern="b=1$")], 0, Invalid(), id="pattern"),
        pytest.param([hard(1, pattern="b=1$")], 1, Valid(), id="pattern before it was born"),
        pytest.param([hard(1, pattern="^a")], 0, Valid(), id="pattern that does not match"),
        pytest.param([soft(1, pattern="/a")], 0, Softened(101.0), id="soft pattern"),
        pytest.param([hard(1, pattern="(")], 0, Invalid(), id="unreadable pattern is everything"),
        pytest.param([hard(1, pattern="(" * 9999 + ")" * 9999)], 0, Invalid(), id="too deep, too"),
        pytest.param([soft(1, pattern="(")], 0, Softened(101.0), id="unreadable soft pattern"),
        pytest.param([], 1, Unknown(), id="from a future this process has not read"),
        pytest.param([hard(1, "tag:x")], -1, Invalid(), id="below any floor"),
    ],
)
def test_judgements(purges: list[Purge], born: int, judgement: object) -> None:
    assert state_of(*purges).judge(born, URL, ["*", "tag:x"]) == judgement


@pytest.mark.parametrize(
    ("purges", "after", "remembered"),
    [
        pytest.param([], 0, [], id="none"),
        pytest.param([hard(1, "tag:y")], 0, [], id="of another scope"),
        pytest.param([hard(1, "tag:x")], 0, [("tag:x", Mode.HARD, 1)], id="hard"),
        pytest.param([hard(1, "tag:x")], 1, [], id="earlier"),
        pytest.param([soft(1, ALL)], 0, [(ALL, Mode.SOFT, 1)], id="soft"),
        pytest.param(
            [soft(1, pattern="b=1$"), soft(2, ALL), hard(3, "tag:x")],
            0,
            [("pattern:b=1$", Mode.SOFT, 1), (ALL, Mode.SOFT, 2), ("tag:x", Mode.HARD, 3)],
            id="all, in their order",
        ),
        pytest.param([hard(1, "tag:x"), hard(2, "tag:x")], 0, [("tag:x", Mode.HARD, 2)], id="last"),
    ],
)
def test_what_is_remembered_is_told(
    purges: list[Purge], after: int, remembered: list[tuple[str, Mode, int]]
) -> None:
    found = state_of(*purges).remembered(URL, [ALL, "tag:x"], after=after)
    assert found == [Remembered(*one) for one in remembered]


def test_valid_says_through_which_purge() -> None:
    state = state_of(hard(1, "tag:y"), soft(2, "tag:x"))
    valid = state.judge(2, URL, ["tag:x"])
    softened = state.judge(1, URL, ["tag:x"])
    assert isinstance(valid, Valid)
    assert isinstance(softened, Softened)
    assert valid.through == softened.through == 2


class TestApply:
    def test_once_is_enough(self) -> None:
        state = state_of(hard(1, "tag:x"), hard(1, "tag:y"))
        assert state.judge(0, URL, ["tag:y"]) == Valid()

    def test_a_gap_is_refused_and_changes_nothing(self) -> None:
        state = state_of(hard(1, "tag:x"))
        with pytest.raises(Gap, match="3 after 1"):
            state.apply(hard(3, "tag:y"))
        assert state.position == 1
        assert state.judge(1, URL, ["tag:y"]) == Valid()


class TestApplyLocally:
    def test_it_counts_until_the_next_purge(self) -> None:
        state = state_of(hard(1, "tag:y"))
        state.apply_locally(["tag:x"])
        assert state.position == 1
        assert state.judge(1, URL, ["tag:x"]) == Invalid()
        state.apply(hard(2, "tag:z"))
        assert state.judge(1, URL, ["tag:x"]) == Invalid()
        assert state.judge(2, URL, ["tag:x"]) == Valid()

    def test_until_then_not_all_is_valid(self) -> None:
        state = state_of(hard(1, "tag:y"))
        assert not state.nothing_since(0)
        assert state.nothing_since(1)
        assert not state.nothing_since(2)
        state.apply_locally(["tag:x"])
        assert not state.nothing_since(1)
        state.apply(hard(2, "tag:z"))
        assert state.nothing_since(2)


class TestChanges:
    def test_news_that_change_no_judgement_make_nothing_judge_anew(self) -> None:
        state = state_of(hard(1, "tag:x"))
        before = state.changes
        state.raise_floor(0)
        assert state.changes == before
        state.raise_floor(1)
        assert state.changes > before


class TestReset:
    def test_nothing_from_before_is_valid(self) -> None:
        state = state_of(hard(1, "tag:x"))
        state.reset(9)
        assert state.judge(8, URL, ["tag:y"]) == Invalid()
        assert state.judge(9, URL, ["tag:x"]) == Valid()

    def test_with_a_floor_what_lies_above_is_the_log_s_to_say(self) -> None:
        state = PurgeState()
        state.reset(9, floor=4, patterns=[hard(6, pattern="a")])
        assert state.judge(3, URL, []) == Invalid()
        assert state.judge(5, URL, []) == Invalid()
        assert state.judge(6, URL, []) == Unknown()
        assert state.judge(9, URL, []) == Valid()


class TestConfirm:
    def test_the_log_s_word_holds(self) -> None:
        state = PurgeState()
        state.reset(9, floor=0)
        assert state.confirm(Valid(9), 5, URL, ["tag:x"]) == Valid()
        assert state.confirm(Softened(7.0, 9), 5, URL, ["tag:x"]) == Softened(7.0)

    def test_what_was_applied_meanwhile_is_added(self) -> None:
        state = PurgeState()
        state.reset(9, floor=0)
        state.apply(soft(10, "tag:x"))
        assert state.confirm(Valid(9), 5, URL, ["tag:x"]) == Softened(110.0)
        assert state.confirm(Softened(7.0, 9), 5, URL, ["tag:x"]) == Softened(7.0)
        state.apply(hard(11, "tag:x"))
        assert state.confirm(Valid(9), 5, URL, ["tag:x"]) == Invalid()

    def test_nothing_can_be_added_after_losing_track(self) -> None:
        state = PurgeState()
        state.reset(12, floor=0)
        assert state.confirm(Valid(9), 5, URL, ["tag:x"]) == Unknown()


class TestBounds:
    @pytest.mark.parametrize("make", [hard, soft])
    def test_a_dropped_scope_is_the_log_s_to_say(self, make: Callable[..., Purge]) -> None:
        purges = [make(1, "tag:x"), make(2, "tag:y"), make(3, "tag:z")]
        state = state_of(*purges, limits=Limits(scopes=2))
        assert state.known_from == 1
        assert state.judge(0, URL, ["tag:x"]) == Unknown()
        assert state.judge(1, URL, ["tag:x"]) == Valid()

    def test_a_scope_purged_again_is_the_youngest(self) -> None:
        purges = [hard(1, "tag:x"), hard(2, "tag:y"), hard(3, "tag:x"), hard(4, "tag:z")]
        state = state_of(*purges, limits=Limits(scopes=2))
        assert state.known_from == 2
        assert state.judge(2, URL, ["tag:x"]) == Invalid()

    def test_what_is_too_long_to_be_searched_is_forgotten(self) -> None:
        """A search in 8 KiB that a client has made up could take longer than all else."""
        state = state_of(hard(1, pattern="a.*b"))
        longest = f"http://h/{'a' * (LONGEST_SEARCHED - 9)}"
        assert state.judge(0, longest, [ALL]) == Valid()
        assert state.judge(0, f"{longest}a", [ALL]) == Invalid()
        assert state.judge(1, f"{longest}a", [ALL]) == Valid()

    def test_a_dropped_pattern_raises_the_floor(self) -> None:
        purges = [hard(seq, pattern=f"p{seq}") for seq in range(1, 4)]
        state = state_of(*purges, limits=Limits(patterns=2))
        assert (state.patterns, state.floor) == (2, 1)
        assert state.judge(0, URL, []) == Invalid()
        assert state.judge(1, URL, []) == Valid()

    def test_a_pattern_given_again_takes_no_room(self) -> None:
        state = state_of(
            *(hard(seq, pattern="p") for seq in range(1, 9)), limits=Limits(patterns=2)
        )
        assert (state.patterns, state.floor) == (1, 0)

    def test_crowded_from_half(self) -> None:
        state = state_of(hard(1, pattern="a"), limits=Limits(patterns=2))
        assert not state.crowded
        state.apply(hard(2, pattern="b"))
        assert state.crowded


SCOPES = ("*", "tag:a", "tag:b", "tag:c", "tag:d")
purge_bodies = st.tuples(
    st.lists(st.sampled_from(SCOPES), max_size=2),
    st.sampled_from(Mode),
    st.sampled_from((None, None, None, "a", "z", "(")),
)


@given(
    history=st.lists(purge_bodies, max_size=25),
    limits=st.builds(Limits, scopes=st.integers(1, 4), patterns=st.integers(1, 3)),
    born=st.integers(0, 26),
    own=st.lists(st.sampled_from(SCOPES[1:]), max_size=2),
    start=st.integers(0, 20),
)
def test_it_never_says_more_than_the_rule(
    history: list[tuple[list[str], Mode, str | None]],
    limits: Limits,
    born: int,
    own: list[str],
    start: int,
) -> None:
    """Valid and Softened only where all history says so; Invalid where it or a floor does."""
    purges = [Purge(n, tuple(s), m, n, p) for n, (s, m, p) in enumerate(history, start=1)]
    start = min(start, len(purges))
    state = PurgeState(limits)
    state.reset(start, floor=0, patterns=[p for p in purges[:start] if p.pattern])
    for purge in purges[start:]:
        state.apply(purge)
    scopes = ("*", *own)
    if state.nothing_since(born):
        assert state.judge(born, URL, scopes) == Valid()
    above = [purge for purge in purges if purge.seq > born and concerns(purge, scopes)]
    harder = any(purge.mode is Mode.HARD for purge in above)
    match state.judge(born, URL, scopes):
        case Valid(through):
            assert not above
            assert through == state.position
        case Softened(at):
            assert not harder
            assert at in {purge.at for purge in above}
        case Invalid():
            assert harder or born < state.floor
        case Unknown():
            assert not state.known_from <= born <= state.position


def concerns(purge: Purge, scopes: tuple[str, ...]) -> bool:
    if set(purge.scopes) & set(scopes) or purge.pattern == "(":
        return True
    return purge.pattern is not None and re.search(purge.pattern, URL) is not None
