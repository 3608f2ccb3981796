"""The Redis store's own promises: expiry, chunks, crowds, and whatever else may lie there."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.redis_link import RedisLink, RedisOptions
from proxy.rfc9111.reasons import Reason
from proxy.stores import CacheKey
from proxy.stores.codec import encode, variant_name
from proxy.stores.index import TagIndex
from proxy.stores.names import Names
from proxy.stores.redis import RedisStore, RedisStoreOptions
from tests.bench.redis_leak import come_and_go
from tests.redis_server import RedisServer, patient, start_redis
from tests.stores.conftest import NOW, Clock, make_entry

KEY = CacheKey("http://api/a")
SMALL = RedisStoreOptions(inline_size=10, chunk_size=10, max_object_size=100, max_variants=3)


@pytest.fixture
async def raw(redis_server: RedisServer) -> AsyncIterator[Any]:
    """A client of the tests' own."""
    async with redis_server.client() as client:
        yield client


@pytest.fixture
def small(link: RedisLink, clock: Clock) -> RedisStore:
    return RedisStore(link, clock, SMALL)


@pytest.fixture
def name(redis_options: RedisOptions) -> str:
    return Names(redis_options.prefix).entries(KEY)


async def keys(raw: Any, options: RedisOptions) -> list[bytes]:
    return sorted(await raw.keys(f"{options.prefix}*"))


def variant(number: int) -> tuple[tuple[str, str], ...]:
    return (("x", str(number)),)


async def test_everything_expires_with_its_entry(
    small: RedisStore, link: RedisLink, clock: Clock, raw: Any, redis_options: RedisOptions
) -> None:
    entry = make_entry(b"x" * 35, lifetime=60, swr=30, tags=("a", "b"))
    key = CacheKey(KEY.url, "x-tenant=a")
    await small.put(key, entry)
    await TagIndex(link, clock).add(key, entry)
    found = await keys(raw, redis_options)
    assert len(found) == 1 + 4 + 4  # the hash, four chunks, two tags, the tags, the URL
    for name in found:
        assert 89_000 < await raw.pttl(name) <= 95_000, name


async def test_a_shorter_life_does_not_cut_that_of_the_other_variants(
    small: RedisStore, raw: Any, name: str
) -> None:
    await small.put(KEY, make_entry(lifetime=600, variant=variant(1)))
    await small.put(KEY, make_entry(lifetime=6, variant=variant(2)))
    assert await raw.pttl(name) > 590_000


async def test_what_is_useless_is_neither_written_nor_found(
    small: RedisStore, clock: Clock, raw: Any, redis_options: RedisOptions
) -> None:
    assert await small.put(KEY, make_entry(lifetime=0)) is Reason.OUTDATED
    assert await keys(raw, redis_options) == []
    await small.put(KEY, make_entry(lifetime=5))
    clock.now = NOW + 6
    assert await small.lookup(KEY) == []


@pytest.mark.parametrize("size", [0, 1, 10, 11, 20, 21, 100])
async def test_bodies_of_any_size_come_back(small: RedisStore, size: int) -> None:
    entry = make_entry(bytes(range(size)))
    assert await small.put(KEY, entry) is None
    assert list(await small.lookup(KEY)) == [entry]


async def test_a_larger_body_stays_out(small: RedisStore) -> None:
    old = make_entry(b"old")
    await small.put(KEY, old)
    assert await small.put(KEY, make_entry(bytes(101)), replaces=old) is Reason.TOO_LARGE
    assert list(await small.lookup(KEY)) == []


async def test_a_missing_chunk_is_a_miss_and_the_rest_goes(
    small: RedisStore, raw: Any, redis_options: RedisOptions
) -> None:
    await small.put(KEY, make_entry(bytes(35), variant=variant(1)))
    await small.put(KEY, make_entry(b"whole", variant=variant(2)))
    chunk = next(key for key in await keys(raw, redis_options) if key.endswith(b":2"))
    await raw.delete(chunk)
    assert [entry.body for entry in await small.lookup(KEY)] == [b"whole"]
    assert small.incomplete == 1
    assert len(await keys(raw, redis_options)) == 1


async def test_a_damaged_chunk_is_a_miss(
    small: RedisStore, raw: Any, redis_options: RedisOptions
) -> None:
    await small.put(KEY, make_entry(bytes(35)))
    chunk = next(key for key in await keys(raw, redis_options) if key.endswith(b":2"))
    await raw.set(chunk, b"y" * 10, keepttl=True)
    assert list(await small.lookup(KEY)) == []
    assert await keys(raw, redis_options) == []


async def test_chunks_go_with_their_record(
    small: RedisStore, raw: Any, redis_options: RedisOptions
) -> None:
    first, second = make_entry(b"1" * 35), make_entry(b"2" * 25)
    await small.put(KEY, first)
    await small.put(KEY, first)
    assert list(await small.lookup(KEY)) == [first]
    await small.put(KEY, second)
    assert len(await keys(raw, redis_options)) == 1 + 3
    await small.remove(KEY, second)
    assert await keys(raw, redis_options) == []


