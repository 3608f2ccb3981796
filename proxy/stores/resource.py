"""All that is stored for one URL: what comes, is found and leaves as one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from proxy.stores.entry import Entry
from proxy.stores.eviction import Unit
from proxy.stores.expiry import Step


@dataclass(slots=True, eq=False)
class Held:
    """An entry with what the store in memory knows of it.

    Attributes:
        through: Number of the last purge that it is known to have outlived.
        judged: The state's `changes` when it was judged.
        hits: How often a lookup found it.
    """

    entry: Entry
    through: int
    judged: int
    hits: int = 0


class Resource(Unit[str]):
    """The variants under each of a URL's keys, oldest first; its name is the URL.

    Most URLs have one key, without an extra part, and one variant: that costs a tuple.

    Attributes:
        entries: How many there are.
        plain: The variants under the key without an extra part.
        step: See Expiry, as for the next two.
    """

    __slots__ = ("_keyed", "after", "before", "entries", "plain", "step")

    def __init__(self, url: str) -> None:
        super().__init__(url, 0)
        self.entries = 0
        self.plain: tuple[Held, ...] = ()
        self.step: Step | None = None
        self.before: Resource | Step | None = None
        self.after: Resource | Step | None = None
        self._keyed: dict[str, tuple[Held, ...]] | None = None

    def __iter__(self) -> Iterator[Held]:
        """All entries."""
        return chain(self.plain, *(self._keyed or {}).values())

    @property
    def extras(self) -> Sequence[str]:
        """The extra parts of its keys: what was added to last comes last, but "" after all."""
        return [*(self._keyed or ()), *([""] if self.plain else [])]

    def under(self, extra: str) -> tuple[Held, ...]:
        """The variants under one key."""
        if not extra:
            return self.plain
        return () if self._keyed is None else self._keyed.get(extra, ())

    def append(self, extra: str, held: Held) -> None:
        """Add a variant under one key."""
        self._put(extra, (*self.under(extra), held))
        self.entries += 1

    def drop(self, extra: str, doomed: Callable[[Held], bool]) -> Sequence[Held]:
        """Drop the variants under one key that are `doomed`; these."""
        held = self.under(extra)
        gone = [one for one in held if doomed(one)]
        if gone:
            self._put(extra, tuple([one for one in held if one not in gone]))
            self.entries -= len(gone)
        return gone

    def clear(self) -> Sequence[Held]:
        """Drop all variants; these."""
        gone = list(self)
        self.plain, self._keyed, self.entries = (), None, 0
        return gone

    def _put(self, extra: str, held: tuple[Held, ...]) -> None:
        if not extra:
            self.plain = held
            return
        if self._keyed is None:
            self._keyed = {}
        self._keyed.pop(extra, None)
        if held:
            self._keyed[extra] = held
