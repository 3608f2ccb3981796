"""The log in a real Redis: what a fleet agrees on, and what survives which failure."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import pytest
from redis.exceptions import ResponseError

from proxy.events import Event, PurgeLogChanged
from proxy.purging import (
    TAIL_TIMEOUT,
    Acknowledgement,
    Invalid,
    Limits,
    LogUnreachable,
    Mode,
    Purge,
    RedisPurgeLog,
    Softened,
    Unknown,
    Valid,
    redis_log,
    scripts,
)
from proxy.purging.readers import UNSETTLED
from proxy.redis_link import connect
from tests.purging import unhurried
from tests.purging.unhurried import IMPATIENT, TIMING, Unhurried, Watch
from tests.redis_server import (
    RedisServer,
    eventually,
    patient,
    start_cluster,
    start_redis,
    start_sentinel,
)

PATIENCE = 5.0
URL = "http://h/a"
FLAGGED = [pair[0] for pair in (scripts.SYNC, scripts.APPEND, scripts.STATUS, scripts.LEAVE)]
HEAD = "wf:{purge}:head"


class Relay:
    """A way to the server that can be cut, also in the middle of a reply."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.port = 0
        self.cut_after: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Nothing comes through, now and until `cut_after` is None again."""
        self.cut_after = 0
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            back, forth = await asyncio.open_connection("127.0.0.1", self.server.port)
            await asyncio.gather(
                self._pass_on(reader, forth, replies=False),
                self._pass_on(back, writer, replies=True),
            )
        self._writers.discard(writer)

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, replies: bool
    ) -> None:
        try:
            while data := await source.read(65536):
                if replies and self.cut_after is not None:
                    target.write(data[: self.cut_after])
                    await target.drain()
                    break
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()


@asynccontextmanager
async def relay_to(server: RedisServer) -> AsyncIterator[Relay]:
    relay = Relay(server)
    listening = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.port = listening.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        relay.cut()
        listening.close()


class Join(Protocol):
    async def __call__(self, url: str, **options: Any) -> RedisPurgeLog: ...


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def join(events: list[Event], watch: Watch) -> AsyncIterator[Join]:
    """Makes another process of the fleet, as far as the log can tell."""
    async with AsyncExitStack() as stack:

        async def joined(url: str, **options: Any) -> RedisPurgeLog:
            where = patient(url)
            client = connect(where)
            tail = connect(where, max_connections=1, socket_timeout=TAIL_TIMEOUT)
            stack.push_async_callback(client.aclose)
            stack.push_async_callback(tail.aclose)
            usual = {"timing": TIMING, "name": "node", "clock": watch}
            log = RedisPurgeLog(client, tail, emit=events.append, **{**usual, **options})
            stack.push_async_callback(log.close)
            await log.start()
            return log

        yield joined


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with start_redis() as running:
        yield running


async def until(check: Callable[[], bool], what: str) -> None:
    async def checked() -> bool:
        return check()

    await eventually(checked, what, limit=10)


async def settle(log: RedisPurgeLog) -> int:
    """Let the log be old enough to promise something; the number of the purge that showed it."""
    await unhurried.settle(log)
    seq = await log.append(["tag:settle"], Mode.HARD)
    assert (await log.wait(seq, PATIENCE)).complete
    return seq


def trusting(log: RedisPurgeLog) -> bool:
    """Whether it trusts what it knows, now: a moment later it may not."""
    return log.trusted


async def acknowledged(log: RedisPurgeLog, seq: int) -> Acknowledgement:
    """Wait until one process has said that it has applied the purge, and no longer."""

    async def one_has() -> bool:
        return (await log.wait(seq, 0)).acked > 0

    await eventually(one_has, "nobody has applied it", 10)
    return await log.wait(seq, 0)


def states(events: list[Event]) -> list[str]:
    return [event.state for event in events if isinstance(event, PurgeLogChanged)]


class TestTogether:
    async def test_a_purge_is_acknowledged_when_all_have_applied_it(
        self, server: RedisServer, join: Join
    ) -> None:
        one, two, three = [await join(server.url) for _ in range(3)]
        await settle(one)
        seen: list[Purge] = []
        three.on_purge.append(seen.append)
        before = two.state.position
        seq = await one.append(["tag:x", "tag:y"], Mode.HARD)
        assert one.state.judge(before, URL, ["tag:x"]) == Invalid()
        done = await one.wait(seq, PATIENCE)
        assert (done.seq, done.acked, done.nodes, done.pending) == (seq, 3, 3, ())
        for log in (one, two, three):
            assert log.state.position >= seq
            assert log.trusted
            assert await log.judge(before, URL, ["*", "tag:y"]) == Invalid()
            assert await log.judge(before, URL, ["*", "tag:z"]) == Valid()
        assert [(purge.seq, purge.scopes) for purge in seen] == [(seq, ("tag:x", "tag:y"))]

    async def test_a_new_log_promises_nothing_until_all_must_have_heard_of_it(
        self, server: RedisServer, join: Join, watch: Watch
    ) -> None:
        log = await join(server.url)
        seq = await log.append(["*"], Mode.HARD)
        early = await acknowledged(log, seq)
        assert (early.acked, early.nodes, early.pending) == (1, 1, (UNSETTLED,))
        watch.outlast_all()
        assert (await log.wait(seq, PATIENCE)).complete
        newcomer = await join(server.url)
        assert (await newcomer.wait(await newcomer.append([], Mode.HARD), PATIENCE)).complete

    async def test_a_purge_from_everywhere_at_once(self, server: RedisServer, join: Join) -> None:
        logs = [await join(server.url) for _ in range(3)]
        await settle(logs[0])

        async def purge(number: int) -> int:
            log = logs[number % 3]
            seq = await log.append([f"tag:{number}"], Mode.HARD)
            assert log.state.position >= seq
            assert (await log.wait(seq, PATIENCE)).complete
            return seq

        numbers = await asyncio.gather(*(purge(number) for number in range(60)))
        assert len(set(numbers)) == 60
        await until(lambda: all(log.state.position == max(numbers) for log in logs), "they agree")

    async def test_who_comes_later_asks_about_what_came_before(
        self, server: RedisServer, join: Join
    ) -> None:
        old = await join(server.url)
        first = await settle(old)
        await old.append(["tag:hard"], Mode.HARD)
        await old.append(["tag:soft"], Mode.SOFT)
        last = await old.append([], Mode.SOFT, "soft$")
        last = await old.append([], Mode.HARD, "hard$")
        new = await join(server.url)
        for log in (old, new):
            assert await log.judge(first, URL, ["tag:hard", "tag:soft"]) == Invalid()
            assert await log.judge(first, URL, ["tag:other"]) == Valid()
            assert isinstance(await log.judge(first, URL, ["tag:soft"]), Softened)
            assert isinstance(await log.judge(first, "http://h/soft", ["tag:other"]), Softened)
            assert await log.judge(first, "http://h/hard", ["tag:other"]) == Invalid()
            assert await log.judge(last, "http://h/hard", ["tag:hard"]) == Valid()
            assert await log.judge(last + 1, URL, ["tag:hard"]) == Invalid()
            assert await log.judge(0, URL, ["tag:other"]) == Invalid()
        assert await new.judge(first, URL, ["tag:soft"]) == await old.judge(
            first, URL, ["tag:soft"]
        )
        assert await new.judge(first, URL, [f"tag:{n}" for n in range(6000)]) == Invalid()

    async def test_a_pattern_is_checked_before_it_is_recorded(
        self, server: RedisServer, join: Join
    ) -> None:
        log = await join(server.url)
        with pytest.raises(ValueError, match="regular expression"):
            await log.append([], Mode.HARD, "(")

    async def test_many_patterns_are_told_once(
        self, server: RedisServer, join: Join, events: list[Event]
    ) -> None:
        log = await join(server.url, limits=Limits(patterns=4))
        for number in range(6):
            await log.append([], Mode.HARD, f"p{number}")
        assert events == [PurgeLogChanged("crowded", "3 patterns of at most 4")]

    async def test_it_is_one_log_in_a_cluster(self, join: Join) -> None:
        async with start_cluster() as cluster:
            one, two = await join(cluster.url), await join(cluster.url)
            first = await settle(one)
            seq = await two.append(["tag:x"], Mode.SOFT)
            done = await two.wait(seq, PATIENCE)
            assert (done.acked, done.nodes, done.complete) == (2, 2, True)
            three = await join(cluster.url)
            assert isinstance(await three.judge(first, URL, ["tag:x"]), Softened)
            for log in (one, two, three):
                await log.close()


class TestComingAndGoing:
    async def test_who_leaves_is_not_waited_for(self, server: RedisServer, join: Join) -> None:
        one, two = await join(server.url), await join(server.url)
        await settle(one)
        await two.close()
        assert not two.trusted
        done = await one.wait(await one.append(["*"], Mode.HARD), PATIENCE)
        assert (done.acked, done.nodes, done.complete) == (1, 1, True)

    async def test_who_falls_silent_stops_trusting_before_it_stops_counting(
        self, server: RedisServer, join: Join, watch: Watch
    ) -> None:
        one = await join(server.url)
        async with relay_to(server) as relay:
            two = await join(relay.url)
            await settle(one)
            relay.cut()
            seq = await one.append(["*"], Mode.HARD)
            assert trusting(two)
            watch.outlast_trust()
            assert not trusting(two)
            early = await acknowledged(one, seq)
            assert (early.acked, early.nodes, early.pending) == (1, 2, (two.name,))
            watch.outlast_trust()
            done = await one.wait(seq, PATIENCE)
            assert (done.acked, done.nodes, done.complete) == (1, 1, True)
            assert await two.judge(two.state.position, URL, ["*"]) == Unknown()
            relay.cut_after = None
            await until(lambda: two.trusted, "it is back")
            assert two.state.position >= seq
            assert (await one.wait(seq, PATIENCE)).nodes == 2

    async def test_the_dead_are_forgotten_without_any_purge(
        self, server: RedisServer, join: Join, watch: Watch
    ) -> None:
        one = await join(server.url)
        async with relay_to(server) as relay:
            await join(relay.url)
            relay.cut()

            async def alone() -> bool:
                watch.outlast_trust()
                async with server.client() as client:
                    return bool(await client.hlen("wf:{purge}:nodes") == 1)

            await eventually(alone, "one remains", 10)
        await until(lambda: one.trusted, "it goes on")

    async def test_it_starts_without_redis_and_finds_it(
        self, server: RedisServer, join: Join, events: list[Event]
    ) -> None:
        server.kill()
        log = await join(server.url)
        assert not log.trusted
        with pytest.raises(LogUnreachable):
            await log.append(["*"], Mode.HARD)
        with pytest.raises(LogUnreachable):
            await log.wait(1, 0.1)
        await server.start()
        await until(lambda: log.trusted, "it found Redis")
        assert states(events) == ["lost", "regained"]


class TestFailures:
    @pytest.mark.parametrize("empty", [True, False], ids=["empty", "with its data"])
    async def test_kill_and_restart(
        self, join: Join, watch: Watch, events: list[Event], *, empty: bool
    ) -> None:
        async with start_redis("--appendonly", "yes", "--appendfsync", "always") as server:
            one, two = await join(server.url), await join(server.url)
            born = await settle(one)
            dropped: list[str] = []
            one.on_reset.append(lambda: dropped.append("one"))
            two.on_reset.append(lambda: dropped.append("two"))
            server.kill()
            with pytest.raises(LogUnreachable):
                await one.append(["*"], Mode.HARD)
            await until(lambda: states(events) == ["lost"] * 2, "they noticed")
            assert trusting(one)
            watch.outlast_trust()
            assert not trusting(one)
            await server.restart(empty=empty)
            await until(lambda: one.trusted and two.trusted, "they came back")
            assert sorted(dropped) == ["one", "two"]
            assert one.state.position > born
            # Acknowledged purges may be lost, so nothing from before can be shown to be valid.
            assert await one.judge(born, URL, ["tag:x"]) == Invalid()
            assert await one.judge(one.state.position, URL, ["tag:x"]) == Valid()
            await settle(one)
            done = await two.wait(await two.append(["tag:x"], Mode.HARD), PATIENCE)
            assert (done.acked, done.nodes, done.complete) == (2, 2, True)
            assert sorted(states(events)) == ["lost", "lost", "regained", "regained"] + 2 * [
                "reset"
            ]

    async def test_a_restart_too_quick_to_be_noticed(
        self, server: RedisServer, join: Join, watch: Watch
    ) -> None:
        one, two = await join(server.url), await join(server.url)
        await settle(one)
        await server.restart()
        seq = 0
        while not seq:
            with contextlib.suppress(LogUnreachable):
                seq = await one.append(["tag:x"], Mode.HARD)
        assert UNSETTLED in (await one.wait(seq, 0)).pending
        watch.outlast_all()
        done = await one.wait(seq, PATIENCE)
        assert done.complete
        assert two.state.position >= seq or not two.trusted

    async def test_freeze(self, server: RedisServer, join: Join, watch: Watch) -> None:
        one, two = await join(server.url), await join(server.url)
        born = await settle(one)
        server.freeze()
        try:
            one.timing = two.timing = IMPATIENT
            with pytest.raises(LogUnreachable):
                await one.append(["tag:x"], Mode.HARD)
            assert trusting(one)
            watch.outlast_trust()
            assert not trusting(one)
            assert not trusting(two)
            assert await one.judge(born, URL, ["tag:y"]) == Unknown()
        finally:
            server.thaw()
            one.timing = two.timing = TIMING
        await until(lambda: one.trusted and two.trusted, "trust is back")
        assert await one.judge(born, URL, ["tag:y"]) == Valid()
        done = await two.wait(await two.append(["tag:x"], Mode.HARD), PATIENCE)
        assert (done.acked, done.nodes, done.complete) == (2, 2, True)

    async def test_an_operator_may_choose_to_serve_blind_for_longer(
        self, server: RedisServer, join: Join, watch: Watch
    ) -> None:
        strict = await join(server.url)
        blind = await join(server.url, timing=Unhurried(blind=60.0))
        server.freeze()
        try:
            watch.outlast_trust()
            assert not trusting(strict)
            assert trusting(blind)
            watch.outlast_trust()
            assert not trusting(blind)
        finally:
            server.thaw()

    async def test_replies_cut_in_the_middle(self, server: RedisServer, join: Join) -> None:
        one = await join(server.url)
        await settle(one)
        dice = random.Random(1)  # noqa: S311
        async with relay_to(server) as relay:
            two = await join(relay.url)
            before = two.state.position
            for number in range(40):
                relay.cut_after = dice.choice((None, 1, 5, 17, 60))
                with contextlib.suppress(LogUnreachable):
                    await two.append([f"tag:{number}"], Mode.HARD)
                await one.append([f"tag:{number}"], Mode.HARD)
                assert await two.judge(before, URL, [f"tag:{number}"]) in {Valid(), Invalid()}
            relay.cut_after = None
            await until(lambda: two.state.position == one.state.position, "it recovered")
            for number in range(40):
                assert await two.judge(before, URL, [f"tag:{number}"]) == Invalid()
            assert await two.judge(before, URL, ["tag:other"]) == Valid()

    async def test_the_stream_is_trimmed_past_a_reader(
        self,
        server: RedisServer,
        join: Join,
        events: list[Event],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(redis_log, "_STREAM_LENGTH", 10)
        one = await join(server.url)
        born = await settle(one)
        async with relay_to(server) as relay:
            two = await join(relay.url)
            dropped: list[int] = []
            two.on_reset.append(lambda: dropped.append(two.state.position))
            relay.cut()
            for number in range(300):
                await one.append([f"tag:{number % 7}"], Mode.HARD)
            relay.cut_after = None
            await until(lambda: two.state.position == one.state.position, "it is back")
            assert dropped == [one.state.position]
            # Its log is the same, so what Redis remembers still counts.
            assert await two.judge(born, URL, ["tag:3"]) == Invalid()
            assert await two.judge(born, URL, ["tag:other"]) == Valid()
            assert PurgeLogChanged("reset", "trimmed before it was read") in events

    @pytest.mark.parametrize("key", scripts.KEYS)
    async def test_a_key_is_lost(
        self, server: RedisServer, join: Join, watch: Watch, key: str
    ) -> None:
        """By an eviction, or a hand that slipped."""
        one = await join(server.url)
        born = await settle(one)
        await one.append(["tag:x"], Mode.SOFT, "x")
        fresh = await join(server.url)
        async with server.client() as client:
            await client.delete(f"wf:{{purge}}:{key}")
        assert await fresh.judge(born, URL, ["tag:settle", "tag:x"]) != Valid()
        seq = await one.append(["tag:y"], Mode.HARD)
        watch.outlast_all()
        assert (await one.wait(seq, PATIENCE)).complete
        await until(lambda: fresh.trusted and fresh.state.position >= seq, "the other follows")
        if key != "log":
            assert await fresh.judge(born, URL, ["tag:z"]) == Invalid()

    async def test_what_is_no_log_is_not_trusted(
        self, server: RedisServer, join: Join, watch: Watch, events: list[Event]
    ) -> None:
        async with server.client() as client:
            await client.set(HEAD, "foreign")
            log = await join(server.url)
            assert not log.trusted
            with pytest.raises(LogUnreachable, match="WRONGTYPE"):
                await log.append(["*"], Mode.HARD)
            await client.delete(HEAD)
            await until(lambda: log.trusted, "it made its own")
            await client.xadd("wf:{purge}:log", {"foreign": 1}, id=f"{log.state.position + 1}-0")
            await client.hincrby(HEAD, "seq", 1)
            await until(lambda: states(events)[-1] == "lost", "a record was not readable")
            watch.outlast_trust()
            assert not log.trusted
            with pytest.raises(LogUnreachable, match="not a purge log's answer"):
                await log._catch_up()
            assert await log.judge(log.state.position, URL, ["*"]) == Unknown()

    async def test_a_wrong_password_is_no_crash(self, join: Join) -> None:
        async with start_redis("--requirepass", "right") as server:
            log = await join(server.url)
            assert not log.trusted
            with pytest.raises(LogUnreachable):
                await log.append(["*"], Mode.HARD)

    async def test_forgotten_scripts_are_sent_again(self, server: RedisServer, join: Join) -> None:
        log = await join(server.url)
        await settle(log)
        async with server.client() as client:
            await client.script_flush()
        assert await log.append(["*"], Mode.HARD) == log.state.position

    async def test_a_server_that_knows_no_flags(self, server: RedisServer) -> None:
        """Redis 6 takes the first line of a script for Lua."""

        class Redis6:
            def __init__(self, client: Any) -> None:
                self.client = client

            async def execute_command(self, *words: Any, **options: Any) -> Any:
                if words[0] == "EVALSHA" and words[1] in {flagged.digest for flagged in FLAGGED}:
                    raise ResponseError("Error compiling script: unexpected symbol near '#'")
                return await self.client.execute_command(*words, **options)

            async def aclose(self) -> None:
                """Nothing to close here."""

        async with server.client() as client, server.client() as tail:
            log = RedisPurgeLog(Redis6(client), tail, emit=lambda _: None, timing=TIMING)
            await log.start()
            assert log.trusted
            await settle(log)
            await log.close()

    async def test_who_leaves_midway_leaves_no_mess(self, server: RedisServer, join: Join) -> None:
        log = await join(server.url)
        dice = random.Random(2)  # noqa: S311
        born = await settle(log)
        for number in range(300):
            task = asyncio.create_task(log.append([f"tag:{number}"], Mode.HARD))
            for _ in range(dice.randrange(6)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await settle(log)
        assert await log.judge(born, URL, ["tag:other"]) == Valid()

    async def test_sentinels_choose_another_primary(self, join: Join, watch: Watch) -> None:
        async with start_sentinel() as watched:
            one, two = await join(watched.url), await join(watched.url)
            born = await settle(one)
            watched.primary.kill()
            watch.outlast_trust()
            await watched.promoted(watched.replica)
            await until(lambda: one.trusted and two.trusted, "they followed")
            assert await one.judge(born, URL, ["tag:x"]) == Invalid()
            await settle(one)
            done = await two.wait(await two.append(["*"], Mode.HARD), PATIENCE)
            assert (done.acked, done.nodes, done.complete) == (2, 2, True)
            for log in (one, two):
                await log.close()


class TestLater:
    async def test_it_counts_here_at_once_and_everywhere_later(
        self, server: RedisServer, join: Join
    ) -> None:
        one = await join(server.url)
        born = await settle(one)
        async with relay_to(server) as relay:
            two = await join(relay.url)
            relay.cut()
            two.append_later(["tag:x"], Mode.HARD)
            assert two.state.judge(two.state.position, URL, ["tag:x"]) == Invalid()
            assert await one.judge(born, URL, ["tag:x"]) == Valid()
            relay.cut_after = None
            await until(lambda: one.state.position > born, "it was told")
            assert await one.judge(born, URL, ["tag:x"]) == Invalid()
            await until(lambda: two.state.position == one.state.position, "both know")
            assert two.state.judge(two.state.position, URL, ["tag:x"]) == Valid()

    async def test_it_survives_losing_track(self, server: RedisServer, join: Join) -> None:
        log = await join(server.url)
        await settle(log)
        server.kill()
        log.append_later(["tag:x"], Mode.HARD)
        before = log.state.position
        seen: list[Purge] = []
        log.on_purge.append(seen.append)
        still_invalid: list[object] = []
        log.on_reset.append(
            lambda: still_invalid.append(log.state.judge(log.state.position, URL, ["tag:x"]))
        )
        await server.start()
        await until(lambda: bool(seen), "it was appended")
        assert still_invalid == [Invalid()]
        assert seen[0].scopes == ("tag:x",)
        assert log.state.position > before

    async def test_it_is_told_before_the_end(self, server: RedisServer, join: Join) -> None:
        one, two = await join(server.url), await join(server.url)
        born = await settle(one)
        two.append_later(["tag:x"], Mode.HARD)
        await two.close()
        await until(lambda: one.state.position > born, "it was told")
        assert await one.judge(born, URL, ["tag:x"]) == Invalid()

    async def test_too_many_become_one_of_everything(
        self, server: RedisServer, join: Join, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_log, "_LATER_LIMIT", 5)
        log = await join(server.url)
        await settle(log)
        server.freeze()
        for number in range(6):
            log.append_later([f"tag:{number}"], Mode.SOFT)
        assert log.state.judge(log.state.position, URL, ["*"]) == Invalid()
        seen: list[Purge] = []
        log.on_purge.append(seen.append)
        server.thaw()
        await until(lambda: any(purge.scopes == ("*",) for purge in seen), "all is purged")


async def test_names_are_never_used_twice(server: RedisServer, join: Join) -> None:
    one, two = await join(server.url, name=""), await join(server.url, name="")
    assert one.name != two.name
