"""What a successful unsafe request makes the proxy forget."""

import asyncio

import pytest

from proxy.events import PurgeIncomplete
from proxy.purging import ALL, Mode
from proxy.rfc9111.policy import KeyPolicy, Policy
from proxy.routes import PathPattern, Route
from proxy.stores import CacheKey
from tests.apparatus import Reply, proxied

FRESH = ("Cache-Control", "s-maxage=60")


def cacheable(body: bytes = b"one", *lines: tuple[str, str]) -> Reply:
    return Reply(headers=[FRESH, *lines], body=body)


class TestInvalidation:
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BAN", "M-SEARCH"])
    async def test_a_successful_unsafe_request_invalidates(self, method: str) -> None:
        async with proxied() as front:
            front.origin.will(
                cacheable(b"one", ("Vary", "X-V")), Reply(status=204), cacheable(b"two")
            )
            await front.get()
            written = await front.ask(method, "/", body=b"change")
            answer = await front.get()
        assert written.status == 204
        assert "fwd=method" in written.cache_status
        assert (answer.body, answer.hit) == (b"two", False)
        assert front.origin.seen[1].body == b"change"

    async def test_a_failed_one_does_not(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable(), Reply(status=500))
            await front.get()
            await front.ask("DELETE")
            assert (await front.get()).hit

    async def test_location_and_content_location_of_the_same_origin_count(self) -> None:
        async with proxied() as front:
            front.origin.always = lambda _: cacheable()
            for target in ("/a", "/b", "/c"):
                await front.get(target)
            front.origin.will(
                Reply(
                    status=201,
                    headers=[
                        ("Location", "/a"),
                        ("Content-Location", "http://api.example/b"),
                    ],
                )
            )
            await front.ask("POST", "/c")
            hits = [(await front.get(target)).hit for target in ("/a", "/b", "/c")]
        assert hits == [False, False, False]

    async def test_every_route_s_way_of_making_keys_is_reached(self) -> None:
        listing = Route(
            name="listing",
            path=PathPattern("/list"),
            methods=frozenset({"GET"}),
            policy=Policy(key=KeyPolicy(ignore_query=("page",), headers=("x-tenant",))),
        )
        async with proxied(routes=[listing]) as front:
            front.origin.will(cacheable(b"one"), Reply(status=204), cacheable(b"two"))
            await front.get("/list?page=1", ("X-Tenant", "a"))
            await front.ask("POST", "/list")
            answer = await front.get("/list?page=1", ("X-Tenant", "a"))
        assert answer.body == b"two"

    async def test_a_cache_group_is_invalidated_as_one(self) -> None:
        group = ("Cache-Groups", '"products"')
        async with proxied() as front:
            front.origin.always = lambda _: cacheable(b"one", group)
            await front.get("/list")
            await front.get("/item")
            front.origin.will(
                Reply(status=204, headers=[("Cache-Group-Invalidation", '"products"')])
            )
            await front.ask("PUT", "/other")
            assert not (await front.get("/list")).hit
            assert not (await front.get("/item")).hit

    async def test_a_fill_in_flight_when_the_write_comes_is_not_kept(self) -> None:
        gate = asyncio.Event()
        async with proxied() as front:
            front.origin.will(
                Reply(headers=[FRESH], body=b"old", wait=gate),
                Reply(status=204),
                cacheable(b"new"),
            )
            reading = asyncio.create_task(front.get())
            await front.origin.asked()
            await front.ask("PUT", "/", body=b"new")
            gate.set()
            assert (await reading).body == b"old"
            answer = await front.get()
        assert (answer.body, answer.hit) == (b"new", False)

    async def test_a_write_whose_answer_got_lost_purges_its_route_s_tags_too(self) -> None:
        write = Route(
            name="write",
            path=PathPattern("/items/{id}"),
            methods=frozenset({"PUT"}),
            purge=("list:{id}",),
        )
        async with proxied(routes=[write]) as front:
            front.origin.will(cacheable(b"one", ("Cache-Tag", "list:1")), Reply(raw=b"not HTTP"))
            await front.get("/list")
            await front.ask("PUT", "/items/1", body=b"x")
            assert not (await front.get("/list")).hit

    async def test_a_write_that_is_cut_off_when_the_proxy_ends_may_have_happened(self) -> None:
        """Others go on with the same Redis, and must not answer with what was before it."""
        async with proxied() as front:
            reply = Reply(wait=asyncio.Event())
            front.origin.will(cacheable(), reply)
            await front.get()
            before = front.log.state.position
            writing = asyncio.create_task(front.ask("PUT", "/", body=b"new"))
            await front.origin.asked(2)
            await front.listener.drain(0.0)
            assert front.log.state.position == before + 1
            assert not await front.store.lookup(CacheKey("http://api.example/"))
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await writing

    async def test_a_route_s_tag_that_cannot_be_filled_is_told_and_the_url_goes(self) -> None:
        write = Route(
            name="write", methods=frozenset({"PUT"}), purge=("list", "item:{header.X-Item}")
        )
        long = Reply(headers=[("X-Item", "x" * 1100)])
        async with proxied(routes=[write]) as front:
            for written in (Reply(), long):
                front.origin.will(cacheable(), written, cacheable(b"two"))
                await front.get("/a")
                await front.ask("PUT", "/a", body=b"x")
                assert (await front.get("/a")).body == b"two"
                await front.log.append([ALL], Mode.HARD)
        told = [event for event in front.events if isinstance(event, PurgeIncomplete)]
        assert [event.problem for event in told] == [
            "'item:{header.X-Item}' names nothing here",
            "'item:{header.X-Item}' makes a tag longer than 1024 bytes",
        ]

    async def test_a_write_does_not_wait_for_a_log_that_is_away(self) -> None:
        async with proxied() as front:

            async def append(*_args: object) -> int:
                raise AssertionError("asked in vain")

            front.log.append = append  # type: ignore[method-assign, assignment]
            front.origin.will(cacheable())
            await front.get()
            front.log.trusted = False
            await front.ask("PUT", "/", body=b"x")
            front.log.trusted = True
            assert not (await front.get()).hit

    async def test_a_post_that_says_so_fills_the_url_it_changed(self) -> None:
        async with proxied() as front:
            front.origin.will(
                cacheable(b"old"),
                Reply(
                    headers=[("Cache-Control", "max-age=60"), ("Content-Location", "/a")],
                    body=b"new",
                ),
            )
            await front.get("/a")
            await front.ask("POST", "/a", body=b"new")
            answer = await front.get("/a")
        assert (answer.body, answer.hit) == (b"new", True)
