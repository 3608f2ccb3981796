"""Who leaves: the policies that are compared, each told of one request at a time."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Protocol

from proxy.stores.eviction import MOST_USES, S3Fifo, Unit


class Policy(Protocol):
    """A cache of so many bytes."""

    def request(self, name: int, size: int) -> bool:
        """Whether it was there; it is now, if it may be. No object is larger than the cache."""
        ...


class Lru:
    """Least recently used first."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._held: OrderedDict[int, int] = OrderedDict()

    def request(self, name: int, size: int) -> bool:
        """See Policy."""
        held = self._held
        if name in held:
            held.move_to_end(name)
            return True
        self._room -= size
        held[name] = size
        while self._room < 0:
            self._room += held.popitem(last=False)[1]
        return False


class Sieve:
    """SIEVE: a hand goes from old to new and takes the first that was not used since last time.

    A list with gaps stands for the linked list: simple, and quick enough here.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._queue: list[int | None] = []
        self._held: dict[int, int] = {}
        self._used: set[int] = set()
        self._hand = 0

    def request(self, name: int, size: int) -> bool:
        """See Policy."""
        if name in self._held:
            self._used.add(name)
            return True
        while self._room < size:
            self._evict()
        self._room -= size
        self._held[name] = size
        self._queue.append(name)
        return False

    def _evict(self) -> None:
        while True:
            if self._hand >= len(self._queue):
                self._queue = [name for name in self._queue if name is not None]
                self._hand = 0
            name = self._queue[self._hand]
            self._hand += 1
            if name in self._used:
                self._used.discard(name)
            elif name is not None:
                self._queue[self._hand - 1] = None
                self._room += self._held.pop(name)
                return


class Ours:
    """The proxy's own S3-FIFO; with proof 2 as it was published."""

    def __init__(self, room: int, proof: int = 1) -> None:
        self._room = room
        self._order: S3Fifo[int] = S3Fifo(proof)
        self._held: dict[int, Unit[int]] = {}

    def request(self, name: int, size: int) -> bool:
        """See Policy."""
        unit = self._held.get(name)
        if unit is not None:
            if unit.uses < MOST_USES:
                unit.uses += 1
            return True
        while self._order.size + size > self._room:
            leaving = self._order.evict()
            assert leaving is not None
            del self._held[leaving.name]
        unit = self._held[name] = Unit(name, size)
        self._order.add(unit)
        return False


class WTinyLfu:
    """W-TinyLFU: a window of 1 %, then a segmented LRU where the more frequent one wins.

    Frequencies are counted exactly up to 15, where a sketch would sometimes count too many; and
    who wins goes to the back, so that one who was popular once does not keep out all others.
    """

    def __init__(self, room: int) -> None:
        self._window = _Segment(room // 100)
        self._main_room = room - room // 100
        self._probation = _Segment(self._main_room)
        self._protected = _Segment(self._main_room * 8 // 10)
        self._seen: dict[int, int] = {}
        self._requests = 0

    def request(self, name: int, size: int) -> bool:
        """See Policy."""
        self._count(name)
        if self._window.use(name) or self._protected.use(name):
            return True
        if name in self._probation.held:
            self._protected.add(name, self._probation.remove(name))
            for demoted in self._protected.surplus():
                self._probation.add(*demoted)
            return True
        self._window.add(name, size)
        for candidate in self._window.surplus():
            self._admit(*candidate)
        return False

    def _count(self, name: int) -> None:
        self._seen[name] = min(15, self._seen.get(name, 0) + 1)
        self._requests += 1
        held = (self._window.held, self._probation.held, self._protected.held)
        if self._requests >= 10 * max(1000, sum(map(len, held))):
            self._requests = 0
            self._seen = {name: seen // 2 for name, seen in self._seen.items() if seen > 1}

    def _admit(self, name: int, size: int) -> None:
        """In place of those who would have to leave, if all of them are asked for less often."""
        free = self._main_room - self._probation.size - self._protected.size
        leaving: list[int] = []
        seen = self._seen.get(name, 0)
        for other in chain(self._probation.held, self._protected.held):
            if free >= size:
                break
            if self._seen.get(other, 0) >= seen:
                self._probation.use(other)
                return
            leaving.append(other)
            free += self._probation.held.get(other) or self._protected.held[other]
        if free >= size:
            for other in leaving:
                segment = self._probation if other in self._probation.held else self._protected
                segment.remove(other)
            self._probation.add(name, size)


class _Segment:
    """A part of W-TinyLFU: an LRU with a bound."""

    def __init__(self, room: int) -> None:
        self.size = 0
        self.held: OrderedDict[int, int] = OrderedDict()
        self._room = room

    def use(self, name: int) -> bool:
        if name not in self.held:
            return False
        self.held.move_to_end(name)
        return True

    def add(self, name: int, size: int) -> None:
        self.held[name] = size
        self.size += size

    def remove(self, name: int) -> int:
        size = self.held.pop(name)
        self.size -= size
        return size

    def surplus(self) -> Iterable[tuple[int, int]]:
        while self.size > self._room:
            name = next(iter(self.held))
            yield name, self.remove(name)


POLICIES: Mapping[str, Callable[[int], Policy]] = {
    "LRU": Lru,
    "SIEVE": Sieve,
    "W-TinyLFU": WTinyLfu,
    "S3-FIFO": lambda room: Ours(room, proof=2),
    "ours": Ours,
}
