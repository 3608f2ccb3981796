"""The memory store against a model: whatever is done to it, its books say what it holds."""

from collections import Counter
from collections.abc import Coroutine
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from proxy.purging import MemoryPurgeLog, Mode, tag_scope, url_scope
from proxy.rfc9111.reasons import Reason
from proxy.stores import CacheKey, Entry, MemoryStore, memory
from proxy.stores.expiry import STEP
from tests.stores.conftest import Clock, make_entry
from tests.stores.test_expiry import all_noted

T = TypeVar("T")

MOST_VARIANTS, MOST_ENTRIES = 3, 5
TAGS = [(), ("a",), ("a", "b"), ("b", "c")]
PLACES = st.builds(
    CacheKey,
    st.sampled_from([f"http://api/{name}" for name in ("x", "y", "z" * 500)]),
    st.sampled_from(["", "tenant: a", "tenant: b", "tenant: " + "c" * 800]),
)


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of what never waits."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    result: T = ended.value.value
    return result


class Model(RuleBasedStateMachine):
    """What must be held, as long as nobody had to leave to make room."""

    @initialize(entries=st.integers(2, 12))
    def start(self, entries: int) -> None:
        self.clock = Clock()
        self.log = MemoryPurgeLog(self.clock)
        self.store = MemoryStore(entries * make_entry().size, self.clock, self.log.state)
        self.held: dict[CacheKey, list[Entry]] = {}
        self.came: dict[bytes, float] = {}
        self.softened: set[bytes] = set()
        self.numbers = count()

    @property
    def size(self) -> int:
        return sum(cost(key, entry) for key, entry in self.pairs())

    def pairs(self) -> list[tuple[CacheKey, Entry]]:
        return [(key, entry) for key, held in self.held.items() for entry in held]

    def keep(self, key: CacheKey, entries: list[Entry]) -> None:
        self.held.pop(key, None)
        if entries:
            self.held[key] = entries

    @rule(
        key=PLACES,
        variant=st.sampled_from([None, *"12345"]),
        body=st.sampled_from([0, 10, 3000]),
        tags=st.sampled_from(TAGS),
        lifetime=st.integers(0, 100),
        replaces=st.booleans(),
    )
    def put(
        self,
        key: CacheKey,
        variant: str | None,
        body: int,
        tags: tuple[str, ...],
        lifetime: int,
        *,
        replaces: bool,
    ) -> None:
        selector = () if variant is None else (("v", variant * 50),)
        entry = make_entry(
            b"%d" % next(self.numbers) + bytes(body),
            variant=selector,
            tags=tags,
            lifetime=lifetime,
            born=self.log.state.position,
        )
        self.came[entry.body] = self.clock.now
        held = self.held.get(key, [])
        old = held[0] if held and replaces else None
        kept = [one for one in held if one is not old]
        outcome = at_once(self.store.put(key, entry, replaces=old))
        if cost(key, entry) > self.store.max_size:
            assert outcome is Reason.TOO_LARGE
            self.keep(key, kept)
            return
        assert outcome is None
        kept = [one for one in kept if one.response.variant != selector]
        crowded = len(kept) == MOST_VARIANTS
        self.keep(key, [*kept[crowded:], entry])
        same_url = [one for at, one in self.pairs() if at.url == key.url]
        assert bodies(self.found(key))[-1] == entry.body
        if self.size > self.store.max_size or len(same_url) > MOST_ENTRIES:
            self.learn_who_left()

    @rule(key=PLACES)
    def look_up(self, key: CacheKey) -> None:
        assert bodies([one.entry for one in self.store.lookup_now(key)]) == bodies(
            self.held.get(key, [])
        )

    @rule(key=PLACES)
    def remove(self, key: CacheKey) -> None:
        for entry in self.found(key)[:1]:
            at_once(self.store.remove(key, entry))
            self.keep(key, self.held[key][1:])

    @rule(tag=st.sampled_from("abc"))
    def purge_a_tag(self, tag: str) -> None:
        at_once(self.log.append([tag_scope(tag)], Mode.HARD))
        for key, held in list(self.held.items()):
            self.keep(key, [one for one in held if tag not in one.response.tags])

    @rule(key=PLACES)
    def purge_a_url(self, key: CacheKey) -> None:
        at_once(self.log.append([url_scope(key.url)], Mode.HARD))
        for at in [at for at in self.held if at.url == key.url]:
            self.keep(at, [])

    @rule(key=PLACES)
    def soften_a_url(self, key: CacheKey) -> None:
        at_once(self.log.append([url_scope(key.url)], Mode.SOFT))
        self.softened.update(one.body for at, one in self.pairs() if at.url == key.url)

    @rule()
    def reclaim(self) -> None:
        for _ in self.store.reclaim(None):
            pass

    @rule(seconds=st.integers(0, 60))
    def sweep(self, seconds: int) -> None:
        self.clock.now += seconds
        self.reclaim()
        for _ in self.store.sweep():
            pass
        before, self.held = self.pairs(), {}
        for key, entry in before:
            found = entry.body in bodies(self.found(key))
            if found:
                self.held.setdefault(key, []).append(entry)
            useless_since = max(entry.useless_after, self.came[entry.body])
            assert not found or useless_since > self.clock.now - STEP
            assert found or entry.useless_after <= self.clock.now or entry.body in self.softened

    @rule(entries=st.integers(0, 12))
    def resize(self, entries: int) -> None:
        self.store.resize(entries * make_entry().size)
        if self.size > self.store.max_size:
            self.reclaim()
            self.learn_who_left()

    def found(self, key: CacheKey) -> list[Entry]:
        """What is held, without a use."""
        self.store.variants(key.url)
        resource = self.store._resources.get(key.url)
        return [] if resource is None else [one.entry for one in resource.under(key.extra)]

    def learn_who_left(self) -> None:
        for key, held in list(self.held.items()):
            there = bodies(self.found(key))
            assert there == [one.body for one in held if one.body in there], "the order is kept"
            self.keep(key, [one for one in held if one.body in there])

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "store"):
            return
        self.reclaim()
        store = self.store
        assert {key: bodies(self.found(key)) for key in self.held} == {
            key: bodies(held) for key, held in self.held.items()
        }
        assert store.size == self.size <= store.max_size
        assert len(store) == len(self.pairs())
        urls = Counter(key.url for key, _ in self.pairs())
        assert sorted(store.urls()) == sorted(urls)
        assert all(number <= MOST_ENTRIES for number in urls.values())
        assert all(len(held) <= MOST_VARIANTS for held in self.held.values())
        carried = {(tag, key.url) for key, one in self.pairs() for tag in one.response.tags}
        assert store.tags() == Counter(tag for tag, _ in carried)
        assert all(set(store.urls(tag)) == {u for t, u in carried if t == tag} for tag in "abc")
        assert len(all_noted(store._expiry)) == len(urls)
        assert len(store._order) == len(urls)


def bodies(entries: list[Entry]) -> list[bytes]:
    return [entry.body for entry in entries]


def cost(key: CacheKey, entry: Entry) -> int:
    return entry.size + len(key.url) + len(key.extra)


@pytest.fixture(autouse=True)
def _narrow_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MOST_VARIANTS", MOST_VARIANTS)
    monkeypatch.setattr(memory, "_MOST_ENTRIES", MOST_ENTRIES)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
