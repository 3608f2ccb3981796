"""The memory store: bounded by bytes, least recently used URL out first.

One URL is one unit of bookkeeping: its variants live, move and leave together, except that a
URL whose variants alone exceed the bound loses its oldest variants first.

Purges reach it through what the process knows of the purge log: an entry is judged when it comes,
and again before it is used if anything was purged since. So a purge costs the same however many
entries it concerns; their memory is reclaimed afterwards.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from proxy.purging.scopes import scopes_of, tag_scope, url_scope
from proxy.purging.state import Invalid, Purge, PurgeState, Softened, Unknown
from proxy.rfc9111.reasons import Reason
from proxy.stores.entry import CacheKey, Enough, Entry, Filled, Lease, is_same, softened

_MOST_VARIANTS = 128
"""Under one key: every lookup compares with all of them, and clients can make up any number."""

_RECLAIMED_AT_ONCE = 16
"""URLs: about as long as one request takes, so that requests and acknowledgements come first."""

_URL_SCOPE = url_scope("")
_TAG_SCOPE = tag_scope("")


@dataclass(slots=True)
class Held:
    """An entry with what this store knows of it.

    Attributes:
        through: Number of the last purge that it is known to have outlived.
        judged: The state's `changes` when it was judged.
        hits: How often a lookup found it.
    """

    entry: Entry
    through: int
    judged: int
    hits: int = 0


_Resource: TypeAlias = dict[str, tuple[Held, ...]]
"""All that is stored for one URL: the variants under each key's extra part, oldest first."""


