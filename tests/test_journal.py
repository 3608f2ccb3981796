"""What is noted of hits, and the lines it makes: in Python and in C, held to the same."""

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import journal
from proxy.events import Answered, Hit
from proxy.journal import (
    ACCELERATED,
    MOST,
    MOST_FIGURES,
    Journal,
    Line,
    PlainJournal,
    figures_in,
    lines,
    names_in,
    packed_names,
    packed_times,
    plain_lines,
    some,
    stamp,
    times_in,
)
from proxy.rfc9111.cache_status import Outcome

NOON = 1_767_268_800.0
needs_compiler = pytest.mark.skipif(not ACCELERATED, reason="built without a C compiler")


def hit(line: Line | None = (b"<", b"|", b">\n")) -> Hit:
    made = Hit(Answered("GET", "http://api/a", 200, "", 0.0, "defaults", Outcome.HIT, None))
    made.line = line
    return made


def unexpected(_: Hit) -> Line:
    raise AssertionError


class Noted:
    """A journal of either kind, and what it asked for."""

    def __init__(self, kind: Callable[..., Any], *, named: bool = True) -> None:
        self.asked: list[str] = []
        self.taken: list[journal.Taken] = []
        self.journal = kind(
            begun=lambda: self.asked.append("begun"),
            full=self._full,
            make=self._make if named else None,
            figures=1,
        )

    def note(self, given: bytes | None = b" a", at: float = NOON, what: Hit | None = None) -> bytes:
        ending: bytes = self.journal.note(what or hit(), given, at)
        return ending

    def _full(self) -> None:
        self.asked.append("full")
        self.taken.append(self.journal.take())

    def _make(self) -> bytes:
        self.asked.append("make")
        return b"made"


@pytest.fixture(
    params=[
        pytest.param(PlainJournal, id="Python"),
        pytest.param(Journal, id="C", marks=needs_compiler),
    ]
)
def kind(request: pytest.FixtureRequest) -> Callable[..., Any]:
    made: Callable[..., Any] = request.param
    return made


