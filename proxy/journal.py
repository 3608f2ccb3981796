"""Hits that are given again: what is done for each of them, in C where that is there.

To tell of each hit by itself would take longer than to answer it. So each is noted, and they are
told together: at once when there are many of them, else a little later.

    Journal.note    as an answer is given: names its request, and remembers it
    Journal.take    what is to be told
    lines           what the access log writes of that

`_journal.c` is the same; WARMFRONT_PURE_PYTHON=1 leaves it alone.
"""

import os
from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING, Final, TypeAlias

from proxy.events import Hit
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

Taken: TypeAlias = tuple[list[Hit], bytes, bytes]
"""Hits; when each was given, see `times_in`; and what its request is called, see `names_in`."""

Line: TypeAlias = tuple[bytes, bytes, bytes]
"""A line of the log: what stands before its time, between that and a name, and after the name."""

ACCELERATED: Final = _journal is not None
"""Whether the same is there in C."""

MOST: Final = 256
"""Hits that wait to be told: no more than a processor has at hand when it comes to telling."""

_UNNAMED: Final = b"\r\n"


class PlainJournal:
    """Hits that have not been told yet.

    Args:
        begun: Is called when the first one is noted.
        full: Is called when there is no room for another one; it is to `take`.
        make: Makes a name for a request that has none; None if nobody wants to know names.
    """

    def __init__(
        self,
        *,
        begun: Callable[[], None],
        full: Callable[[], None],
        make: Callable[[], bytes] | None,
    ) -> None:
        self._begun = begun
        self._full = full
        self._make = make
        self._hits: list[Hit] = []
        self._times: list[float] = []
        self._names: list[bytes] = []

    def note(self, hit: Hit, at: float, given: bytes | None) -> bytes:
        """A hit is being given.

        Args:
            hit: Which.
            at: POSIX time.
            given: What the client calls its request; None for nothing.

        Returns:
            What ends the head of its answer: a line that tells the request's name, if it is to
            have one, and the empty line.
        """
        name, ending = b"", _UNNAMED
        if self._make is not None:
            name = (None if given is None else name_given(given)) or self._make()
            ending = ending_of(name)
        if not self._hits:
            self._begun()
        elif len(self._hits) >= MOST:
            self._full()
        self._hits.append(hit)
        self._times.append(at)
        self._names.append(name)
        return ending

    def take(self) -> Taken:
        """What has been noted and not taken."""
        hits, times, names = self._hits, self._times, self._names
        self._hits, self._times, self._names = [], [], []
        return hits, packed_times(times), packed_names(names)


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
