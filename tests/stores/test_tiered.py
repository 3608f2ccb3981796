"""Memory and Redis as one store: who is asked, what moves, and what happens when Redis does not."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.purging.state import (
    Invalid,
    Judgement,
    Mode,
    Purge,
    PurgeState,
    Softened,
    Unknown,
    Valid,
)
from proxy.redis_link import LinkState, RedisLink, RedisOptions
from proxy.rfc9111.reasons import Reason
from proxy.stores import CacheKey, Entry, Filled, Lease, MemoryStore, fill_lock
from proxy.stores.fill_lock import FillLocks
from proxy.stores.index import TagIndex
from proxy.stores.names import Names
from proxy.stores.redis import RedisStore, RedisStoreOptions
from proxy.stores.tiered import TieredStore
from tests.redis_server import (
    RedisServer,
    eventually,
    patient,
    start_cluster,
    start_redis,
    start_sentinel,
)
from tests.stores.conftest import NOW, Clock, make_entry

KEY = CacheKey("http://api/a")
GERMAN = (("accept-language", "de"),)
FRENCH = (("accept-language", "fr"),)
BORN = 7
LIMIT = 30.0
"""Seconds that anything may take on a loaded machine before a test gives up on it."""
SMALL = RedisStoreOptions(inline_size=1000, chunk_size=1000)


@dataclass
class Node:
    """One process's store."""

    link: RedisLink
    state: PurgeState
    memory: MemoryStore
    shared: RedisStore
    index: TagIndex
    store: TieredStore
    judged: list[tuple[int, str, Sequence[str]]] = field(default_factory=list)
    judgement: Judgement = field(default_factory=lambda: Valid(through=7))

    async def settle(self) -> None:
        await self.store.writes.drain(5.0)

    async def judge(self, born: int, url: str, scopes: Sequence[str]) -> Judgement:
        self.judged.append((born, url, scopes))
        return self.judgement


MakeNode = Callable[..., Node]


def seven_purges() -> PurgeState:
    """A state that has seen purges of no concern."""
    state = PurgeState()
    for number in range(1, 8):
        state.apply(Purge(number, ("tag:elsewhere",), Mode.HARD, at=NOW))
    return state


@asynccontextmanager
async def nodes_on(options: RedisOptions, memory_size: int = 1 << 20) -> AsyncIterator[MakeNode]:
    made: list[Node] = []

    def make(**settings: Any) -> Node:
        clock = Clock()
        link = RedisLink(options, lambda _: None)
        shared = RedisStore(link, clock, SMALL)
        state = seven_purges()
        memory = MemoryStore(memory_size, clock, state)
        index = TagIndex(link, clock)
        locks = FillLocks(link, **{"ttl": 600.0, "patience": 600.0, **settings})

        async def judge(born: int, url: str, scopes: Sequence[str]) -> Judgement:
            return await node.judge(born, url, scopes)

        store = TieredStore(memory, shared, judge, clock, index=index, locks=locks)
        node = Node(link, state, memory, shared, index, store)
        made.append(node)
        return node

    try:
        yield make
    finally:
        for node in made:
            await node.store.close()
            await node.link.close()


@pytest.fixture
async def make_node(redis_options: RedisOptions) -> AsyncIterator[MakeNode]:
    async with nodes_on(redis_options) as make:
        yield make


async def test_what_one_stores_the_other_finds_and_keeps_as_it_is(make_node: MakeNode) -> None:
    one, two = make_node(), make_node()
    entry = make_entry(b"x" * 2500, born=7, tags=("t",))
    assert await one.store.put(KEY, entry) is None
    await one.settle()
    assert list(await two.store.lookup(KEY)) == [entry]
    (promoted,) = await two.memory.lookup(KEY)
    assert promoted == entry
    assert promoted.response.born == 7
    assert promoted.response.freshness == entry.response.freshness
    assert two.judged[0][:2] == (7, KEY.url)
    assert {"*", f"url:{KEY.url}", "tag:t"} <= set(two.judged[0][2])
    commands = two.link.counts.commands
    await two.store.lookup(KEY)
    assert two.link.counts.commands == commands, "a hit in memory asks Redis nothing"
    assert (two.store.counts.shared, two.store.counts.memory) == (1, 1)
    assert two.store.lookup_now(KEY, counts=False)
    assert two.store.counts.memory == 1
    assert two.store.lookup_now(KEY)
    assert two.store.counts.memory == 2


