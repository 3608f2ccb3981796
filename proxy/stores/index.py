"""Which entries carry a tag: for counts, previews and giving memory back, never for correctness.

A sorted set per tag holds primary keys by when they expire. It is trimmed by every write to it and
expires with its last member, so it needs no sweeper and cannot outgrow what it speaks of.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from proxy.redis_link import RedisLink, Word
from proxy.stores.entry import CacheKey, Entry
from proxy.stores.lua import INDEX, UNINDEX
from proxy.stores.names import Names

_TAGS = "tags"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the index has of one primary key, in its own words."""

    member: bytes
    score: bytes

    @property
    def key(self) -> CacheKey:
        """The primary key."""
        return CacheKey.of(self.member.decode("utf-8", "replace"))


class TagIndex:
    """The reverse index. Numbers include what was purged or evicted and has not yet expired."""

    def __init__(self, link: RedisLink, clock: Callable[[], float]) -> None:
        self._link = link
        self._clock = clock
        self._names = Names(link.options.prefix)

    async def add(self, key: CacheKey, entry: Entry) -> None:
        """Note an entry that is stored now.

        Raises:
            LinkError: Redis is of no help now.
        """
        member = _member(key)
        pairs = [(self._names.index(f"tag:{tag}"), member) for tag in entry.response.tags]
        pairs += [(self._names.index(_TAGS), tag) for tag in entry.response.tags]
        if key.extra:
            pairs.append((self._names.index(f"url:{key.url}"), member))
        names = [name for name, _ in pairs]
        for positions in self._link.together(names):
            await self._note([pairs[at] for at in positions], entry.useless_after)

    async def count(self, tag: str) -> int:
        """How many primary keys carry `tag`.

        Raises:
            LinkError: Redis is of no help now.
        """
        name = self._names.index(f"tag:{tag}")
        words = ("ZCOUNT", name, repr(self._clock()), "+inf")
        return int(await self._link.run(lambda c: c.execute_command(*words), key=name))

    async def members(self, tag: str, limit: int, offset: int = 0) -> Sequence[CacheKey]:
        """Primary keys that carry `tag`, those that expire first first.

        Raises:
            LinkError: Redis is of no help now.
        """
        found = await self._range(f"tag:{tag}", limit, offset)
        return [CacheKey.of(text) for text in found]

    async def marks(self, tag: str, limit: int, offset: int = 0) -> Sequence[Mark]:
        """What `members` finds, as `discard` wants it.

        Raises:
            LinkError: Redis is of no help now.
        """
        name = self._names.index(f"tag:{tag}")
        words = self._asking(name, limit, offset)
        found: list[bytes] = await self._link.run(
            lambda client: client.execute_command(*words, "WITHSCORES"),
            key=name,
            timeout=self._link.options.background_timeout,
        )
        return [Mark(*pair) for pair in zip(found[::2], found[1::2], strict=True)]

    async def variants_of(self, url: str, limit: int) -> Sequence[CacheKey]:
        """All primary keys of one URL, that without an extra part first, stored or not.

        Raises:
            LinkError: Redis is of no help now.
        """
        found = await self._range(f"url:{url}", limit, 0)
        return [CacheKey(url), *(CacheKey.of(text) for text in found)]

    async def tags(self, limit: int, offset: int = 0) -> Sequence[str]:
        """All tags, those that expire first first.

        Raises:
            LinkError: Redis is of no help now.
        """
        return await self._range(_TAGS, limit, offset)

    async def discard(self, tag: str, marks: Sequence[Mark]) -> None:
        """Forget that these carry `tag`, but for those that were stored anew since.

        Raises:
            LinkError: Redis is of no help now.
        """
        name = self._names.index(f"tag:{tag}")
        words = [word for mark in marks for word in (mark.member, mark.score)]
        timeout = self._link.options.background_timeout
        await self._link.write(UNINDEX, (name,), words, timeout=timeout)

    async def _note(self, pairs: Sequence[tuple[str, str]], useless_after: float) -> None:
        now = self._clock()
        names = [name for name, _ in pairs]
        ttl = ceil(max(0.0, useless_after - now) * 1000)
        words: list[Word] = [repr(useless_after), repr(now), max(1, ttl)]
        words += [member.encode("utf-8", "surrogatepass") for _, member in pairs]
        timeout = self._link.options.background_timeout
        await self._link.write(INDEX, names, words, timeout=timeout)

    async def _range(self, scope: str, limit: int, offset: int) -> list[str]:
        name = self._names.index(scope)
        words = self._asking(name, limit, offset)
        found: list[bytes] = await self._link.run(lambda c: c.execute_command(*words), key=name)
        return [member.decode("utf-8", "replace") for member in found]

    def _asking(self, name: str, limit: int, offset: int) -> tuple[Word, ...]:
        return ("ZRANGEBYSCORE", name, repr(self._clock()), "+inf", "LIMIT", offset, limit)


def _member(key: CacheKey) -> str:
    return f"{key.url}\n{key.extra}" if key.extra else key.url
