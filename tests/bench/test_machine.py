import os
import sys

import pytest

from tests.bench import machine
from tests.bench.__main__ import rotated

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_everyone_begins_in_turn() -> None:
    names = ["a", "b", "c"]
    assert [rotated(names, turn) for turn in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


@linux
def test_a_process_and_its_time_are_found() -> None:
    with machine.started(
        os.sched_getaffinity(0), ["sh", "-c", "sleep 60 & echo up; wait"]
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        assert len(machine.tree(child.pid)) == 2
        assert machine.resident_bytes([child.pid]) > 0
    assert child.returncode != 0
    assert machine.processor_seconds([os.getpid()]) > 0
    assert machine.processor_seconds([child.pid]) == 0.0


@linux
def test_one_core_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with pytest.raises(RuntimeError, match="two cores"):
        machine.choose_cores()


@linux
def test_threads_of_one_core_are_not_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(machine, "_siblings", lambda core: f"{core // 2}")
    assert machine.choose_cores() == machine.Cores(proxy=0, load=2, origin=2)


@linux
def test_what_is_to_run_at_once_does_so_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    policies: list[int] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *call: policies.append(call[1]))
    with machine.at_once([os.getpid()]):
        assert set(policies) == {os.SCHED_RR}
        policies.clear()
    assert set(policies) == {os.SCHED_OTHER}


@linux
def test_what_may_not_run_at_once_runs_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    with machine.at_once([os.getpid()]):
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
