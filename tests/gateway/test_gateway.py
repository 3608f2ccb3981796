"""Requests through the whole proxy: what the client gets and what the origin is asked."""

import asyncio

import pytest

from proxy.events import NotStored, OriginFailed
from proxy.rfc9111.policy import ClientDirectives, KeyPolicy, Policy, SetCookie
from proxy.rfc9111.reasons import Reason
from proxy.routes import HeaderEdits, PathPattern, Route
from tests.apparatus import Reply, eventually, proxied

FRESH = ("Cache-Control", "s-maxage=60")


def cacheable(body: bytes = b"one", *lines: tuple[str, str]) -> Reply:
    return Reply(headers=[FRESH, *lines], body=body)


class TestHitsAndMisses:
    async def test_a_miss_fills_and_the_next_request_hits(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable(b"one", ("X-Own", "\xe9")))
            miss = await front.get("/a?b")
            front.clock.now += 7
            hit = await front.get("/a?b")
        assert (miss.status, miss.body, hit.status, hit.body) == (200, b"one", 200, b"one")
        assert "fwd=uri-miss" in miss.cache_status
        assert "stored" in miss.cache_status
        assert "ttl=60" in miss.cache_status
        assert hit.cache_status == "warmfront; hit; ttl=53; detail=fresh"
        assert hit.headers["Age"] == "7"
        assert "Age" not in miss.headers
        assert hit.headers["X-Own"] == "\xe9"
        assert hit.headers["Via"] == "1.1 warmfront"
        assert len(front.origin.seen) == 1

    async def test_an_expired_response_is_fetched_anew(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable(b"one"), cacheable(b"two"))
            await front.get()
            front.clock.now += 61
            answer = await front.get()
            again = await front.get()
        assert (answer.body, again.body, again.hit) == (b"two", b"two", True)
        assert "fwd=stale" in answer.cache_status

    async def test_head_is_answered_from_a_stored_get(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable(b"four"))
            await front.get()
            answer = await front.ask("HEAD")
        assert (answer.hit, answer.headers["Content-Length"], answer.body) == (True, "4", b"")

    async def test_head_alone_fills_nothing(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable(), cacheable())
            await front.ask("HEAD")
            answer = await front.get()
        assert [seen.method for seen in front.origin.seen] == ["HEAD", "GET"]
        assert not answer.hit

    async def test_a_get_with_a_body_is_not_cached(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable(b"one"), cacheable(b"two"))
            await front.ask("GET", "/", body=b"query")
            answer = await front.ask("GET", "/", body=b"query")
        assert answer.body == b"two"
        assert "fwd=bypass" in answer.cache_status
        assert "detail=request-body" in answer.cache_status
        assert front.origin.seen[0].body == b"query"

    async def test_an_empty_response_is_stored_too(self) -> None:
        async with proxied() as front:
            front.origin.will(Reply(status=204, headers=[FRESH]), cacheable(b""))
            first = await front.get("/204")
            again = await front.get("/204")
            await front.get("/empty")
            empty = await front.get("/empty")
        assert (first.status, again.status, again.hit) == (204, 204, True)
        assert (empty.hit, empty.body, empty.headers["Content-Length"]) == (True, b"", "0")

    async def test_what_may_not_be_stored_says_why(self) -> None:
        async with proxied() as front:
            front.origin.always = lambda _: Reply(headers=[("Cache-Control", "private")])
            await front.get()
            answer = await front.get()
        assert answer.cache_status == "warmfront; fwd=uri-miss; fwd-status=200; detail=private"
        assert len(front.origin.seen) == 2

    async def test_a_body_above_the_limit_streams_through(self) -> None:
        async with proxied(max_object_size=10) as front:
            front.origin.always = lambda _: cacheable(b"x" * 11)
            first = await front.get()
            answer = await front.get()
        assert (first.body, answer.hit) == (b"x" * 11, False)
        assert "detail=too-large" in first.cache_status

    async def test_a_chunked_body_above_the_limit_is_told_when_it_shows(self) -> None:
        raw = (
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"b\r\nhello world\r\n0\r\n\r\n"
        )
        async with proxied(max_object_size=10) as front:
            front.origin.will(Reply(raw=raw), cacheable(b"next"))
            first = await front.get()
            answer = await front.get()
        assert (first.body, answer.body) == (b"hello world", b"next")
        assert NotStored("http://api.example/", Reason.TOO_LARGE) in front.events

    async def test_only_if_cached_gets_504_or_the_stored_response(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable())
            absent = await front.get("/", ("Cache-Control", "only-if-cached"))
            await front.get()
            present = await front.get("/", ("Cache-Control", "only-if-cached"))
        assert (absent.status, present.status) == (504, 200)
        assert absent.headers["Content-Type"] == "application/problem+json"
        assert "detail=only-if-cached" in absent.cache_status
        assert len(front.origin.seen) == 1

    async def test_a_reload_does_not_reach_the_origin_unless_the_route_honours_it(self) -> None:
        reload = ("Cache-Control", "no-cache")
        async with proxied() as front:
            front.origin.will(cacheable())
            await front.get()
            assert (await front.get("/", reload)).hit
        async with proxied(Policy(client_directives=ClientDirectives.HONOR)) as front:
            front.origin.will(cacheable(b"one"), cacheable(b"two"))
            await front.get()
            answer = await front.get("/", reload)
        assert answer.body == b"two"
        assert "fwd=request" in answer.cache_status

    async def test_the_target_reaches_the_origin_byte_for_byte(self) -> None:
        target = "/%7Ea/../b//c;d?&utm_source=x&\xe9"
        async with proxied(Policy(key=KeyPolicy(ignore_query=("utm_*",)))) as front:
            front.origin.will(cacheable())
            await front.get(target)
            hit = await front.get(target.replace("utm_source=x", "utm_source=y"))
        assert front.origin.seen[0].target == target
        assert hit.hit

    async def test_the_key_options_keep_tenants_apart(self) -> None:
        policy = Policy(key=KeyPolicy(headers=("x-tenant",), cookies=("lang",)))
        async with proxied(policy) as front:
            front.origin.always = lambda seen: cacheable(seen.headers["X-Tenant"].encode())
            one = await front.get("/", ("X-Tenant", "1"))
            two = await front.get("/", ("X-Tenant", "2"))
            again = await front.get("/", ("X-Tenant", "1"))
            cookie = await front.get("/", ("X-Tenant", "1"), ("Cookie", "lang=de"))
        assert (one.body, two.body, again.body) == (b"1", b"2", b"1")
        assert (two.hit, again.hit, cookie.hit) == (False, True, False)


