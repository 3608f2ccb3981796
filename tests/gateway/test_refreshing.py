"""Refreshes in the background: what they ask, keep, and let go of."""

import asyncio
from dataclasses import replace

import pytest

from proxy.rfc9111.policy import Policy
from proxy.stores import CacheKey, Entry
from proxy.stores.entry import Enough
from tests.apparatus import Proxied, Reply, eventually, proxied

SWR = ("Cache-Control", "max-age=60, stale-while-revalidate=600")
ETAG = ("ETag", '"v"')


async def stale(front: Proxied, *lines: tuple[str, str]) -> None:
    """Store a response, let it go stale, and ask for it once, which starts a refresh."""
    await front.get()
    front.clock.now += 61
    assert (await front.get("/", *lines)).hit


async def test_a_304_refreshes_with_the_request_that_was_answered() -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[SWR, ETAG], body=b"one"), Reply(status=304, headers=[SWR, ETAG])
        )
        await stale(front, ("X-Own", "1"), ("Range", "bytes=0-0"), ("If-None-Match", '"w"'))
        await front.settled()
        answer = await front.get()
    refresh = front.origin.seen[1]
    assert (refresh.method, refresh.values("If-None-Match")) == ("GET", ['"v"'])
    assert (refresh.values("Range"), refresh.values("X-Own")) == ([], ["1"])
    assert answer.cache_status == "warmfront; hit; ttl=60; detail=fresh"


async def test_a_store_that_reads_anew_each_time_is_refreshed_too() -> None:
    async with proxied() as front:
        lookup = front.store.lookup

        async def copies(key: CacheKey, enough: Enough = bool) -> list[Entry]:
            return [replace(entry) for entry in await lookup(key, enough)]

        front.store.lookup = copies  # type: ignore[method-assign]
        front.origin.will(Reply(headers=[SWR], body=b"one"), Reply(headers=[SWR], body=b"two"))
        await stale(front)
        await front.settled()
        assert (await front.get()).body == b"two"


async def test_a_head_refreshes_with_a_get() -> None:
    async with proxied() as front:
        front.origin.will(Reply(headers=[SWR], body=b"one"), Reply(headers=[SWR], body=b"two"))
        await front.get()
        front.clock.now += 61
        await front.ask("HEAD")
        await front.settled()
        assert (await front.get()).body == b"two"
    assert front.origin.seen[1].method == "GET"


async def test_the_stale_response_serves_until_the_new_body_is_whole() -> None:
    async with proxied() as front:
        front.origin.will(Reply(headers=[SWR], body=b"one"))
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf"
        front.origin.will(Reply(raw=head))
        await stale(front)
        await front.settled()
        front.origin.will(Reply(headers=[SWR], body=b"two"))
        meanwhile = await front.get()
        await front.settled()
        answer = await front.get()
    assert (meanwhile.hit, meanwhile.body) == (True, b"one")
    assert (answer.hit, answer.body) == (True, b"two")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_an_error_does_not_take_the_place_of_the_stale_response(status: int) -> None:
    async with proxied(Policy(negative_ttl={status: 60.0})) as front:
        front.origin.will(Reply(headers=[SWR], body=b"one"), Reply(status=status))
        await stale(front)
        await front.settled()
        front.origin.will(Reply(headers=[SWR], body=b"two"))
        assert (await front.get()).body == b"one"
        await front.settled()
        assert (await front.get()).body == b"two"


async def test_what_is_no_longer_to_be_stored_goes() -> None:
    async with proxied() as front:
        front.origin.will(Reply(headers=[SWR], body=b"one"))
        front.origin.always = lambda _: Reply(headers=[("Cache-Control", "no-store")], body=b"two")
        await stale(front)
        await front.settled()
        assert (await front.get()).body == b"two"


