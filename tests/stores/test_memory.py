"""The memory store's own promises: bounds, order of eviction, sweeping."""

import gc
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.purging import (
    MemoryPurgeLog,
    Mode,
    Purge,
    PurgeState,
    host_scope,
    prefix_scope,
    tag_scope,
    url_scope,
)
from proxy.rfc9111.reasons import Reason
from proxy.stores import CacheKey, Entry, MemoryStore, memory
from proxy.stores.memory import Promoted
from proxy.stores.resource import Resource
from tests.stores.conftest import NOW, Clock, make_entry


def key(number: int) -> CacheKey:
    return CacheKey(f"http://api/{number}")


def cost_of(entry: Entry, at: CacheKey | None = None) -> int:
    at = at or key(0)
    return entry.size + len(at.url) + len(at.extra)


def room_for(entries: int) -> int:
    return entries * cost_of(make_entry())


async def urls_of(store: MemoryStore, numbers: range) -> list[int]:
    return [number for number in numbers if await store.lookup(key(number))]


def sweep(store: MemoryStore) -> None:
    for _ in store.sweep():
        pass


async def test_the_least_recently_used_url_leaves_first(clock: Clock) -> None:
    store = MemoryStore(room_for(3), clock, PurgeState())
    for number in range(3):
        await store.put(key(number), make_entry())
    await store.lookup(key(0))
    await store.put(key(3), make_entry())
    assert await urls_of(store, range(4)) == [0, 2, 3]
    assert store.evictions == 1
    assert store.size == room_for(3)


async def test_an_entry_larger_than_the_store_is_refused_and_nothing_lost(clock: Clock) -> None:
    store = MemoryStore(room_for(2), clock, PurgeState())
    await store.put(key(0), make_entry())
    assert await store.put(key(1), make_entry(b"x" * room_for(2))) is Reason.TOO_LARGE
    assert await urls_of(store, range(2)) == [0]


async def test_what_it_lacks_shows_without_waiting_and_counts_as_no_use(clock: Clock) -> None:
    store = MemoryStore(room_for(2), clock, PurgeState())
    at_once = store.at_once
    assert at_once.lacks(key(0))
    assert at_once.put_now(key(0), make_entry()) is None
    assert not at_once.lacks(key(0))
    assert not at_once.lacks(CacheKey(key(0).url, "header a: b")), "its URL is known"
    assert at_once.put_now(key(1), make_entry(b"x" * room_for(2))) is Reason.TOO_LARGE
    assert [one.entry for one in at_once.lookup_now(key(0), counts=False)] == [make_entry()]
    assert store.peek(key(0))[0].hits == 0
    assert at_once.lookup_now(key(0))[0].hits == 1


def variant(number: int) -> Entry:
    return make_entry(variant=(("x", str(number)),))


async def held_variants(store: MemoryStore, at: CacheKey) -> list[str | None]:
    return [entry.response.variant[0][1] for entry in await store.lookup(at)]


async def test_a_url_whose_variants_alone_exceed_the_bound_loses_its_oldest(clock: Clock) -> None:
    store = MemoryStore(3 * cost_of(variant(0)), clock, PurgeState())
    for number in range(5):
        await store.put(key(0), variant(number))
    assert await held_variants(store, key(0)) == ["2", "3", "4"]


