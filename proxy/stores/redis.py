"""The store in Redis: shared by all processes and nodes, bounded by what Redis itself is given.

One hash holds all variants of a primary key, so that a reader sees them at one moment. Small
bodies lie in the hash; a large one lies in chunks of its own, written before and named by the
record that speaks of them: a reader finds all of one body or misses.

Everything expires by itself. What cannot be read is a miss, and is deleted.
"""

import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from math import ceil
from typing import Any

from proxy.redis_link import Access, Client, LinkError, RedisLink, Script
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import VariantKey
from proxy.stores import lua
from proxy.stores.codec import CorruptRecord, Record, decode, encode, variant_name
from proxy.stores.entry import CacheKey, Entry
from proxy.stores.names import Names

_ORDER = struct.Struct(">Q")
_CHUNK_GRACE_MS = 5000
_LONGEST_TTL = 10 * 365 * 86_400.0
_MGET_SIZE = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisStoreOptions:
    """Bounds of what goes to Redis, in bytes.

    Attributes:
        max_object_size: Larger bodies stay out of Redis.
        inline_size: Larger bodies are kept in chunks.
        chunk_size: Of each chunk.
        max_variants: Under one primary key; what is useless, then the oldest leaves first.
        max_lookup_size: Of all bodies one lookup loads; the newest variants come first.
    """

    max_object_size: int = 16 << 20
    inline_size: int = 64 << 10
    chunk_size: int = 512 << 10
    max_variants: int = 64
    max_lookup_size: int = 32 << 20