async def test_a_crowd_of_variants_loses_what_is_useless_then_the_oldest(
    small: RedisStore, clock: Clock, raw: Any, redis_options: RedisOptions
) -> None:
    await small.put(KEY, make_entry(bytes(35), variant=variant(0)))
    await small.put(KEY, make_entry(variant=variant(1), lifetime=5))
    await small.put(KEY, make_entry(variant=variant(2)))
    clock.now = NOW + 6
    await small.put(KEY, make_entry(variant=variant(3)))
    found = [entry.response.variant for entry in await small.lookup(KEY)]
    assert found == [variant(0), variant(2), variant(3)]
    await small.put(KEY, make_entry(variant=variant(4)))
    found = [entry.response.variant for entry in await small.lookup(KEY)]
    assert found == [variant(2), variant(3), variant(4)]
    assert len(await keys(raw, redis_options)) == 1


async def test_a_lookup_loads_the_newest_variants_that_fit(link: RedisLink, clock: Clock) -> None:
    store = RedisStore(link, clock, RedisStoreOptions(max_lookup_size=25))
    for number in range(4):
        await store.put(KEY, make_entry(bytes(10), variant=variant(number)))
    found = [entry.response.variant for entry in await store.lookup(KEY)]
    assert found == [variant(2), variant(3)]


FRAME = b"\0" * 7 + b"\1"


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"junk", id="short"),
        pytest.param(bytes(500), id="zeros"),
        pytest.param(b"\x80\x04\x95cos\nsystem\n", id="a pickle"),
    ],
)
async def test_what_cannot_be_read_is_a_miss_and_is_deleted(
    small: RedisStore, raw: Any, name: str, frame: bytes
) -> None:
    good = make_entry(b"good")
    await small.put(KEY, good)
    await raw.hset(name, variant_name(variant(1)), frame)
    assert list(await small.lookup(KEY)) == [good]
    assert small.unreadable == 1
    assert await raw.hlen(name) == 2


async def test_another_version_is_a_miss_and_is_deleted(
    small: RedisStore, raw: Any, name: str
) -> None:
    await small.put(KEY, make_entry())
    (field,) = [field for field in await raw.hkeys(name) if field != b"#"]
    frame = await raw.hget(name, field)
    await raw.hset(name, field, frame[:26] + b"\x02" + frame[27:])
    assert list(await small.lookup(KEY)) == []
    assert await raw.hkeys(name) == [b"#"]
    assert await small.put(KEY, make_entry(asked=NOW - 5)) is None


async def test_a_record_in_the_wrong_place_is_not_served(
    small: RedisStore, raw: Any, name: str
) -> None:
    other = encode(CacheKey("http://api/other"), make_entry(b"other"))
    frame = FRAME + other.stamp + other.front + b"other"
    await raw.hset(name, variant_name(()), frame)
    assert list(await small.lookup(KEY)) == []


@pytest.mark.parametrize("command", [("SET", "junk"), ("RPUSH", "junk")], ids=["string", "list"])
async def test_something_else_under_our_name_gives_way(
    small: RedisStore, raw: Any, name: str, command: tuple[str, str]
) -> None:
    await raw.execute_command(command[0], name, command[1])
    assert list(await small.lookup(KEY)) == []
    assert await raw.exists(name) == 0
    await raw.execute_command(command[0], name, command[1])
    assert await small.put(KEY, make_entry(b"new")) is None
    assert [entry.body for entry in await small.lookup(KEY)] == [b"new"]


async def test_a_damaged_count_of_writes_does_not_stop_them(
    small: RedisStore, raw: Any, name: str
) -> None:
    await raw.hset(name, "#", "not a number")
    assert await small.put(KEY, make_entry(b"new")) is None
    assert [entry.body for entry in await small.lookup(KEY)] == [b"new"]


async def test_another_version_of_the_settings_starts_afresh(
    redis_options: RedisOptions, clock: Clock, small: RedisStore
) -> None:
    await small.put(KEY, make_entry())
    link = RedisLink(redis_options.with_changes(version=2), lambda _: None)
    assert list(await RedisStore(link, clock).lookup(KEY)) == []
    await link.close()


async def test_redis_gives_its_memory_back_when_entries_have_come_and_gone() -> None:
    """The full million is tests/bench/redis_leak.py."""
    # Expired keys that nobody asks for leave with the next round of Redis's own: often, here.
    config = ("--hz", "100", "--enable-debug-command", "yes")
    async with start_redis(*config) as server, server.client() as raw:
        options = patient(server.url)
        # What a server keeps once and for all, such as scripts, is no leak.
        await come_and_go(options, raw, entries=200, tags=20, lifetime=0.2)

        async def keep_the_expired(which: int) -> None:
            await raw.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", which)

        # However slow the machine, all are there when the last is written.
        await keep_the_expired(0)
        report = await come_and_go(
            options, raw, entries=4_000, tags=400, lifetime=1.0, written=lambda: keep_the_expired(1)
        )
    assert report.keys_at_peak > 4_000
    assert report.keys_left == 0
    assert report.memory_left < 0.1 * report.memory_at_peak, report
