"""S3-FIFO by itself: who leaves, in which order, after how many steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores import eviction
from proxy.stores.eviction import MOST_USES, S3Fifo, Unit


class Cache:
    """As a store uses it: room is made before a unit comes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.order: S3Fifo[int] = S3Fifo()
        self.held: dict[int, Unit[int]] = {}
        self.left: list[int] = []

    def ask(self, *names: int, size: int = 1) -> int:
        """How many of them were there."""
        return sum(self._ask(name, size) for name in names)

    def _ask(self, name: int, size: int) -> bool:
        unit = self.held.get(name)
        if unit is not None:
            unit.uses = min(MOST_USES, unit.uses + 1)
            return True
        while self.order.size + size > self.room:
            self.evict()
        unit = self.held[name] = Unit(name, size)
        self.order.add(unit)
        return False

    def evict(self, sparing: int | None = None) -> None:
        leaving = self.order.evict(None if sparing is None else self.held[sparing])
        assert leaving is not None
        del self.held[leaving.name]
        self.left.append(leaving.name)


def test_what_is_not_used_leaves_in_the_order_in_which_it_came() -> None:
    cache = Cache(10)
    cache.ask(*range(15))
    assert cache.left == [0, 1, 2, 3, 4]


def test_what_was_used_stays_when_its_turn_has_come() -> None:
    cache = Cache(10)
    cache.ask(*range(10), 0, 2)
    cache.ask(*range(10, 20))
    assert {0, 2} <= cache.held.keys()


def test_a_scan_leaves_alone_what_is_in_use() -> None:
    cache = Cache(100)
    for _ in range(3):
        cache.ask(*range(60))
    cache.ask(*range(1000, 11_000))
    assert cache.ask(*range(60)) == 60


def test_what_comes_back_soon_after_it_left_is_not_on_probation_again() -> None:
    cache = Cache(10)
    cache.ask(*range(11))
    assert cache.left == [0]
    cache.ask(0)
    cache.ask(*range(100, 150))
    assert 0 in cache.held


def test_use_in_the_past_does_not_count_for_ever() -> None:
    cache = Cache(10)
    cache.ask(*range(5), *range(5), *range(5), *range(5), *range(5))
    for first in range(100, 1000, 10):
        cache.ask(*(range(first, first + 10)), *(range(first, first + 10)))
    assert not cache.held.keys() & set(range(5))


@pytest.mark.parametrize("used", [False, True])
def test_whom_to_spare_is_the_caller_s_say(*, used: bool) -> None:
    cache = Cache(3)
    cache.ask(0, 1, 2, *([1, 2] if used else []))
    cache.evict(sparing=0)
    cache.evict(sparing=0)
    assert set(cache.held) == {0}
    assert cache.order.evict(cache.held[0]) is None
    assert len(cache.order) == 1
    cache.evict()
    assert cache.order.evict() is None


def test_bytes_count_not_heads() -> None:
    cache = Cache(100)
    cache.ask(1, size=60)
    cache.ask(2, size=30)
    cache.ask(3, size=50)
    assert cache.left == [1]
    assert cache.order.size == 80
    cache.order.resize(cache.held[2], 10)
    cache.ask(4, size=40)
    assert cache.left == [1]
    assert cache.order.size == 100


def test_the_search_is_bounded_where_everything_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    push = eviction._Queue.push

    def counted(queue: eviction._Queue[int], unit: Unit[int]) -> None:
        nonlocal steps
        steps += 1
        push(queue, unit)

    cache = Cache(5000)
    for _ in range(4):
        cache.ask(*range(5000))
    monkeypatch.setattr(eviction._Queue, "push", counted)
    cache.evict()
    assert steps <= 64


def test_a_unit_that_is_not_held_cannot_be_removed() -> None:
    order: S3Fifo[int] = S3Fifo()
    unit = Unit(1, 1)
    order.add(unit)
    order.remove(unit)
    with pytest.raises(ValueError, match="not held"):
        order.remove(unit)
    with pytest.raises(ValueError, match="not held"):
        order.resize(unit, 2)


def test_the_memory_of_who_left_grows_with_the_number_of_units_only() -> None:
    recent = eviction._Recent()
    for name in range(100_000):
        recent.remember(hash(str(name)), 1000)
    assert len(recent._slots) == 1024


def test_nothing_is_forgotten_when_the_memory_of_who_left_grows() -> None:
    recent = eviction._Recent()
    names = [64 * 7 + at for at in range(64)] + [-3]  # which leads where 64 * 7 + 61 does
    for name in names:
        recent.remember(name, 1)
    recent.remember(1 << 40, 65)
    assert [name for name in names if not recent.recall(name)] == [64 * 7 + 61]
    assert not any(recent.recall(name) for name in names)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "remove", "grow", "evict"]),
            st.integers(0, 12),
            st.integers(0, 40),
        ),
        max_size=150,
    )
)
def test_the_books_balance_after_anything(steps: list[tuple[str, int, int]]) -> None:
    cache = Cache(100)
    for step, name, size in steps:
        match step:
            case "ask":
                cache.ask(name, size=size)
            case "remove" if name in cache.held:
                cache.order.remove(cache.held.pop(name))
            case "grow" if name in cache.held:
                while len(cache.held) > 1 and cache.order.size + size > cache.room:
                    cache.evict(sparing=name)
                unit = cache.held[name]
                cache.order.resize(unit, min(cache.room, unit.size + size))
            case "evict" if cache.held:
                cache.evict()
        assert cache.order.size == sum(unit.size for unit in cache.held.values()) <= cache.room
        assert len(cache.order) == len(cache.held)
    while cache.held:
        cache.evict()
    assert (len(cache.order), cache.order.size) == (0, 0)