async def test_clients_cannot_make_a_lookup_slow_by_making_up_variants(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_MOST_VARIANTS", 3)
    store = MemoryStore(1 << 20, clock, PurgeState())
    for number in range(9):
        await store.put(key(0), variant(number))
    assert await held_variants(store, key(0)) == ["6", "7", "8"]
    await store.put(key(0), variant(7))
    assert await held_variants(store, key(0)) == ["6", "8", "7"]


async def test_the_variants_of_one_tenant_do_not_crowd_out_another_s(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_MOST_VARIANTS", 2)
    store = MemoryStore(1 << 20, clock, PurgeState())
    for tenant in "ab":
        for number in range(3):
            await store.put(CacheKey("http://api/", tenant), variant(number))
    for tenant in "ab":
        assert await held_variants(store, CacheKey("http://api/", tenant)) == ["1", "2"]


async def test_long_keys_and_compared_values_count(clock: Clock) -> None:
    store = MemoryStore(1 << 20, clock, PurgeState())
    await store.put(CacheKey("http://api/" + "u" * 1000, "e" * 500), make_entry())
    before = store.size
    assert before >= make_entry().size + 1500
    assert make_entry(variant=(("cookie", "c" * 4000),)).size > make_entry().size + 4000


async def test_a_smaller_bound_takes_effect_at_once(clock: Clock) -> None:
    store = MemoryStore(room_for(3), clock, PurgeState())
    for number in range(3):
        await store.put(key(number), make_entry())
    store.resize(room_for(1))
    assert await urls_of(store, range(3)) == [2]
    store.resize(0)
    assert (len(store), store.size) == (0, 0)


async def test_renewing_counts_the_bytes_once(clock: Clock) -> None:
    store = MemoryStore(1 << 20, clock, PurgeState())
    await store.put(key(0), make_entry(b"x" * 1000))
    await store.put(key(0), make_entry(b"y"))
    assert store.size == cost_of(make_entry(b"y"))
    assert len(store) == 1


async def test_useless_entries_are_swept_when_their_time_has_come(clock: Clock) -> None:
    store = MemoryStore(1 << 20, clock, PurgeState())
    await store.put(key(0), make_entry(lifetime=10))
    await store.put(key(1), make_entry(lifetime=10, swr=20))
    await store.put(key(2), make_entry(lifetime=10, grace=60))
    await store.put(key(3), make_entry(lifetime=10, headers={"ETag": '"a"'}))
    for later, left in [(9, [0, 1, 2, 3]), (18, [1, 2, 3]), (38, [2, 3]), (78, [3]), (7200, [])]:
        clock.now = NOW + later
        sweep(store)
        assert await urls_of(store, range(4)) == left
    assert (len(store), store.size) == (0, 0)


async def test_sweeping_one_variant_leaves_the_others(clock: Clock) -> None:
    store = MemoryStore(1 << 20, clock, PurgeState())
    await store.put(key(0), make_entry(lifetime=10, variant=(("x", "1"),)))
    await store.put(key(0), make_entry(lifetime=50, variant=(("x", "2"),)))
    clock.now = NOW + 18
    sweep(store)
    assert [entry.response.variant for entry in await store.lookup(key(0))] == [(("x", "2"),)]
    clock.now = NOW + 58
    sweep(store)
    assert len(store) == 0


async def test_what_was_renewed_is_swept_when_its_last_time_has_come(clock: Clock) -> None:
    store = MemoryStore(1 << 20, clock, PurgeState())
    for lifetime in range(5000):
        await store.put(key(0), make_entry(lifetime=lifetime))
    clock.now = NOW + 10_000
    sweep(store)
    assert len(store) == 0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "lookup", "remove", "purge", "soften", "reclaim"]),
            st.integers(0, 4),
            st.integers(0, 2),
            st.integers(0, 3000),
            st.integers(0, 2),
        ),
        max_size=60,
    )
)
async def test_the_books_balance_after_anything(
    steps: list[tuple[str, int, int, int, int]],
) -> None:
    log = MemoryPurgeLog(Clock())
    store = MemoryStore(room_for(4), Clock(), log.state)
    places = [CacheKey(f"http://api/{url}", extra) for url in range(5) for extra in ("", "a", "b")]
    for step, url, number, size, tenant in steps:
        place = CacheKey(f"http://api/{url}", ("", "a", "b")[tenant])
        entry = make_entry(
            b"x" * size,
            variant=(("v", str(number)),),
            tags=(f"t{number}",),
            born=log.state.position,
        )
        if step == "put":
            await store.put(place, entry)
        elif step == "lookup":
            await store.lookup(place)
        elif step == "remove":
            for found in (await store.lookup(place))[:1]:
                await store.remove(place, found)
        elif step == "purge":
            await log.append([tag_scope(f"t{number}")], Mode.HARD)
        elif step == "soften":
            await log.append([url_scope(place.url)], Mode.SOFT)
        else:
            for _ in store.reclaim(None):
                pass
        held = [(at, entry) for at in places for entry in await store.lookup(at)]
        assert store.size == sum(cost_of(entry, at) for at, entry in held) <= store.max_size
        assert len(store) == len(held)
        assert set(store.tags()) == {tag for _, entry in held for tag in entry.response.tags}


