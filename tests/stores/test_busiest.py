"""The URLs that are asked for most, whatever else is stored."""

from proxy.purging import PurgeState
from proxy.stores import CacheKey, MemoryStore
from proxy.stores.busiest import Busiest
from tests.stores.conftest import Clock, make_entry


async def filled(clock: Clock, number: int) -> MemoryStore:
    store = MemoryStore(1 << 30, clock, PurgeState())
    for one in range(number):
        await store.put(CacheKey(f"http://api/{one}"), make_entry())
    return store


def ask(store: MemoryStore, number: int, times: int) -> None:
    for _ in range(times):
        store.lookup_now(CacheKey(f"http://api/{number}"))


async def test_the_busiest_come_first_and_the_idle_not_at_all(clock: Clock) -> None:
    store = await filled(clock, 5)
    ask(store, 3, 7)
    ask(store, 1, 9)
    ask(store, 4, 1)
    busiest = Busiest(store)
    found = busiest.look(5)
    assert [(one.url, one.hits) for one in found] == [
        ("http://api/1", 9),
        ("http://api/3", 7),
        ("http://api/4", 1),
    ]
    assert [one.url for one in busiest.look(1)] == ["http://api/1"]
    assert found[0].size == make_entry().size


async def test_a_pass_finds_all_and_each_look_is_bounded(clock: Clock) -> None:
    store = await filled(clock, 2500)
    ask(store, 2400, 3)
    busiest = Busiest(store)
    looks = 0
    while not busiest.look(1):
        looks += 1
    assert looks == 2
    ask(store, 2400, 4)
    assert busiest.look(1)[0].hits == 7  # at once, wherever the pass is


async def test_what_has_left_is_forgotten(clock: Clock) -> None:
    store = await filled(clock, 2)
    ask(store, 0, 2)
    busiest = Busiest(store)
    assert busiest.look(2)
    store.resize(0)
    assert not busiest.look(2)
