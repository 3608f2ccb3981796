"""No answer older than an acknowledged purge, whatever goes wrong; and the model can tell.

The second half plants bugs, each of which breaks one rule, and shows that the model finds it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from proxy.purging import (
    Gap,
    Judgement,
    Purge,
    PurgeState,
    RedisPurgeLog,
    Softened,
    Timing,
    Valid,
)
from tests.purging.fleet import TIMING, Entry, Fleet, Process
from tests.purging.simulated import SimulatedRedis

STEPS = 20_000
ROUNDS = 32
STEPS_PER_ROUND = 5_000


def test_no_answer_is_older_than_an_acknowledged_purge() -> None:
    fleet = Fleet(seed=2)
    fleet.run(STEPS)
    counts = fleet.counts
    assert fleet.violations == []
    assert counts.steps >= STEPS
    # It would be easy to keep a promise that is never given, or with a cache that never hits.
    assert counts.acknowledged > 500
    assert set(counts.served_from) == {"memory", "shared", "flight", "origin"}
    assert counts.served_from["memory"] > 1_000
    assert counts.served_from["shared"] > 500
    assert len(counts.faults) > 5


@pytest.mark.parametrize("seed", [1, 3, 4, 5, 6])
def test_other_luck(seed: int) -> None:
    fleet = Fleet(seed, size=seed)
    fleet.run(STEPS_PER_ROUND)
    assert fleet.violations == []


def test_the_same_seed_is_the_same_run() -> None:
    def run() -> Fleet:
        fleet = Fleet(seed=4)
        fleet.run(1_000)
        return fleet

    first, second = run(), run()
    assert first.counts == second.counts
    assert first.loop.time() == second.loop.time()


class BornAfterFetch(Process):
    async def contact_origin(self, url: str) -> Entry:
        entry = await super().contact_origin(url)
        born = self.log.state.position
        return replace(entry, born=born, through=born)


class BornAfterValidation(Process):
    async def refresh(self, url: str) -> None:
        kept = self.memory.get(url) or await self.fleet.read_shared(url)
        if kept is not None:
            confirmed = await self.contact_origin(url)
            born = self.log.state.position
            self.keep(replace(confirmed, born=born, through=born))
            self.fleet.write_shared(replace(confirmed, born=born))


class PromotionResetsBorn(Process):
    """The copy takes a while, and is as new as the moment it is done."""

    def promote(self, shared: Entry, judgement: Valid) -> None:
        del judgement

        async def copy() -> None:
            await self.fleet.travel()
            born = self.log.state.position
            self.keep(replace(shared, born=born, through=born))

        self.run(copy())


class PromotionIsNotJudged(Process):
    async def answer(self, url: str) -> None:
        needed = self.fleet.promised(url)
        shared = await self.fleet.read_shared(url)
        if shared is not None and self.log.trusted and url not in self.memory:
            return self.serve(shared, needed, "shared")
        return await super().answer(url)


class FollowersDoNotJudge(Process):
    async def may_share(self, landed: Entry) -> bool:
        del landed
        return self.log.trusted


class FillsAreKeptUnjudged(Process):
    def keep(self, entry: Entry) -> None:
        self.memory[entry.url] = replace(entry, through=self.log.state.position)


class KeepsAllOnReset(Process):
    def forget_all(self) -> None:
        """The entries then rest on numbers of a log that is gone."""
        position = self.log.state.position
        self.memory = {u: replace(entry, through=position) for u, entry in self.memory.items()}


class TrustsForEver(Process):
    async def is_valid_here(self, kept: Entry) -> bool:
        await super().is_valid_here(kept)
        return isinstance(
            self.log.state.judge(kept.through, kept.url, ["*", f"url:{kept.url}"]), Valid
        )


class TrustedLog(RedisPurgeLog):
    """Never stops trusting what it knows."""

    @property
    def trusted(self) -> bool:
        return bool(self._id)


class TrustsFromTheReply(RedisPurgeLog):
    """Reckons trust from when a reply came instead of from when its request was sent."""

    async def _step(self) -> bool:
        done = await super()._step()
        if self._current_at > float("-inf"):
            self._current_at = self._clock()
        return done


class HurriedTiming(Timing):
    """Others give up on a process before it stops trusting."""

    @property
    def expiry(self) -> float:
        return self.max_lag / 4


class PatientTiming(Timing):
    """Waits long for answers, which is harmless unless trust is reckoned from them."""

    @property
    def patience(self) -> float:
        return 2 * self.max_lag


class UncheckedState(PurgeState):
    """Takes a gap for the next record."""

    def apply(self, purge: Purge) -> None:
        try:
            super().apply(purge)
        except Gap:
            self.position = purge.seq - 1
            super().apply(purge)


class CredulousState(PurgeState):
    """Takes the log's word without adding what was applied while it was on its way."""

    def confirm(
        self, told: Valid | Softened, born: int, url: str, scopes: Sequence[str]
    ) -> Judgement:
        del born, url, scopes
        return told