@pytest.mark.parametrize("tags", [0, 3, 20])
@pytest.mark.parametrize("lines", [0, 6, 12])
async def test_the_size_of_an_entry_covers_what_it_really_takes(lines: int, tags: int) -> None:
    def one(number: int) -> Entry:
        headers = {f"X-Header-{i}": f"value {number} {i}" for i in range(lines)}
        variant = (("accept", f"text/{number}"),)
        own = tuple(f"tag:{number}:{i}" for i in range(tags))
        return make_entry(bytes(1024), headers=headers, variant=variant, tags=own)

    store = MemoryStore(1 << 30, Clock(), PurgeState())
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2000):
            await store.put(key(number), one(number))
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.6 * store.size < taken < store.size


async def test_what_has_left_is_freed_without_the_collector(clock: Clock) -> None:
    store = MemoryStore(room_for(4), clock, PurgeState())
    gc.collect()
    gc.disable()
    try:
        for number in range(20):
            await store.put(key(number), make_entry(tags=("t",)))
        await store.remove(key(19), make_entry(tags=("t",)))
        resources = [one for one in gc.get_objects() if isinstance(one, Resource)]
        assert len(resources) == len(store) == 2
    finally:
        gc.enable()


def purged(store: MemoryStore, purge: Purge | None) -> None:
    for _ in store.reclaim(purge):
        pass


async def test_what_was_made_stale_is_still_that_entry(clock: Clock) -> None:
    log = MemoryPurgeLog(clock)
    store = MemoryStore(1 << 20, clock, log.state)
    entry = make_entry()
    await store.put(key(1), entry)
    clock.now += 5
    await log.append(["*"], Mode.SOFT)
    assert await store.lookup(key(1)) != [entry]
    await store.remove(key(1), entry)
    assert not await store.lookup(key(1))


async def test_a_url_purge_takes_all_its_variants_and_nothing_else(clock: Clock) -> None:
    log = MemoryPurgeLog(clock)
    store = MemoryStore(1 << 20, clock, log.state)
    tenant, other = CacheKey(key(1).url, "header x-tenant: a"), key(11)
    for place in (key(1), tenant, other):
        await store.put(place, variant(1))
        await store.put(place, variant(2))
    await log.append([url_scope(key(1).url)], Mode.HARD)
    assert [len(await store.lookup(place)) for place in (key(1), tenant, other)] == [0, 0, 2]


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        (tag_scope("odd"), [0, 2]),
        (url_scope(key(2).url), [0, 1, 3]),
        (prefix_scope("/"), []),
        (prefix_scope("/1"), [0, 2, 3]),
        (host_scope("api"), []),
        (host_scope("elsewhere"), [0, 1, 2, 3]),
        ("*", []),
    ],
)
async def test_memory_is_reclaimed_without_a_lookup(
    clock: Clock, scope: str, left: list[int]
) -> None:
    log = MemoryPurgeLog(clock)
    store = MemoryStore(1 << 20, clock, log.state)
    purges: list[Purge] = []
    log.on_purge.append(purges.append)
    for number in range(4):
        await store.put(key(number), make_entry(tags=("odd",) if number % 2 else ()))
    await log.append([scope], Mode.HARD)
    purged(store, purges[0])
    assert len(store) == len(left)
    assert await urls_of(store, range(4)) == left
    purged(store, None)
    assert len(store) == len(left)


