"""Health checks: the verdict alone, and the whole over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.events import BackgroundFailed, Event, OriginChanged
from proxy.origin import CheckOptions, GroupOptions, MemberOptions, OriginOptions, Origins
from proxy.origin.checks import Checks, Verdict
from tests.apparatus import PATIENCE, Origin, Reply, eventually

OPTIONS = CheckOptions(path="/health", healthy=2, unhealthy=3)


def verdicts(checks: str) -> str:
    """What `+` and `-` in a row amount to after each."""
    verdict = Verdict(OPTIONS)
    said = ""
    for check in checks:
        changed = verdict.note(passed=check == "+")
        state = "U" if verdict.healthy else "D"
        said += state if changed else state.lower()
    return said


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ("+++", "uuu"),
        ("---", "uuD"),
        ("--+--+--", "uuuuuuuu"),
        ("---+-++", "uuDdddU"),
        ("-----++---", "uuDdddUuuD"),
    ],
)
def test_a_verdict_takes_several_checks_in_a_row(checks: str, said: str) -> None:
    assert verdicts(checks) == said


@given(st.text("+-", max_size=60))
def test_a_verdict_changes_only_after_its_threshold(checks: str) -> None:
    said = verdicts(checks)
    for at, state in enumerate(said):
        if state == "D":
            assert checks[at - 2 : at + 1] == "---"
        elif state == "U":
            assert checks[at - 1 : at + 1] == "++"


class Soon(Random):
    """No spread, and the first check at once."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0 if a == 0.0 else (a + b) / 2


@asynccontextmanager
async def checked(**options: Any) -> AsyncIterator[tuple[Origin, Origins, list[Event]]]:
    """An origin that is healthy where /health says so, checked as fast as can be."""
    origin, events = Origin(), list[Event]()
    await origin.start()
    groups = Origins(events.append, random=Soon())
    checks = replace(OPTIONS, **{"interval": 0.01, **options})
    member = MemberOptions(origin=OriginOptions(f"http://127.0.0.1:{origin.port}"))
    groups.apply({"": GroupOptions(members=(member,), checks=checks)}, drain=0.0)
    try:
        yield origin, groups, events
    finally:
        await groups.close()
        await origin.stop()


async def until(groups: Origins, *states: str) -> None:
    async def so() -> bool:
        return groups.status("")[0].state in states

    await eventually(so)


async def test_an_origin_that_fails_its_checks_is_down_until_it_passes_them() -> None:
    async with checked() as (origin, groups, events):
        await origin.asked(5)
        assert groups.status("")[0].state == "up"
        origin.always = lambda _: Reply(503)
        await until(groups, "down")
        assert groups.status("")[0].cause == "checks fail: status 503"
        origin.always = lambda _: Reply(204)
        await until(groups, "half_open")
        assert [event.state for event in events if isinstance(event, OriginChanged)] == [
            "down",
            "half_open",
        ]
        assert groups.status("")[0].requests == 0


async def test_they_ask_as_nobody_else_does() -> None:
    async with checked() as (origin, _, _):
        await origin.asked()
        seen = origin.seen[0]
        assert (seen.method, seen.target) == ("GET", "/health")
        assert seen.values("Host") == [f"127.0.0.1:{origin.port}"]
        assert seen.values("User-Agent") == ["warmfront-health"]


async def test_they_may_name_a_host() -> None:
    async with checked(host="api.example") as (origin, _, _):
        await origin.asked()
        assert origin.seen[0].values("Host") == ["api.example"]


async def test_an_origin_that_freezes_fails_them() -> None:
    async with checked(timeout=0.02) as (origin, groups, _):
        origin.always = lambda _: Reply(wait=asyncio.Event())
        await until(groups, "down")
        assert groups.status("")[0].cause == "checks fail: origin-header-timeout"


async def test_an_origin_that_is_gone_fails_them_and_comes_back() -> None:
    async with checked() as (origin, groups, _):
        await origin.stop()
        await until(groups, "down")
        await origin.start()
        await until(groups, "half_open")


async def test_which_statuses_pass_is_the_operators_choice() -> None:
    async with checked(statuses=((401, 401),)) as (origin, groups, _):
        origin.always = lambda _: Reply(401)
        await origin.asked(6)
        assert groups.status("")[0].state == "up"
        origin.always = lambda _: Reply(200)
        await until(groups, "down")


async def test_without_checks_any_more_it_is_tried_by_requests() -> None:
    async with checked() as (origin, groups, _):
        origin.always = lambda _: Reply(503)
        await until(groups, "down")
        options = replace(groups[""].options, checks=None)
        groups.apply({"": options}, drain=0.0)
        assert groups.status("")[0].state == "half_open"


async def test_a_bug_in_them_is_told_and_they_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervised: see proxy.background.kept."""
    monkeypatch.setattr("proxy.background._FIRST_PAUSE", 0.01)
    broken = True

    async def check(_: Checks) -> str | None:
        if broken:
            raise ZeroDivisionError
        return "all is well that ends well"

    monkeypatch.setattr(Checks, "_problem", check)
    async with checked() as (_, groups, events):

        async def told() -> bool:
            return any(isinstance(event, BackgroundFailed) for event in events)

        await eventually(told)
        broken = False
        await until(groups, "down")


@pytest.mark.parametrize("seed", range(3))
async def test_checks_are_spread(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real(0.001)

    monkeypatch.setattr("proxy.origin.checks.asyncio.sleep", sleep)
    origin = Origin()
    await origin.start()
    groups = Origins(lambda _: None, random=Random(seed))  # noqa: S311 - no secret
    member = MemberOptions(origin=OriginOptions(f"http://127.0.0.1:{origin.port}"))
    options = GroupOptions(members=(member,), checks=replace(OPTIONS, interval=10.0))
    groups.apply({"": options}, drain=0.0)
    async with asyncio.timeout(PATIENCE):
        while len(waits) < 10:
            await real(0.001)
    await groups.close()
    await origin.stop()
    assert 0.0 <= waits[0] <= 1.0
    assert all(9.0 <= wait <= 11.0 for wait in waits[1:])
    assert len(set(waits)) == len(waits)
