"""What stores keep, and what they promise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeAlias

from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse

VALIDATOR_KEEP = 3600.0
"""Seconds that an unusable response stays for its validator: a 304 is cheaper than a body."""

_VALIDATORS = frozenset({"etag", "last-modified"})

_LINE_OVERHEAD = 8
"""Bytes a field line costs beside its value: its share of a tuple of names, where heads have them
in an order of their own.
"""

_SELECTOR_OVERHEAD = 180
"""Bytes a line of the variant costs beside its characters: two str objects and tuples."""

_TAG_OVERHEAD = 190
"""Bytes a tag costs beside its characters, if hardly anything else carries it: its str object
and its index.
"""

_ENTRY_OVERHEAD = 940
"""Bytes an entry costs beside all these and its body: its objects, numbers, key and index slots.

All are what `python -m tests.bench.entry_overhead` measures where nothing can be shared with other
entries but the names of fields (see sharing), rounded up: a bound on memory, not an estimate.
"""


class CacheKey(NamedTuple):
    """Where an entry belongs.

    Attributes:
        url: The primary key's URL part: what invalidation names.
        extra: What the route's key options add (fields, cookies), "" for nothing.
    """

    url: str
    extra: str = ""

    @classmethod
    def of(cls, primary_key: str) -> "CacheKey":
        """Split a primary key (rfc9111.keys), whose first line is the URL part."""
        url, _, extra = primary_key.partition("\n")
        return cls(url, extra)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Entry:
    """A stored response: head and body.

    Attributes:
        response: The head, with what was decided about it.
        body: The bytes of `response.part`, or all of them.
    """

    response: StoredResponse
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, bookkeeping included."""
        response = self.response
        return (
            _ENTRY_OVERHEAD
            + len(self.body)
            + _LINE_OVERHEAD * len(response.names)
            + len(response.values)
            + sum([_SELECTOR_OVERHEAD + len(n) + len(v or "") for n, v in response.variant])
            + sum([_TAG_OVERHEAD + len(tag) for tag in response.tags])
        )

    @property
    def useless_after(self) -> float:
        """POSIX time after which the entry can be neither served nor validated."""
        freshness = self.response.freshness
        window = max(freshness.stale_while_revalidate, freshness.stale_if_error, freshness.grace)
        if _has_validator(self.response.names):
            window = max(window, VALIDATOR_KEEP)
        return freshness.response_time - freshness.initial_age + freshness.lifetime + window


@lru_cache(maxsize=256)
def _has_validator(names: tuple[str, ...]) -> bool:
    return not _VALIDATORS.isdisjoint(map(str.lower, names))


def is_same(one: Entry, other: Entry) -> bool:
    """Whether it is one entry, though it may have been made stale or been read anew."""
    if one is other:
        return True
    ours, theirs = one.response, other.response
    return (
        ours.variant == theirs.variant
        and ours.request_time == theirs.request_time
        and ours.freshness.response_time == theirs.freshness.response_time
        and ours.born == theirs.born
        and one.body == other.body
    )


def softened(entry: Entry, at: float) -> Entry:
    """The entry as stale since `at` (POSIX seconds): its windows for stale use begin then.

    `at` comes from the log's clock; one in the future would leave the entry fresh until then.
    """
    freshness = entry.response.freshness
    lifetime = min(freshness.lifetime, freshness.current_age(at))
    if lifetime == freshness.lifetime:
        return entry
    response = entry.response.with_changes(freshness=replace(freshness, lifetime=lifetime))
    return Entry(response, entry.body)


@dataclass(frozen=True, slots=True)
class Lease:
    """Leave to ask the origin.

    Attributes:
        token: "" where nobody else was told: Redis is away, or the wait was in vain.
        stored: Something was stored when it was taken; a fill may have just ended.
        alone: The last fill found nothing that may be shared: nobody should wait for this one.
    """

    key: CacheKey
    token: str = ""
    stored: bool = False
    alone: bool = False


class Filled(StrEnum):
    """What became of a fill, for those that wait for it."""

    STORED = "stored"
    """They find what they want."""
    UNSTORABLE = "unstorable"
    """The origin's answer may not be shared: each goes on alone, all at once."""
    FAILED = "failed"
    """Nothing was stored for another reason: the next may have more luck, one at a time."""


Enough: TypeAlias = Callable[[Sequence[Entry]], bool]
"""Whether these entries answer the question; if not, the next tier is asked too."""


class Kept(Protocol):
    """Where a store keeps an entry.

    Attributes:
        entry: It may be another one next time: a soft purge makes the same one stale.
    """

    @property
    def entry(self) -> Entry:
        """See above."""
        ...


class AtOnce(Protocol):
    """What can be done without waiting in a store where nothing ever waits."""

    def lacks(self, key: CacheKey) -> bool:
        """Whether nothing is held for the key's URL, be it purged; not counted as a use."""
        ...

    def put_now(self, key: CacheKey, entry: Entry) -> Reason | None:
        """See Store.put."""
        ...


class Store(Protocol):
    """The contract of every store.

    Whatever a purge concerns is never found again, wherever it was on its way when the purge was
    applied; what a soft purge concerns is found as stale since then. What `lookup` returns does
    not change afterwards.

    Attributes:
        at_once: The same store, where no other process or machine has a part in it; else None.
    """

    @property
    def at_once(self) -> AtOnce | None:
        """See above."""
        ...

    async def lookup(self, key: CacheKey, enough: Enough = bool) -> Sequence[Entry]:
        """All variants under `key`, oldest first; () for none.

        Args:
            key: Where they belong.
            enough: Whether the first tier's entries will do; by default, any.
        """
        ...

    def lookup_now(self, key: CacheKey, *, counts: bool = True) -> Sequence[Kept]:
        """What of that needs no waiting; where it is not (), a use, if that `counts`."""
        ...

    async def put(
        self, key: CacheKey, entry: Entry, *, replaces: Entry | None = None
    ) -> Reason | None:
        """Keep `entry` in place of the variant it renews; None, or why it may not or cannot be.

        Of two answers for one variant the one that was asked for last stays, whichever comes
        last (§4: use the most recent).

        Args:
            key: Where it belongs.
            entry: What to keep.
            replaces: An entry that has had its day, whatever becomes of `entry`.
        """
        ...

    async def remove(self, key: CacheKey, entry: Entry) -> None:
        """Drop this very entry, if it is still there."""
        ...

    async def begin_fill(
        self, key: CacheKey, born: int, enough: Enough = bool
    ) -> Lease | Sequence[Entry]:
        """Leave to ask the origin, or what another process has stored meanwhile.

        Who gets a lease ends it with `end_fill`, whatever becomes of the fill.

        Args:
            key: What is to be filled.
            born: Number of the last purge applied: no fill that began before it is waited for.
            enough: Whether what was stored answers the question.
        """
        ...

    def end_fill(self, lease: Lease, outcome: Filled) -> None:
        """Let those go on that wait for the fill."""
        ...
