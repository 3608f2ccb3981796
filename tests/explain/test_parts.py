"""The parts of an explanation, and the words that are made of them."""

from dataclasses import replace
from math import inf

import pytest

from proxy.explain.facts import HIDDEN, Mode, Outcome, PurgePart
from proxy.explain.parts import _SOURCES, reuse_part
from proxy.explain.words import told
from proxy.gateway.steps import Bypass, Verdict
from proxy.purging import Mode as PurgeMode
from proxy.rfc9111 import reuse
from proxy.rfc9111.policy import KeyPolicy, Policy, SetCookie
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import LifetimeSource
from proxy.routes import PathPattern, Route
from tests.apparatus import Reply
from tests.explain.apparatus import explained, lines_of, request

MINUTE = ("Cache-Control", "max-age=60")
URL = "http://api.example/p"
SECRET = "sesame"  # noqa: S105 - that is the point


@pytest.mark.parametrize(
    ("policy", "query", "kept", "left_out", "sorted_"),
    [
        pytest.param(KeyPolicy(), "?b=1&a=2", "?b=1&a=2", (), False, id="as it is"),
        pytest.param(
            KeyPolicy(ignore_query=("utm_*", "x")),
            "?utm_a=1&a=2&x&utm_b=",
            "?a=2",
            ("utm_a=1", "x", "utm_b="),
            False,
            id="ignored",
        ),
        pytest.param(KeyPolicy(ignore_query=("a",)), "?a=1&a=1", "", ("a=1",), False, id="all"),
        pytest.param(KeyPolicy(sort_query=True), "?b=1&a=2", "?a=2&b=1", (), True, id="sorted"),
        pytest.param(KeyPolicy(sort_query=True), "?a=1&b=2", "?a=1&b=2", (), False, id="in order"),
        pytest.param(
            KeyPolicy(sort_query=True, ignore_query=("c",)),
            "?c=1&b=1&a=2",
            "?a=2&b=1",
            ("c=1",),
            True,
            id="both",
        ),
    ],
)
async def test_what_of_the_query_is_in_the_key(
    policy: KeyPolicy, query: str, kept: str, left_out: tuple[str, ...], sorted_: object
) -> None:
    async with explained(Policy(key=policy)) as it:
        key = (await it.simulate(f"/p{query}")).key
        assert (key.url, key.left_out, key.sorted) == (f"{URL}{kept}", left_out, sorted_)


async def test_what_else_is_in_the_key_and_secrets_hidden() -> None:
    key = KeyPolicy(
        headers=("x-tenant", "authorization", "x-none"),
        cookies=("shop",),
        conditions="X-Beta: yes; X-Two: ~a|b",
    )
    lines = (("X-Tenant", "a: b"), ("Authorization", SECRET), ("Cookie", f"shop={SECRET}; b=c"))
    async with explained(Policy(key=key)) as it:
        found = await it.simulate("/p", *lines)
        assert found.key.others == (
            ("conditions of the route on", "X-Beta, X-Two"),
            ("header x-tenant", "a: b"),
            ("header authorization", HIDDEN),
            ("cookie shop", HIDDEN),
        )
        assert SECRET not in repr(found)


async def test_which_route_applies_and_why_the_others_do_not() -> None:
    routes = [
        Route(name="routes[0]", path=PathPattern("/account/**"), policy=Policy(cache=False)),
        Route(
            name="routes[1]",
            path=PathPattern("/p/{id}"),
            methods=frozenset({"GET"}),
            hosts=("api.example",),
            headers=(("X-Beta", SECRET),),
            policy=Policy(
                ttl=30.0,
                negative_ttl={404: 5.0},
                set_cookie=SetCookie.STRIP,
                surrogate_control=False,
                key=KeyPolicy(ignore_query=("a", "b")),
            ),
        ),
    ]
    async with explained(routes=routes) as it:
        route = (await it.simulate("/p/4%32", ("X-Beta", SECRET))).route
        assert (route.name, route.captured) == ("routes[1]", {"id": "4%32"})
        assert route.conditions == (
            "path /p/{id}",
            "method GET",
            "host api.example",
            "field X-Beta",
        )
        assert route.policy == (
            "ttl: 30s",
            "negative_ttl: 404 5s",
            "set_cookie: strip",
            "surrogate_control: off",
            "key.ignore_query: a, b",
        )
        assert [(one.route, one.why) for one in route.passed_over] == [
            ("routes[0]", "the path does not fit /account/**")
        ]
        assert SECRET not in repr(route)
        fallback = (await it.simulate("/p/42")).route
        assert (fallback.name, fallback.conditions, fallback.policy) == ("default", (), ())


