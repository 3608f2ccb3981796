"""Which URLs in memory are asked for most, found a little at a time.

A pass looks at all that is stored, so many URLs whenever somebody asks; those found busiest are
kept and looked at again each time. So an answer costs the same however much is stored, and what
became busy since is in it after one pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from typing import Final

from proxy.stores.memory import MemoryStore

_LOOKED_AT: Final = 1000
_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class Busy:
    """A URL.

    Attributes:
        hits: How often what is held of it was found.
        size: In bytes.
    """

    url: str
    hits: int
    entries: int
    size: int


class Busiest:
    """Looks through one store."""

    def __init__(self, memory: MemoryStore) -> None:
        self._memory = memory
        self._pass: Iterator[str] = iter(())
        self._known: dict[str, Busy] = {}

    def look(self, number: int) -> list[Busy]:
        """So many of the busiest as far as is known, at most 100, the busiest first."""
        urls = dict.fromkeys((*self._known, *self._next()))
        found = [busy for url in urls if (busy := self._busy(url)) is not None and busy.hits]
        best = nlargest(_KEPT, found, key=lambda busy: busy.hits)
        self._known = {busy.url: busy for busy in best}
        return best[:number]

    def _next(self) -> list[str]:
        """The next part of this pass, or the first of another."""
        part = list(islice(self._pass, _LOOKED_AT))
        if not part:
            self._pass = iter(self._memory.urls())
            part = list(islice(self._pass, _LOOKED_AT))
        return part

    def _busy(self, url: str) -> Busy | None:
        held = self._memory.held(url)
        if not held:
            return None
        return Busy(url, sum(one.hits for one in held), len(held), sum(o.entry.size for o in held))
