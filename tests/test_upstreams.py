"""From the YAML to groups of origins, and the whole application in front of several."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy import settings, upstreams
from proxy.app import App
from proxy.origin import (
    BreakerOptions,
    CheckOptions,
    GroupOptions,
    LimitOptions,
    MemberOptions,
    OriginOptions,
    RetryOptions,
)
from proxy.settings.loading import settings_from
from tests.apparatus import PATIENCE, Answer, Origin, Reply, eventually, read_answer

TOKEN = "0123456789abcdef"  # noqa: S105 - a test's


def loaded(text: str) -> settings.Settings:
    return settings_from(text, file="", env={})


async def get(address: str, target: str = "/", head: str = "Host: api.example") -> Answer:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"GET {target} HTTP/1.1\r\n{head}\r\n\r\n".encode())
            return await read_answer(reader, "GET")
        finally:
            writer.close()


@asynccontextmanager
async def origins(count: int) -> AsyncIterator[list[Origin]]:
    async with AsyncExitStack() as stack:
        started = []
        for number in range(count):
            origin = Origin()
            origin.always = lambda _, number=number: Reply(body=b"%d" % number)  # type: ignore[misc]
            await origin.start()
            stack.push_async_callback(origin.stop)
            started.append(origin)
        yield started


def url(origin: Origin) -> str:
    return f"http://127.0.0.1:{origin.port}"


@asynccontextmanager
async def running(text: str) -> AsyncIterator[App]:
    app = App(loaded(f"listen: 127.0.0.1:0\n{text}"))
    await app.start()
    try:
        yield app
    finally:
        await app.stop(drain=0.0)


class TestOptions:
    def test_the_defaults_are_those_of_the_groups(self) -> None:
        """There is one source of them for each side; here they are compared."""
        options = upstreams.group_options(loaded("origin: {url: http://a}"))[""]
        assert options == GroupOptions(
            members=(MemberOptions(origin=OriginOptions("http://a", connections=256)),)
        )
        health = settings.Health(path="/")
        with_checks = loaded("origin: {url: http://a, health: {path: /}}")
        assert upstreams.group_options(with_checks)[""].checks == CheckOptions(path="/")
        assert health.statuses == CheckOptions(path="/").statuses

    def test_a_lone_origin_is_never_left_alone_unasked(self) -> None:
        several = upstreams.group_options(loaded("origin: {urls: [http://a, http://b]}"))[""]
        assert several.breaker == BreakerOptions(failures=5)
        lone = upstreams.group_options(loaded("origin: {url: http://a, breaker: {failures: 2}}"))
        assert lone[""].breaker.failures == 2

    def test_what_is_set_arrives(self) -> None:
        text = """