async def test_variants_say_in_what_the_request_differs() -> None:
    async with explained() as it:
        vary = ("Vary", "X-Kind, Cookie")
        cached = ("Cache-Control", "public, max-age=60")
        it.proxy.origin.will(Reply(headers=[cached, vary, ("ETag", '"1"')], body=b"a"))
        it.proxy.origin.will(Reply(headers=[cached, vary], body=b"b"))
        await it.proxy.get("/p", ("X-Kind", "a"), ("Cookie", SECRET))
        await it.proxy.get("/p", ("X-Kind", "b"))
        stored = (await it.simulate("/p", ("X-Kind", "b"))).stored
        assert stored is not None
        first, second = stored.variants
        assert (first.chosen, first.differs, first.validators) == (
            False,
            ("cookie", "x-kind"),
            ("ETag",),
        )
        assert first.vary == (("cookie", HIDDEN), ("x-kind", "a"))
        assert (second.chosen, second.differs) == (True, ())
        assert second.vary == (("cookie", None), ("x-kind", "b"))


async def test_what_lies_beside_it() -> None:
    key = KeyPolicy(headers=("x-tenant",))
    async with explained(Policy(key=key)) as it:
        it.proxy.origin.always = lambda _: Reply(headers=[MINUTE], body=b"x")
        await it.proxy.get("/p", ("X-Tenant", SECRET))
        stored = (await it.simulate("/p")).stored
        assert stored is not None
        assert (stored.variants, stored.other_keys) == ((), ("header x-tenant",))
        assert not stored.other_scheme
        asked = await it.explainer.simulate(replace(request("/p"), scheme="https"))
        assert asked.stored is not None
        assert asked.stored.other_scheme
        assert any("two URLs" in one for one in asked.advice)


async def test_purges_that_concern_it() -> None:
    async with explained() as it:
        it.proxy.origin.always = lambda _: Reply(headers=[MINUTE, ("Cache-Tag", "t")], body=b"x")
        await it.proxy.log.append(["host:api.example"], PurgeMode.HARD)
        assert (await it.simulate()).purges == (PurgePart("host:api.example", "hard", 1),)
        await it.proxy.get("/p")
        found = await it.simulate()
        assert (found.purges, found.tags) == ((), ("t",))
        it.proxy.clock.now += 1
        await it.proxy.log.append(["tag:t"], PurgeMode.SOFT)
        await it.proxy.log.append(["tag:other"], PurgeMode.SOFT)
        found = await it.simulate()
        assert found.purges == (PurgePart("tag:t", "soft", 2),)
        assert found.reuse.why.reason == "expired"


async def test_what_was_purged_is_told_though_it_is_gone() -> None:
    async with explained(routes=[Route(name="r", tags=("t",))]) as it:
        await it.proxy.log.append(["tag:t"], PurgeMode.HARD)  # before: of no account
        it.proxy.origin.will(Reply(headers=[MINUTE], body=b"x"))
        await it.proxy.get("/p")
        await it.proxy.log.append(["tag:t"], PurgeMode.HARD)
        found = await it.simulate()
        assert [(one.scope, one.seq) for one in found.purges] == [("tag:t", 2)]
        assert found.summary.endswith("[uri-miss] It was stored, and purged since.")
        assert found.advice == ("Nothing: the next request fetches and stores it anew.",)


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        (("Range", "bytes=0-0"), 206, ["answered 206: the part that the request wants"]),
        (("Range", "bytes=9-"), 416, ["answered 416: it has no such part"]),
        (("If-None-Match", '"a"'), 304, ["answered 304: the client has it already"]),
        (("Accept", "*/*"), 200, []),
    ],
    ids=["206", "416", "304", "200"],
)
async def test_what_the_request_makes_of_what_is_stored(
    line: tuple[str, str], status: int, says: list[str]
) -> None:
    async with explained() as it:
        it.proxy.origin.will(Reply(headers=[MINUTE, ("ETag", '"a"')], body=b"xyz"))
        await it.proxy.get("/p")
        found = await it.simulate("/p", line)
        assert found.status == status
        told = [one.partition(" (RFC")[0] for one in lines_of(found, "Reuse")[1:]]
        assert told == says


