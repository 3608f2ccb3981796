"""Who leaves when room is needed: S3-FIFO, counted in bytes.

    new --> small (a tenth) -- used meanwhile --> main (the rest) --+
              |                                     |  ^            |
              |                                     |  +--- used ---+
              v                                     v
            leaves, is remembered                 leaves
              |
              +-- comes again before long --> main

- What is asked for once, as most things are, leaves from the small queue and disturbs nothing in
  the main one: a scan costs a tenth of the room.
- A hit counts up a small number, and nothing moves. In the main queue that number is how often a
  unit is let off when its turn has come.
- Each step is O(1), and a search for who leaves takes a bounded number of them.

All here is plain bookkeeping: it knows names and sizes only.
"""

from array import array
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

N = TypeVar("N", bound=Hashable)

MOST_USES = 3
"""Uses beyond these say nothing new."""

_SMALL_SHARE = 10
"""The small queue gives first while it holds more than one part in so many."""

_MOST_LET_OFF = 64
"""In one search. Where so many in a row are in use, one is as good as the next."""

_FEWEST_SLOTS = 64
_EMPTY = -1
"""No hash is -1 in Python."""


class Unit(Generic[N]):
    """What comes and leaves as one.

    Attributes:
        name: What it is recognised by when it comes again.
        size: In bytes. While it is held, only `S3Fifo.resize` changes it.
        uses: Since it came or was let off last. Who finds it adds one, up to MOST_USES.
    """

    __slots__ = ("name", "newer", "older", "queue", "size", "uses")

    def __init__(self, name: N, size: int) -> None:
        self.name = name
        self.size = size
        self.uses = 0
        self.queue: _Queue[N] | None = None
        self.older: Unit[N] = self
        self.newer: Unit[N] = self


class S3Fifo(Generic[N]):
    """The order in which units leave. See the module.

    Args:
        proof: Uses that lead from the small queue into the main one.
    """

    def __init__(self, proof: int = 1) -> None:
        self._proof = proof
        self._units = 0
        self._small: _Queue[N] = _Queue()
        self._main: _Queue[N] = _Queue()
        self._left = _Recent()

    def __len__(self) -> int:
        """How many units are held."""
        return self._units

    @property
    def size(self) -> int:
        """The sum of their sizes."""
        return self._small.size + self._main.size

    def add(self, unit: Unit[N]) -> None:
        """Hold a new unit."""
        queue = self._main if self._left.recall(hash(unit.name)) else self._small
        queue.push(unit)
        self._units += 1

    def remove(self, unit: Unit[N]) -> None:
        """Let go of a unit that leaves for reasons of its own."""
        _queue_of(unit).take(unit)
        self._units -= 1

    def resize(self, unit: Unit[N], size: int) -> None:
        """Note that a unit has grown or shrunk; it keeps its place."""
        _queue_of(unit).size += size - unit.size
        unit.size = size

    def evict(self, sparing: Unit[N] | None = None) -> Unit[N] | None:
        """Let go of the unit that is needed least; None if there is none but `sparing`."""
        small, main = self._small, self._main
        let_off = 0
        while True:
            unit, proven = small.oldest(sparing), main.oldest(sparing)
            queue, enough = small, self._proof
            if unit is None or (proven is not None and small.size * _SMALL_SHARE <= self.size):
                unit, queue, enough = proven, main, 1
            if unit is None:
                return None
            if unit.uses < enough or let_off >= _MOST_LET_OFF:
                self.remove(unit)
                if queue is small:
                    self._left.remember(hash(unit.name), self._units)
                return unit
            queue.take(unit)
            unit.uses = 0 if queue is small else unit.uses - 1
            main.push(unit)
            let_off += 1


class _Queue(Generic[N]):
    """Units in the order of their arrival, from which any can be taken in O(1).

    Attributes:
        size: The sum of their sizes.
    """

    __slots__ = ("_ends", "size")

    def __init__(self) -> None:
        self.size = 0
        # Stands between the newest and the oldest, so that there is no end to look out for.
        self._ends: Unit[Any] = Unit(None, 0)

    def oldest(self, sparing: Unit[N] | None) -> Unit[N] | None:
        """The unit that came first, or the next if that is `sparing`; None for none."""
        unit = self._ends.newer
        if unit is sparing:
            unit = unit.newer
        return None if unit is self._ends else unit

    def push(self, unit: Unit[N]) -> None:
        """Put it behind all others."""
        ends = self._ends
        newest = ends.older
        unit.queue, unit.older, unit.newer = self, newest, ends
        newest.newer = ends.older = unit
        self.size += unit.size

    def take(self, unit: Unit[N]) -> None:
        """Take it from where it is; it leaves no cycle for the collector to find."""
        unit.older.newer, unit.newer.older = unit.newer, unit.older
        unit.queue, unit.older, unit.newer = None, self._ends, self._ends
        self.size -= unit.size


def _queue_of(unit: Unit[N]) -> _Queue[N]:
    if unit.queue is None:
        raise ValueError("the unit is not held")
    return unit.queue


class _Recent:
    """About as many of those that left last as there are units, in eight bytes each.

    Every slot keeps the last name whose hash leads there; so a few are forgotten early, and a
    few late. One that was never there is recognised once in 2^60.
    """

    def __init__(self) -> None:
        self._slots = array("q", [_EMPTY]) * _FEWEST_SLOTS

    def remember(self, name: int, units: int) -> None:
        """Note the hash of a name; `units` is how many are held."""
        if units > len(self._slots):
            # Twice the same: each name is in the slot where the longer table looks for it, and
            # once more where nobody looks.
            self._slots *= 2
        self._slots[name % len(self._slots)] = name

    def recall(self, name: int) -> bool:
        """Whether it is remembered; if so, no longer."""
        at = name % len(self._slots)
        if self._slots[at] != name:
            return False
        self._slots[at] = _EMPTY
        return True
