"""Tags and purges through the whole proxy: after an acknowledged purge nothing older is served."""

import asyncio
from collections.abc import Sequence

import pytest

from proxy.events import TagsRefused
from proxy.purging import ALL, Mode, Purge, host_scope, prefix_scope, tag_scope, url_scope
from proxy.rfc9111.policy import Policy
from proxy.routes import PathPattern, Route
from tests.apparatus import Proxied, Reply, proxied

FRESH = ("Cache-Control", "s-maxage=60")


def tagged(body: bytes, *tags: tuple[str, str]) -> Reply:
    return Reply(headers=[FRESH, ("ETag", f'"{body.decode()}"'), *tags], body=body)


async def purge(front: Proxied, *scopes: str, mode: Mode = Mode.HARD) -> None:
    await front.log.append(scopes, mode)


class TestTags:
    @pytest.mark.parametrize(
        "field", ["Surrogate-Key", "Cache-Tag", "Cache-Tags", "X-Cache-Tags", "Edge-Cache-Tag"]
    )
    async def test_a_response_is_purged_by_its_tag_which_no_client_sees(self, field: str) -> None:
        async with proxied() as front:
            front.origin.will(tagged(b"one", (field, "product:1, list")), tagged(b"two"))
            first = await front.get()
            await purge(front, tag_scope("product:10"))
            hit = await front.get()
            await purge(front, tag_scope("product:1"))
            answer = await front.get()
        assert field not in first.headers
        assert field not in hit.headers
        assert hit.hit
        assert (answer.body, answer.hit) == (b"two", False)

    async def test_a_route_may_pass_tags_on(self) -> None:
        route = Route(name="open", path=PathPattern("/**"), strip_tags=False)
        async with proxied(routes=[route]) as front:
            front.origin.will(tagged(b"one", ("Cache-Tag", "a")))
            assert (await front.get()).headers["Cache-Tag"] == "a"

    async def test_a_route_names_tags_by_path_query_and_response(self) -> None:
        route = Route(
            name="products",
            path=PathPattern("/products/{id}"),
            tags=("product:{id}", "lang:{query.lang}", "shop:{header.X-Shop}"),
        )
        async with proxied(routes=[route]) as front:
            for scope in ("product:7", "lang:de", "shop:3"):
                front.origin.will(tagged(b"one", ("X-Shop", "3")))
                await front.get("/products/7?lang=de")
                await purge(front, tag_scope(scope))
            assert len(front.origin.seen) == 3

    async def test_tags_that_cannot_be_read_keep_a_response_out_of_the_store(self) -> None:
        async with proxied() as front:
            front.origin.always = lambda _: tagged(b"one", ("Cache-Tag", "x" * 2000))
            first = await front.get("/a?secret")
            again = await front.get("/a?secret")
        assert "detail=invalid-tags" in first.cache_status
        assert not again.hit
        refused = [event for event in front.events if isinstance(event, TagsRefused)]
        assert refused[0].uri == "http://api.example/a"
        assert "Cache-Tag" in refused[0].problem

    async def test_tags_follow_a_304(self) -> None:
        validated = Reply(status=304, headers=[FRESH, ("ETag", '"one"'), ("Cache-Tag", "new")])
        async with proxied() as front:
            front.origin.will(tagged(b"one", ("Cache-Tag", "old")), validated, tagged(b"two"))
            await front.get()
            front.clock.now += 61
            await front.get()
            await purge(front, tag_scope("old"))
            assert (await front.get()).hit
            await purge(front, tag_scope("new"))
            assert (await front.get()).body == b"two"

    async def test_a_successful_write_purges_its_route_s_tags(self) -> None:
        write = Route(
            name="write",
            path=PathPattern("/products/{id}"),
            methods=frozenset({"PUT"}),
            purge=("list", "product:{id}"),
        )
        async with proxied(routes=[write]) as front:
            front.origin.will(tagged(b"one", ("Cache-Tag", "list")), Reply(status=500), Reply())
            await front.get("/list")
            await front.ask("PUT", "/products/7", body=b"x")
            assert (await front.get("/list")).hit
            await front.ask("PUT", "/products/7", body=b"x")
            assert not (await front.get("/list")).hit


