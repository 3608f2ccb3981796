"""The purge log of several workers: the hub and the logs at its channels, in one process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.channel import Channel
from proxy.purging import (
    ALL,
    Invalid,
    Limits,
    LogUnreachable,
    Mode,
    Purge,
    Softened,
    Unknown,
    Valid,
    WorkerPurgeLog,
    tag_scope,
)
from proxy.workers.hub import Hub, Member
from tests.apparatus import START, eventually


@dataclass
class Fleet:
    """A hub and its workers' ends.

    Attributes:
        given_up: Names of members that took nothing any more.
    """

    hub: Hub
    logs: list[WorkerPurgeLog] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)

    async def add(self, limits: Limits | None = None, *, joins: bool = True) -> WorkerPurgeLog:
        ours, theirs = socket.socketpair()
        name = f"worker {len(self.logs) + 1}"
        member = Member(name, Channel(), lambda: self.given_up.append(name))
        self.hub.enter(member)
        await member.channel.open(ours)
        channel = Channel()
        await channel.open(theirs)
        log = WorkerPurgeLog(channel, limits)
        if joins:
            await log.start()
        self.logs.append(log)
        self.channels.append(channel)
        self.members.append(member)
        return log

    async def close(self) -> None:
        for channel in (*self.channels, *(one.channel for one in self.members)):
            await channel.close()


@asynccontextmanager
async def fleet(count: int) -> AsyncIterator[Fleet]:
    made = Fleet(Hub(lambda: START))
    try:
        async with asyncio.timeout(20):
            for _ in range(count):
                await made.add()
            yield made
    finally:
        await made.close()


TAG = tag_scope("a")
URL = "http://a/"


async def test_a_purge_is_applied_here_on_return_and_by_all_when_acknowledged() -> None:
    async with fleet(3) as made:
        one = made.logs[0]
        assert all(log.trusted and log.nodes == () for log in made.logs)
        seen: list[Purge] = []
        made.logs[2].on_purge.append(seen.append)
        seq = await one.append([TAG], Mode.HARD)
        assert isinstance(one.state.judge(0, URL, [TAG]), Invalid)
        told = await one.wait(seq, 5)
        assert (told.acked, told.nodes, told.complete) == (3, 3, True)
        for log in made.logs:
            assert isinstance(await log.judge(0, URL, [TAG]), Invalid)
            assert isinstance(await log.judge(seq, URL, [TAG]), Valid)
            assert isinstance(await log.judge(0, URL, [tag_scope("b")]), Valid)
        assert seen == [Purge(seq, (TAG,), Mode.HARD, START)]


async def test_purges_of_all_have_one_order() -> None:
    async with fleet(3) as made:
        purges = [
            log.append([tag_scope(str(n))], Mode.SOFT) for n in range(20) for log in made.logs
        ]
        numbers = await asyncio.gather(*purges)
        assert sorted(numbers) == list(range(1, 61))
        assert (await made.logs[1].wait(60, 5)).complete
        for log in made.logs:
            assert log.state.position == 60
            assert isinstance(await log.judge(0, URL, [tag_scope("7")]), Softened)


async def test_patterns() -> None:
    async with fleet(2) as made:
        seq = await made.logs[0].append([], Mode.HARD, "^http://a/")
        assert (await made.logs[0].wait(seq, 5)).complete
        assert isinstance(await made.logs[1].judge(0, URL, []), Invalid)
        with pytest.raises(ValueError, match="regular expression"):
            await made.logs[0].append([], Mode.HARD, "(")


async def test_forgetting_later_is_forgetting_here_at_once() -> None:
    async with fleet(2) as made:
        one, other = made.logs
        one.append_later([TAG], Mode.HARD)
        assert isinstance(one.state.judge(0, URL, [TAG]), Invalid)

        async def known() -> bool:
            return other.state.position == 1

        await eventually(known)
        assert isinstance(await other.judge(0, URL, [TAG]), Invalid)


async def test_who_joins_later_knows_nothing_from_before() -> None:
    async with fleet(1) as made:
        await made.logs[0].append([ALL], Mode.HARD)
        late = await made.add()
        assert late.state.position == 1
        assert isinstance(await late.judge(0, URL, [TAG]), Invalid)
        assert isinstance(await late.judge(1, URL, [TAG]), Valid)


async def test_who_has_not_joined_or_has_left_or_is_gone_holds_nothing_up() -> None:
    async with fleet(4) as made:
        await made.add(joins=False)
        await made.logs[1].close()
        await made.channels[2].close()
        made.hub.leave(made.members[3])
        seq = await made.logs[0].append([ALL], Mode.HARD)
        told = await made.logs[0].wait(seq, 5)
        assert (told.acked, told.nodes, told.pending) == (1, 1, ())
        assert not made.logs[1].trusted
        assert not made.logs[2].trusted


async def test_who_leaves_while_it_is_waited_for() -> None:
    async with fleet(2) as made:
        made.channels[1].news["purge"] = lambda _told: None  # it hangs
        seq = await made.logs[0].append([ALL], Mode.HARD)
        told = await made.logs[0].wait(seq, 0.01)
        assert (told.acked, told.nodes, told.pending) == (1, 2, ("worker 2",))
        waiting = asyncio.create_task(made.logs[0].wait(seq, 10))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await made.channels[1].close()
        assert (await waiting).complete


async def test_who_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.workers.hub._MOST_UNREAD", 100_000)
    async with fleet(2) as made:
        writer = made.channels[1]._writer
        assert writer is not None
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(30):
            await made.logs[0].append(["tag:" + "x" * 50_000], Mode.HARD)
        assert "worker 2" in made.given_up


async def test_without_the_supervisor_nothing_is_trusted() -> None:
    async with fleet(1) as made:
        (log,) = made.logs
        await log.append([TAG], Mode.HARD)
        await made.members[0].channel.close()
        await made.channels[0].lost.wait()
        assert not log.trusted
        assert isinstance(await log.judge(1, URL, []), Unknown)
        assert isinstance(await log.judge(0, URL, [TAG]), Invalid)
        log.append_later([tag_scope("b")], Mode.HARD)
        assert isinstance(await log.judge(0, URL, [tag_scope("b")]), Invalid)
        with pytest.raises(LogUnreachable):
            await log.append([TAG], Mode.HARD)
        with pytest.raises(LogUnreachable):
            await log.wait(1, 0.1)
        await log.close()


async def test_a_supervisor_that_is_given_up_as_soon_as_it_answered_is_not_trusted() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        channel = Channel()
        await channel.open(theirs)
        log = WorkerPurgeLog(channel)
        starting = asyncio.create_task(log.start())
        ours.setblocking(False)  # noqa: FBT003 - socket takes it so
        await asyncio.get_running_loop().sock_recv(ours, 1024)
        messages = [b'["answer",1,7]', b'["what is this?"]']
        ours.send(b"".join([len(each).to_bytes(4, "big") + each for each in messages]))
        await starting
        assert log.state.position == 7
        assert not log.trusted
        await channel.close()


async def test_a_gap_drops_all_that_is_kept() -> None:
    async with fleet(1) as made:
        (log,) = made.logs
        dropped: list[bool] = []
        log.on_reset.append(lambda: dropped.append(True))
        log._applied([5, ["*"], "hard", START, None])
        assert dropped == [True]
        assert log.state.position == 5
        assert isinstance(await log.judge(4, URL, []), Invalid)


async def test_what_is_too_old_to_be_known_is_not_valid() -> None:
    async with fleet(0) as made:
        log = await made.add(Limits(scopes=2))
        for number in range(4):
            await log.append([tag_scope(str(number))], Mode.HARD)
        assert isinstance(await log.judge(0, URL, [tag_scope("9")]), Invalid)


@pytest.mark.parametrize("joins", [True, False], ids=["a log here", "a log in Redis"])
async def test_questions_reach_all_others(*, joins: bool) -> None:
    async with fleet(0) as made:
        for _ in range(3):
            await made.add(joins=joins)

        def answering(number: int) -> Any:
            async def answer(value: Any) -> Any:
                return [number, value]

            return answer

        for number, channel in enumerate(made.channels[:2]):
            channel.calls["where"] = answering(number)
        assert await made.channels[0].call("others", ["where", "?"]) == [[1, "?"]]
        assert await made.channels[2].call("others", ["where", 1]) == [[0, 1], [1, 1]]
