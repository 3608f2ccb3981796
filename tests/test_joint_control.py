"""All workers as one, where the others are played; `tests/running` has real ones."""

from typing import Any

import pytest

from proxy import admin
from proxy.channel import Channel, ChannelLost
from proxy.control import ProxyControl
from proxy.joint_control import JointControl


class Own(ProxyControl):
    """The worker that is asked."""

    def __init__(self, *, warm: bool | None, accepting: bool = True) -> None:
        self.warm_now = warm
        self.accepting = accepting

    async def readiness(self) -> admin.Readiness:
        checks = {"accepting": self.accepting}
        if self.warm_now is None:
            return admin.Readiness(self.accepting, checks)
        return admin.Readiness(self.accepting and self.warm_now, {**checks, "warm": self.warm_now})


class Others(Channel):
    """What all others say of themselves; a worker that is not there says nothing."""

    def __init__(self, warm: list[bool]) -> None:
        super().__init__()
        self.warm_now = warm
        self.asked = 0
        self.gone = False

    async def call(self, name: str, value: Any = None) -> Any:
        self.asked += 1
        if self.gone:
            raise ChannelLost("the other process is gone")
        assert (name, value) == ("others", ["readiness", None])
        return [{"ready": warm, "checks": {"warm": warm}} for warm in self.warm_now]


async def test_nobody_is_asked_where_nothing_is_to_be_warm() -> None:
    others = Others([])
    assert (await JointControl(Own(warm=None), others, 2).readiness()).ready
    assert others.asked == 0


@pytest.mark.parametrize(
    "warm", [[], [True], [True, False], [False, False]], ids=["none", "one of two", "half", "cold"]
)
async def test_it_is_not_ready_before_all_are_warm(warm: list[bool]) -> None:
    found = await JointControl(Own(warm=True), Others(warm), 3).readiness()
    assert (found.ready, found.checks) == (False, {"accepting": True, "warm": False})


async def test_who_is_cold_need_not_ask() -> None:
    others = Others([True])
    assert not (await JointControl(Own(warm=False), others, 2).readiness()).ready
    assert others.asked == 0


async def test_all_have_been_warm_once_and_for_all() -> None:
    others = Others([True, True])
    own = Own(warm=True)
    control = JointControl(own, others, 3)
    assert (await control.readiness()).ready
    others.gone = True  # and what follows one that has ended is cold
    assert (await control.readiness()).ready
    assert others.asked == 1
    own.accepting = False
    assert not (await control.readiness()).ready


async def test_a_supervisor_that_is_gone_knows_nothing() -> None:
    others = Others([True])
    others.gone = True
    assert not (await JointControl(Own(warm=True), others, 2).readiness()).ready
