"""The memory store: bounded by bytes; what is needed least leaves first (see eviction).

One URL is one unit: its variants live and leave together, except that a URL with too many, or
whose variants alone exceed the bound, loses its oldest ones first.

Purges reach it through what the process knows of the purge log: an entry is judged when it comes,
and again before it is used if anything was purged since. So a purge costs the same however many
entries it concerns; their memory is reclaimed afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Self, TypeAlias

from proxy.purging.scopes import scopes_of, tag_scope, url_scope
from proxy.purging.state import Invalid, Purge, PurgeState, Softened, Unknown
from proxy.rfc9111.reasons import Reason
from proxy.stores.carriers import Carriers
from proxy.stores.entry import CacheKey, Enough, Entry, Filled, Lease, is_same, softened
from proxy.stores.eviction import MOST_USES, S3Fifo
from proxy.stores.expiry import Expiry
from proxy.stores.resource import Held, Resource
from proxy.stores.sharing import shared_entry

_MOST_VARIANTS = 128
"""Under one key: every lookup compares with all of them, and clients can make up any number."""

_MOST_ENTRIES = 1024
"""Under all keys of one URL: they are purged, swept and evicted at one go."""

_AT_ONCE = 16
"""URLs: about as long as one request takes, so that requests and acknowledgements come first."""

_URL_SCOPE = url_scope("")
_TAG_SCOPE = tag_scope("")


Purged: TypeAlias = tuple[CacheKey, Held]
"""An entry that a purge concerned, and where it was."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """What is known of an entry that comes from another tier, where it shares texts already.

    Attributes:
        through: Number of the last purge that it has outlived, by the log's own word.
        judged: The state's `changes` when that was asked: it need not be asked again before that
            has grown.
    """

    through: int
    judged: int


class MemoryStore:
    """Entries in this process's memory. See `Store` for the contract.

    Attributes:
        max_size: Bound on the sum of all entries' sizes and keys, in bytes.
        evictions: How many URLs have left to make room.
    """

    def __init__(self, max_size: int, clock: Callable[[], float], state: PurgeState) -> None:
        self.max_size = max_size
        self.evictions = 0
        self._entries = 0
        self._clock = clock
        self._state = state
        self._resources: dict[str, Resource] = {}
        self._order: S3Fifo[str] = S3Fifo()
        self._carriers: Carriers[Resource] = Carriers()
        self._expiry: Expiry[Resource] = Expiry()

    def __len__(self) -> int:
        """How many entries are stored."""
        return self._entries

    @property
    def changes(self) -> int:
        """Grows whenever what purges have left may be judged otherwise than before."""
        return self._state.changes

    @property
    def size(self) -> int:
        """The sum of all entries' sizes and keys, in bytes."""
        return self._order.size

    async def lookup(self, key: CacheKey, enough: Enough = bool) -> Sequence[Entry]:  # noqa: ARG002
        """See Store; counts as a use."""
        return [one.entry for one in self.lookup_now(key)]

    def lookup_now(self, key: CacheKey, *, counts: bool = True) -> Sequence[Held]:
        """What `lookup` finds, oldest first, for those who cannot wait; a use, if that `counts`."""
        resource = self._resources.get(key.url)
        if resource is None:
            return ()
        held = resource.under(key.extra) if key.extra else resource.plain
        changes = self._state.changes
        for one in held:
            if one.judged != changes:
                held = self._judged(resource, key.extra)
                break
        if not counts:
            return held
        if held and resource.uses < MOST_USES:
            resource.uses += 1
        for one in held:
            one.hits += 1
        return held

    @property
    def at_once(self) -> Self:
        """See Store."""
        return self

    def lacks(self, key: CacheKey) -> bool:
        """See AtOnce."""
        return key.url not in self._resources

    async def put(
        self,
        key: CacheKey,
        entry: Entry,
        *,
        replaces: Entry | None = None,
        promoted: Promoted | None = None,
    ) -> Reason | None:
        """See Store; room is made by dropping what is needed least.

        Args:
            key: See Store.
            entry: See Store.
            replaces: See Store.
            promoted: What is known of it, where it comes from another tier.
        """
        return self.put_now(key, entry, replaces=replaces, promoted=promoted)

    def put_now(
        self,
        key: CacheKey,
        entry: Entry,
        *,
        replaces: Entry | None = None,
        promoted: Promoted | None = None,
    ) -> Reason | None:
        """The same, for those who cannot wait."""
        if replaces is not None:
            self._drop(key, lambda old: is_same(old.entry, replaces))
        cost = _cost(key, entry)
        if cost > self.max_size:
            return Reason.TOO_LARGE
        if promoted is None:
            coming = Held(shared_entry(entry), entry.response.born, judged=-1)
        else:
            coming = Held(entry, promoted.through, promoted.judged)
        if not self._judge(key.url, coming):
            return Reason.OUTDATED
        resource = self._resources.get(key.url)
        if resource is not None:
            if _is_outdone(resource, key, entry):
                return Reason.OUTDATED
            self._replace(resource, key, entry)
        self._make_room(cost, key.url)
        self._add(key, coming, cost)
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
        self._make_room(0)

    def sweep(self) -> Iterator[None]:
        """Drop what can be neither served nor validated any more; yields between small steps."""
        now = self._clock()
        due = self._expiry.due(now)
        while step := list(islice(due, _AT_ONCE)):
            for resource in step:
                self._sweep(resource, now)
            yield

    def reclaim(self, purge: Purge | None) -> Iterator[Sequence[Purged]]:
        """Drop what `purge` (None: any purge) has made invalid, in small steps; these each time.

        What a soft purge has made stale is told too, and stays.
        """
        urls = iter(self._concerned(purge))
        while step := list(islice(urls, _AT_ONCE)):
            yield [gone for url in step for gone in self._reclaim(url)]

    # Looking in, for operators.

    def tags(self) -> dict[str, int]:
        """How many URLs carry each tag."""
        return self._carriers.counts()

    def count(self, tag: str) -> int:
        """How many URLs carry `tag`, those counted in whose purged entries still take memory."""
        return len(self._carriers.of(tag))

    def urls(self, tag: str | None = None) -> Sequence[str]:
        """All stored URLs, or those that carry `tag`."""
        if tag is None:
            return list(self._resources)
        return [resource.name for resource in self._carriers.of(tag)]

    def peek(self, key: CacheKey) -> Sequence[Held]:
        """What `lookup_now` finds, without counting as a use."""
        self._reclaim(key.url)
        resource = self._resources.get(key.url)
        return () if resource is None else resource.under(key.extra)

    def held(self, url: str) -> Sequence[Held]:
        """All that takes memory for one URL, whether it is still valid or not; changes nothing."""
        return list(self._resources.get(url, ()))

    def extras(self, url: str) -> Sequence[str]:
        """The extra parts of the keys under which something is stored for one URL."""
        self._reclaim(url)
        resource = self._resources.get(url)
        return () if resource is None else resource.extras

    def variants(self, url: str) -> Sequence[Held]:
        """All that is stored for one URL and still valid, without counting as a use."""
        self._reclaim(url)
        return list(self._resources.get(url, ()))

    # Judging.

    def _judged(self, resource: Resource, extra: str) -> tuple[Held, ...]:
        """What is held under a key less what was purged."""
        self._drop_from(resource, extra, lambda held: not self._judge(resource.name, held))
        return resource.under(extra)

    def _judge(self, url: str, held: Held) -> bool:
        """Whether it may be used; a soft purge makes it stale."""
        state = self._state
        if held.judged == state.changes:
            return True
        if state.nothing_since(held.through):
            held.through, held.judged = state.position, state.changes
            return True
        response = held.entry.response
        scopes = scopes_of(url, response.tags, response.groups)
        judgement = state.judge(held.through, url, scopes)
        if isinstance(judgement, Invalid | Unknown):
            return False
        if isinstance(judgement, Softened):
            held.entry = softened(held.entry, min(judgement.at, self._clock()))
        held.through, held.judged = judgement.through, state.changes
        return True

    def _reclaim(self, url: str) -> Sequence[Purged]:
        """Judge all that is held for a URL; what purges have concerned."""
        resource = self._resources.get(url)
        if resource is None:
            return ()
        before = [
            (CacheKey(url, e), one, one.entry) for e in resource.extras for one in resource.under(e)
        ]
        for extra in resource.extras:
            self._judged(resource, extra)
        left = {id(held) for held in resource}
        return [
            (key, held)
            for key, held, entry in before
            if id(held) not in left or held.entry is not entry
        ]

    def _concerned(self, purge: Purge | None) -> Sequence[str]:
        """URLs among which all are that `purge` concerns; some, where URLs are spelled in odd ways.

        Those are forgotten with the others, and leave when they are asked for or make room.
        """
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

    # Coming and going.

    def _add(self, key: CacheKey, coming: Held, cost: int) -> None:
        """Hold and enter in the books what there is room for."""
        entry = coming.entry
        resource = self._resources.get(key.url)
        if resource is None:
            resource = self._resources[key.url] = Resource(key.url)
            self._order.add(resource)
            self._expiry.note(resource, entry.useless_after)
        else:
            self._expiry.note_earlier(resource, entry.useless_after)
        self._order.resize(resource, resource.size + cost)
        resource.append(key.extra, coming)
        self._entries += 1
        for tag in entry.response.tags:
            self._carriers.add(tag, resource)

    def _replace(self, resource: Resource, key: CacheKey, entry: Entry) -> None:
        """Drop the variant that `entry` renews, or the oldest where there is one too many."""
        variant = entry.response.variant
        self._drop_from(resource, key.extra, lambda old: old.entry.response.variant == variant)
        if len(resource.under(key.extra)) >= _MOST_VARIANTS:
            self._drop_oldest(resource, key.extra)
        elif resource.entries >= _MOST_ENTRIES:
            self._drop_oldest(resource, resource.extras[0])

    def _make_room(self, needed: int, url: str = "") -> None:
        """Let others leave, then the oldest entries of `url`, until there is room for `needed`."""
        while self.size + needed > self.max_size:
            spared = self._resources.get(url)
            leaving = self._order.evict(spared)
            if leaving is not None:
                resource = self._resources[leaving.name]
                self._left(resource, resource.clear())
                self.evictions += 1
            elif spared is not None:
                self._drop_oldest(spared, spared.extras[0])

    def _sweep(self, resource: Resource, now: float) -> None:
        for extra in resource.extras:
            self._drop_from(resource, extra, lambda held: held.entry.useless_after <= now)
        if resource.entries:
            self._expiry.note(resource, min(held.entry.useless_after for held in resource))

    def _drop(self, key: CacheKey, doomed: Callable[[Held], bool]) -> None:
        """Drop the variants under `key` that are `doomed`."""
        resource = self._resources.get(key.url)
        if resource is not None:
            self._drop_from(resource, key.extra, doomed)

    def _drop_oldest(self, resource: Resource, extra: str) -> None:
        oldest = resource.under(extra)[0]
        self._drop_from(resource, extra, lambda held: held is oldest)

    def _drop_from(self, resource: Resource, extra: str, doomed: Callable[[Held], bool]) -> None:
        gone = resource.drop(extra, doomed)
        if not gone:
            return
        if resource.entries:
            freed = sum(_cost(CacheKey(resource.name, extra), held.entry) for held in gone)
            self._order.resize(resource, resource.size - freed)
        else:
            self._order.remove(resource)
        self._left(resource, gone)

    def _left(self, resource: Resource, gone: Sequence[Held]) -> None:
        """Take what has left a resource, or left with it, out of the books."""
        self._entries -= len(gone)
        for tag in {tag for held in gone for tag in held.entry.response.tags}:
            if not any(tag in held.entry.response.tags for held in resource):
                self._carriers.discard(tag, resource)
        if not resource.entries:
            self._expiry.remove(resource)
            del self._resources[resource.name]


def _is_outdone(resource: Resource, key: CacheKey, entry: Entry) -> bool:
    """Whether a newer answer was stored since it was asked for."""
    response = entry.response
    return any(
        old.entry.response.variant == response.variant
        and old.entry.response.request_time > response.request_time
        for old in resource.under(key.extra)
    )


def _cost(key: CacheKey, entry: Entry) -> int:
    return entry.size + len(key.url) + len(key.extra)