class RedisStore:
    """Entries in Redis.

    Attributes:
        unreadable: How many records could not be read.
        incomplete: How many records lacked a chunk of their body.
    """

    def __init__(
        self,
        link: RedisLink,
        clock: Callable[[], float],
        options: RedisStoreOptions | None = None,
    ) -> None:
        self.unreadable = 0
        self.incomplete = 0
        self._link = link
        self._clock = clock
        self._options = options or RedisStoreOptions()
        self._names = Names(link.options.prefix)

    def usable(self, key: CacheKey, access: Access = Access.READ) -> bool:
        """Whether Redis would be asked now."""
        return self._link.usable(access, self._names.entries(key))

    async def lookup(self, key: CacheKey) -> Sequence[Entry]:
        """All variants under `key`, oldest first; () for none.

        Raises:
            LinkError: Redis is of no help now.
        """
        room = self._options.max_lookup_size
        found: list[Entry] = []
        for record in reversed(await self.records(key)):
            room -= record.body_size
            if room < 0:
                break
            entry = await self._whole(record)
            if entry is not None:
                found.append(entry)
        found.reverse()
        return found

    async def records(self, key: CacheKey) -> Sequence[Record]:
        """The heads of all variants under `key`, oldest first.

        Raises:
            LinkError: Redis is of no help now.
        """
        name = self._names.entries(key)
        frames: dict[bytes, bytes] | None = await self._link.read("HGETALL", name)
        if frames is None:  # something else goes by its name
            await self._discard(name, {})
            return ()
        now = self._clock()
        ordered: list[tuple[bytes, Record]] = []
        bad: dict[bytes, bytes] = {}
        for field, frame in frames.items():
            if field == lua.ORDER_FIELD:
                continue
            try:
                record = _unframe(key, field, frame)
            except CorruptRecord:
                bad[field] = frame
                continue
            if record.useless_after > now:
                ordered.append((frame[: lua.ORDER_SIZE], record))
        if bad:
            await self._discard(name, bad)
        return [record for _, record in sorted(ordered, key=lambda pair: pair[0])]

    async def put(
        self, key: CacheKey, entry: Entry, *, replaces: Entry | None = None
    ) -> Reason | None:
        """Keep `entry` in place of the variant it renews; None, or why not. See Store.

        Raises:
            LinkError: Redis is of no help now.
        """
        refusal = self._refusal(entry)
        if replaces is not None and (refusal or not renews(replaces, entry)):
            await self.remove(key, replaces)
        if refusal:
            return refusal
        ttl = _milliseconds(entry.useless_after - self._clock())
        chunk_size = self._chunk_size(entry)
        encoded = encode(key, entry, chunk_size=chunk_size)
        if chunk_size:
            await self._put_chunks(key, entry.body, encoded.stamp, ttl)
        body = b"" if chunk_size else entry.body
        kept = await self._write(
            lua.PUT,
            key,
            self._names.chunks(key),
            variant_name(entry.response.variant),
            b"".join((encoded.stamp, encoded.front, body)),
            ttl,
            self._options.max_variants,
            repr(self._clock()),
        )
        return None if kept else Reason.OUTDATED

    async def remove(self, key: CacheKey, entry: Entry) -> None:
        """Drop this very entry, if it is still there.

        Raises:
            LinkError: Redis is of no help now.
        """
        await self._remove(key, entry.response.variant, encode(key, entry).identity)

    async def drop(self, record: Record) -> None:
        """Drop what `records` found, if it is still there.

        Raises:
            LinkError: Redis is of no help now.
        """
        await self._remove(record.key, record.response.variant, record.identity)

    def _refusal(self, entry: Entry) -> Reason | None:
        if len(entry.body) > self._options.max_object_size:
            return Reason.TOO_LARGE
        return Reason.OUTDATED if entry.useless_after <= self._clock() else None

    async def _remove(self, key: CacheKey, variant: VariantKey, identity: bytes) -> None:
        await self._write(lua.REMOVE, key, self._names.chunks(key), variant_name(variant), identity)

    async def _whole(self, record: Record) -> Entry | None:
        """The record with its body; None, and the record dropped, where that is not all there."""
        body = record.inline
        try:
            if record.chunks:
                body = await self._read_chunks(record)
            return record.with_body(body)
        except CorruptRecord:
            self.incomplete += 1
            await self._quietly(self.drop(record))
            return None

    async def _read_chunks(self, record: Record) -> bytes:
        names = self._chunk_names(record.key, record.stamp, record.chunks)
        at_once = max(1, _MGET_SIZE // record.chunk_size)

        async def read(client: Client) -> list[bytes | None]:
            chunks: list[bytes | None] = []
            for start in range(0, len(names), at_once):
                chunks += await client.execute_command("MGET", *names[start : start + at_once])
            return chunks

        timeout = self._link.options.background_timeout
        chunks = await self._link.run(read, key=names[0], timeout=timeout)
        whole = [chunk for chunk in chunks if chunk is not None]
        if len(whole) < len(chunks):
            raise CorruptRecord("a chunk is missing")
        return b"".join(whole)

    async def _put_chunks(self, key: CacheKey, body: bytes, stamp: bytes, ttl: int) -> None:
        size = self._options.chunk_size
        names = self._chunk_names(key, stamp, ceil(len(body) / size))
        timeout = self._link.options.background_timeout
        for number, name in enumerate(names):
            words = (name, body[number * size : (number + 1) * size], "PX", ttl + _CHUNK_GRACE_MS)
            await self._link.run(
                lambda client, words=words: client.execute_command("SET", *words),  # type: ignore[misc]
                key=name,
                access=Access.WRITE,
                timeout=timeout,
            )

    def _chunk_names(self, key: CacheKey, stamp: bytes, count: int) -> list[str]:
        prefix = f"{self._names.chunks(key)}{stamp.hex()}:"
        return [f"{prefix}{number}" for number in range(count)]

    def _chunk_size(self, entry: Entry) -> int:
        return self._options.chunk_size if len(entry.body) > self._options.inline_size else 0

    async def _write(self, script: Script, key: CacheKey, *words: Any) -> Any:
        timeout = self._link.options.background_timeout
        return await self._link.write(script, (self._names.entries(key),), words, timeout=timeout)

    async def _discard(self, name: str, bad: dict[bytes, bytes]) -> None:
        """Delete frames that cannot be read, unless they have been renewed since."""
        self.unreadable += max(1, len(bad))
        words: list[bytes | str] = []
        for field, frame in bad.items():
            words += (field, sha1(frame, usedforsecurity=False).hexdigest())
        await self._quietly(self._link.write(lua.DISCARD, (name,), words))

    async def _quietly(self, chore: Awaitable[object]) -> None:
        """What was read is of no use whether or not Redis lets it be deleted."""
        try:
            await chore
        except LinkError:
            return


def renews(old: Entry, new: Entry) -> bool:
    """Whether keeping `new` alone already takes `old` away."""
    before, after = old.response, new.response
    return before.variant == after.variant and before.request_time <= after.request_time


def _unframe(key: CacheKey, field: bytes, frame: bytes) -> Record:
    record = decode(frame[lua.FRAME_SIZE :])
    belongs = record.key == key and variant_name(record.response.variant) == field
    if not belongs or record.stamp != frame[lua.ORDER_SIZE : lua.FRAME_SIZE]:
        raise CorruptRecord("another key's record")
    return record


def _milliseconds(seconds: float) -> int:
    return ceil(min(seconds, _LONGEST_TTL) * 1000)
