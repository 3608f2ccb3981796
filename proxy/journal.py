"""Answers that are given without waiting: what is done for each, in C where that is there.

To tell of each answer by itself would take longer than to give it. So each is noted, and they are
told together: at once when there are many of them, else a little later.

    Journal.note    as an answer is given: names its request, and remembers it
    Journal.take    what is to be told
    lines           what the access log writes of hits

`_journal.c` is the same; WARMFRONT_PURE_PYTHON=1 leaves it alone.
"""

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from proxy.events import Answered, Hit, OriginAnswered, Passed, PassedOn
from proxy.request_ids import ending_of, name_given

if TYPE_CHECKING:
    from proxy import _journal
else:
    try:
        from proxy import _journal
    except ImportError:
        _journal = None
    if os.environ.get("WARMFRONT_PURE_PYTHON"):
        _journal = None

Taken: TypeAlias = tuple[list[Any], bytes, bytes]
"""What was given; when, see `times_in`, and other figures; what the requests are called, see
`names_in`."""

Line: TypeAlias = tuple[bytes, bytes, bytes]
"""A line of the log: what stands before its time, between that and a name, and after the name."""

ACCELERATED: Final = _journal is not None
"""Whether the same is there in C."""

MOST: Final = 256
"""Answers that wait to be told: no more than a processor has at hand when it comes to telling."""

MOST_FIGURES: Final = 3
"""For each of them."""

_UNNAMED: Final = b"\r\n"


class PlainJournal:
    """Answers that have not been told yet.

    Args:
        begun: Is called when the first one is noted.
        full: Is called when there is no room for another one; it is to `take`.
        make: Makes a name for a request that has none; None if nobody wants to know names.
        figures: How many are noted with each.
    """

    def __init__(
        self,
        *,
        begun: Callable[[], None],
        full: Callable[[], None],
        make: Callable[[], bytes] | None,
        figures: int,
    ) -> None:
        self._begun = begun
        self._full = full
        self._make = make
        self._number = figures
        self._answers: list[object] = []
        self._figures: list[float] = []
        self._names: list[bytes] = []

    def note(self, answer: object, given: bytes | None, *figures: float) -> bytes:
        """An answer is being given.

        Args:
            answer: Which.
            given: What the client calls its request; None for nothing.
            figures: When, as a POSIX time, and what else there is to note.

        Returns:
            What ends the head of its answer: a line that tells the request's name, if it is to
            have one, and the empty line.
        """
        if len(figures) != self._number:
            raise TypeError("so many figures were not to be noted")
        name, ending = b"", _UNNAMED
        if self._make is not None:
            name = (None if given is None else name_given(given)) or self._make()
            ending = ending_of(name)
        if not self._answers:
            self._begun()
        elif len(self._answers) >= MOST:
            self._full()
        self._answers.append(answer)
        self._figures += figures
        self._names.append(name)
        return ending

    def take(self) -> Taken:
        """What has been noted and not taken."""
        answers, figures, names = self._answers, self._figures, self._names
        self._answers, self._figures, self._names = [], [], []
        return answers, packed_times(figures), packed_names(names)


def plain_lines(hits: list[Hit], times: bytes, names: bytes, make: Callable[[Hit], Line]) -> bytes:
    """What the access log says of these.

    Args:
        hits: See Taken.
        times: See Taken.
        names: See Taken.
        make: Makes the line of a hit that has none yet, and leaves it there.
    """
    pieces: list[bytes] = []
    for hit, at, name in zip(hits, times_in(times), names_in(names), strict=True):
        before, between, after = hit.line or make(hit)
        pieces += (before, stamp(at), between, name, after)
    return b"".join(pieces)


def packed_times(times: Iterable[float]) -> bytes:
    """POSIX times as `times_in` reads them: at a third of what they would take one by one."""
    return array("d", times).tobytes()


def times_in(packed: bytes) -> Sequence[float]:
    """The times in this."""
    return memoryview(packed).cast("d")


def figures_in(packed: bytes, number: int) -> "list[array[float]]":
    """The figures in this, where so many were noted with each: all first ones, all second ones."""
    figures = array("d", packed)
    return [figures[which::number] for which in range(number)]


def packed_names(names: Iterable[bytes]) -> bytes:
    """Names as `names_in` reads them."""
    return b"".join([name + b"\n" for name in names])


def names_in(packed: bytes) -> Sequence[bytes]:
    """The names in this."""
    return packed.split(b"\n")[:-1]


def some(taken: Taken, chosen: Sequence[bool]) -> Taken:
    """Those of them that are chosen."""
    hits, times, names = taken
    return (
        list(compress(hits, chosen)),
        packed_times(compress(times_in(times), chosen)),
        packed_names(compress(names_in(names), chosen)),
    )


def singly(event: PassedOn) -> Iterator[tuple[OriginAnswered, Answered]]:
    """The same, told one by one."""
    rows = zip(event.kinds, event.durations, event.lengths, names_in(event.names), strict=True)
    for kind, duration, length, name in rows:
        answered = measured(kind, duration, length, name)
        yield OriginAnswered(kind.origin, answered.status, duration, validates=False), answered


def measured(kind: Passed, duration: float, length: float, name: bytes) -> Answered:
    """What there is to tell of one of these answers."""
    return replace(
        kind.answered,
        duration=duration,
        origin_time=duration,
        length=int(length) if kind.sized else None,
        request_id=name.decode(),
    )


def stamp(at: float) -> bytes:
    """A POSIX time as 2026-01-01T12:00:00.250Z; what is below a millisecond is cut off."""
    second = int(at)
    return b"%b.%03dZ" % (_date(second), int((at - second) * 1000))


@lru_cache(maxsize=4)
def _date(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


Journal: type["PlainJournal | _journal.Journal"] = PlainJournal
lines: Callable[[list[Hit], bytes, bytes, Callable[[Hit], Line]], bytes] = plain_lines
if ACCELERATED:
    Journal, lines = _journal.Journal, _journal.lines
