"""Who is chosen: pure, so any group and any number of requests can be tried."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.origin.balance import (
    Balance,
    Hash,
    LeastConnections,
    RoundRobin,
    balancer,
    seed_of,
)


@dataclass(eq=False)
class One:
    name: str
    share: float = 1.0
    in_flight: int = 0
    seed: int = field(init=False)

    def __post_init__(self) -> None:
        self.seed = seed_of(self.name)

    def weight(self, now: float) -> float:
        assert now == 0.0
        return self.share


def group(*shares: float) -> list[One]:
    return [One(f"http://10.0.0.{n}:8000", share) for n, share in enumerate(shares)]


WEIGHTS = st.lists(st.integers(1, 10), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("balance", "kind"),
    [
        (Balance.ROUND_ROBIN, RoundRobin),
        (Balance.LEAST_CONNECTIONS, LeastConnections),
        (Balance.HASH, Hash),
    ],
)
def test_each_way_has_a_balancer(balance: Balance, kind: type) -> None:
    assert type(balancer(balance)) is kind


class TestRoundRobin:
    def test_it_interleaves(self) -> None:
        members, turns = group(2, 1), RoundRobin()
        chosen = [members.index(turns.choose(members, "", 0.0)) for _ in range(6)]
        assert chosen == [0, 1, 0, 0, 1, 0]

    @given(WEIGHTS)
    def test_a_round_gives_each_its_weight(self, weights: list[int]) -> None:
        members, turns = group(*weights), RoundRobin()
        chosen = Counter(turns.choose(members, "", 0.0).name for _ in range(sum(weights)))
        assert chosen == {one.name: one.share for one in members}

    @given(st.lists(st.sampled_from([[0], [1], [0, 1], [0, 1, 2]]), max_size=30))
    def test_it_chooses_among_those_it_is_given_whoever_was_there_before(
        self, times: list[list[int]]
    ) -> None:
        members, turns = group(1, 2, 3), RoundRobin()
        for among in times:
            wanted = [members[n] for n in among]
            assert turns.choose(wanted, "", 0.0) in wanted

    def test_who_comes_back_is_not_owed_what_it_missed(self) -> None:
        members, turns = group(1, 1), RoundRobin()
        for _ in range(100):
            turns.choose(members[:1], "", 0.0)
        chosen = [members.index(turns.choose(members, "", 0.0)) for _ in range(8)]
        assert chosen.count(0) == 4


class TestLeastConnections:
    @given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 50)), min_size=1, max_size=8))
    def test_it_never_chooses_a_busier_one(self, load: list[tuple[int, int]]) -> None:
        members = group(*(weight for weight, _ in load))
        for one, (_, in_flight) in zip(members, load, strict=True):
            one.in_flight = in_flight
        least = LeastConnections()
        for _ in range(10):
            chosen = least.choose(members, "", 0.0)
            assert all(
                chosen.in_flight / chosen.share <= one.in_flight / one.share for one in members
            )
            chosen.in_flight += 1

    def test_equals_take_turns(self) -> None:
        members, least = group(1, 1, 1), LeastConnections()
        assert len({least.choose(members, "", 0.0).name for _ in range(3)}) == 3


PINNED = [0, 1, 0, 1, 1, 0, 0, 2, 0, 2, 0, 2]
"""Whom the first keys go to, of three."""

KEYS = [f"http://api.example/products/{n}" for n in range(2000)]


class TestHash:
    def chosen(self, members: list[One]) -> dict[str, One]:
        return {key: Hash().choose(members, key, 0.0) for key in KEYS}

    @settings(max_examples=15, deadline=None)
    @given(st.integers(2, 8), st.integers(0, 7))
    def test_only_the_keys_of_who_left_move(self, size: int, leaving: int) -> None:
        members = group(*[1] * size)
        gone = members[leaving % size]
        before = self.chosen(members)
        after = self.chosen([one for one in members if one is not gone])
        moved = [key for key in KEYS if before[key] is not after[key]]
        assert all(before[key] is gone for key in moved)
        assert len(moved) <= len(KEYS) * (1 / size + 0.05)
        spread = Counter(after[key].name for key in moved)
        assert len(spread) == size - 1  # not all to one neighbour

    def test_who_joins_takes_its_share_and_nothing_else_moves(self) -> None:
        members = group(1, 1, 1, 1)
        before, after = self.chosen(members[:3]), self.chosen(members)
        moved = [key for key in KEYS if before[key] is not after[key]]
        assert all(after[key] is members[3] for key in moved)
        assert len(moved) / len(KEYS) == pytest.approx(0.25, abs=0.05)

    def test_weights_are_shares(self) -> None:
        members = group(1, 2, 5)
        counted = Counter(one.name for one in self.chosen(members).values())
        for one in members:
            assert counted[one.name] / len(KEYS) == pytest.approx(one.share / 8, abs=0.04)

    def test_more_weight_takes_keys_and_gives_none(self) -> None:
        members = group(1, 1, 1)
        before = self.chosen(members)
        members[1].share = 3.0
        after = self.chosen(members)
        assert all(after[key] is members[1] for key in KEYS if before[key] is not after[key])

    def test_every_process_chooses_the_same(self) -> None:
        """The seed is no hash of this process's own."""
        members = group(1, 1, 1)
        assert [members.index(Hash().choose(members, key, 0.0)) for key in KEYS[:12]] == PINNED

    @given(st.text())
    def test_any_text_is_a_key(self, key: str) -> None:
        members = group(1, 1)
        assert Hash().choose(members, key, 0.0) is Hash().choose(members[::-1], key, 0.0)