async def test_memory_that_is_not_enough_is_completed_from_redis(make_node: MakeNode) -> None:
    one, two = make_node(), make_node()
    german, french = make_entry(b"de", variant=GERMAN), make_entry(b"fr", variant=FRENCH)
    newer = make_entry(b"de 2", variant=GERMAN, asked=NOW + 1)
    await two.store.put(KEY, german)
    await two.settle()
    await one.store.put(KEY, french)
    await one.store.put(KEY, newer)
    await one.settle()
    assert list(await two.store.lookup(KEY)) == [german]

    def has_french(entries: Sequence[Entry]) -> bool:
        return any(entry.response.variant == FRENCH for entry in entries)

    found = await two.store.lookup(KEY, has_french)
    assert {entry.body for entry in found} == {b"fr", b"de 2"}
    assert {entry.body for entry in await two.memory.lookup(KEY)} == {b"fr", b"de 2"}


@pytest.mark.parametrize(
    ("judgement", "found"), [(Valid(7), 1), (Softened(NOW, 7), 1), (Invalid(), 0)], ids=repr
)
async def test_the_purge_log_is_asked_before_use(
    make_node: MakeNode, judgement: Judgement, found: int
) -> None:
    one, two = make_node(), make_node()
    await one.store.put(KEY, make_entry())
    await one.settle()
    two.judgement = judgement
    assert len(await two.store.lookup(KEY)) == found
    assert len(await two.memory.lookup(KEY)) == found
    await two.settle()
    assert len(await two.shared.lookup(KEY)) == found
    assert two.store.counts.purged == 1 - found


async def test_what_cannot_be_judged_now_is_neither_used_nor_taken_from_the_others(
    make_node: MakeNode,
) -> None:
    one, two = make_node(), make_node()
    await one.store.put(KEY, make_entry(tags=("t",)))
    await one.settle()
    two.judgement = Unknown()
    assert list(await two.store.lookup(KEY)) == []
    assert await reclaimed(two, "t") == 0
    await two.settle()
    assert len(await one.shared.lookup(KEY)) == 1
    assert two.store.counts.purged == 0


async def test_what_a_soft_purge_made_stale_is_stale_in_memory_too(make_node: MakeNode) -> None:
    one, two = make_node(), make_node()
    await one.store.put(KEY, make_entry(lifetime=60))
    await one.settle()
    two.judgement = Softened(NOW + 5, through=7)  # by a clock that is ahead
    (found,) = await two.store.lookup(KEY)
    assert found.response.freshness.lifetime == 0
    (kept,) = await two.memory.lookup(KEY)
    assert kept.response.freshness.lifetime == 0
    await two.store.remove(KEY, found)
    await two.settle()
    assert list(await one.shared.lookup(KEY)) == [], "made stale, it is still that entry"


@pytest.mark.parametrize("room", [1 << 20, 10], ids=["kept in memory", "too large for memory"])
async def test_a_purge_while_redis_is_asked_is_not_missed(
    redis_options: RedisOptions, room: int
) -> None:
    """The log says valid, then the purge comes before memory has the entry."""
    async with nodes_on(redis_options, memory_size=room) as make_node:
        one, two = make_node(), make_node()
        await one.store.put(KEY, make_entry())
        await one.settle()
        asked = 0

        async def judge(_born: int, _url: str, _scopes: Sequence[str]) -> Judgement:
            nonlocal asked
            asked += 1
            if asked > 1:
                return Invalid()
            two.state.apply(Purge(8, ("*",), Mode.HARD, at=NOW))
            return Valid(through=7)

        two.judge = judge  # type: ignore[assignment, method-assign]
        assert list(await two.store.lookup(KEY)) == []


async def test_many_who_miss_at_once_read_once(make_node: MakeNode) -> None:
    one, two = make_node(), make_node()
    await one.store.put(KEY, make_entry())
    await one.settle()
    tasks = [asyncio.create_task(two.store.lookup(KEY)) for _ in range(100)]
    await asyncio.sleep(0)
    for task in tasks[1:50]:
        task.cancel()
    found = await asyncio.gather(tasks[0], *tasks[50:])
    assert all(len(entries) == 1 for entries in found)
    assert two.link.counts.commands == 1