origin: {url: http://a}
origins:
  search:
    urls: [{url: http://b, weight: 2}, {url: http://c, backup: on}]
    host: search.internal
    timeouts: {connect: 1s, header: 2s, idle: 3s, total: 4s}
    limit: {concurrent: 5, queue: 6, queue_timeout: 7s}
    retries: {attempts: 8, budget: 9%}
    health: {path: /up}
"""
        options = upstreams.group_options(loaded(text))["search"]
        assert [(one.origin.url, one.weight, one.backup) for one in options.members] == [
            ("http://b", 2, False),
            ("http://c", 1, True),
        ]
        assert options.members[1].origin.header_timeout == 2.0
        assert options.total_timeout == 4.0
        assert options.limit == LimitOptions(concurrent=5, queue=6, queue_timeout=7.0)
        assert options.retries == RetryOptions(attempts=8, budget=0.09)
        assert options.checks is not None
        assert options.checks.host == "search.internal"

    def test_how_many_connections_there_may_be(self) -> None:
        text = """
origin: {urls: [http://a, http://b], pool: {connections: 10}}
origins: {search: {url: http://c, pool: {connections: 5}}}
"""
        assert loaded(text).connections_out == 25


async def test_requests_are_spread_and_one_that_dies_is_not_missed() -> None:
    async with origins(3) as three:
        urls = ", ".join(map(url, three))
        async with running(f"origin: {{urls: [{urls}]}}\nadmin: off\n") as app:
            address = app.addresses[0]
            assert {(await get(address)).body for _ in range(6)} == {b"0", b"1", b"2"}
            await three[1].stop()
            answers = [await get(address) for _ in range(20)]
            assert {answer.body for answer in answers} == {b"0", b"2"}
            await three[1].start()


async def test_a_route_has_an_origin_of_its_own_with_its_own_host() -> None:
    async with origins(2) as (one, other):
        text = f"""
admin: off
origin: {{url: "{url(one)}"}}
origins:
  search: {{url: "{url(other)}", host: search.internal, forwarded: {{via: off}}}}
routes:
  - match: {{path: /search/**}}
    origin: search
"""
        async with running(text) as app:
            bodies = [(await get(app.addresses[0], to)).body for to in ("/", "/search/cats")]
            assert bodies == [b"0", b"1"]
            assert one.seen[0].values("Host") == ["api.example"]
            assert one.seen[0].values("Via") == ["1.1 warmfront"]
            assert other.seen[0].values("Host") == ["search.internal"]
            assert other.seen[0].values("Via") == []


async def test_everything_is_in_the_stats() -> None:
    async with origins(2) as (one, other):
        text = f"""
admin: {{listen: 127.0.0.1:0, token: {TOKEN}}}
origin:
  urls: ["{url(one)}", {{url: "{url(other)}", weight: 2, backup: on}}]
  breaker: {{failures: 1, pause: 30s}}
  limit: {{concurrent: 9}}
origins: {{search: {{url: "{url(other)}"}}}}
"""
        async with running(text) as app:
            await one.stop()
            assert (await get(app.addresses[0])).body == b"1"
            assert app.admin is not None
            shared, search = (await stats(app))["origins"]
            await one.start()
    assert shared["name"] == ""
    assert (shared["limit"], shared["queue"], shared["waiting"]) == (9, 100, 0)
    assert (shared["retries"], shared["overloaded"], shared["in_flight"]) == (1, 0, 0)
    assert shared["retry_budget"] == pytest.approx(9.0)
    dead, alive = shared["origins"]
    assert dead["since"] < PATIENCE
    assert dead | {"since": 0} == {
        "url": url(one),
        "state": "down",
        "since": 0,
        "cause": "1 failures in a row; the last: origin-refused",
        "weight": 1,
        "backup": False,
        "in_flight": 0,
        "requests": 1,
        "failures": 1,
        "last_failure": "origin-refused",
    }
    assert (alive["state"], alive["weight"], alive["backup"]) == ("up", 2, True)
    assert (search["name"], len(search["origins"])) == ("search", 1)


async def stats(app: App) -> dict[str, Any]:
    assert app.admin is not None
    address = f"127.0.0.1:{app.admin.ports[0]}"
    head = f"Host: {address}\r\nAuthorization: Bearer {TOKEN}"
    answer = await get(address, "/stats", head)
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def test_a_reload_keeps_what_is_unchanged_and_drains_what_left() -> None:
    async with origins(3) as (one, other, third):
        text = f"""
listen: 127.0.0.1:0
admin: {{listen: 127.0.0.1:0, token: {TOKEN}}}
drain_timeout: 50s
origin: {{urls: ["{url(one)}", "%s"]}}
"""
        app = App(loaded(text % url(other)))
        await app.start()
        try:
            for _ in range(4):
                await get(app.addresses[0])
            gate = asyncio.Event()
            other.will(Reply(body=b"begun before", wait=gate))
            one.will(Reply(body=b"begun before", wait=gate))
            begun = [asyncio.create_task(get(app.addresses[0], f"/{n}")) for n in range(2)]
            await other.asked(3)
            await one.asked(3)
            assert await app.reload(loaded(text % url(third))) == []
            assert {(await get(app.addresses[0])).body for _ in range(4)} >= {b"2"}
            listed = (await stats(app))["origins"][0]["origins"]
            states = {entry["url"]: (entry["state"], entry["in_flight"]) for entry in listed}
            assert states[url(other)] == ("draining", 1)
            assert states[url(third)] == ("up", 0)
            assert states[url(one)] == ("up", 1)
            gate.set()
            assert {(await task).body for task in begun} == {b"begun before"}
        finally:
            await app.stop(drain=0.0)


async def test_a_reload_that_cannot_be_made_changes_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    bad = f"""
listen: 127.0.0.1:0
admin: off
origin: {{url: "https://127.0.0.1:1", tls: {{ca: {missing}}}}}
"""
    async with (
        origins(1) as (one,),
        running(f"admin: off\norigin: {{url: '{url(one)}'}}\n") as app,
    ):
        with pytest.raises(OSError, match="No such file"):
            await app.reload(loaded(bad))
        assert (await get(app.addresses[0])).body == b"0"


async def test_a_lone_origin_that_fails_its_checks_is_503_until_it_passes_them() -> None:
    async with origins(1) as (one,):
        text = f"""
admin: off
origin: {{url: "{url(one)}", health: {{path: /up, interval: 10ms, unhealthy: 2, healthy: 1}}}}
"""
        healthy = False
        one.always = lambda seen: Reply(200 if healthy or seen.target != "/up" else 503)

        async with running(text) as app:

            async def down() -> bool:
                answer = await get(app.addresses[0])
                return answer.status == 503 and "detail=origin-down" in answer.cache_status

            async def up() -> bool:
                return (await get(app.addresses[0])).status == 200

            await eventually(down)
            healthy = True
            await eventually(up)