async def test_a_host_that_is_not_served() -> None:
    async with explained(serves=lambda host: host == "other.example") as it:
        found = await it.simulate()
        assert (found.served, found.summary[:20]) == (False, "Would be answered 42")
        assert "allowed_hosts" in found.advice[0]


async def test_of_a_write_nothing_is_foretold_but_where_it_goes() -> None:
    async with explained() as it:
        it.proxy.origin.will(Reply(headers=[("Cache-Control", "no-store")], body=b"x"))
        await it.proxy.get("/p")
        found = await it.simulate(method="POST")
        assert (found.reuse.outcome, found.storing.stored) == (Outcome.BYPASS, None)
        assert found.advice == ("Only GET and HEAD are answered from the store.",)


async def test_a_write_says_what_it_purges() -> None:
    async with explained(
        routes=[Route(name="r", purge=("p:{query.id}", "shop:{header.X-Shop}", "all"))]
    ) as it:
        assert (await it.simulate("/p?id=7", method="PUT")).purges_on_success == (
            f"url:{URL}?id=7",
            "tag:p:7",
            "tag:shop:{header.X-Shop}",
            "tag:all",
        )
        assert (await it.simulate()).purges_on_success == ()


@pytest.mark.parametrize(
    ("verdict", "outcome", "reason"),
    [
        (reuse.Fresh(1.0), Outcome.HIT, Reason.FRESH),
        (reuse.ServeStale(1.0, Reason.GRACE), Outcome.STALE, Reason.GRACE),
        (reuse.Revalidate(Reason.EXPIRED), Outcome.REVALIDATE, Reason.EXPIRED),
        (reuse.Miss(Reason.VARY_MISS), Outcome.MISS, Reason.VARY_MISS),
        (reuse.GatewayTimeout(Reason.ONLY_IF_CACHED), Outcome.GATEWAY_TIMEOUT, "only-if-cached"),
        (Bypass(Reason.METHOD), Outcome.BYPASS, Reason.METHOD),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, str) else str(one),
)
def test_verdicts(verdict: Verdict, outcome: Outcome, reason: str) -> None:
    part = reuse_part(verdict)
    assert (part.outcome, part.why.reason) == (outcome, reason)


@pytest.mark.parametrize("source", LifetimeSource)
def test_every_source_of_a_lifetime_is_told(source: LifetimeSource) -> None:
    assert _SOURCES[source]


async def test_the_arithmetic() -> None:
    async with explained(Policy(stale_if_error=30.0)) as it:
        age = ("Age", "20")
        swr = ("Cache-Control", "max-age=60, stale-while-revalidate=10")
        it.proxy.origin.will(Reply(headers=[swr, age], body=b"x"))
        await it.proxy.get("/p")
        it.proxy.clock.now += 12.34
        assert lines_of(await it.simulate(), "Freshness") == [
            "lifetime 60s: max-age in Cache-Control",
            "age 32.3s: 20s when it came, 12.3s since",
            "fresh for 27.7s: the lifetime less the age",
            "usable stale for 10s while a refresh runs (stale-while-revalidate)",
            "usable stale for 30s when the origin fails (stale-if-error)",
            "usable stale for 60s when the origin cannot be reached (grace)",
        ]
        it.proxy.clock.now += 40
        assert lines_of(await it.simulate(), "Freshness")[2] == (
            "stale for 12.3s: the age less the lifetime"
        )


async def test_what_must_never_be_used_stale_names_no_windows() -> None:
    async with explained() as it:
        strict = ("Cache-Control", "max-age=60, must-revalidate, no-cache")
        it.proxy.origin.will(Reply(headers=[strict, ("ETag", '"1"')], body=b"x"))
        await it.proxy.get("/p")
        assert lines_of(await it.simulate(), "Freshness")[3:] == [
            "no-cache: validated before each use",
            "must-revalidate: never used stale",
        ]