class TestVary:
    async def test_variants_are_kept_side_by_side(self) -> None:
        async with proxied() as front:
            front.origin.always = lambda seen: cacheable(
                seen.headers["Accept-Language"].encode(), ("Vary", "Accept-Language")
            )
            await front.get("/", ("Accept-Language", "de"))
            french = await front.get("/", ("Accept-Language", "fr"))
            german = await front.get("/", ("Accept-Language", "de"))
            again = await front.get("/", ("Accept-Language", "fr"))
        assert "fwd=vary-miss" in french.cache_status
        assert (german.hit, german.body, again.hit, again.body) == (True, b"de", True, b"fr")


class TestValidation:
    async def test_a_304_freshens_what_is_stored(self) -> None:
        async with proxied() as front:
            front.origin.will(
                cacheable(b"one", ("ETag", '"v1"'), ("X-Old", "kept"), ("X-New", "1")),
                Reply(status=304, headers=[FRESH, ("ETag", '"v1"'), ("X-New", "2")]),
            )
            await front.get()
            front.clock.now += 100
            validated = await front.get()
            front.clock.now += 10
            hit = await front.get()
        assert front.origin.seen[1].values("If-None-Match") == ['"v1"']
        assert (validated.status, validated.body) == (200, b"one")
        assert "fwd=stale; fwd-status=304" in validated.cache_status
        assert "detail=validated" in validated.cache_status
        assert (validated.headers["X-Old"], validated.headers["X-New"]) == ("kept", "2")
        assert (hit.hit, hit.headers["Age"], hit.headers["X-New"]) == (True, "10", "2")

    async def test_the_clients_own_condition_is_answered_from_the_store(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable(b"one", ("ETag", '"v1"')))
            await front.get()
            match = await front.get("/", ("If-None-Match", 'W/"v1"'))
            other = await front.get("/", ("If-None-Match", '"v0"'))
        assert (match.status, match.headers["ETag"], match.hit) == (304, '"v1"', True)
        assert (other.status, other.body) == (200, b"one")
        assert len(front.origin.seen) == 1

    async def test_a_304_for_the_client_alone_passes_through(self) -> None:
        async with proxied() as front:
            front.origin.will(Reply(status=304, headers=[("ETag", '"v7"')]), cacheable())
            answer = await front.get("/", ("If-None-Match", '"v7"'))
            plain = await front.get()
        assert (answer.status, answer.headers["ETag"]) == (304, '"v7"')
        assert front.origin.seen[0].values("If-None-Match") == ['"v7"']
        assert (plain.status, plain.hit) == (200, False)

    async def test_no_cache_validates_every_time(self) -> None:
        headers = [("Cache-Control", "no-cache"), ("ETag", '"v1"')]
        async with proxied() as front:
            front.origin.will(
                Reply(headers=headers, body=b"one"), Reply(status=304, headers=headers)
            )
            await front.get()
            answer = await front.get()
        assert (answer.status, answer.body) == (200, b"one")
        assert "fwd-status=304" in answer.cache_status

    async def test_a_new_representation_replaces_the_old_one(self) -> None:
        async with proxied() as front:
            front.origin.will(
                cacheable(b"one", ("ETag", '"v1"')),
                Reply(headers=[("Cache-Control", "no-store")], body=b"two"),
                cacheable(b"three"),
            )
            await front.get()
            front.clock.now += 61
            second = await front.get()
            third = await front.get()
        assert (second.body, third.body) == (b"two", b"three")
        assert "fwd=uri-miss" in third.cache_status

    async def test_a_head_that_shows_a_change_invalidates(self) -> None:
        async with proxied() as front:
            front.origin.will(
                cacheable(b"one", ("ETag", '"v1"')),
                cacheable(b"longer", ("ETag", '"v2"')),
                cacheable(b"longer", ("ETag", '"v2"')),
            )
            await front.get()
            front.clock.now += 61
            await front.ask("HEAD")
            front.clock.now -= 61
            answer = await front.get()
        assert (answer.body, answer.hit) == (b"longer", False)

    async def test_a_304_for_something_never_stored_is_asked_again_without_conditions(self) -> None:
        async with proxied() as front:
            front.origin.will(
                cacheable(b"one", ("ETag", '"v1"')),
                Reply(status=304, headers=[("ETag", '"other"')]),
                cacheable(b"two", ("ETag", '"v2"')),
            )
            await front.get()
            front.clock.now += 61
            answer = await front.get()
        assert (answer.status, answer.body) == (200, b"two")
        assert front.origin.seen[2].values("If-None-Match") == []