class ForgetfulState(PurgeState):
    """Drops what it has no room for without a trace."""

    def _trim(self) -> None:
        known_from = self.known_from
        super()._trim()
        self.known_from = known_from


class PatternlessState(PurgeState):
    """Begins to read without the patterns of before."""

    def reset(
        self, position: int, floor: int | None = None, patterns: Iterable[Purge] = ()
    ) -> None:
        del patterns
        super().reset(position, floor)


class SameServerForEver(SimulatedRedis):
    """Restarts and failovers go unnoticed."""

    def server(self) -> str:
        return "the server"


class NobodyCounts(SimulatedRedis):
    """Evicted and deleted keys go unnoticed."""

    def _is_intact(self, seen: int) -> bool:
        if self.data.head:
            self.data.head["shape"] = self.data.shape()
        return super()._is_intact(seen)


class SettledFromTheStart(SimulatedRedis):
    """A log that begins anew promises at once, whoever may not have heard of it."""

    def _open(self, seen: int, new_id: str) -> dict[str, Any]:
        head = super()._open(seen, new_id)
        head["settled"] = 1
        return head


class PublishesWhatItSends(SimulatedRedis):
    """Notes purges as applied when they leave for the process that is to apply them."""

    def sync(self, words: list[Any]) -> list[Any]:
        reply = super().sync(words)
        if words[0] == reply[0]:
            self.data.nodes[words[3]] = f"{reply[1]} {words[4]}"
        return reply


class NumbersFromZero(SimulatedRedis):
    """A log that begins anew counts from 0."""

    def first_number(self, seen: int) -> int:
        del seen
        return 0


class FloorNeverRises(SimulatedRedis):
    def raise_floor(self, seq: int) -> None:
        del seq


class HalfAnAppend(SimulatedRedis):
    """Records a purge for those who tail, and not for those who ask."""

    def append(self, words: list[Any]) -> list[Any]:
        before = self.data.copy()
        reply = super().append(words)
        self.data.hard = before.hard
        self._note_shape()
        return reply


def with_state(state: type[PurgeState]) -> type[RedisPurgeLog]:
    class Log(RedisPurgeLog):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.state = state(self.limits)

    return Log


class NoGapCheck(with_state(UncheckedState)):  # type: ignore[misc]
    def _apply_all(self, purges: list[Purge], seq: int) -> bool:
        super()._apply_all(purges, seq)
        self.state.position = seq
        return True


PATIENT = PatientTiming(TIMING.max_lag)

BUGS: dict[str, tuple[int, dict[str, Any]]] = {
    "born is taken after the fetch": (5, {"process_type": BornAfterFetch}),
    "born is taken after the validation": (2, {"process_type": BornAfterValidation}),
    "promotion resets born": (7, {"process_type": PromotionResetsBorn}),
    "shared entries are used unjudged": (2, {"process_type": PromotionIsNotJudged}),
    "followers do not judge": (5, {"process_type": FollowersDoNotJudge}),
    "fills are kept unjudged": (4, {"process_type": FillsAreKeptUnjudged}),
    "nothing is dropped on reset": (4, {"process_type": KeepsAllOnReset}),
    "trust never ends": (2, {"log_type": TrustedLog}),
    "trust counts from the reply": (5, {"log_type": TrustsFromTheReply, "timing": PATIENT}),
    "expiry before max_lag": (6, {"timing": HurriedTiming(TIMING.max_lag)}),
    "no gap check": (4, {"log_type": NoGapCheck}),
    "the log's word is final": (7, {"log_type": with_state(CredulousState)}),
    "known_from stays when scopes are dropped": (2, {"log_type": with_state(ForgetfulState)}),
    "patterns are not read at start": (7, {"log_type": with_state(PatternlessState)}),
    "failover goes unnoticed": (1, {"redis_type": SameServerForEver}),
    "eviction goes unnoticed": (15, {"redis_type": NobodyCounts}),
    "a new log promises at once": (3, {"redis_type": SettledFromTheStart}),
    "published before it is applied": (2, {"redis_type": PublishesWhatItSends}),
    "a new log counts from 0": (4, {"redis_type": NumbersFromZero}),
    "the floor never rises": (2, {"redis_type": FloorNeverRises}),
    "half an append": (6, {"redis_type": HalfAnAppend}),
}
"""What is wrong, the luck that shows it soonest, and how it is planted."""


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    first, planted = BUGS[bug]
    planted_fleet = type("PlantedFleet", (Fleet,), planted)
    for seed in (first, *range(ROUNDS)):
        fleet = planted_fleet(seed)
        fleet.run(STEPS_PER_ROUND, stop_early=True)
        if fleet.violations:
            return
    pytest.fail(f"the model is blind: {ROUNDS} rounds of {STEPS_PER_ROUND} steps, no violation")


def test_patience_alone_is_no_bug() -> None:
    patient = type("PatientFleet", (Fleet,), {"timing": PATIENT})
    fleet = patient(5)
    fleet.run(STEPS_PER_ROUND)
    assert fleet.violations == []