class MemoryStore:
    """Entries in this process's memory. See `Store` for the contract.

    Attributes:
        max_size: Bound on the sum of all entries' sizes and keys, in bytes.
        size: That sum now.
        evictions: How many URLs have left to make room.
    """

    def __init__(self, max_size: int, clock: Callable[[], float], state: PurgeState) -> None:
        self.max_size = max_size
        self.size = 0
        self.evictions = 0
        self._entries = 0
        self._clock = clock
        self._state = state
        self._resources: OrderedDict[str, _Resource] = OrderedDict()
        self._tags: dict[str, Counter[str]] = {}
        self._expiry: list[tuple[float, str, str]] = []

    def __len__(self) -> int:
        """How many entries are stored."""
        return self._entries

    async def lookup(self, key: CacheKey, enough: Enough = bool) -> Sequence[Entry]:  # noqa: ARG002
        """See Store; counts as a use."""
        return [one.entry for one in self.lookup_now(key)]

    def lookup_now(self, key: CacheKey) -> Sequence[Held]:
        """What `lookup` finds, oldest first, for those who cannot wait; counts as a use."""
        held = self._held(key)
        if not held:
            return ()
        changes = self._state.changes
        if any(one.judged != changes for one in held):
            held = self._judged(key)
        if held:
            self._resources.move_to_end(key.url)
        for one in held:
            one.hits += 1
        return held

    async def put(
        self,
        key: CacheKey,
        entry: Entry,
        *,
        replaces: Entry | None = None,
        through: int | None = None,
    ) -> Reason | None:
        """See Store; room is made by dropping what was used least recently.

        Args:
            key: See Store.
            entry: See Store.
            replaces: See Store.
            through: Number of the last purge that the entry has outlived by the log's own word,
                where that is more than `born`.
        """
        if replaces is not None:
            self._drop(key, lambda old: is_same(old.entry, replaces))
        if _cost(key, entry) > self.max_size:
            return Reason.TOO_LARGE
        born = entry.response.born
        coming = Held(entry, born if through is None else through, judged=-1)
        if not self._judge(key, coming) or self._is_outdone(key, entry):
            return Reason.OUTDATED
        self._drop(key, lambda old: old.entry.response.variant == entry.response.variant)
        crowd = self._held(key)[: 1 - _MOST_VARIANTS]
        self._drop(key, lambda old: any(old is one for one in crowd))
        self._add(key, coming)
        self._note_expiry(key, entry)
        self._make_room(key.url)
        return None

    async def remove(self, key: CacheKey, entry: Entry) -> None:
        """See Store."""
        self._drop(key, lambda old: is_same(old.entry, entry))

    async def begin_fill(self, key: CacheKey, born: int, enough: Enough = bool) -> Lease:  # noqa: ARG002
        """See Store; nobody else could fill this one."""
        return Lease(key)

    def end_fill(self, lease: Lease, outcome: Filled) -> None:
        """See Store; nobody waits."""

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
            self._drop(CacheKey(url, extra), lambda held: held.entry.useless_after <= now)
            looked_at += 1
        return looked_at

    def reclaim(self, purge: Purge | None) -> Iterator[None]:
        """Drop what `purge` (None: any purge) has made invalid; yields between small steps."""
        urls = iter(self._concerned(purge))
        while step := list(islice(urls, _RECLAIMED_AT_ONCE)):
            for url in step:
                for extra in list(self._resources.get(url, ())):
                    self._judged(CacheKey(url, extra))
            yield

    # Looking in, for operators.

    def tags(self) -> dict[str, int]:
        """How many URLs carry each tag."""
        return {tag: len(urls) for tag, urls in self._tags.items()}

    def count(self, tag: str) -> int:
        """How many URLs carry `tag`, those counted in whose purged entries still take memory."""
        return len(self._tags.get(tag, ()))

    def urls(self, tag: str | None = None) -> Sequence[str]:
        """All stored URLs, or those that carry `tag`."""
        return list(self._resources) if tag is None else list(self._tags.get(tag, ()))

    def variants(self, url: str) -> Sequence[Held]:
        """All that is stored for one URL and still valid, without counting as a use."""
        for extra in list(self._resources.get(url, ())):
            self._judged(CacheKey(url, extra))
        return [one for held in self._resources.get(url, {}).values() for one in held]

    # Inside.

    def _held(self, key: CacheKey) -> tuple[Held, ...]:
        resource = self._resources.get(key.url)
        return () if resource is None else resource.get(key.extra, ())

    def _judged(self, key: CacheKey) -> tuple[Held, ...]:
        """What is held under `key` less what was purged."""
        self._drop(key, lambda held: not self._judge(key, held))
        return self._held(key)

    def _judge(self, key: CacheKey, held: Held) -> bool:
        """Whether it may be used; a soft purge makes it stale."""
        state = self._state
        if held.judged == state.changes:
            return True
        response = held.entry.response
        scopes = scopes_of(key.url, response.tags, response.groups)
        judgement = state.judge(held.through, key.url, scopes)
        if isinstance(judgement, Invalid | Unknown):
            return False
        if isinstance(judgement, Softened):
            held.entry = softened(held.entry, min(judgement.at, self._clock()))
        held.through, held.judged = judgement.through, state.changes
        return True

    def _is_outdone(self, key: CacheKey, entry: Entry) -> bool:
        """Whether a newer answer was stored since it was asked for."""
        response = entry.response
        return any(
            old.entry.response.variant == response.variant
            and old.entry.response.request_time > response.request_time
            for old in self._held(key)
        )

    def _concerned(self, purge: Purge | None) -> Sequence[str]:
        """URLs among which all are that `purge` concerns."""
        if purge is None or purge.pattern is not None:
            return self.urls()
        concerned: list[str] = []
        for scope in purge.scopes:
            if scope.startswith(_URL_SCOPE):
                concerned.append(scope.removeprefix(_URL_SCOPE))
            elif scope.startswith(_TAG_SCOPE):
                concerned += self.urls(scope.removeprefix(_TAG_SCOPE))
            else:
                return self.urls()
        return concerned

    def _make_room(self, newest: str) -> None:
        while self.size > self.max_size:
            url, resource = next(iter(self._resources.items()))
            if url == newest:
                extra, held = next(iter(resource.items()))
                oldest = held[0]
                self._drop(CacheKey(url, extra), lambda one, oldest=oldest: one is oldest)  # type: ignore[misc]
            else:
                for extra in list(resource):
                    self._drop(CacheKey(url, extra), lambda _one: True)
                self.evictions += 1

    def _add(self, key: CacheKey, held: Held) -> None:
        """Put it last, the key's extra part and the URL too."""
        resource = self._resources.setdefault(key.url, {})
        self._resources.move_to_end(key.url)
        resource[key.extra] = (*resource.pop(key.extra, ()), held)
        self._count(key, held.entry, 1)

    def _drop(self, key: CacheKey, doomed: Callable[[Held], bool]) -> None:
        """Drop the variants under `key` that are `doomed`."""
        held = self._held(key)
        gone = [one for one in held if doomed(one)]
        if not gone:
            return
        resource = self._resources[key.url]
        kept = tuple(one for one in held if not any(one is other for other in gone))
        if kept:
            resource[key.extra] = kept
        else:
            del resource[key.extra]
        for one in gone:
            self._count(key, one.entry, -1)
        if not resource:
            del self._resources[key.url]

    def _count(self, key: CacheKey, entry: Entry, sign: int) -> None:
        """Enter an entry's coming (1) or going (-1) in the books."""
        self.size += sign * _cost(key, entry)
        self._entries += sign
        for tag in entry.response.tags:
            members = self._tags.setdefault(tag, Counter())
            members[key.url] += sign
            if not members[key.url]:
                del members[key.url]
            if not members:
                del self._tags[tag]

    def _note_expiry(self, key: CacheKey, entry: Entry) -> None:
        heapq.heappush(self._expiry, (entry.useless_after, key.url, key.extra))
        if len(self._expiry) > 2 * self._entries + 1024:
            # Renewed entries leave old notes behind; start over before they outnumber the rest.
            self._expiry = [
                (one.entry.useless_after, url, extra)
                for url, resource in self._resources.items()
                for extra, held in resource.items()
                for one in held
            ]
            heapq.heapify(self._expiry)


def _cost(key: CacheKey, entry: Entry) -> int:
    return entry.size + len(key.url) + len(key.extra)