async def test_a_stream_without_end_does_not_keep_a_refresh_alive() -> None:
    """Nor its connection: nothing of it will be stored."""
    async with proxied() as front:
        endless = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\r\n\r\n"
        gate = asyncio.Event()
        front.origin.will(Reply(headers=[SWR], body=b"one"), Reply(interim=endless, wait=gate))
        await stale(front)
        await front.settled()
        gate.set()
        assert "fwd=uri-miss" in (await front.get()).cache_status


async def test_an_answer_that_outgrows_the_limit_is_not_read_to_its_end() -> None:
    async with proxied(max_object_size=8) as front:
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n"
        gate = asyncio.Event()
        front.origin.will(
            Reply(headers=[SWR], body=b"one"), Reply(interim=head + b"x" * 9, wait=gate)
        )
        await stale(front)
        await front.settled()
        gate.set()


async def test_a_304_about_something_else_ends_the_stored_response() -> None:
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[SWR, ETAG], body=b"one"),
            Reply(status=304, headers=[("ETag", '"other"')]),
            Reply(headers=[SWR], body=b"two"),
        )
        await stale(front)
        await front.settled()
        assert (await front.get()).body == b"two"


async def test_a_write_while_a_refresh_is_on_its_way_wins() -> None:
    gate = asyncio.Event()
    async with proxied() as front:
        front.origin.will(
            Reply(headers=[SWR, ETAG], body=b"one"),
            Reply(status=304, headers=[SWR, ETAG], wait=gate),
            Reply(status=204),
            Reply(headers=[SWR], body=b"two"),
        )
        await stale(front)
        await front.origin.asked(2)
        await front.ask("PUT", "/", body=b"two")
        gate.set()
        await front.settled()
        answer = await front.get()
    assert (answer.hit, answer.body) == (False, b"two")


async def test_a_client_that_forbids_storing_does_not_refresh_for_others() -> None:
    async with proxied() as front:
        front.origin.will(Reply(headers=[SWR], body=b"one"), Reply(headers=[SWR], body=b"two"))
        await stale(front, ("Cache-Control", "no-store"))
        await front.settled()
        assert len(front.origin.seen) == 1
        await front.get()
        await front.settled()
        assert (await front.get()).body == b"two"


async def test_a_client_that_leaves_does_not_hold_a_stream_without_end() -> None:
    """Where the rest cannot be read in the background, the origin's connection is let go."""
    async with proxied(Policy(default_ttl=60.0)) as front:
        front.background.limit = 0
        gate = asyncio.Event()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\r\n\r\n"
        front.origin.will(Reply(interim=head, wait=gate))
        reader, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
        await reader.readuntil(b"data: 1")
        writer.transport.abort()

        async def gone() -> bool:
            return not front.origin.connections

        await eventually(gone)
        gate.set()


class TestAhead:
    """Before it expires, by chance."""

    LINES = (("Cache-Control", "max-age=60"), ("ETag", '"v"'))

    async def test_one_of_many_uses_refreshes_and_nobody_waits(self) -> None:
        async with proxied(Policy(refresh_ahead=1.0)) as front:
            front.gateway._draw = lambda: 1e-9
            front.origin.will(Reply(headers=self.LINES, body=b"one"))
            front.origin.always = lambda _: Reply(headers=self.LINES, body=b"two")
            await front.get()
            front.clock.now += 59.99
            assert (await front.get()).body == b"one"
            await front.settled()
            front.clock.now += 1
            answer = await front.get()
        assert (answer.hit, answer.body) == (True, b"two")
        assert front.origin.seen[1].headers["If-None-Match"] == '"v"'

    @pytest.mark.parametrize("beta", [0.0, 1.0])
    async def test_early_in_its_life_or_by_default_it_does_not(self, beta: float) -> None:
        async with proxied(Policy(refresh_ahead=beta)) as front:
            front.gateway._draw = lambda: 1e-9
            front.origin.will(Reply(headers=self.LINES, body=b"one"))
            await front.get()
            front.clock.now += 30 if beta else 59.99
            assert (await front.get()).hit
            await front.settled()
            assert len(front.origin.seen) == 1
