"""What may be given again, and what ends that."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import ref

import pytest

from proxy.events import Answered, Repeated
from proxy.exchange import Asked, Given, Recurring, Watched
from proxy.purging import Mode
from proxy.rfc9111 import poisoning
from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.policy import ClientDirectives, KeyPolicy, Policy
from proxy.routes import HeaderEdits, PathPattern, Route
from proxy.server.writing import plain_head
from proxy.stores import CacheKey
from tests.apparatus import Answer, Proxied, Reply, eventually, proxied

URL = "http://api.example/"
LARGEST = 1 << 20
NOBODY: Any = None
"""Where no answer goes, since nobody is asked."""
MINUTE = ("Cache-Control", "max-age=60")


@dataclass
class Hot:
    """A proxy that has `/` in memory, and what it makes of requests for it."""

    proxy: Proxied

    def find(
        self,
        *lines: tuple[str, str],
        largest: int = LARGEST,
        method: str = "GET",
        target: str = "/",
    ) -> Recurring | None:
        hot = self.proxy.gateway.hot
        conditions = [one for one in lines if one[0].lower() in hot.watched.conditions]
        common = Headers([("Host", "api.example"), *(set(lines) - set(conditions))])
        request = Request(method, "http", "api.example", "/", common)
        alike = hot.alike(request, largest, plain_head)
        asked = Asked(target, [(n.lower(), v) for n, v in conditions], b"", None, "")
        taken = None if alike is None else alike.take(asked, NOBODY)
        assert taken is None or isinstance(taken, tuple)
        return None if taken is None else taken[0]

    def recurring(self, *lines: tuple[str, str], **about: Any) -> Recurring:
        found = self.find(*lines, **about)
        assert found is not None
        return found


def fields(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:-1]
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


def body_of(given: Given | None) -> bytes:
    assert given is not None
    return given[2]


def same(recurring: Recurring, plain: Answer) -> bool:
    """Whether it is the same head."""
    status_line = f"HTTP/1.1 {plain.status} {plain.reason}\r\n".encode("latin-1")
    plain_fields = [(name, value) for name, value in plain.headers.items()]
    return recurring.head.startswith(status_line) and fields(recurring.head) == plain_fields


@asynccontextmanager
async def stored(
    *lines: tuple[str, str], policy: Policy | None = None, asked: Any = (), **options: Any
) -> AsyncIterator[Hot]:
    async with proxied(policy, hot=False, **options) as proxy:
        proxy.origin.will(Reply(headers=[*(lines or (MINUTE,))], body=b"body"))
        await proxy.get("/", *asked)
        yield Hot(proxy)


async def test_the_answer_is_that_of_respond_then_and_later() -> None:
    async with stored(MINUTE, ("ETag", '"1"'), ("Cache-Tag", "t")) as hot:
        proxy = hot.proxy
        recurring = hot.recurring()
        assert body_of(recurring.again(None)) == b"body"
        assert same(recurring, await proxy.get())
        for seconds in (0.0, 0.5, 0.6, 1.4, 30.0, 27.0, 0.4):
            proxy.clock.now += seconds
            assert body_of(recurring.again(None)) == b"body"
            assert same(recurring, await proxy.get())
        assert len(proxy.origin.seen) == 1


async def test_it_tells_of_every_answer_as_respond_does() -> None:
    async with stored() as hot:
        proxy = hot.proxy
        await proxy.get("/")
        recurring = hot.recurring()
        recurring.again(None)
        recurring.again(None)
        assert not any(isinstance(event, Repeated) for event in proxy.events)
        hot.proxy.gateway.tell()
        answered = [event for event in proxy.events if isinstance(event, Answered)]
        last = proxy.events[-1]
        assert isinstance(last, Repeated)
        repeated = last.hits[0].answered
        again: list[object] = [*last.hits]
        assert (len(answered), again) == (2, 3 * [recurring])
        assert repeated.cache_status == "warmfront; hit; detail=fresh"
        alike = {replace(event, request_id="", cache_status="") for event in answered[1:]}
        assert alike == {replace(repeated, cache_status="")}


async def test_every_time_counts_as_one_use() -> None:
    async with stored() as hot:
        (held,) = hot.proxy.store.peek(CacheKey(URL))
        recurring = hot.recurring()
        assert held.hits == 1
        recurring.again(None)
        assert held.hits == 2


async def test_it_tells_by_itself_a_little_later() -> None:
    async with stored() as hot:
        hot.recurring().again(None)

        async def told() -> bool:
            return isinstance(hot.proxy.events[-1], Repeated)

        await eventually(told)
        count = len(hot.proxy.events)
        hot.proxy.gateway.tell()
        assert len(hot.proxy.events) == count


async def test_a_head_is_written_anew_only_when_it_changes() -> None:
    async with stored() as hot:
        recurring = hot.recurring()
        before = recurring.head
        hot.proxy.clock.now += 0.5
        recurring.again(None)
        half = recurring.head
        hot.proxy.clock.now += 0.2
        recurring.again(None)
        assert recurring.head is half
        assert before != half  # the ttl is cut to whole seconds


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("scope", ["*", "tag:t", f"url:{URL}", "host:api.example"])
async def test_a_purge_ends_it(scope: str, mode: Mode) -> None:
    async with stored(MINUTE, ("Cache-Tag", "t")) as hot:
        recurring = hot.recurring()
        await hot.proxy.log.append(["tag:other"], mode)
        assert body_of(recurring.again(None)) == b"body"
        await hot.proxy.log.append([scope], mode)
        assert recurring.again(None) is None
        assert hot.find() is None


async def test_its_end_of_freshness_ends_it() -> None:
    async with stored() as hot:
        recurring = hot.recurring()
        hot.proxy.clock.now += 59.999
        assert body_of(recurring.again(None)) == b"body"
        hot.proxy.clock.now += 0.001
        assert recurring.again(None) is None
        assert hot.find() is None


async def test_a_clock_that_steps_back_is_believed() -> None:
    async with stored() as hot:
        hot.proxy.clock.now += 10
        recurring = hot.recurring()
        hot.proxy.clock.now -= 5
        recurring.again(None)
        assert dict(fields(recurring.head))["Age"] == "5"


async def test_another_entry_in_its_place_ends_it() -> None:
    async with stored() as hot:
        recurring = hot.recurring()
        hot.proxy.origin.will(Reply(headers=[MINUTE], body=b"new"))
        await hot.proxy.get("/", ("Range", "bytes=9-"), ("Cache-Control", "no-cache"))
        (held,) = hot.proxy.store.lookup_now(CacheKey(URL))
        await hot.proxy.store.remove(CacheKey(URL), held.entry)
        assert recurring.again(None) is None


async def test_one_more_variant_ends_it() -> None:
    vary = ("Vary", "Accept-Language")
    async with stored(MINUTE, vary, asked=[("Accept-Language", "en")]) as hot:
        assert hot.find(("Accept-Language", "en")) is None  # only now is it watched
        recurring = hot.recurring(("Accept-Language", "en"))
        assert "accept-language" in recurring.depends_on
        hot.proxy.origin.will(Reply(headers=[MINUTE, vary], body=b"de"))
        await hot.proxy.get("/", ("Accept-Language", "de"))
        assert recurring.again(None) is None
        assert body_of(hot.recurring(("Accept-Language", "de")).again(None)) == b"de"
        assert hot.find(("Accept-Language", "fr")) is None


async def test_without_trust_in_the_log_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stored() as hot:
        recurring = hot.recurring()
        monkeypatch.setattr(hot.proxy.log, "trusted", False)
        assert recurring.again(None) is None
        assert hot.find() is None


async def test_it_keeps_nothing_in_memory_that_has_left_the_store() -> None:
    async with stored() as hot:
        recurring = hot.recurring()
        (held,) = hot.proxy.store.lookup_now(CacheKey(URL))
        entry = ref(held.entry)
        await hot.proxy.store.remove(CacheKey(URL), held.entry)
        del held
        gc.collect()
        assert entry() is None
        assert recurring.again(None) is None


@pytest.mark.parametrize(
    ("lines", "status", "body"),
    [
        ([], 200, b"body"),
        ([("If-None-Match", '"1"')], 304, b""),
        ([("If-None-Match", '"0", W/"1"')], 304, b""),
        ([("If-None-Match", '"0"')], 200, b"body"),
        ([("If-Modified-Since", "Fri, 15 Jan 2027 08:00:00 GMT")], 304, b""),
        ([("Cookie", "a=b"), ("Cache-Control", "no-cache")], 200, b"body"),
    ],
)
async def test_conditions_are_met(lines: list[tuple[str, str]], status: int, body: bytes) -> None:
    async with stored(
        MINUTE, ("ETag", '"1"'), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
    ) as hot:
        recurring = hot.recurring(*lines)
        assert body_of(recurring.again(None)) == body
        plain = await hot.proxy.get("/", *lines)
        assert plain.status == status
        assert same(recurring, plain)


async def test_head_has_no_body() -> None:
    async with stored() as hot:
        recurring = hot.recurring(method="HEAD")
        assert body_of(recurring.again(None)) == b""
        assert dict(fields(recurring.head))["Content-Length"] == "4"


HONOR = Policy(client_directives=ClientDirectives.HONOR)
EVERYWHERE = PathPattern("/**")


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        pytest.param({"policy": HONOR}, [("Cache-Control", "max-age=99")], id="honored directives"),
        pytest.param({"policy": HONOR}, [("Pragma", "")], id="honored Pragma"),
        pytest.param({"policy": Policy(cache=False)}, [], id="cache off"),
        pytest.param({}, [("If-Match", "*")], id="a precondition for the origin"),
        pytest.param(
            {}, [("If-Modified-Since", "Monday, 01-Jan-24 00:00:00 GMT")], id="a date that moves"
        ),
        pytest.param({"policy": Policy(refresh_ahead=10_000.0)}, [], id="may be refreshed early"),
        pytest.param(
            {
                "routes": [
                    Route(
                        name="x",
                        path=EVERYWHERE,
                        response_headers=HeaderEdits(set=(("CONTENT-length", "4"),)),
                    )
                ]
            },
            [],
            id="the operator's own Content-Length",
        ),
        pytest.param(
            {"routes": [Route(name="x", path=EVERYWHERE, server_timing=True)]},
            [],
            id="what it took is told",
        ),
        pytest.param(
            {"routes": [Route(name="x", headers=(("X-Request-Id", "1"),))]},
            [],
            id="a route that looks at names",
        ),
        pytest.param(
            {"routes": [Route(name="x", headers=(("Connection", "keep-alive"),))]},
            [],
            id="a route that looks at the connection",
        ),
    ],
)
async def test_what_is_left_to_respond(
    options: dict[str, Any], lines: list[tuple[str, str]]
) -> None:
    async with stored(**options) as hot:
        assert hot.find(*lines) is None


async def test_too_large_a_body_is_left_to_respond() -> None:
    async with stored() as hot:
        (held,) = hot.proxy.store.peek(CacheKey(URL))
        assert hot.find(largest=3) is None
        assert held.hits == 0, "it will be looked up there"
        assert hot.find(largest=4) is not None
        assert held.hits == 1


async def test_an_assumed_lifetime_is_not_for_those_with_credentials() -> None:
    modified = ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
    async with stored(modified) as hot:
        assert {"cookie", "authorization"} <= hot.recurring().depends_on
        assert hot.find(("Cookie", "")) is None
        assert hot.find(("Authorization", "")) is None
    async with stored(MINUTE, modified) as hot:
        assert not {"cookie", "authorization"} & hot.recurring().depends_on
        assert hot.find(("Cookie", "")) is not None


async def test_keys_and_routes_say_what_is_watched() -> None:
    policy = Policy(key=KeyPolicy(headers=("X-Tenant",), cookies=("shop",)))
    routes = [Route(name="beta", headers=(("X-Beta", "yes"),)), Route(name="all", policy=policy)]
    async with stored(routes=routes, asked=[("X-Tenant", "a")]) as hot:
        conditions = {"if-none-match", "if-modified-since", *map(str, poisoning.CLAIMS)}
        assert hot.proxy.gateway.hot.watched == Watched(
            frozenset({*conditions, "x-beta", "x-tenant", "cookie"}),
            frozenset({"cookie", "authorization", "cache-control", "pragma"}),
            conditions=frozenset({"if-none-match", "if-modified-since"}),
        )
        assert hot.find() is None
        recurring = hot.recurring(("X-Tenant", "a"))
        assert recurring.depends_on == {*conditions, "x-beta", "x-tenant", "cookie"}


async def test_a_part_of_a_body_is_left_to_respond() -> None:
    async with proxied() as proxy:
        part = [MINUTE, ("Content-Range", "bytes 0-3/8"), ("ETag", '"1"')]
        proxy.origin.will(Reply(206, part, b"half"))
        await proxy.get("/", ("Range", "bytes=0-3"))
        assert len(proxy.store) == 1
        assert Hot(proxy).find() is None


async def test_fields_without_end_are_not_watched() -> None:
    async with stored() as hot:
        for number in range(60):
            names = ", ".join(f"X-{number}-{i}" for i in range(3))
            hot.proxy.origin.will(Reply(headers=[MINUTE, ("Vary", names)]))
            target = f"/{number}"
            await hot.proxy.get(target)
            hot.find(target=target)
        assert len(hot.proxy.gateway.hot.watched.values) <= 40
        assert hot.find() is not None


async def test_what_varies_by_the_name_of_a_request_is_left_to_respond() -> None:
    name = ("X-Request-Id", "1")
    async with stored(MINUTE, ("Vary", "X-Request-Id"), asked=[name]) as hot:
        for _ in range(2):
            assert hot.find() is None
            assert hot.find(name) is None


@pytest.mark.parametrize("cache", [True, False])
async def test_what_the_client_has_may_decide_its_route(*, cache: bool) -> None:
    """Even that: no two such requests are alike, then."""
    plain = Route(name="plain", policy=Policy(cache=not cache))
    asking = Route(
        name="asking", headers=(("If-None-Match", '"1"'),), policy=Policy(cache=cache), origin=""
    )
    async with proxied(plain.policy, routes=[asking]) as proxy:
        proxy.origin.always = lambda _: Reply(headers=[MINUTE, ("ETag", '"2"')], body=b"x")
        for _ in range(4):
            answers = [await proxy.get("/a", ("If-None-Match", '"1"')), await proxy.get("/a")]
            told = ["cache-off" in answer.cache_status for answer in answers]
            assert told == [not cache, cache]


async def test_what_is_learnt_of_routes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.gateway.hot._MOST_LEARNT", 5)
    routes = [Route(name=name, path=PathPattern(f"/{name}")) for name in "abc"]
    async with proxied(routes=routes) as proxy:
        hot, kinds = proxy.gateway.hot, []
        for number in range(10):
            headers = Headers([("Host", f"{number}.example")])
            request = Request("GET", "http", f"{number}.example", "/", headers)
            alike = hot.alike(request, LARGEST, plain_head)
            assert alike is not None
            kinds.append(alike)
            for name in "abc":
                alike.take(Asked(f"/{name}", [], b"", None, ""), NOBODY)
            assert sum(len(each._on) for each in kinds) <= 5


async def test_a_hit_that_is_never_given_again_counts_as_one_use() -> None:
    timed = Route(name="timed", server_timing=True)
    async with proxied(routes=[timed]) as proxy:
        proxy.origin.will(Reply(headers=[MINUTE], body=b"body"))
        for _ in range(4):
            await proxy.get("/")
        (held,) = proxy.store.peek(CacheKey(URL))
        assert held.hits == 3


async def test_how_a_kind_is_fetched_is_not_found_out_before_one_is() -> None:
    async with proxied() as proxy:
        proxy.origin.always = lambda _: Reply(headers=[MINUTE], body=b"body")
        await proxy.get("/")
        headers = Headers([("Host", "api.example")])
        alike = proxy.gateway.hot.alike(
            Request("GET", "http", "api.example", "/", headers), LARGEST, plain_head
        )
        assert alike is not None
        asked = Asked("/", [], b"", None, "")
        assert isinstance(alike.take(asked, NOBODY), tuple)
        assert not alike._ways
        alike.take(asked._replace(target="/other"), NOBODY)
        assert len(alike._ways) == 1