class TestStale:
    async def test_stale_while_revalidate_answers_at_once_and_refreshes(self) -> None:
        swr = ("Cache-Control", "s-maxage=60, stale-while-revalidate=30")
        gate = asyncio.Event()
        async with proxied() as front:
            front.origin.will(
                Reply(headers=[swr], body=b"one"), Reply(headers=[swr], body=b"two", wait=gate)
            )
            await front.get("/", ("Range", "bytes=0-"), ("X-Client", "1"))
            await front.get()
            front.clock.now += 70
            stale, also = await front.get(), await front.get()
            gate.set()
            await front.settled()
            fresh = await front.get()
        assert (stale.body, also.body, fresh.body) == (b"one", b"one", b"two")
        assert stale.cache_status == "warmfront; hit; ttl=-10; detail=stale-while-revalidate"
        assert fresh.hit
        assert len(front.origin.seen) == 2

    async def test_a_failing_refresh_leaves_the_stale_response(self) -> None:
        policy = Policy(stale_while_revalidate=1000.0)
        async with proxied(policy) as front:
            front.origin.will(
                cacheable(b"one", ("ETag", '"v"')), Reply(raw=b"not HTTP"), Reply(status=500)
            )
            await front.get()
            front.clock.now += 70
            await front.get()
            await front.settled()
            again = await front.get()
            await front.settled()
            third = await front.get()
            await front.settled()
        assert (again.body, third.body) == (b"one", b"one")
        assert any(isinstance(event, OriginFailed) for event in front.events)

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    async def test_stale_if_error_hides_a_server_error(self, status: int) -> None:
        async with proxied() as front:
            front.origin.will(
                Reply(headers=[("Cache-Control", "max-age=60, stale-if-error=30")], body=b"one"),
                Reply(status=status),
                Reply(status=status, body=b"broken"),
            )
            await front.get()
            front.clock.now += 80
            hidden = await front.get()
            front.clock.now += 20
            shown = await front.get()
        assert (hidden.status, hidden.body) == (200, b"one")
        assert f"fwd=stale; fwd-status={status}" in hidden.cache_status
        assert "detail=stale-if-error" in hidden.cache_status
        assert (shown.status, shown.body) == (status, b"broken")

    async def test_an_unreachable_origin_is_bridged_for_the_grace_period(self) -> None:
        async with proxied(Policy(grace=30.0)) as front:
            front.origin.will(Reply(headers=[("Cache-Control", "max-age=60")], body=b"one"))
            await front.get()
            await front.origin.stop()
            front.clock.now += 70
            assert list(front.store.sweep()) == []
            bridged = await front.get()
            front.clock.now += 30
            failed = await front.get()
            await front.origin.start()
        assert (bridged.status, bridged.body) == (200, b"one")
        assert bridged.cache_status == "warmfront; fwd=stale; ttl=-10; detail=grace"
        assert failed.status == 502

    @pytest.mark.parametrize(
        "directive", ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"]
    )
    async def test_grace_yields_to_what_the_origin_forbids(self, directive: str) -> None:
        async with proxied() as front:
            front.origin.will(
                Reply(headers=[("Cache-Control", f"max-age=60, {directive}")], body=b"one")
            )
            await front.get()
            await front.origin.stop()
            front.clock.now += 61
            answer = await front.get()
            await front.origin.start()
        assert answer.status == 502


