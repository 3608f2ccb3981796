"""Groups that come, change and go while requests are under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from multidict import CIMultiDict

from proxy.events import Event
from proxy.origin import (
    BreakerOptions,
    CheckOptions,
    GroupOptions,
    LimitOptions,
    MemberOptions,
    OriginError,
    OriginOptions,
    OriginResponse,
    Origins,
    Outbound,
)
from tests.apparatus import Origin, Reply, eventually
from tests.origin.conftest import read

LONG = 60.0


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Origin, Origin, Origins, list[Event]]]:
    one, other, events = Origin(), Origin(), list[Event]()
    await one.start()
    await other.start()
    groups = Origins(events.append)
    try:
        yield one, other, groups, events
    finally:
        await groups.close()
        await one.stop()
        await other.stop()


def member(origin: Origin, weight: int = 1) -> MemberOptions:
    return MemberOptions(origin=OriginOptions(f"http://127.0.0.1:{origin.port}"), weight=weight)


def group(*origins: Origin) -> GroupOptions:
    return GroupOptions(members=tuple(map(member, origins)))


async def ask(groups: Origins, name: str = "") -> OriginResponse:
    return await groups[name].fetch(Outbound("GET", "/", CIMultiDict({"Host": "api.example"})))


async def test_groups_are_asked_by_name() -> None:
    async with two() as (one, other, groups, _):
        groups.apply({"": group(one), "search": group(other)}, drain=0.0)
        await read(await ask(groups))
        await read(await ask(groups, "search"))
        assert (len(one.seen), len(other.seen)) == (1, 1)
        assert list(groups.groups) == ["", "search"]


async def test_what_is_unchanged_keeps_connections_health_and_figures() -> None:
    async with two() as (one, other, groups, _):
        options = replace(group(one, other), breaker=BreakerOptions(failures=1, pause=LONG))
        groups.apply({"": options}, drain=0.0)
        await read(await ask(groups))
        one.always = other.always = lambda _: Reply(raw=b"")
        with pytest.raises(OriginError):
            await ask(groups)
        before = groups.status("")
        assert [status.state for status in before] == ["down", "down"]
        heavier = replace(options, members=(member(one, weight=3), member(other)))
        groups.apply({"": heavier}, drain=0.0)
        after = groups.status("")
        assert [status.requests for status in after] == [status.requests for status in before]
        assert [status.state for status in after] == ["down", "down"]
        assert [status.weight for status in after] == [3, 1]


async def test_connections_are_kept_over_a_change() -> None:
    async with two() as (one, _, groups, _):
        groups.apply({"": group(one)}, drain=0.0)
        await read(await ask(groups))
        groups.apply({"": replace(group(one), limit=LimitOptions(concurrent=7))}, drain=0.0)
        await read(await ask(groups))
        assert (len(one.seen), one.connections) == (2, 1)


async def test_who_leaves_finishes_what_it_has_begun() -> None:
    async with two() as (one, other, groups, _):
        groups.apply({"": group(one)}, drain=0.0)
        gate = asyncio.Event()
        one.will(Reply(body=b"begun before", wait=gate))
        begun = asyncio.create_task(ask(groups))
        await one.asked()
        groups.apply({"": group(other)}, drain=LONG)
        await read(await ask(groups))
        assert [(status.state, status.in_flight) for status in groups.status("")] == [
            ("up", 0),
            ("draining", 1),
        ]
        gate.set()
        assert await read(await begun) == b"begun before"
        assert len(other.seen) == 1


async def test_who_has_left_is_closed_after_its_time() -> None:
    async with two() as (one, other, groups, _):
        groups.apply({"": group(one)}, drain=0.0)
        await read(await ask(groups))
        groups.apply({"": group(other)}, drain=0.02)

        async def gone() -> bool:
            return len(groups.status("")) == 1 and one.connections == 0

        await eventually(gone)


async def test_a_group_that_is_gone_drains_too() -> None:
    async with two() as (one, other, groups, _):
        groups.apply({"": group(one), "old": group(other)}, drain=0.0)
        held = groups["old"]
        await read(await ask(groups, "old"))
        groups.apply({"": group(one)}, drain=LONG)
        with pytest.raises(KeyError):
            groups["old"]
        # A request that was on its way to it still gets there.
        response = await held.fetch(Outbound("GET", "/", CIMultiDict({"Host": "a"})))
        await read(response)


async def test_a_change_that_cannot_be_made_changes_nothing(tmp_path: Path) -> None:
    async with two() as (one, other, groups, _):
        groups.apply({"": group(one)}, drain=0.0)
        bad = OriginOptions("https://127.0.0.1:1", ca_file=str(tmp_path / "missing.pem"))
        broken = GroupOptions(members=(member(other), MemberOptions(origin=bad)))
        with pytest.raises(OSError, match="No such file"):
            groups.apply({"": broken}, drain=0.0)
        await read(await ask(groups))
        assert [status.url for status in groups.status("")] == [f"http://127.0.0.1:{one.port}"]


async def test_closing_ends_all_of_it() -> None:
    async with two() as (one, other, groups, _):
        checks = CheckOptions(path="/health", interval=0.01)
        groups.apply({"": replace(group(one), checks=checks)}, drain=0.0)
        await one.asked(2)
        groups.apply({"": replace(group(other), checks=checks)}, drain=LONG)
        await read(await ask(groups))
        await groups.close()

        async def quiet() -> bool:
            return one.connections == other.connections == 0

        await eventually(quiet)
