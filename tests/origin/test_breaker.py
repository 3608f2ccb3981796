"""The breaker alone, on a clock of its own."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.origin.breaker import VOID, Breaker, BreakerOptions, State

OPTIONS = BreakerOptions(failures=3, pause=1.0, max_pause=4.0, trials=2, slow_start=10.0)


class Clocked:
    """A breaker with its time, and what it told."""

    def __init__(self, options: BreakerOptions = OPTIONS) -> None:
        self.now = 100.0
        self.told: list[tuple[State, str]] = []
        self.breaker = Breaker(options, self.now, lambda *what: self.told.append(what))

    def state(self) -> State:
        return self.breaker.state(self.now)

    @property
    def states(self) -> list[State]:
        return [state for state, _ in self.told]

    def admit(self) -> int:
        assert self.breaker.permits(self.now)
        return self.breaker.admit()

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed(self.admit(), self.now, "refused")

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            ticket = self.admit()
            self.breaker.answered(ticket, self.now)
            self.breaker.completed(ticket)

    def opened(self) -> "Clocked":
        self.fail(self.breaker.options.failures or 0)
        return self


def test_failures_in_a_row_open_it() -> None:
    one = Clocked()
    one.fail(2)
    assert one.state() is State.UP
    one.fail()
    assert one.state() is State.DOWN
    assert not one.breaker.permits(one.now)
    assert one.told == [(State.DOWN, "3 failures in a row; the last: refused")]


def test_one_whole_response_between_begins_the_count_anew() -> None:
    one = Clocked()
    one.fail(2)
    one.succeed()
    one.fail(2)
    assert one.state() is State.UP


def test_responses_that_break_off_count_though_their_heads_came() -> None:
    one = Clocked()
    for _ in range(3):
        ticket = one.admit()
        one.breaker.answered(ticket, one.now)
        one.breaker.failed(ticket, one.now, "origin-idle-timeout")
    assert one.state() is State.DOWN


def test_without_a_number_of_failures_requests_never_open_it() -> None:
    one = Clocked(BreakerOptions())
    one.fail(1000)
    assert one.state() is State.UP
    assert one.told == []


def test_failures_of_requests_from_before_it_opened_are_not_news() -> None:
    one = Clocked()
    late = [one.admit() for _ in range(5)]
    one.opened()
    for ticket in late:
        one.breaker.failed(ticket, one.now, "late")
    one.now += 1.0
    assert one.state() is State.HALF_OPEN
    for ticket in late:
        one.breaker.failed(ticket, one.now, "late")
        one.breaker.answered(ticket, one.now)
        one.breaker.abandoned(ticket)
    assert one.state() is State.HALF_OPEN
    assert one.breaker.permits(one.now)
    assert one.states == [State.DOWN, State.HALF_OPEN]


class TestHalfOpen:
    def test_it_lets_so_many_trials_through_and_no_more(self) -> None:
        one = Clocked().opened()
        one.now += 1.0
        tickets = [one.admit(), one.admit()]
        assert not one.breaker.permits(one.now)
        one.breaker.answered(tickets[0], one.now)
        assert not one.breaker.permits(one.now)
        one.breaker.answered(tickets[1], one.now)
        assert one.breaker.permits(one.now)

    def test_all_of_them_must_succeed(self) -> None:
        one = Clocked().opened()
        one.now += 1.0
        one.succeed()
        assert one.state() is State.HALF_OPEN
        one.succeed()
        assert one.state() is State.SLOW_START
        one.now += 10.0
        assert one.state() is State.UP
        assert one.states == [State.DOWN, State.HALF_OPEN, State.SLOW_START, State.UP]

    def test_without_a_slow_start_it_is_up_at_once(self) -> None:
        one = Clocked(replace(OPTIONS, slow_start=0.0)).opened()
        one.now += 1.0
        one.succeed(2)
        assert one.state() is State.UP

    def test_each_failure_doubles_the_pause_up_to_its_limit(self) -> None:
        one = Clocked().opened()
        pauses = []
        for _ in range(4):
            pauses.append(one.breaker.retry_in(one.now))
            one.now += pauses[-1]
            one.fail()
        assert pauses == [1.0, 2.0, 4.0, 4.0]

    def test_after_a_success_pauses_are_short_again(self) -> None:
        one = Clocked().opened()
        for _ in range(3):
            one.now += one.breaker.retry_in(one.now)
            one.fail()
        one.now += 4.0
        one.succeed(2)
        one.opened()
        assert one.breaker.retry_in(one.now) == 1.0

    def test_a_trial_that_is_abandoned_leaves_its_place_to_another(self) -> None:
        one = Clocked().opened()
        one.now += 1.0
        for _ in range(10):
            one.breaker.abandoned(one.admit())
        one.succeed(2)
        assert one.state() is State.SLOW_START


class TestChecks:
    def test_failed_checks_hold_it_down_however_long(self) -> None:
        one = Clocked()
        one.breaker.hold(one.now, "checks fail: status 500")
        one.now += 1e6
        assert one.state() is State.DOWN
        assert not one.breaker.permits(one.now)
        assert one.breaker.retry_in(one.now) == float("inf")

    def test_passed_checks_lead_to_trials(self) -> None:
        one = Clocked()
        one.breaker.hold(one.now, "checks fail")
        one.breaker.release(one.now)
        assert one.state() is State.HALF_OPEN
        one.succeed(2)
        assert one.state() is State.SLOW_START

    def test_they_end_a_pause_only_if_they_began_it_or_went_along(self) -> None:
        one = Clocked().opened()
        one.breaker.release(one.now)
        assert one.state() is State.DOWN
        one.breaker.hold(one.now, "checks fail")
        one.now += 100.0
        assert one.state() is State.DOWN
        one.breaker.release(one.now)
        assert one.state() is State.HALF_OPEN
        assert one.states == [State.DOWN, State.HALF_OPEN]

    def test_a_failed_trial_before_the_checks_fail_again_pauses_as_ever(self) -> None:
        one = Clocked()
        one.breaker.hold(one.now, "checks fail")
        one.breaker.release(one.now)
        one.fail()
        assert one.breaker.retry_in(one.now) == 2.0


@pytest.mark.parametrize(
    ("after", "share"), [(0.0, 0.1), (1.0, 0.1), (2.5, 0.25), (5.0, 0.5), (9.9, 0.99), (10.0, 1.0)]
)
def test_the_share_grows_over_the_slow_start(after: float, share: float) -> None:
    one = Clocked().opened()
    assert one.breaker.share(one.now) == 1.0  # it is not asked anyway
    one.now += 1.0
    one.succeed(2)
    assert one.breaker.share(one.now + after) == pytest.approx(share)


def test_a_failure_in_the_slow_start_counts() -> None:
    one = Clocked().opened()
    one.now += 1.0
    one.succeed(2)
    one.fail(3)
    assert one.state() is State.DOWN


@pytest.mark.parametrize(
    ("status", "fails"), [(499, False), (500, True), (599, True), (404, True), (200, False)]
)
def test_which_statuses_fail(status: int, *, fails: bool) -> None:
    assert BreakerOptions(statuses=((500, 599), (404, 404))).fails(status) is fails


class Machine(RuleBasedStateMachine):
    """Whatever happens in whatever order: trials are bounded, and no ticket is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.one = Clocked(replace(OPTIONS, failures=2))
        self.asked: list[int] = []
        self.under_way: list[int] = []
        self.trials: set[int] = set()

    @precondition(lambda self: self.one.breaker.permits(self.one.now))
    @rule()
    def ask(self) -> None:
        trial = self.one.state() is State.HALF_OPEN
        ticket = self.one.admit()
        self.asked.append(ticket)
        if trial:
            self.trials.add(ticket)

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 100), how=st.sampled_from(["answer", "fail", "abandon"]))
    def end(self, which: int, how: str) -> None:
        ticket = self.asked.pop(which % len(self.asked))
        if how == "answer":
            self.one.breaker.answered(ticket, self.one.now)
            self.under_way.append(ticket)
        elif how == "fail":
            self.one.breaker.failed(ticket, self.one.now, "refused")
        else:
            self.one.breaker.abandoned(ticket)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100), how=st.sampled_from(["complete", "break", "leave", "void"]))
    def finish(self, which: int, how: str) -> None:
        ticket = self.under_way.pop(which % len(self.under_way))
        if how == "break":
            self.one.breaker.failed(ticket, self.one.now, "broken")
        elif how != "leave":
            self.one.breaker.completed(VOID if how == "void" else ticket)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.one.now += seconds

    @rule(fail=st.booleans())
    def check(self, *, fail: bool) -> None:
        if fail:
            self.one.breaker.hold(self.one.now, "checks fail")
        else:
            self.one.breaker.release(self.one.now)

    @invariant()
    def trials_are_bounded(self) -> None:
        if self.one.state() is State.HALF_OPEN:
            current = self.one.breaker.ticket
            out = self.asked.count(current)
            assert 0 <= self.one.breaker._trials == out <= OPTIONS.trials

    @invariant()
    def changes_follow_the_diagram(self) -> None:
        legal = {
            State.UP: {State.DOWN},
            State.DOWN: {State.HALF_OPEN},
            State.HALF_OPEN: {State.DOWN, State.SLOW_START},
            State.SLOW_START: {State.UP, State.DOWN},
        }
        states = [State.UP, *self.one.states]
        assert all(after in legal[before] for before, after in pairwise(states))

    def teardown(self) -> None:
        """From wherever it is, it comes back when all is well again."""
        self.one.breaker.release(self.one.now)
        for ticket in self.asked:
            self.one.breaker.abandoned(ticket)
        self.one.now += OPTIONS.max_pause
        while self.one.state() is State.HALF_OPEN:
            self.one.succeed()
        self.one.now += OPTIONS.slow_start
        assert self.one.state() is State.UP


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