async def test_a_soft_purge_makes_stale_from_then_on(clock: Clock) -> None:
    log = MemoryPurgeLog(clock)
    store = MemoryStore(1 << 20, clock, log.state)
    await store.put(key(0), make_entry(lifetime=60, swr=30))
    clock.now += 10
    await log.append([url_scope(key(0).url)], Mode.SOFT)
    clock.now += 5
    (entry,) = await store.lookup(key(0))
    assert entry.response.freshness.ttl(clock.now) == -5
    assert entry.response.freshness.stale_while_revalidate == 30
    assert (await store.lookup(key(0)))[0] is entry


async def test_a_fill_born_before_a_purge_is_refused_whenever_it_lands(clock: Clock) -> None:
    log = MemoryPurgeLog(clock)
    store = MemoryStore(1 << 20, clock, log.state)
    born = log.state.position
    await log.append([tag_scope("t")], Mode.HARD)
    assert await store.put(key(0), make_entry(born=born, tags=("t",))) is Reason.OUTDATED
    assert await store.put(key(0), make_entry(born=born, tags=("u",))) is None
    reborn = make_entry(born=log.state.position, tags=("t",))
    assert await store.put(key(0), reborn) is None


async def test_what_the_log_itself_has_vouched_for_counts_from_there(clock: Clock) -> None:
    state = PurgeState()
    state.reset(10, floor=0)
    store = MemoryStore(1 << 20, clock, state)
    old = make_entry(born=3)
    assert await store.put(key(0), old) is Reason.OUTDATED
    assert await store.put(key(0), old, promoted=Promoted(through=10, judged=-1)) is None
    state.apply(Purge(11, (tag_scope("other"),), Mode.HARD, NOW))
    assert list(await store.lookup(key(0))) == [old]
    state.apply(Purge(12, (url_scope(key(0).url),), Mode.HARD, NOW))
    assert list(await store.lookup(key(0))) == []


@pytest.mark.parametrize("purges_since", [0, 1])
async def test_what_was_judged_a_moment_ago_is_judged_again_if_anything_was_purged_since(
    clock: Clock, purges_since: int
) -> None:
    state = PurgeState()
    store = MemoryStore(1 << 20, clock, state)
    known = Promoted(through=0, judged=store.changes)
    for number in range(purges_since):
        state.apply(Purge(number + 1, (url_scope(key(0).url),), Mode.HARD, NOW))
    refused = await store.put(key(0), make_entry(), promoted=known)
    assert refused is (Reason.OUTDATED if purges_since else None)
    assert len(await store.lookup(key(0))) == 1 - purges_since


async def test_peeking_finds_what_a_lookup_would_and_counts_as_no_use(clock: Clock) -> None:
    state = PurgeState()
    store = MemoryStore(10**6, clock, state)
    plain, extra = key(1), CacheKey(key(1).url, "cookie a=1")
    entry = make_entry()
    await store.put(plain, entry)
    await store.put(CacheKey(plain.url, "cookie b=1"), entry)
    assert sorted(store.extras(plain.url)) == ["", "cookie b=1"]
    assert [(one.entry.body, one.hits) for one in store.peek(plain)] == [(entry.body, 0)]
    assert store.peek(plain)[0].hits == 0
    assert list(store.peek(extra)) == list(store.peek(key(2))) == []
    state.apply(Purge(1, ("*",), Mode.HARD, clock.now))
    assert list(store.peek(plain)) == []
    assert list(store.extras(plain.url)) == []


async def test_looking_in_counts_hits_and_shows_no_purged_entry(clock: Clock) -> None:
    log = MemoryPurgeLog(clock)
    store = MemoryStore(1 << 20, clock, log.state)
    await store.put(key(0), make_entry(tags=("a", "b")))
    await store.put(key(1), make_entry(tags=("b",)))
    await store.lookup(key(0))
    assert [held.hits for held in store.variants(key(0).url)] == [1]
    assert store.tags() == {"a": 1, "b": 2}
    assert sorted(store.urls("b")) == [key(0).url, key(1).url]
    await log.append([tag_scope("a")], Mode.HARD)
    assert list(store.variants(key(0).url)) == []
    assert store.urls() == [key(1).url]