async def test_all_of_it_in_words() -> None:
    routes = [
        Route(name="routes[0]", path=PathPattern("/account/**")),
        Route(name="routes[1]", path=PathPattern("/p/{id}"), tags=("p:{id}",)),
    ]
    async with explained(routes=routes) as it:
        it.proxy.origin.will(Reply(headers=[MINUTE, ("Vary", "Accept-Language")], body=b"x"))
        found = await it.explainer.send(request("/p/7", ("Accept-Language", "fr")), probe=False)
        words = {section.title: list(section.lines) for section in found.words}
        size = found.stored.variants[0].size if found.stored else inf
        status = "warmfront; fwd=uri-miss; fwd-status=200; stored; ttl=60; detail=uri-miss"
        assert words == {
            "Request": ["GET http://api.example/p/7", "as it has just been answered"],
            "Route": [
                "routes[1] (path /p/{id})",
                "id is 7",
                "not routes[0]: the path does not fit /account/**",
            ],
            "Key": [
                "http://api.example/p/7",
                "and, by Vary: accept-language",
                f"hash {found.key.hash}, as in the log",
            ],
            "Stored now": [
                f"this one: 200, 0s old, fresh for 60s, {size} bytes in memory, 0 hits",
                "  for requests with accept-language: fr;q=1",
            ],
            "Reuse": ["Nothing is stored for this URL. [uri-miss]"],
            "Answer": [
                "200 after 0 ms",
                f"Cache-Status: {status}",
                "the origin answered 200",
                "  Cache-Control: max-age=60",
                "  Vary: Accept-Language",
                f"  Date: {it.proxy.clock.date()}",
            ],
            "Storing": ["stored: nothing forbids it (RFC 9111 §3)"],
            "Freshness": [
                "lifetime 60s: max-age in Cache-Control",
                "age 0s: 0s when it came, 0s since",
                "fresh for 60s: the lifetime less the age",
                "usable stale for 60s when the origin cannot be reached (grace)",
            ],
            "Tags and purges": ["tags p:7"],
            "For a hit": ["Nothing: it is stored now. Ask again, or probe."],
        }


async def advice_for(*headers: tuple[str, str], mode: Mode, policy: Policy | None = None) -> str:
    async with explained(policy) as it:
        it.proxy.origin.always = lambda _: Reply(headers=[*headers], body=b"x")
        if mode is Mode.SIMULATE:
            await it.proxy.get("/p")
            found = await it.simulate()
        else:
            found = await it.explainer.send(request(), probe=mode is Mode.PROBE)
        return " ".join(found.advice)


@pytest.mark.parametrize("mode", [Mode.SIMULATE, Mode.SEND, Mode.PROBE])
@pytest.mark.parametrize(
    ("headers", "helps"),
    [
        ([("Cache-Control", "no-store")], "CDN-Cache-Control"),
        ([("Set-Cookie", "a=b"), MINUTE], "set_cookie: strip"),
        ([], "s-maxage=60"),
    ],
    ids=["no-store", "set-cookie", "silence"],
)
async def test_a_miss_is_advised_by_why_it_is_not_stored(
    headers: list[tuple[str, str]], helps: str, mode: Mode
) -> None:
    advice = await advice_for(*headers, mode=mode)
    assert helps in advice
    assert "Ask again" not in advice


async def test_an_ambiguous_path_gets_no_lifetime_from_the_route() -> None:
    async with explained(Policy(ttl=60.0)) as it:
        it.proxy.origin.will(Reply(body=b"x"))
        found = await it.explainer.send(request("/a/%2e%2e/p"), probe=False)
        assert found.ambiguous_path
        assert any("Write the path plainly" in one for one in found.advice)


async def test_an_unreadable_log_is_told() -> None:
    async with explained() as it:
        it.proxy.origin.will(Reply(headers=[MINUTE], body=b"x"))
        await it.proxy.get("/p")
        it.proxy.log.trusted = False
        found = await it.simulate()
        assert (found.trusted, found.reuse.why.reason) == (False, "purges-unknown")
        assert any("cannot be read" in line for line in lines_of(found, "Request"))


async def test_words_are_made_of_facts_alone() -> None:
    async with explained() as it:
        found = await it.simulate()
        assert told(found) == found
