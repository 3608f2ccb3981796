"""What happens around a request that was passed on at once: clients that leave, limits, drain."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.events import Answered, OriginAnswered
from proxy.exchange import Incoming
from proxy.gateway import Decisions
from proxy.gateway.passing import Passage
from proxy.origin import (
    Begun,
    BreakerOptions,
    GroupOptions,
    LimitOptions,
    MemberOptions,
    OriginGroup,
    OriginOptions,
    OriginResponse,
)
from proxy.rfc9111.cache_status import Outcome
from proxy.rfc9111.policy import Policy
from proxy.routes import HostPattern
from proxy.server import ServerOptions
from tests.apparatus import Clock, Front, fronted, told
from tests.scripted_origin import ScriptedOrigin, Wire, reply
from tests.server.wire import GET, PATIENCE, Peer, eventually

WAIT = b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Wait: 1\r\n\r\n"
OFF = Policy(cache=False)


@dataclass
class Stage:
    """Warmfront in front of origins that answer at once, or to X-Wait when they are told to."""

    origins: list[ScriptedOrigin]
    front: Front
    go_on: asyncio.Event
    passed_on: list[bytes] = field(default_factory=list)

    @property
    def group(self) -> OriginGroup:
        group = self.front.gateway._contact.upstreams[""].origin
        assert isinstance(group, OriginGroup)
        return group

    @property
    def in_flight(self) -> list[int]:
        return [one.in_flight for one in self.group.members]

    @property
    def asked(self) -> int:
        return sum(len(origin.requests) for origin in self.origins)

    @property
    def answered(self) -> list[Answered]:
        return [event for event in told(self.front) if isinstance(event, Answered)]

    async def connect(self) -> Peer:
        return await Peer.connect(self.front.listener)

    async def warmed(self) -> Peer:
        """A client whose next requests are passed on at once."""
        peer = await self.connect()
        while not self.passed_on:
            assert (await peer.ask()).body.startswith(b"from ")
        self.passed_on.clear()
        return peer

    async def waiting(self) -> Peer:
        """A client whose request was passed on at once, and waits for its answer."""
        peer = await self.warmed()
        asked = self.asked
        peer.send(WAIT)
        await eventually(lambda: self.asked > asked)
        assert self.passed_on == [WAIT]
        return peer


@asynccontextmanager
async def staged(
    *, members: int = 1, server: ServerOptions | None = None, **options: Any
) -> AsyncIterator[Stage]:
    go_on = asyncio.Event()
    origin_options = options.pop("origin", {})
    decisions = options.pop("decisions", None)

    def answers(number: int) -> Any:
        async def script(wire: Wire) -> None:
            while True:
                request = await wire.request()
                if request.get(b"X-Wait"):
                    await go_on.wait()
                await wire.send(reply(b"from %d" % number))

        return script

    origins = [await ScriptedOrigin(answers(number)).start() for number in range(members)]
    try:
        group = GroupOptions(
            members=tuple(
                MemberOptions(origin=OriginOptions(url=origin.url, **origin_options))
                for origin in origins
            ),
            **options,
        )
        async with fronted(group, OFF, clock=Clock(), server=server, decisions=decisions) as front:
            stage = Stage(origins, front, go_on)
            _note(stage)
            yield stage
    finally:
        go_on.set()
        for origin in origins:
            await origin.stop()


def _note(stage: Stage) -> None:
    path = stage.front.listener._hot["http"]
    take = path.take

    def noting(data: bytes, *others: Any) -> Any:
        found = take(data, *others)
        if found is not None:
            stage.passed_on.append(data)
        return found

    path.take = noting  # type: ignore[assignment, method-assign]


class TestClients:
    async def test_one_that_leaves_does_not_take_its_request_along(self) -> None:
        async with staged() as stage:
            async with await stage.waiting():
                told = len(stage.answered)
            await eventually(lambda: stage.front.listener.connections == 0)
            assert stage.in_flight == [1]
            stage.go_on.set()
            await eventually(lambda: stage.in_flight == [0])
            await eventually(lambda: len(stage.answered) == told + 1)
            assert stage.answered[-1].status == 200
            assert stage.origins[0].connections == 1
            assert stage.group.members[0].client.connections == (1, 1)

    async def test_one_that_closes_its_side_is_answered_and_closed(self) -> None:
        async with staged() as stage, await stage.waiting() as peer:
            peer.writer.write_eof()
            await asyncio.sleep(0.02)
            stage.go_on.set()
            answer = await peer.reply()
            assert (answer.body, answer.get(b"Connection")) == (b"from 0", b"close")
            await peer.closed()

    async def test_what_is_pipelined_waits_for_its_turn(self) -> None:
        async with staged() as stage, await stage.waiting() as peer:
            asked = stage.asked
            peer.send(GET)
            await asyncio.sleep(0.02)
            peer.send(GET)
            await asyncio.sleep(0.02)
            assert stage.asked == asked
            stage.go_on.set()
            assert [(await peer.reply()).body for _ in range(3)] == [b"from 0"] * 3
            stage.passed_on.clear()
            await peer.ask()
            assert stage.passed_on == [GET], "it came back"

    async def test_the_last_request_of_a_connection_is_told_so(self) -> None:
        async with (
            staged(server=ServerOptions(requests_per_connection=5)) as stage,
            await stage.connect() as peer,
        ):
            said = [(await peer.ask()).get(b"Connection") for _ in range(5)]
            assert said == [None] * 4 + [b"close"]
            await peer.closed()
            assert stage.passed_on

    async def test_one_that_waits_is_not_idle(self) -> None:
        async with (
            staged(server=ServerOptions(keepalive_timeout=0.05)) as stage,
            await stage.waiting() as peer,
        ):
            await asyncio.sleep(0.2)
            stage.go_on.set()
            assert (await peer.reply()).body == b"from 0"
            await peer.closed()

    async def test_hosts_that_are_not_served_are_not_passed_on(self) -> None:
        options = ServerOptions(allowed_hosts=(HostPattern("b.example"),))
        async with staged(server=options) as stage:
            for _ in range(5):
                async with await stage.connect() as peer:
                    assert (await peer.ask()).status == 421
            assert stage.asked == 0


class TestTheEnd:
    async def test_drain_waits_for_the_answer_which_tells_of_it(self) -> None:
        async with staged() as stage, await stage.waiting() as peer:
            draining = asyncio.create_task(stage.front.listener.drain(PATIENCE))
            await asyncio.sleep(0.02)
            stage.go_on.set()
            answer = await peer.reply()
            assert (answer.body, answer.get(b"Connection")) == (b"from 0", b"close")
            await peer.closed()
            await draining

    async def test_what_takes_too_long_is_cut(self) -> None:
        async with staged() as stage, await stage.waiting() as peer:
            async with asyncio.timeout(0.9):
                await stage.front.listener.drain(0.05)
            with suppress(ConnectionError):
                assert await peer.rest() == b""
            await eventually(lambda: stage.in_flight == [0])
            assert stage.group.members[0].client.connections[1] == 0, "it is not used again"

    async def test_what_has_just_left_for_a_task_is_cut_like_the_rest(self) -> None:
        async with staged() as stage, await stage.waiting():
            listener = stage.front.listener
            assert listener._acceptor is not None
            for connection in listener._acceptor._open:
                connection._passed_on.hand_over()
            await listener.drain(0)
            assert stage.in_flight == [0]


class TestOrigins:
    async def test_no_head_in_time(self) -> None:
        async with (
            staged(origin={"header_timeout": 0.1}) as stage,
            await stage.waiting() as peer,
        ):
            assert (await peer.reply()).status == 504
            assert stage.answered[-1].outcome is Outcome.ERROR
            assert stage.in_flight == [0]
            assert (await peer.ask()).status == 200

    async def test_without_an_idle_connection_one_is_opened(self) -> None:
        async with staged() as stage, await stage.waiting() as peer:
            async with await stage.connect() as other:
                assert (await other.ask()).body == b"from 0"
            assert stage.passed_on == [WAIT, GET]
            assert stage.origins[0].connections == 2
            stage.go_on.set()
            assert (await peer.reply()).body == b"from 0"
            assert stage.in_flight == [0]

    async def test_several_take_turns(self) -> None:
        async with staged(members=3) as stage, await stage.connect() as peer:
            bodies = [(await peer.ask()).body for _ in range(30)]
            assert len(stage.passed_on) > 20
            assert [bodies.count(b"from %d" % number) for number in range(3)] == [10] * 3
            assert all(bodies[i] == bodies[i + 3] for i in range(27))
            assert [one.requests for one in stage.group.members] == [10] * 3

    async def test_another_is_asked_where_one_fails(self) -> None:
        async with (
            staged(members=2, breaker=BreakerOptions(failures=2, pause=60.0)) as stage,
            await stage.connect() as peer,
        ):
            for _ in range(6):
                assert (await peer.ask()).status == 200
            await stage.origins[0].stop()
            bodies = [(await peer.ask()).body for _ in range(10)]
            assert bodies == [b"from 1"] * 10
            assert stage.group.retries == 2
            assert stage.in_flight == [0, 0]
            stage.origins.pop(0)

    async def test_limits_are_for_the_longer_way(self) -> None:
        for options in ({"limit": LimitOptions(concurrent=1)}, {"total_timeout": PATIENCE}):
            async with staged(**options) as stage, await stage.connect() as peer:
                for _ in range(5):
                    assert (await peer.ask()).body == b"from 0"
                assert not stage.passed_on

    async def test_figures_are_those_of_the_longer_way(self) -> None:
        decisions = Decisions(10, 1.0)
        async with staged(decisions=decisions) as stage, await stage.connect() as peer:
            names = [(await peer.ask()).get(b"Warmfront-Request-Id") for _ in range(5)]
            answered = stage.answered
            assert len(stage.passed_on) == 5
            assert all(one.outcome is Outcome.BYPASS and one.length == 6 for one in answered)
            assert [one.request_id.encode() for one in answered] == names
            assert len(set(names)) == len(decisions) == 5
            assert len({one.key for one in answered}) == 1
            times = [event for event in told(stage.front) if isinstance(event, OriginAnswered)]
            assert len(times) == 5

    async def test_a_bug_cuts_the_client_and_nobody_else(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with staged() as stage, await stage.waiting() as peer:
            with monkeypatch.context() as patched:
                patched.setattr("proxy.gateway.passing.Passing.kind", None)
                stage.go_on.set()
                await peer.closed()
            assert "could not be passed on" in caplog.text
            assert stage.in_flight == [0]
            async with await stage.connect() as other:
                assert (await other.ask()).status == 200


async def test_nothing_waits_for_the_garbage_collector() -> None:
    """What is collected makes the collector walk over all that is stored, again and again."""
    kinds = (Incoming, Passage, Begun, OriginResponse)
    async with staged() as stage, await stage.warmed() as peer:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert (await peer.ask()).status == 200
            peer.send(WAIT)
            await asyncio.sleep(0.02)
            peer.writer.write_eof()
            await asyncio.sleep(0.02)
            stage.go_on.set()
            await peer.reply()
            await peer.closed()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            assert [one for one in gc.garbage if isinstance(one, kinds)] == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
