"""Redis down, slow, full, read-only, locked: nobody waits long, nobody hears it twice."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.events import Event, RedisChanged
from proxy.redis_link import (
    Access,
    Client,
    LinkBusy,
    LinkDown,
    LinkError,
    LinkRefused,
    LinkState,
    RedisLink,
    RedisOptions,
    Script,
)
from tests.certificates import certificate_for
from tests.redis_server import (
    RedisServer,
    eventually,
    free_port,
    knows_tls,
    patient,
    start_cluster,
    start_redis,
    start_sentinel,
)

LIMIT = 20.0
"""Seconds that anything may take on a busy machine."""


class Linked:
    """A link and what it told."""

    def __init__(self, options: RedisOptions) -> None:
        self.told: list[Event] = []
        self.link = RedisLink(options, self.told.append)

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.told if isinstance(event, RedisChanged)]

    async def read(self, key: str = "k", timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as it is
        return await self.link.run(
            lambda c: c.execute_command("GET", key), key=key, timeout=timeout
        )

    async def read_in_haste(self) -> Any:
        return await self.read(timeout=0.1)

    async def write(self, value: str | bytes = "v", key: str = "k") -> Any:
        return await self.link.run(
            lambda c: c.execute_command("SET", key, value, "PX", 60_000),
            key=key,
            access=Access.WRITE,
        )

    async def until(self, state: LinkState, limit: float = 10.0) -> None:
        async def reached() -> bool:
            return self.link.state is state

        await eventually(reached, f"not {state}", limit)


@asynccontextmanager
async def linked(url: str, **options: Any) -> AsyncIterator[Linked]:
    """A link that is in no hurry, unless told: a busy machine is no reason to give up on Redis."""
    one = Linked(patient(url, **options))
    try:
        yield one
    finally:
        await one.link.close()


async def failures(act: Callable[[], Awaitable[Any]], count: int) -> list[type[LinkError] | None]:
    found: list[type[LinkError] | None] = []
    for _ in range(count):
        try:
            await act()
        except LinkError as error:
            found.append(type(error))
        else:
            found.append(None)
    return found


async def test_commands_reach_redis(redis_server: RedisServer) -> None:
    async with linked(redis_server.url) as one:
        await one.link.start()
        await one.write("a")
        assert await one.read() == b"a"
        assert (one.link.counts.failures, one.states) == (0, [])
        assert one.link.usable(Access.WRITE)


async def test_a_killed_server_is_told_once_and_found_again_without_help() -> None:
    async with start_redis() as server, linked(server.url) as one:
        await one.write()
        server.kill()
        assert await failures(one.read, 20) == [LinkDown] * 20
        assert one.states == ["down"]
        assert one.link.counts.failures == 5
        assert one.link.counts.skipped == 15
        assert not one.link.usable()
        back: list[str] = []
        one.link.on_up(lambda: back.append("up"))
        await server.start()
        await one.until(LinkState.UP)
        await one.write()
        assert one.states == ["down", "up"]
        assert back == ["up"]


async def test_a_frozen_server_keeps_nobody_for_long() -> None:
    async with start_redis() as server, linked(server.url) as one:
        await one.write()
        server.freeze()
        started = time.monotonic()
        reads = (one.read_in_haste() for _ in range(100))
        results = await asyncio.gather(*reads, return_exceptions=True)
        assert all(isinstance(result, LinkError) for result in results)
        assert time.monotonic() - started < 100 * 0.1 / 2, "not one after the other"
        asked = one.link.counts.commands
        assert await failures(one.read, 100) == [LinkDown] * 100
        assert one.link.counts.commands == asked, "nobody even asks"
        server.thaw()
        await one.until(LinkState.UP)
        await one.read()
        assert one.states == ["down", "up"]


async def test_a_server_that_is_away_at_start_is_told_at_once() -> None:
    port = free_port()
    async with linked(f"redis://127.0.0.1:{port}") as one:
        await one.link.start()
        assert one.states == ["down"]
        with pytest.raises(LinkDown, match=r"refused|failed"):
            await one.read()
        async with start_redis(port=port):
            await one.until(LinkState.UP)
            await one.write()


async def test_a_restart_in_between_costs_nothing_that_was_not_under_way() -> None:
    async with start_redis() as server, linked(server.url) as one:
        await asyncio.gather(*(one.write(key=f"{number}") for number in range(10)))
        await server.restart()
        assert await failures(one.read, 20) == [None] * 20


async def test_the_wrong_password_is_down_and_not_said() -> None:
    async with start_redis("--requirepass", "right") as server:
        url = server.url.replace("//", "//:wrong@")
        async with linked(url) as one:
            assert set(await failures(one.read, 10)) == {LinkDown}
            assert one.states == ["down"]
            assert "wrong@" not in repr(one.told)
        async with linked(url.replace("wrong", "right")) as one:
            await one.write()


async def test_an_acl_user_may_read_and_is_refused_writing() -> None:
    async with start_redis() as server:
        async with server.client() as raw:
            rights = ("on", ">pw", "~*", "+@read", "+@connection")
            await raw.execute_command("ACL", "SETUSER", "reader", *rights)
        async with linked(server.url.replace("//", "//reader:pw@")) as one:
            assert await failures(one.write, 3) == [LinkRefused] * 3
            assert await one.read() is None
            assert one.states == ["refusing"]
            assert not one.link.usable(Access.WRITE)
            assert one.link.usable(Access.READ)


async def test_a_full_server_refuses_writes_until_there_is_room() -> None:
    async with (
        start_redis("--maxmemory-policy", "noeviction") as server,
        server.client() as raw,
        linked(server.url) as one,
    ):
        await one.write()
        await raw.config_set("maxmemory", 1)
        assert await failures(one.write, 50) == [LinkRefused] * 50
        assert await one.read() == b"v"
        assert one.states == ["refusing"]
        assert one.link.counts.skipped == 49
        await raw.config_set("maxmemory", 0)
        await eventually(lambda: _succeeds(one.write), "still refusing")
        assert one.states == ["refusing", "up"]


async def test_a_read_only_server_refuses_writes_and_is_left_when_its_address_moves() -> None:
    async with start_redis() as server, server.client() as raw, linked(server.url) as one:
        await one.write()
        await raw.execute_command("REPLICAOF", "127.0.0.1", free_port())
        assert await failures(one.write, 3) == [LinkRefused] * 3
        assert await one.read() == b"v"
        await raw.execute_command("REPLICAOF", "NO", "ONE")
        await eventually(lambda: _succeeds(one.write), "still read-only")
        assert one.states == ["refusing", "up"]


async def _succeeds(act: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await act()
    except LinkError:
        return False
    return True


async def test_thousands_of_cancelled_commands_mix_up_no_replies(
    redis_server: RedisServer,
) -> None:
    async with linked(redis_server.url, max_connections=8) as one:
        for number in range(50):
            await one.write(f"value {number}", key=f"cancel:{number}")

        async def check(number: int) -> None:
            assert await one.read(f"cancel:{number}") == f"value {number}".encode()

        for round_ in range(40):
            tasks = [asyncio.create_task(check(number)) for number in range(50)]
            await asyncio.sleep(0.0002 * (round_ % 7))
            for task in tasks[round_ % 2 :: 2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(r is None or isinstance(r, asyncio.CancelledError) for r in results)
        await asyncio.gather(*(check(number) for number in range(50)))
        assert one.link.counts.failures == 0


async def test_failures_are_counted_although_nobody_waits_for_them() -> None:
    async with (
        start_redis() as server,
        linked(server.url, timeout=0.2, background_timeout=0.3) as one,
    ):
        with contextlib.suppress(LinkDown):  # a busy machine
            await one.write()
        server.freeze()
        tasks = [asyncio.create_task(one.read()) for _ in range(5)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await one.until(LinkState.DOWN)


async def test_more_commands_than_connections_wait_for_one_then_give_up() -> None:
    async with (
        start_redis() as server,
        linked(server.url, max_connections=2) as one,
    ):
        await one.write()

        async def block(client: Client) -> Any:
            return await client.execute_command("BLPOP", "list", 0)

        blocked = [asyncio.create_task(one.link.run(block, timeout=LIMIT)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(LinkBusy):
            await one.read_in_haste()
        async with server.client() as raw:
            await raw.rpush("list", "one", "two")
        await asyncio.gather(*blocked)
        assert await one.read() == b"v"
        assert (one.link.counts.busy, one.link.counts.failures) == (1, 0)


async def test_a_reply_cut_midway_is_an_error_and_no_value(redis_server: RedisServer) -> None:
    """A relay passes a few bytes of a large reply and hangs up."""
    async with relay(redis_server.port, limit=50_000) as port:
        async with linked(f"redis://127.0.0.1:{port}") as one:
            await one.write(b"x" * 40_000, key="large")
            assert await failures(lambda: one.read("large"), 3) != [None] * 3
        async with linked(redis_server.url) as one:
            assert await one.read("large") == b"x" * 40_000


async def test_something_that_is_no_redis_is_down() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with linked(f"redis://127.0.0.1:{port}") as one:
            assert set(await failures(one.read, 10)) == {LinkDown}
            assert one.states == ["down"]


async def test_a_script_runs_again_after_the_server_forgot_it() -> None:
    script = Script("return redis.call('INCR', KEYS[1]) + ARGV[1]")
    async with start_redis() as server, linked(server.url) as one:
        for expected in (11, 12):
            assert await one.link.run(lambda c: script.run(c, ("n",), (10,))) == expected
        await server.restart()
        assert await one.link.run(lambda c: script.run(c, ("n",), (10,))) == 11


async def test_tls_trusts_only_the_named_authority(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    certificate = certificate_for("127.0.0.1", tmp_path)
    async with relay(redis_server.port, tls=certificate.server()) as port:
        url = f"rediss://127.0.0.1:{port}"
        async with linked(url, ca_file=str(certificate.pem)) as one:
            await one.write("tls")
            assert await one.read() == b"tls"
        async with linked(url) as one:
            assert set(await failures(one.read, 2)) == {LinkDown}
        async with linked(url, verify=False) as one:
            await one.read()


@pytest.mark.skipif(not knows_tls(), reason="this server was built without TLS")
@pytest.mark.parametrize("start", [start_redis, start_sentinel, start_cluster])
async def test_tls_with_real_servers(start: Callable[..., Any], tmp_path: Path) -> None:
    """To all of them: sentinels and what they name, nodes and what they lead to."""
    certificate = certificate_for("127.0.0.1", tmp_path)
    async with start(tls=certificate) as servers:
        async with linked(servers.url, ca_file=certificate.ca_file) as one:
            for key in ("a", "b", "c", "d"):
                await one.write("tls", key)
                assert await one.read(key) == b"tls"
            assert one.states == []
        async with linked(servers.url) as one:
            assert set(await failures(one.read, 2)) == {LinkDown}


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    async with start_redis("--unixsocket", str(path)), linked(f"unix://{path}") as one:
        await one.write("unix")
        assert await one.read() == b"unix"


async def test_an_error_of_our_own_is_not_blamed_on_redis(redis_server: RedisServer) -> None:
    async def wrong(_client: Client) -> None:
        raise KeyError("ours")

    async with linked(redis_server.url) as one:
        with pytest.raises(KeyError):
            await one.link.run(wrong)
        assert one.link.counts.failures == 0


@asynccontextmanager
async def relay(
    port: int, *, tls: ssl.SSLContext | None = None, limit: int = 1 << 30
) -> AsyncIterator[int]:
    """A port that leads to Redis and hangs up after `limit` bytes from it."""
    tasks: set[asyncio.Task[None]] = set()

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int = 1 << 30
    ) -> None:
        try:
            while left > 0 and (data := await reader.read(min(left, 10_000))):
                left -= len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        tasks.add(asyncio.create_task(pump(reader, up_writer)))
        tasks.add(asyncio.create_task(pump(up_reader, writer, limit)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
