"""The memory store: bounded by bytes, least recently used URL out first.

One URL is one unit of bookkeeping: its variants live, move and leave together, except that a
URL whose variants alone exceed the bound loses its oldest variants first.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from proxy.stores.entry import CacheKey, Entry, group_scope

_REMEMBERED_INVALIDATIONS = 65_536


@dataclass(slots=True)
class _Resource:
    """All that is stored for one URL; variants oldest first, each under its key's extra part."""

    variants: list[tuple[str, Entry]] = field(default_factory=list)
    size: int = 0


class _Invalidations:
    """When each scope was last invalidated, as ever-growing numbers, bounded.

    What was trimmed lies below the floor: nothing born below the floor can be proven valid.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: OrderedDict[str, int] = OrderedDict()
        self._floor = 0
        self.sequence = 0

    def record(self, scopes: Iterable[str]) -> None:
        self.sequence += 1
        for scope in scopes:
            self._last[scope] = self.sequence
            self._last.move_to_end(scope)
        while len(self._last) > self._limit:
            _, self._floor = self._last.popitem(last=False)

    def permits(self, born: int, scopes: Iterable[str]) -> bool:
        return born >= self._floor and all(self._last.get(scope, 0) <= born for scope in scopes)


class MemoryStore:
    """Entries in this process's memory. See `Store` for the contract.

    Attributes:
        max_size: Bound on the sum of all entries' sizes, in bytes.
        size: That sum now.
        evictions: How many URLs have left to make room.
    """

    def __init__(self, max_size: int, clock: Callable[[], float]) -> None:
        self.max_size = max_size
        self.size = 0
        self.evictions = 0
        self._variants = 0
        self._clock = clock
        self._resources: OrderedDict[str, _Resource] = OrderedDict()
        self._groups: dict[str, set[str]] = {}
        self._expiry: list[tuple[float, str]] = []
        self._invalidations = _Invalidations(_REMEMBERED_INVALIDATIONS)

    def __len__(self) -> int:
        """How many URLs are stored."""
        return len(self._resources)

    def sequence(self) -> int:
        """See Store."""
        return self._invalidations.sequence

    async def lookup(self, key: CacheKey) -> Sequence[Entry]:
        """See Store; counts as a use."""
        resource = self._resources.get(key.url)
        if resource is None:
            return ()
        self._resources.move_to_end(key.url)
        return [entry for extra, entry in resource.variants if extra == key.extra]

    async def put(self, key: CacheKey, entry: Entry) -> bool:
        """See Store; room is made by dropping what was used least recently."""
        if entry.size > self.max_size or not self._may_be_kept(key, entry):
            return False
        variant = entry.response.variant
        self._drop_where(
            key.url, lambda extra, old: extra == key.extra and old.response.variant == variant
        )
        resource = self._resources.setdefault(key.url, _Resource())
        self._resources.move_to_end(key.url)
        resource.variants.append((key.extra, entry))
        resource.size += entry.size
        self.size += entry.size
        self._variants += 1
        for scope in _group_scopes(key, entry):
            self._groups.setdefault(scope, set()).add(key.url)
        self._note_expiry(key.url, entry.useless_after)
        self._make_room(key.url)
        return True

    async def remove(self, key: CacheKey, entry: Entry) -> None:
        """See Store."""
        self._drop_where(key.url, lambda _extra, old: old is entry)

    async def invalidate(self, urls: Iterable[str], groups: Iterable[str] = ()) -> int:
        """See Store."""
        scopes = list(groups)
        doomed = set(urls)
        self._invalidations.record([*doomed, *scopes])
        for scope in scopes:
            doomed |= self._groups.get(scope, set())
        return sum(self._drop_resource(url) for url in doomed)

    def resize(self, max_size: int) -> None:
        """Change the bound; what no longer fits leaves at once."""
        self.max_size = max_size
        self._make_room(newest="")

    def sweep(self) -> int:
        """Drop what can be neither served nor validated any more; how many URLs were looked at."""
        now = self._clock()
        looked_at = 0
        while self._expiry and self._expiry[0][0] <= now:
            _, url = heapq.heappop(self._expiry)
            self._drop_where(url, lambda _extra, entry: entry.useless_after <= now)
            looked_at += 1
        return looked_at

    def _may_be_kept(self, key: CacheKey, entry: Entry) -> bool:
        scopes = (key.url, *_group_scopes(key, entry))
        return self._invalidations.permits(entry.response.born, scopes)

    def _make_room(self, newest: str) -> None:
        while self.size > self.max_size:
            url, resource = next(iter(self._resources.items()))
            if url == newest:
                oldest = resource.variants[0][1]
                self._drop_where(url, lambda _extra, entry, oldest=oldest: entry is oldest)  # type: ignore[misc]
            else:
                self._drop_resource(url)
                self.evictions += 1

    def _drop_resource(self, url: str) -> bool:
        return self._drop_where(url, lambda _extra, _entry: True)

    def _drop_where(self, url: str, doomed: Callable[[str, Entry], bool]) -> bool:
        """Drop the variants of `url` that are `doomed`; whether any was."""
        resource = self._resources.get(url)
        if resource is None:
            return False
        kept = [(extra, entry) for extra, entry in resource.variants if not doomed(extra, entry)]
        if len(kept) == len(resource.variants):
            return False
        self._forget_groups(url, resource, kept)
        size = sum(entry.size for _, entry in kept)
        self.size -= resource.size - size
        self._variants -= len(resource.variants) - len(kept)
        resource.variants, resource.size = kept, size
        if not kept:
            del self._resources[url]
        return True

    def _forget_groups(self, url: str, resource: _Resource, kept: list[tuple[str, Entry]]) -> None:
        def scopes(variants: list[tuple[str, Entry]]) -> set[str]:
            return {s for extra, e in variants for s in _group_scopes(CacheKey(url, extra), e)}

        for scope in scopes(resource.variants) - scopes(kept):
            members = self._groups[scope]
            members.discard(url)
            if not members:
                del self._groups[scope]

    def _note_expiry(self, url: str, when: float) -> None:
        heapq.heappush(self._expiry, (when, url))
        if len(self._expiry) > 2 * self._variants + 1024:
            # Renewed entries leave old notes behind; start over before they outnumber the rest.
            self._expiry = [
                (entry.useless_after, url)
                for url, resource in self._resources.items()
                for _, entry in resource.variants
            ]
            heapq.heapify(self._expiry)


def _group_scopes(key: CacheKey, entry: Entry) -> tuple[str, ...]:
    if not entry.response.groups:
        return ()
    scheme, _, rest = key.url.partition("://")
    origin = f"{scheme}://{rest.partition('/')[0]}"
    return tuple(group_scope(origin, group) for group in entry.response.groups)