@pytest.fixture(
    params=[
        pytest.param(plain_lines, id="Python"),
        pytest.param(lines, id="C", marks=needs_compiler),
    ]
)
def write(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    made: Callable[..., bytes] = request.param
    return made


class TestNoting:
    def test_a_request_is_called_as_its_client_does(self, kind: Callable[..., Any]) -> None:
        noted = Noted(kind)
        assert noted.note(b" \tmine ") == b"Warmfront-Request-Id: mine\r\n\r\n"
        assert noted.asked == ["begun"]

    @pytest.mark.parametrize("given", [None, b"", b" ", b" a b", b" \xe9", b" a\0", b"x" * 129])
    def test_else_a_name_is_made(self, kind: Callable[..., Any], given: bytes | None) -> None:
        assert Noted(kind).note(given) == b"Warmfront-Request-Id: made\r\n\r\n"

    def test_where_nobody_wants_names_there_are_none(self, kind: Callable[..., Any]) -> None:
        noted = Noted(kind, named=False)
        assert noted.note(b" mine") == b"\r\n"
        _, _, names = noted.journal.take()
        assert names_in(names) == [b""]

    def test_all_is_taken_once_and_in_order(self, kind: Callable[..., Any]) -> None:
        noted, one, other = Noted(kind), hit(), hit()
        noted.note(b" a", NOON, one)
        noted.note(b" b", NOON + 0.5, other)
        noted.note(None, NOON - 1, one)
        hits, times, names = noted.journal.take()
        assert hits == [one, other, one]
        assert list(times_in(times)) == [NOON, NOON + 0.5, NOON - 1]
        assert names_in(names) == [b"a", b"b", b"made"]
        assert noted.journal.take() == ([], b"", b"")

    def test_it_says_when_it_begins_and_when_it_is_full(self, kind: Callable[..., Any]) -> None:
        noted = Noted(kind)
        for number in range(MOST + 2):
            noted.note(b" %d" % number)
        assert noted.asked == ["begun", "full"]
        ((_, _, names),) = noted.taken
        assert names_in(names) == [b"%d" % number for number in range(MOST)]
        noted.taken.append(noted.journal.take())
        assert names_in(noted.taken[-1][2]) == [b"%d" % MOST, b"%d" % (MOST + 1)]
        noted.note()
        assert noted.asked == ["begun", "full", "begun"]

    def test_the_longest_names_fit(self, kind: Callable[..., Any]) -> None:
        noted = Noted(kind)
        for _ in range(MOST):
            noted.note(b"x" * 128)
        assert names_in(noted.journal.take()[2]) == MOST * [b"x" * 128]

    def test_what_goes_wrong_is_told(self, kind: Callable[..., Any]) -> None:
        def fails() -> None:
            raise LookupError

        failing = kind(begun=fails, full=fails, make=None, figures=1)
        with pytest.raises(LookupError):
            failing.note(hit(), None, NOON)
        assert failing.take()[0] == []

    def test_it_keeps_nothing_alive(self, kind: Callable[..., Any]) -> None:
        noted, kept = Noted(kind), hit()
        before = sys.getrefcount(kept)
        noted.note(what=kept)
        noted.journal.take()
        assert sys.getrefcount(kept) == before
        noted.note(what=kept)
        gone = ref(noted)
        del noted
        gc.collect()
        assert gone() is None
        assert sys.getrefcount(kept) == before


class TestLines:
    def test_each_hit_has_its_time_and_its_name(self, write: Callable[..., bytes]) -> None:
        other = hit((b"{", b":", b"}\n"))
        times = packed_times([NOON + 0.25, NOON + 61.9999])
        written = write([hit(), other], times, packed_names([b"a", b""]), unexpected)
        assert written == b"<2026-01-01T12:00:00.250Z|a>\n{2026-01-01T12:01:01.999Z:}\n"

    def test_nothing_is_nothing(self, write: Callable[..., bytes]) -> None:
        assert write([], b"", b"", unexpected) == b""

    def test_a_line_is_made_where_there_is_none(self, write: Callable[..., bytes]) -> None:
        def make(which: Hit) -> Line:
            which.line = (b"made ", b" ", b"\n")
            return (b"made ", b" ", b"\n")

        new = hit(None)
        written = write([new, new], packed_times([0.0, 0.0]), packed_names([b"a", b"b"]), make)
        assert written == b"made 1970-01-01T00:00:00.000Z a\nmade 1970-01-01T00:00:00.000Z b\n"

    @pytest.mark.parametrize(("times", "names"), [([NOON], [b"a", b"b"]), ([NOON, NOON], [b"a"])])
    def test_all_are_as_many(
        self, write: Callable[..., bytes], times: list[float], names: list[bytes]
    ) -> None:
        with pytest.raises(ValueError, match=r"\w"):
            write([hit(), hit()], packed_times(times), packed_names(names), unexpected)

    def test_what_makes_lines_may_fail(self, write: Callable[..., bytes]) -> None:
        with pytest.raises(AssertionError):
            write(
                [hit(), hit(None)], packed_times(2 * [NOON]), packed_names(2 * [b"a"]), unexpected
            )

    def test_names_may_hold_anything_but_a_newline(self, write: Callable[..., bytes]) -> None:
        names = packed_names([b"a\0b", b"\xff"])
        written = write([hit(), hit()], packed_times([0.0, 0.0]), names, unexpected)
        assert written.splitlines()[0].endswith(b"|a\0b>")

    @needs_compiler
    @pytest.mark.parametrize("line", ["text", (b"a", b"b"), (b"a", b"b", "c")])
    def test_what_is_no_line_is_refused(self, line: Any) -> None:
        with pytest.raises(TypeError):
            lines([hit(line)], packed_times([NOON]), packed_names([b"a"]), unexpected)

    @needs_compiler
    @pytest.mark.parametrize(("number", "names"), [(0, b"a"), (1, b"\nabc"), (1, b"a")])
    def test_every_name_ends(self, number: int, names: bytes) -> None:
        with pytest.raises(ValueError, match="names"):
            lines(number * [hit()], packed_times(number * [NOON]), names, unexpected)

    @needs_compiler
    @pytest.mark.parametrize("at", [-1.0, 1e12, float("nan"), float("inf")])
    def test_what_is_no_time_is_refused(self, at: float) -> None:
        with pytest.raises(ValueError, match="era"):
            lines([hit()], packed_times([at]), packed_names([b"a"]), unexpected)


@needs_compiler
def test_what_is_noted_while_others_are_taken_breaks_nothing() -> None:
    """The garbage collector may run Python code in the middle of it."""
    noted = Noted(Journal)
    noted.note(None, NOON)

    def note_more(_phase: str, _info: object) -> None:
        noted.note(None, NOON)

    threshold = gc.get_threshold()
    gc.callbacks.append(note_more)
    gc.set_threshold(1)
    try:
        kept = []
        for _ in range(200):  # more lists than Python has in stock
            kept.append([hit()])
            with suppress(RuntimeError):  # where they are too many for the room that was made
                kept.append(noted.journal.take()[0])
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(note_more)
    hits, times, _ = noted.journal.take()
    assert len(hits) == len(times_in(times))


@needs_compiler
@given(
    given=st.lists(st.none() | st.binary(max_size=200) | st.from_regex(rb"[ \t]*[a-z:/]*[ \t]*")),
    times=st.lists(st.floats(0, 2e11, allow_nan=False), min_size=1),
)
def test_both_note_and_write_the_same(given: list[bytes | None], times: list[float]) -> None:
    same = hit()
    noted = [Noted(kind) for kind in (PlainJournal, Journal)]
    for number, name in enumerate(given):
        at = times[number % len(times)]
        first, second = (one.note(name, at, same) for one in noted)
        assert first == second
    taken, others = (one.journal.take() for one in noted)
    assert taken == others
    hits, at_times, names = taken
    assert plain_lines(hits, at_times, names, unexpected) == lines(
        hits, at_times, names, unexpected
    )


def test_some_are_chosen() -> None:
    one, other = hit(), hit()
    taken = ([one, other, one], packed_times([1.0, 2.0, 3.0]), packed_names([b"a", b"b", b"c"]))
    hits, times, names = some(taken, [True, False, True])
    assert (hits, list(times_in(times)), names_in(names)) == ([one, one], [1.0, 3.0], [b"a", b"c"])


def test_a_stamp_is_cut_to_milliseconds() -> None:
    assert stamp(NOON + 0.9999) == b"2026-01-01T12:00:00.999Z"


class TestFigures:
    def test_as_many_as_it_was_told(self, kind: Callable[..., Any]) -> None:
        made = kind(begun=lambda: None, full=lambda: None, make=None, figures=3)
        one, other = hit(), hit()
        made.note(one, None, NOON, 0.25, 7)
        made.note(other, b"x", NOON + 1, -0.5, 0)
        answers, figures, names = made.take()
        assert answers == [one, other]
        assert [list(each) for each in figures_in(figures, 3)] == [
            [NOON, NOON + 1],
            [0.25, -0.5],
            [7.0, 0.0],
        ]
        assert names_in(names) == [b"", b""]

    def test_so_many_fit(self, kind: Callable[..., Any]) -> None:
        made = kind(begun=lambda: None, full=lambda: None, make=None, figures=MOST_FIGURES)
        for number in range(MOST):
            made.note(None, None, *[float(number)] * MOST_FIGURES)
        assert list(figures_in(made.take()[1], MOST_FIGURES)[-1]) == list(range(MOST))

    @pytest.mark.parametrize("figures", [(), (NOON, 1.0)])
    def test_other_numbers_of_them_are_refused(
        self, kind: Callable[..., Any], figures: tuple[float, ...]
    ) -> None:
        made = kind(begun=lambda: None, full=lambda: None, make=None, figures=1)
        with pytest.raises(TypeError, match="figures"):
            made.note(hit(), None, *figures)
        assert made.take()[0] == []

    @needs_compiler
    def test_there_is_room_for_so_many(self) -> None:
        for figures in (0, MOST_FIGURES + 1):
            with pytest.raises(ValueError, match="room"):
                Journal(begun=lambda: None, full=lambda: None, make=None, figures=figures)

    @needs_compiler
    def test_what_is_no_number_is_refused(self) -> None:
        made = Journal(begun=lambda: None, full=lambda: None, make=None, figures=1)
        with pytest.raises(TypeError):
            made.note(hit(), None, "now")  # type: ignore[arg-type]
        assert made.take()[0] == []