class TestFailures:
    async def test_a_refused_connection_is_502_with_a_problem(self) -> None:
        async with proxied() as front:
            await front.origin.stop()
            answer = await front.get("/secret?token=1")
            await front.origin.start()
        assert answer.status == 502
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert b"origin-refused" in answer.body
        assert str(front.origin.port).encode() not in answer.body
        assert answer.cache_status == "warmfront; fwd=uri-miss; detail=origin-refused"
        assert [e.uri for e in front.events if isinstance(e, OriginFailed)] == [
            "http://api.example/secret"
        ]

    async def test_a_cut_body_reaches_the_client_as_cut_and_is_not_stored(self) -> None:
        raw = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf"
        async with proxied() as front:
            front.origin.will(Reply(raw=raw), cacheable(b"whole"))
            cut = await front.get()
            answer = await front.get()
        assert (cut.complete, cut.body) == (False, b"half")
        assert (answer.body, answer.hit) == (b"whole", False)
        assert NotStored("http://api.example/", Reason.ORIGIN_BROKEN) in front.events

    async def test_a_client_that_leaves_does_not_end_the_fill(self) -> None:
        size = 1 << 19
        async with proxied() as front:
            gate = asyncio.Event()
            front.origin.will(Reply(headers=[FRESH], body=b"x" * size, wait=gate))
            _, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
            await front.origin.asked()
            writer.transport.abort()
            gate.set()

            async def filled() -> bool:
                return (await front.get("/", ("Cache-Control", "only-if-cached"))).hit

            await eventually(filled)
            answer = await front.get()
        assert len(answer.body) == size
        assert len(front.origin.seen) == 1


class TestRoutes:
    async def test_cache_off_passes_everything(self) -> None:
        async with proxied(Policy(cache=False)) as front:
            front.origin.always = lambda _: cacheable()
            await front.get()
            answer = await front.get()
        assert answer.cache_status == ("warmfront; fwd=bypass; fwd-status=200; detail=cache-off")

    async def test_set_cookie_strip_stores_without_it(self) -> None:
        async with proxied(Policy(set_cookie=SetCookie.STRIP)) as front:
            front.origin.will(cacheable(b"one", ("Set-Cookie", "id=1")))
            first = await front.get()
            answer = await front.get()
        assert first.headers["Set-Cookie"] == "id=1"
        assert answer.hit
        assert "Set-Cookie" not in answer.headers

    async def test_response_fields_are_edited_on_hits_and_misses(self) -> None:
        route = Route(
            name="edited",
            path=PathPattern("/**"),
            response_headers=HeaderEdits(
                set=(("X-Set", "1"),), add=(("X-Add", "2"),), remove=("server",)
            ),
        )
        async with proxied(routes=[route]) as front:
            front.origin.will(cacheable(b"one", ("Server", "secret/1.0"), ("X-Set", "0")))
            answers = [await front.get(), await front.get()]
        for answer in answers:
            assert "Server" not in answer.headers
            assert (answer.headers["X-Set"], answer.headers["X-Add"]) == ("1", "2")

    async def test_surrogate_control_is_obeyed_and_stripped(self) -> None:
        async with proxied() as front:
            front.origin.will(
                Reply(headers=[("Surrogate-Control", "max-age=60"), ("Cache-Control", "no-cache")])
            )
            first = await front.get()
            answer = await front.get()
        assert answer.hit
        assert "Surrogate-Control" not in first.headers
        assert "Surrogate-Control" not in answer.headers


class TestThePathThrough:
    async def test_interim_responses_are_passed_on(self) -> None:
        early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
        async with proxied() as front:
            front.origin.will(Reply(headers=[FRESH], body=b"one", interim=early))
            answer = await front.get()
            again = await front.get()
        assert [(code, dict(headers)) for code, headers in answer.interim] == [
            (103, {"Link": "</a.css>"})
        ]
        assert (again.hit, again.interim) == (True, [])

    async def test_the_host_is_kept_or_replaced(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable())
            await front.get()
        assert front.origin.seen[0].values("Host") == ["api.example"]
        async with proxied(host="origin") as front:
            front.origin.will(cacheable())
            await front.get()
        assert front.origin.seen[0].values("Host") == [f"127.0.0.1:{front.origin.port}"]

    async def test_max_forwards_ends_here(self) -> None:
        async with proxied() as front:
            answer = await front.ask("OPTIONS", "/", ("Max-Forwards", "0"))
        assert (answer.status, front.origin.seen) == (200, [])
        assert answer.cache_status == "warmfront; detail=max-forwards"

    async def test_an_answer_without_date_gets_one(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable())
            answer = await front.get()
        assert answer.headers["Date"] == front.clock.date()