class TestScopes:
    @pytest.mark.parametrize(
        ("scopes", "left"),
        [
            ([url_scope("http://api.example/a/1")], ["/a/10", "/b"]),
            ([prefix_scope("/a")], ["/b"]),
            ([prefix_scope("/a/1")], ["/a/10", "/b"]),
            ([prefix_scope("//api.example/")], []),
            ([prefix_scope("//other.example/")], ["/a/1", "/a/10", "/b"]),
            ([host_scope("api.example")], []),
            ([ALL], []),
        ],
    )
    async def test_what_each_takes(self, scopes: Sequence[str], left: list[str]) -> None:
        async with proxied() as front:
            front.origin.always = lambda _: tagged(b"one")
            targets = ["/a/1", "/a/10", "/b"]
            for target in targets:
                await front.get(target)
            await purge(front, *scopes)
            assert [target for target in targets if (await front.get(target)).hit] == left

    async def test_a_url_goes_however_clients_spell_it(self) -> None:
        """To the origin these are one; that each has a key of its own is no excuse."""
        targets = ["/caf%C3%A9/%7Ea", "/caf%c3%a9/~a", "/caf\xc3\xa9/%7ea", "/caf%C3%a9/~%61"]
        async with proxied() as front:
            front.origin.always = lambda _: tagged(b"one")
            for target in targets:
                await front.get(target)
            await purge(front, url_scope(f"http://api.example{targets[0]}"))
            assert not any([(await front.get(target)).hit for target in targets])
            await front.ask("PUT", targets[1], body=b"x")
            assert not any([(await front.get(target)).hit for target in targets])

    async def test_a_pattern_is_searched_in_the_url(self) -> None:
        async with proxied() as front:
            front.origin.always = lambda _: tagged(b"one")
            for target in ("/a.css", "/a.js"):
                await front.get(target)
            await front.log.append([], Mode.HARD, r"\.css$")
            assert not (await front.get("/a.css")).hit
            assert (await front.get("/a.js")).hit

    async def test_all_variants_go(self) -> None:
        async with proxied() as front:
            front.origin.always = lambda _: tagged(b"one", ("Vary", "Accept-Language"))
            for language in ("de", "fr"):
                await front.get("/", ("Accept-Language", language))
            await purge(front, url_scope("http://api.example/"))
            for language in ("de", "fr"):
                assert not (await front.get("/", ("Accept-Language", language))).hit


class TestSoft:
    async def test_a_soft_purge_makes_stale_and_its_windows_begin_then(self) -> None:
        async with proxied(Policy(stale_while_revalidate=30)) as front:
            front.origin.will(tagged(b"one", ("Cache-Tag", "a")), tagged(b"two"))
            await front.get()
            front.clock.now += 10
            await purge(front, tag_scope("a"), mode=Mode.SOFT)
            front.clock.now += 5
            stale = await front.get()
            await front.settled()
            fresh = await front.get()
        assert (stale.body, fresh.body) == (b"one", b"two")
        assert stale.cache_status == "warmfront; hit; ttl=-5; detail=stale-while-revalidate"

    async def test_a_log_whose_clock_is_ahead_makes_stale_at_once(self) -> None:
        async with proxied() as front:
            front.origin.will(tagged(b"one"), tagged(b"two"))
            await front.get()
            front.log.state.apply(Purge(1, (ALL,), Mode.SOFT, at=front.clock.now + 30))
            assert (await front.get()).body == b"two"

    async def test_what_is_soft_purged_is_validated(self) -> None:
        async with proxied() as front:
            front.origin.will(tagged(b"one"), Reply(status=304, headers=[FRESH, ("ETag", '"one"')]))
            await front.get()
            await purge(front, ALL, mode=Mode.SOFT)
            validated, hit = await front.get(), await front.get()
        assert "detail=validated" in validated.cache_status
        assert hit.hit