async def test_where_the_one_that_reads_is_cancelled_the_next_one_does(make_node: MakeNode) -> None:
    one, two = make_node(), make_node()
    await one.store.put(KEY, make_entry())
    await one.settle()
    tasks = [asyncio.create_task(two.store.lookup(KEY)) for _ in range(100)]
    await asyncio.sleep(0)
    for task in tasks[:50]:
        task.cancel()
    found = await asyncio.gather(*tasks[50:])
    assert all(len(entries) == 1 for entries in found)
    assert two.link.counts.commands <= 2


async def test_where_redis_fails_one_it_fails_all_that_wait_with_it() -> None:
    async with (
        start_redis() as server,
        nodes_on(RedisOptions.from_url(server.url, failures=1000)) as make_node,
    ):
        one = make_node()
        server.kill()
        found = await asyncio.gather(*(one.store.lookup(KEY) for _ in range(20)))
        assert all(list(entries) == [] for entries in found)
        assert one.store.counts.helpless == 20
        assert one.link.counts.commands == 1


async def test_what_was_removed_is_not_found_again_while_redis_still_has_it(
    make_node: MakeNode,
) -> None:
    one, two = make_node(), make_node()
    entry = make_entry()
    await one.store.put(KEY, entry)
    await one.settle()
    await one.store.remove(KEY, entry)
    await one.settle()
    assert list(await one.shared.lookup(KEY)) == []
    await two.shared.put(KEY, entry)  # as if the removal were still on its way
    assert list(await one.shared.lookup(KEY)) == [entry]
    assert list(await one.store.lookup(KEY)) == []
    await one.store.put(KEY, entry)
    await one.settle()
    assert list(await one.shared.lookup(KEY)) == [entry]


async def test_what_is_on_its_way_to_redis_is_found(redis_options: RedisOptions) -> None:
    """Also where memory could not keep it."""
    async with nodes_on(redis_options, memory_size=10) as make_node:
        one = make_node()
        entry = make_entry()
        assert await one.store.put(KEY, entry) is None
        assert list(await one.store.lookup(KEY)) == [entry]
        await one.settle()
        assert list(await one.store.lookup(KEY)) == [entry]


async def test_a_refresh_takes_what_it_replaces(make_node: MakeNode) -> None:
    one = make_node()
    old, new = make_entry(b"old", variant=GERMAN), make_entry(b"new", variant=FRENCH)
    await one.store.put(KEY, old)
    await one.settle()
    await one.store.put(KEY, new, replaces=old)
    await one.settle()
    assert list(await one.shared.lookup(KEY)) == [new]
    assert await one.store.put(KEY, make_entry(asked=NOW - 9, variant=FRENCH)) is Reason.OUTDATED


async def test_tags_are_counted_and_forget_by_themselves(make_node: MakeNode) -> None:
    one = make_node()
    tenant = CacheKey(KEY.url, "x-tenant=a")
    await one.store.put(KEY, make_entry(tags=("product", "product:1")))
    await one.store.put(tenant, make_entry(tags=("product",), lifetime=600))
    await one.settle()
    index = one.index
    assert (await index.count("product"), await index.count("product:1")) == (2, 1)
    assert await index.count("product:10") == 0
    assert await index.members("product", limit=10) == [KEY, tenant]
    assert await index.members("product", limit=1, offset=1) == [tenant]
    assert set(await index.tags(limit=10)) == {"product", "product:1"}
    assert await index.variants_of(KEY.url, limit=10) == [KEY, tenant]
    clock = Clock()
    clock.now = NOW + 61
    later = TagIndex(one.link, clock)
    assert (await later.count("product"), await later.count("product:1")) == (1, 0)
    assert list(await later.tags(limit=10)) == ["product"]


async def test_memory_of_what_was_purged_is_reclaimed(make_node: MakeNode) -> None:
    one = make_node()
    for number in range(300):
        key = CacheKey(f"http://api/{number}")
        await one.store.put(key, make_entry(tags=("t", "other"), born=number % 2))
        await one.store.put(key, make_entry(tags=("t",), born=1, variant=GERMAN))
    await one.store.put(KEY, make_entry(tags=("t",), born=0))
    await one.settle()
    assert await one.index.count("t") == 301

    async def judge(born: int, _url: str, _scopes: Sequence[str]) -> Judgement:
        return Valid(7) if born else Invalid()

    one.judge = judge  # type: ignore[assignment, method-assign]
    assert await reclaimed(one, "t") == 151
    assert await one.index.count("t") == 300
    assert len(await one.shared.lookup(CacheKey("http://api/0"))) == 1
    assert len(await one.shared.lookup(CacheKey("http://api/1"))) == 2
    assert await one.shared.lookup(KEY) == []


