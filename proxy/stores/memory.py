"""The memory store: bounded by bytes, least recently used URL out first.

One URL is one unit of bookkeeping: its variants live, move and leave together, except that a
URL whose variants alone exceed the bound loses its oldest variants first.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from proxy.rfc9111.reasons import Reason
from proxy.stores.entry import CacheKey, Entry, group_scope

_REMEMBERED_INVALIDATIONS = 65_536

_MOST_VARIANTS = 128
"""Under one key: every lookup compares with all of them, and clients can make up any number."""


_Resource: TypeAlias = dict[str, tuple[Entry, ...]]
"""All that is stored for one URL: the variants under each key's extra part, oldest first."""


class _Invalidations:
    """When each scope was last invalidated, as ever-growing numbers, bounded.

    What was trimmed lies below the floor: nothing born below the floor can be proven valid.
    Scopes are kept as hashes, since a URL can be long: two that collide cost a refill at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: OrderedDict[int, int] = OrderedDict()
        self._floor = 0
        self.sequence = 0

    def record(self, scopes: Iterable[str]) -> None:
        self.sequence += 1
        for scope in map(hash, scopes):
            self._last[scope] = self.sequence
            self._last.move_to_end(scope)
        while len(self._last) > self._limit:
            _, self._floor = self._last.popitem(last=False)

    def permits(self, born: int, scopes: Iterable[str]) -> bool:
        latest = (self._last.get(hash(scope), 0) for scope in scopes)
        return born >= self._floor and all(number <= born for number in latest)


class MemoryStore:
    """Entries in this process's memory. See `Store` for the contract.

    Attributes:
        max_size: Bound on the sum of all entries' sizes and keys, in bytes.
        size: That sum now.
        evictions: How many URLs have left to make room.
    """

    def __init__(self, max_size: int, clock: Callable[[], float]) -> None:
        self.max_size = max_size
        self.size = 0
        self.evictions = 0
        self._entries = 0
        self._clock = clock
        self._resources: OrderedDict[str, _Resource] = OrderedDict()
        self._groups: dict[str, Counter[str]] = {}
        self._expiry: list[tuple[float, str, str]] = []
        self._invalidations = _Invalidations(_REMEMBERED_INVALIDATIONS)

    def __len__(self) -> int:
        """How many URLs are stored."""
        return len(self._resources)

    def sequence(self) -> int:
        """See Store."""
        return self._invalidations.sequence

    def permits(self, born: int, scopes: Iterable[str]) -> bool:
        """See Store."""
        return self._invalidations.permits(born, scopes)

    async def lookup(self, key: CacheKey) -> Sequence[Entry]:
        """See Store; counts as a use."""
        held = self._held(key)
        if held:
            self._resources.move_to_end(key.url)
        return held

    async def put(
        self, key: CacheKey, entry: Entry, *, replaces: Entry | None = None
    ) -> Reason | None:
        """See Store; room is made by dropping what was used least recently."""
        if replaces is not None:
            self._drop(key, lambda old: old is replaces)
        if _cost(key, entry) > self.max_size:
            return Reason.TOO_LARGE
        if not self._is_current(key, entry):
            return Reason.OUTDATED
        self._drop(key, lambda old: old.response.variant == entry.response.variant)
        crowd = self._held(key)[: 1 - _MOST_VARIANTS]
        self._drop(key, lambda old: any(old is one for one in crowd))
        self._add(key, entry)
        self._note_expiry(key, entry)
        self._make_room(key.url)
        return None

    async def remove(self, key: CacheKey, entry: Entry) -> None:
        """See Store."""
        self._drop(key, lambda old: old is entry)

    async def invalidate(self, urls: Iterable[str], groups: Iterable[str] = ()) -> int:
        """See Store."""
        scopes = list(groups)
        doomed = set(urls)
        self._invalidations.record([*doomed, *scopes])
        for scope in scopes:
            doomed.update(self._groups.get(scope, ()))
        return sum(self._drop_resource(url) for url in doomed)

    def resize(self, max_size: int) -> None:
        """Change the bound; what no longer fits leaves at once."""
        self.max_size = max_size
        self._make_room(newest="")

    def sweep(self) -> int:
        """Drop what can be neither served nor validated any more; how many keys were looked at."""
        now = self._clock()
        looked_at = 0
        while self._expiry and self._expiry[0][0] <= now:
            _, url, extra = heapq.heappop(self._expiry)
            self._drop(CacheKey(url, extra), lambda entry: entry.useless_after <= now)
            looked_at += 1
        return looked_at

    def _held(self, key: CacheKey) -> tuple[Entry, ...]:
        resource = self._resources.get(key.url)
        return () if resource is None else resource.get(key.extra, ())

    def _is_current(self, key: CacheKey, entry: Entry) -> bool:
        """Whether nothing was invalidated, and no newer answer stored, since it was asked for."""
        response = entry.response
        return self.permits(response.born, (key.url, *_group_scopes(key, entry))) and not any(
            old.response.variant == response.variant
            and old.response.request_time > response.request_time
            for old in self._held(key)
        )

    def _make_room(self, newest: str) -> None:
        while self.size > self.max_size:
            url, resource = next(iter(self._resources.items()))
            if url == newest:
                extra, held = next(iter(resource.items()))
                oldest = held[0]
                self._drop(CacheKey(url, extra), lambda entry, oldest=oldest: entry is oldest)  # type: ignore[misc]
            else:
                self._drop_resource(url)
                self.evictions += 1

    def _add(self, key: CacheKey, entry: Entry) -> None:
        """Put it last, the key's extra part and the URL too."""
        resource = self._resources.setdefault(key.url, {})
        self._resources.move_to_end(key.url)
        resource[key.extra] = (*resource.pop(key.extra, ()), entry)
        self._count(key, entry, 1)

    def _drop(self, key: CacheKey, doomed: Callable[[Entry], bool]) -> None:
        """Drop the variants under `key` that are `doomed`."""
        held = self._held(key)
        gone = [entry for entry in held if doomed(entry)]
        if not gone:
            return
        resource = self._resources[key.url]
        kept = tuple(entry for entry in held if not any(entry is one for one in gone))
        if kept:
            resource[key.extra] = kept
        else:
            del resource[key.extra]
        for entry in gone:
            self._count(key, entry, -1)
        if not resource:
            del self._resources[key.url]

    def _drop_resource(self, url: str) -> bool:
        """Drop everything under `url`; whether there was anything."""
        resource = self._resources.get(url)
        if resource is None:
            return False
        for extra in list(resource):
            self._drop(CacheKey(url, extra), lambda _entry: True)
        return True

    def _count(self, key: CacheKey, entry: Entry, sign: int) -> None:
        """Enter an entry's coming (1) or going (-1) in the books."""
        self.size += sign * _cost(key, entry)
        self._entries += sign
        for scope in _group_scopes(key, entry):
            members = self._groups.setdefault(scope, Counter())
            members[key.url] += sign
            if not members[key.url]:
                del members[key.url]
            if not members:
                del self._groups[scope]

    def _note_expiry(self, key: CacheKey, entry: Entry) -> None:
        heapq.heappush(self._expiry, (entry.useless_after, key.url, key.extra))
        if len(self._expiry) > 2 * self._entries + 1024:
            # Renewed entries leave old notes behind; start over before they outnumber the rest.
            self._expiry = [
                (entry.useless_after, url, extra)
                for url, resource in self._resources.items()
                for extra, held in resource.items()
                for entry in held
            ]
            heapq.heapify(self._expiry)


def _cost(key: CacheKey, entry: Entry) -> int:
    return entry.size + len(key.url) + len(key.extra)


def _group_scopes(key: CacheKey, entry: Entry) -> tuple[str, ...]:
    if not entry.response.groups:
        return ()
    scheme, _, rest = key.url.partition("://")
    origin = f"{scheme}://{rest.partition('/')[0]}"
    return tuple(group_scope(origin, group) for group in entry.response.groups)