class TestInFlight:
    """The purge comes while something is on its way; what was asked for before it never stays."""

    async def test_a_fill(self) -> None:
        gate = asyncio.Event()
        async with proxied() as front:
            old = tagged(b"old", ("Cache-Tag", "a"))
            old.wait = gate
            front.origin.will(old, tagged(b"new"))
            reading = asyncio.create_task(front.get())
            await front.origin.asked()
            await purge(front, tag_scope("a"))
            gate.set()
            assert (await reading).body == b"old"
            assert (await front.get()).body == b"new"

    async def test_a_validation(self) -> None:
        gate = asyncio.Event()
        confirmed = Reply(status=304, headers=[FRESH, ("ETag", '"old"')], wait=gate)
        async with proxied() as front:
            front.origin.will(tagged(b"old", ("Cache-Tag", "a")), confirmed, tagged(b"new"))
            await front.get()
            front.clock.now += 61
            reading = asyncio.create_task(front.get())
            await front.origin.asked(2)
            await purge(front, tag_scope("a"))
            gate.set()
            await reading
            assert (await front.get()).body == b"new"

    async def test_a_refresh_in_the_background(self) -> None:
        gate = asyncio.Event()
        async with proxied(Policy(stale_while_revalidate=1000)) as front:
            old = tagged(b"old", ("Cache-Tag", "a"))
            refreshed = tagged(b"old", ("Cache-Tag", "a"))
            refreshed.wait = gate
            front.origin.will(old, refreshed, tagged(b"new"))
            await front.get()
            front.clock.now += 61
            await front.get()
            await front.origin.asked(2)
            await purge(front, tag_scope("a"))
            gate.set()
            await front.settled()
            assert (await front.get()).body == b"new"

    async def test_a_stale_answer_to_a_failing_origin(self) -> None:
        gate = asyncio.Event()
        async with proxied(Policy(stale_if_error=1000)) as front:
            failing = Reply(status=503, body=b"failing", wait=gate)
            front.origin.will(tagged(b"old", ("Cache-Tag", "a")), failing)
            await front.get()
            front.clock.now += 61
            reading = asyncio.create_task(front.get())
            await front.origin.asked(2)
            await purge(front, tag_scope("a"))
            gate.set()
            assert (await reading).status == 503

    async def test_a_stale_answer_of_which_purges_may_have_been_missed(self) -> None:
        gate = asyncio.Event()
        async with proxied(Policy(stale_if_error=1000)) as front:
            front.origin.will(tagged(b"old"), Reply(status=503, body=b"failing", wait=gate))
            await front.get()
            front.clock.now += 61
            reading = asyncio.create_task(front.get())
            await front.origin.asked(2)
            front.log.state.reset(9, floor=0)
            gate.set()
            assert (await reading).status == 503


class TestWithoutTheLog:
    async def test_nothing_stored_is_trusted_and_everything_validated(self) -> None:
        confirmed = Reply(status=304, headers=[FRESH, ("ETag", '"one"')])
        async with proxied(Policy(grace=1000)) as front:
            front.origin.will(tagged(b"one"), confirmed, Reply(raw=b"not HTTP"))
            await front.get()
            front.log.trusted = False
            validated = await front.get()
            only = await front.get("/", ("Cache-Control", "only-if-cached"))
            failed = await front.get()
            front.log.trusted = True
            hit = await front.get()
        assert (validated.body, validated.hit) == (b"one", False)
        assert "fwd=miss; fwd-status=304" in validated.cache_status
        assert (only.status, failed.status) == (504, 502)
        assert "detail=purges-unknown" in only.cache_status
        assert hit.hit