class TestFills:
    async def test_one_fetches_and_the_others_get_what_it_stored(self, make_node: MakeNode) -> None:
        nodes = [make_node() for _ in range(4)]
        entry = make_entry(b"filled")
        fetches = 0

        async def request(node: Node) -> Sequence[Entry]:
            nonlocal fetches
            begun = await node.store.begin_fill(KEY, BORN)
            if not isinstance(begun, Lease):
                return begun
            fetches += 1
            await asyncio.sleep(0.3)
            await node.store.put(KEY, entry)
            node.store.end_fill(begun, Filled.STORED)
            return [entry]

        found = await asyncio.gather(*(request(node) for node in nodes))
        assert fetches == 1
        assert all(list(entries) == [entry] for entries in found)

    async def test_who_waits_is_woken(
        self, make_node: MakeNode, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody looks of himself here, so that only the message can have woken them."""
        monkeypatch.setattr(fill_lock, "_FIRST_POLL", 600.0)
        one, *others = [make_node() for _ in range(4)]
        lease = await leased(one)
        waiting = [asyncio.create_task(node.store.begin_fill(KEY, BORN)) for node in others]
        async with redis_server.client() as raw:
            name = Names(one.link.options.prefix).lock(KEY)

            async def all_listen() -> bool:
                ((_, listeners),) = await raw.pubsub_numsub(name)
                return bool(listeners == len(others))

            await eventually(all_listen, "the fill is not listened for")
        entry = make_entry(b"filled")
        await one.store.put(KEY, entry)
        one.store.end_fill(lease, Filled.STORED)
        async with asyncio.timeout(LIMIT):
            assert await asyncio.gather(*waiting) == [[entry]] * len(others)

    async def test_who_hears_nothing_looks(
        self, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deafen(monkeypatch)
        one, two = make_node(), make_node()
        lease = await leased(one)
        waiting = asyncio.create_task(two.store.begin_fill(KEY, BORN))
        await looked(two, 2)
        entry = make_entry(b"filled")
        await one.store.put(KEY, entry)
        one.store.end_fill(lease, Filled.STORED)
        async with asyncio.timeout(LIMIT):
            assert await waiting == [entry]

    @pytest.mark.parametrize("deaf", [False, True], ids=["told", "by looking"])
    async def test_a_crowd_goes_on_at_once_where_nothing_may_be_shared(
        self,
        make_node: MakeNode,
        monkeypatch: pytest.MonkeyPatch,
        deaf: bool,  # noqa: FBT001 - a case
    ) -> None:
        """All of them before one has ended its own fill; and who comes now, too."""
        if deaf:
            deafen(monkeypatch)
        one, *others = [make_node() for _ in range(5)]
        lease = await leased(one)
        waiting = [
            asyncio.create_task(node.store.begin_fill(KEY, BORN))
            for node in others
            for _ in range(5)
        ]
        await asyncio.gather(*(looked(node, 6) for node in others))
        one.store.end_fill(lease, Filled.UNSTORABLE)
        async with asyncio.timeout(LIMIT):
            assert await asyncio.gather(*waiting) == [Lease(KEY, alone=True)] * 20

    async def test_a_mark_that_nothing_may_be_shared_lasts_for_a_moment(
        self, make_node: MakeNode, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert fill_lock._MARK_TTL <= 1.0
        monkeypatch.setattr(fill_lock, "_MARK_TTL", LIMIT)  # this machine may take longer
        one, two = make_node(), make_node()
        one.store.end_fill(await leased(one), Filled.UNSTORABLE)
        await one.settle()
        name = Names(one.link.options.prefix).lock(KEY)
        async with redis_server.client() as raw:
            assert 0 < await raw.pttl(name) <= 1000 * LIMIT
            for born in (BORN, BORN - 1):
                assert await two.store.begin_fill(KEY, born) == Lease(KEY, alone=True)
            lease = await leased(two, BORN + 1)
            assert lease.token, "a purge may have changed that"
            assert await raw.pttl(name) > 1000 * LIMIT

    async def test_after_a_failure_they_take_turns(self, make_node: MakeNode) -> None:
        nodes = [make_node() for _ in range(4)]
        waiting = {asyncio.create_task(node.store.begin_fill(KEY, BORN)): node for node in nodes}
        for _ in nodes:
            async with asyncio.timeout(LIMIT):
                done, _ = await asyncio.wait(waiting, return_when="FIRST_COMPLETED")
            (turn,) = done
            node, lease = waiting.pop(turn), turn.result()
            await asyncio.gather(*(looked(other) for other in waiting.values()))
            assert not any(task.done() for task in waiting), "the others wait for this one now"
            assert isinstance(lease, Lease)
            assert lease.token
            node.store.end_fill(lease, Filled.FAILED)

    async def test_who_asks_after_a_purge_does_not_wait_for_a_fill_from_before(
        self, make_node: MakeNode, redis_server: RedisServer
    ) -> None:
        old, new, other = [make_node() for _ in range(3)]
        before, after = await leased(old), await leased(new, BORN + 1)
        assert before.token
        assert after.token
        assert new.link.counts.commands == 1, "it did not wait at all"
        old.store.end_fill(before, Filled.FAILED)
        await old.settle()
        async with redis_server.client() as raw:
            name = Names(old.link.options.prefix).lock(KEY)
            assert await raw.get(name) == after.token.encode(), "not the old one's any more"
            assert await raw.pttl(name) > 0
        waiting = [
            asyncio.create_task(other.store.begin_fill(KEY, born)) for born in (BORN, BORN + 1)
        ]
        await looked(other, 2)
        entry = make_entry(b"filled")
        await new.store.put(KEY, entry)
        new.store.end_fill(after, Filled.STORED)
        async with asyncio.timeout(LIMIT):
            assert await asyncio.gather(*waiting) == [[entry]] * 2

    async def test_who_waits_for_a_fill_from_before_a_purge_takes_it_over(
        self, make_node: MakeNode, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lock changes hands between two looks."""
        deafen(monkeypatch)
        one, two = make_node(), make_node()
        await leased(one, BORN + 1)
        waiting = asyncio.create_task(two.store.begin_fill(KEY, BORN + 1))
        await looked(two, 2)
        async with redis_server.client() as raw:
            name = Names(one.link.options.prefix).lock(KEY)
            await raw.set(name, f"{BORN}:another", px=600_000)
        async with asyncio.timeout(LIMIT):
            lease = await waiting
        assert isinstance(lease, Lease)
        assert lease.token

    @pytest.mark.parametrize("foreign", ["a word", "a list"])
    async def test_a_foreign_value_is_no_lock(
        self, make_node: MakeNode, redis_server: RedisServer, foreign: str
    ) -> None:
        one = make_node()
        name = Names(one.link.options.prefix).lock(KEY)
        async with redis_server.client() as raw:
            await (raw.set(name, "x") if foreign == "a word" else raw.rpush(name, "x"))
            assert (await leased(one)).token
            assert await raw.pttl(name) > 0

    async def test_nobody_waits_for_long_behind_one_that_is_silent(
        self, make_node: MakeNode
    ) -> None:
        clock = Clock()
        one, two = make_node(), make_node(patience=3.0, clock=clock)
        await leased(one)
        waiting = asyncio.create_task(two.store.begin_fill(KEY, BORN))
        await looked(two, 2)
        clock.now += 2.9
        await looked(two, 2)
        assert not waiting.done()
        clock.now += 0.1
        asked = two.link.counts.commands
        async with asyncio.timeout(LIMIT):
            assert await waiting == Lease(KEY)
        assert two.link.counts.commands <= asked + 1, "the look that was due"

    async def test_who_waits_looks_at_ever_longer_intervals(self, make_node: MakeNode) -> None:
        one, two = make_node(), make_node(patience=0.3)
        await leased(one)
        async with asyncio.timeout(LIMIT):
            assert await two.store.begin_fill(KEY, BORN) == Lease(KEY)
        assert two.link.counts.commands <= 5, "taken in vain, then looked at"

    async def test_one_takes_over_from_one_that_died(self, make_node: MakeNode) -> None:
        dead, *others = make_node(ttl=0.3), make_node(), make_node()
        await leased(dead)
        tasks = [asyncio.create_task(node.store.begin_fill(KEY, BORN)) for node in others]
        done, pending = await asyncio.wait(tasks, timeout=LIMIT, return_when="FIRST_COMPLETED")
        (lease,) = (task.result() for task in done)
        assert isinstance(lease, Lease)
        assert lease.token
        assert len(pending) == 1, "the other waits for the new one"
        entry = make_entry()
        leader = others[tasks.index(next(iter(done)))]
        await leader.store.put(KEY, entry)
        leader.store.end_fill(lease, Filled.STORED)
        async with asyncio.timeout(LIMIT):
            assert await pending.pop() == [entry]

    async def test_a_lease_right_after_a_fill_looks_first(self, make_node: MakeNode) -> None:
        one, two = make_node(), make_node()
        entry = make_entry()
        await one.store.put(KEY, entry)
        await one.settle()
        assert await two.store.begin_fill(KEY, BORN) == [entry]
        await two.settle()
        again = await two.store.begin_fill(KEY, BORN, lambda _: False)
        assert isinstance(again, Lease)
        assert again.token, "the first lease was given back"

    async def test_without_redis_everybody_fetches(self) -> None:
        async with start_redis() as server:
            server.kill()
            async with nodes_on(patient(server.url)) as make_node:
                one = make_node()
                for _ in range(10):
                    assert await one.store.begin_fill(KEY, BORN) == Lease(KEY)

    async def test_who_leaves_while_taking_the_lease_does_not_keep_it(
        self, make_node: MakeNode
    ) -> None:
        one, two = make_node(), make_node()
        await two.store.lookup(KEY)
        task = asyncio.create_task(one.store.begin_fill(KEY, BORN))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(LIMIT):
            assert isinstance(await two.store.begin_fill(KEY, BORN), Lease)


class TestTroubles:
    async def test_without_redis_memory_goes_on(self) -> None:
        async with (
            start_redis() as server,
            nodes_on(patient(server.url)) as make_node,
        ):
            one = make_node()
            server.kill()
            for number in range(50):
                key = CacheKey(f"http://api/{number}")
                assert list(await one.store.lookup(key)) == []
                assert await one.store.put(key, make_entry()) is None
                assert len(await one.store.lookup(key)) == 1
            assert one.store.counts.helpless == 50
            assert one.store.writes.counts.dropped > 40
            await server.start()
            await up(one)
            await one.store.put(KEY, make_entry())
            await one.settle()
            assert len(await one.shared.lookup(KEY)) == 1

    async def test_a_frozen_redis_does_not_show_in_hits_from_memory(self) -> None:
        async with (
            start_redis() as server,
            nodes_on(RedisOptions.from_url(server.url)) as make_node,
        ):
            one = make_node()
            await one.store.put(KEY, make_entry())
            await one.settle()
            before = await hits(one)
            server.freeze()
            misses = [asyncio.create_task(miss(one, number)) for number in range(20)]
            during = await hits(one)
            await asyncio.gather(*misses)
            assert percentile(during) < 5 * percentile(before) + 0.002
            server.thaw()
            await up(one)

    async def test_a_full_redis_costs_nothing_but_its_share(self) -> None:
        async with (
            start_redis() as server,
            server.client() as raw,
            nodes_on(patient(server.url)) as make_node,
        ):
            one, two = make_node(), make_node()
            await one.store.put(KEY, make_entry())
            await one.settle()
            await raw.config_set("maxmemory", 1)
            for number in range(20):
                await one.store.put(CacheKey(f"http://api/{number}"), make_entry())
                await one.settle()
            assert one.store.writes.counts.failed == 1
            assert one.store.writes.counts.dropped == 19
            assert len(await two.store.lookup(KEY)) == 1, "what is there is still read"

    async def test_a_slow_redis_slows_no_writer_and_its_queue_is_bounded(self) -> None:
        """Nobody waits, or this test would wait for longer than its limit."""
        async with (
            start_redis() as server,
            nodes_on(
                patient(server.url, timeout=2 * LIMIT, background_timeout=2 * LIMIT)
            ) as make_node,
        ):
            one = make_node()
            store = TieredStore(
                one.memory, one.shared, one.judge, Clock(), queue_keys=10, queue_size=1 << 20
            )
            await store.put(KEY, make_entry())
            await store.writes.drain(LIMIT)
            server.freeze()
            async with asyncio.timeout(LIMIT):
                for number in range(100):
                    await store.put(CacheKey(f"http://api/{number}"), make_entry())
            assert len(store.writes) <= 10 + 4
            assert store.writes.counts.dropped >= 86
            server.kill()
            await store.close()


class TestModes:
    async def test_a_sentinel_failover_costs_misses_only(self) -> None:
        async with (
            start_sentinel() as watched,
            nodes_on(patient(watched.url)) as make_node,
        ):
            one, two = make_node(), make_node()
            await one.store.put(KEY, make_entry(bytes(2500)))
            await one.settle()
            assert len(await two.shared.lookup(KEY)) == 1
            await replicated(watched.replica, 4)
            watched.primary.kill()
            for _ in range(10):
                await one.store.lookup(CacheKey("http://api/other"))
            assert len(await one.store.lookup(KEY)) == 1
            assert one.link.state is LinkState.DOWN
            await watched.promoted(watched.replica)
            await up(one)
            assert [len(e.body) for e in await one.shared.lookup(KEY)] == [2500]
            await one.store.put(CacheKey("http://api/b"), make_entry())
            await one.settle()
            assert one.store.writes.counts.failed == 0

    async def test_a_cluster_holds_everything_and_loses_only_what_one_node_held(self) -> None:
        async with (
            start_cluster() as cluster,
            nodes_on(patient(cluster.url)) as make_node,
            nodes_on(RedisOptions.from_url(cluster.url, timeout=3.0)) as make_hurried,
        ):
            one, two = make_node(), make_node()
            keys = [CacheKey(f"http://api/{number}", "x" * (number % 2)) for number in range(30)]
            for key in keys:
                await one.store.put(key, make_entry(bytes(2500), tags=("a", key.url)))
            await one.settle()
            assert one.store.writes.counts.failed == 0
            assert await one.index.count("a") == 30
            assert all([len(await two.store.lookup(key)) == 1 for key in keys])
            await TestFills().test_one_fetches_and_the_others_get_what_it_stored(make_node)
            cluster.nodes[0].freeze()
            three = make_hurried()
            await three.store.lookup(keys[0])
            for _ in range(6):
                await asyncio.gather(*(three.store.lookup(key) for key in keys))
            in_vain = three.link.counts.failures
            found = [len(await three.store.lookup(key)) for key in keys]
            assert 10 <= sum(found) <= 29, "the other nodes still answer"
            assert three.link.counts.failures == in_vain, "and nobody waits for the frozen one"
            cluster.nodes[0].thaw()
            await up(three)
            assert all([len(await three.store.lookup(key)) == 1 for key in keys])


async def leased(node: Node, born: int = BORN) -> Lease:
    lease = await node.store.begin_fill(KEY, born)
    assert isinstance(lease, Lease)
    return lease


def deafen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody hear of the end of a fill."""

    async def hear_nothing(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(fill_lock._Ears, "_listen", hear_nothing)


async def looked(node: Node, times: int = 1) -> None:
    """Wait until it has asked Redis so many times more: who waits, looks."""
    goal = node.link.counts.commands + times

    async def has_looked() -> bool:
        return node.link.counts.commands >= goal

    await eventually(has_looked, "nobody looks")


async def reclaimed(node: Node, tag: str) -> int:
    return sum([dropped async for dropped in node.store.reclaim(tag)])


async def up(node: Node) -> None:
    async def reached() -> bool:
        return node.link.state is LinkState.UP

    await eventually(reached, "Redis was not found again")


async def replicated(server: RedisServer, count: int) -> None:
    async with server.client() as raw:

        async def all_there() -> bool:
            return bool(await raw.dbsize() >= count)

        await eventually(all_there, "not replicated")


async def miss(node: Node, number: int) -> None:
    await node.store.lookup(CacheKey(f"http://api/missing/{number}"))


async def hits(node: Node) -> list[float]:
    times = []
    for _ in range(2000):
        started = time.perf_counter()
        await node.store.lookup(KEY)
        times.append(time.perf_counter() - started)
        await asyncio.sleep(0)
    return times


def percentile(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]
