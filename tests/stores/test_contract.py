"""What every store promises; each store's fixture runs through all of it.

Forgetting by URL or group is asked of the store in memory only: Redis leaves it to the purge log.
"""

from proxy.rfc9111.reasons import Reason
from proxy.stores import CacheKey
from tests.stores.conftest import NOW, Keeps, make_entry

KEY = CacheKey("http://api/a")
GERMAN = (("accept-language", "de"),)
FRENCH = (("accept-language", "fr"),)


async def test_an_unknown_key_has_no_entries(store: Keeps) -> None:
    assert list(await store.lookup(KEY)) == []


async def test_what_is_put_is_found_exactly(store: Keeps) -> None:
    entry = make_entry(b"\x00\xff", headers={"X-Name": "v\xe9"})
    assert await store.put(KEY, entry) is None
    assert list(await store.lookup(KEY)) == [entry]


async def test_variants_live_side_by_side_oldest_first(store: Keeps) -> None:
    german, french = make_entry(b"de", variant=GERMAN), make_entry(b"fr", variant=FRENCH)
    await store.put(KEY, german)
    await store.put(KEY, french)
    assert list(await store.lookup(KEY)) == [german, french]


async def test_the_same_variant_is_renewed(store: Keeps) -> None:
    await store.put(KEY, make_entry(b"old", variant=GERMAN))
    renewed = make_entry(b"new", variant=GERMAN)
    await store.put(KEY, renewed)
    assert list(await store.lookup(KEY)) == [renewed]


async def test_a_response_without_vary_is_a_variant_of_its_own(store: Keeps) -> None:
    german, plain = make_entry(b"de", variant=GERMAN), make_entry(b"for all")
    await store.put(KEY, german)
    await store.put(KEY, plain)
    assert list(await store.lookup(KEY)) == [german, plain]


async def test_extra_key_parts_keep_entries_apart(store: Keeps) -> None:
    tenant = CacheKey(KEY.url, "x-tenant=a")
    await store.put(KEY, make_entry(b"plain"))
    await store.put(tenant, make_entry(b"tenant"))
    assert [entry.body for entry in await store.lookup(KEY)] == [b"plain"]
    assert [entry.body for entry in await store.lookup(tenant)] == [b"tenant"]


async def test_remove_drops_only_this_very_entry(store: Keeps) -> None:
    german, french = make_entry(b"de", variant=GERMAN), make_entry(b"fr", variant=FRENCH)
    await store.put(KEY, german)
    await store.put(KEY, french)
    await store.remove(KEY, german)
    assert list(await store.lookup(KEY)) == [french]
    await store.remove(KEY, german)
    await store.remove(CacheKey("http://api/unknown"), german)
    assert list(await store.lookup(KEY)) == [french]


async def test_the_answer_that_was_asked_for_last_stays_whichever_comes_last(store: Keeps) -> None:
    newer, older = make_entry(b"newer", asked=NOW + 5), make_entry(b"older", asked=NOW)
    await store.put(KEY, newer)
    assert await store.put(KEY, older) is Reason.OUTDATED
    assert list(await store.lookup(KEY)) == [newer]
    assert await store.put(KEY, make_entry(b"other", variant=GERMAN)) is None


async def test_what_an_entry_replaces_goes_whatever_its_variant(store: Keeps) -> None:
    plain, french = make_entry(b"plain"), make_entry(b"fr", variant=FRENCH)
    german = make_entry(b"de", variant=GERMAN)
    await store.put(KEY, plain)
    await store.put(KEY, french)
    assert await store.put(KEY, german, replaces=plain) is None
    assert list(await store.lookup(KEY)) == [french, german]


async def test_a_clock_that_steps_back_does_not_keep_what_is_to_be_replaced(store: Keeps) -> None:
    old = make_entry(b"old", asked=NOW + 3600)
    new = make_entry(b"new", asked=NOW)
    await store.put(KEY, old)
    assert await store.put(KEY, new, replaces=old) is None
    assert list(await store.lookup(KEY)) == [new]


async def test_what_was_looked_up_does_not_change_afterwards(store: Keeps) -> None:
    entry = make_entry()
    await store.put(KEY, entry)
    found = await store.lookup(KEY)
    await store.put(KEY, make_entry(b"other", variant=GERMAN))
    await store.remove(KEY, entry)
    assert list(found) == [entry]
