"""The rules of the core, each once through the whole proxy: what the second client gets.

The tables of tests/rfc9111 go into every corner; here it shows that nothing gets lost between the
wire and the core.
"""

import asyncio
from dataclasses import replace

import pytest

from proxy.rfc9111.policy import ClientDirectives, Policy, SetCookie
from tests.apparatus import START, Proxied, Reply, proxied

Line = tuple[str, str]
CC = "Cache-Control"
FRESH = (CC, "max-age=60")
ETAG = ("ETag", '"v"')
LONG_AGO = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")


def reply(*lines: Line, status: int = 200, body: bytes = b"one") -> Reply:
    return Reply(status=status, headers=lines, body=body)


async def twice(
    front: Proxied, first: Reply, asked: list[Line], again: list[Line] | None = None
) -> tuple[str, bool]:
    """What Cache-Status says of the first request, and whether a second one hits."""
    front.origin.will(first, Reply(body=b"next"))
    miss = await front.get("/", *asked)
    front.clock.now += 5
    second = await front.get("/", *(asked if again is None else again))
    return miss.cache_status, second.hit


@pytest.mark.parametrize(
    ("first", "hit"),
    [
        pytest.param(reply(FRESH), True, id="3-a lifetime"),
        pytest.param(reply(FRESH, status=299), True, id="3-an unknown status"),
        pytest.param(reply(FRESH, status=599), True, id="3-an unknown error"),
        pytest.param(reply(), False, id="3-neither lifetime nor validator"),
        pytest.param(reply(ETAG), False, id="3-only a validator"),
        pytest.param(reply(LONG_AGO), True, id="4.2.2-a heuristic lifetime"),
        pytest.param(reply(LONG_AGO, status=403), False, id="4.2.2-not for every status"),
        pytest.param(reply(LONG_AGO, (CC, "public"), status=409), True, id="4.2.2-but if public"),
        pytest.param(reply((CC, "max-age=4")), False, id="4.2-expired"),
        pytest.param(reply((CC, "max-age=1, s-maxage=60")), True, id="4.2.1-s-maxage first"),
        pytest.param(reply((CC, "max-age=60, s-maxage=1")), False, id="4.2.1-s-maxage alone"),
        pytest.param(reply((CC, "max-age=60"), ("Expires", "0")), True, id="4.2.1-max-age first"),
        pytest.param(reply(("Expires", "0"), LONG_AGO), False, id="5.3-an invalid date is past"),
        pytest.param(
            reply(("Expires", "Friday, 15-Jan-27 08:01:00 GMT")), True, id="5.6.7-RFC 850"
        ),
        pytest.param(reply(("Expires", "Fri Jan 15 08:01:00 2027")), True, id="5.6.7-asctime"),
        pytest.param(reply((CC, "max-age=99999999999")), True, id="1.2.2-overflow"),
        pytest.param(reply((CC, "max-age=60, max-age=1")), False, id="4.2.1-contradiction"),
        pytest.param(reply(FRESH, ("Age", "58")), False, id="5.1-it came old"),
        pytest.param(reply(FRESH, ("Age", "58, 1")), False, id="5.1-the first of several"),
        pytest.param(reply(FRESH, ("Age", "-58")), True, id="5.1-an invalid one is ignored"),
        pytest.param(reply((CC, "no-store, max-age=60")), False, id="5.2.2.5-no-store"),
        pytest.param(
            reply((CC, "no-store, must-understand, max-age=60")), True, id="5.2.2.3-understood"
        ),
        pytest.param(
            reply((CC, "no-store, must-understand, max-age=60"), status=299),
            False,
            id="5.2.2.3-not understood",
        ),
        pytest.param(reply((CC, "private, max-age=60")), False, id="5.2.2.7-private"),
        pytest.param(reply((CC, "no-cache, max-age=60"), ETAG), False, id="5.2.2.4-no-cache"),
        pytest.param(reply(FRESH, ("Vary", "*")), False, id="4.1-Vary any"),
        pytest.param(reply(FRESH, ("Set-Cookie", "a=b")), False, id="7.3-a cookie is set"),
        pytest.param(
            reply((CC, "max-age=1"), ("CDN-Cache-Control", "max-age=60")), True, id="RFC9213-2.2"
        ),
        pytest.param(
            reply(FRESH, ("CDN-Cache-Control", "max-age=1")), False, id="RFC9213-2.2-less"
        ),
        pytest.param(
            reply((CC, "max-age=1"), ("CDN-Cache-Control", "max-age: 60")),
            False,
            id="RFC9213-2.1-no structured field",
        ),
        pytest.param(
            reply((CC, "max-age=1"), ("Surrogate-Control", "max-age=60")), True, id="surrogate"
        ),
        pytest.param(
            reply(FRESH, ("Surrogate-Control", "no-store")), False, id="surrogate-no-store"
        ),
    ],
)
async def test_what_a_response_says(first: Reply, hit: bool) -> None:  # noqa: FBT001
    async with proxied() as front:
        assert front.clock.now == START
        assert (await twice(front, first, []))[1] is hit


@pytest.mark.parametrize(
    ("value", "name"),
    [
        pytest.param('max-age=60, private="X-Own"', "X-Own", id="5.2.2.7-private"),
        pytest.param('max-age=60, no-cache="x-own"', "X-Own", id="5.2.2.4-no-cache"),
        pytest.param('max-age=60, private="Set-Cookie"', "Set-Cookie", id="5.2.2.7-a cookie"),
    ],
)
async def test_fields_that_are_for_the_first_client_alone(value: str, name: str) -> None:
    async with proxied() as front:
        front.origin.will(reply((CC, value), (name, "1"), ("X-Other", "2")))
        first, second = await front.get(), await front.get()
    assert (first.headers[name], second.hit) == ("1", True)
    assert name not in second.headers
    assert second.headers["X-Other"] == "2"


@pytest.mark.parametrize(
    ("asked", "hit", "told"),
    [
        pytest.param((CC, "no-store"), False, "request-no-store", id="5.2.1.5-no-store"),
        pytest.param(("Authorization", "x"), False, "authorization", id="3.5-Authorization"),
        pytest.param(("Cookie", "a=b"), True, "uri-miss", id="7-a Cookie, and a stated lifetime"),
        pytest.param((CC, "no-cache"), True, "uri-miss", id="5.2.1.4-ignored"),
        pytest.param(("Pragma", "no-cache"), True, "uri-miss", id="5.4-ignored"),
    ],
)
async def test_what_a_request_says(asked: Line, told: str, hit: bool) -> None:  # noqa: FBT001
    async with proxied() as front:
        status, found = await twice(front, reply(FRESH), [asked])
    assert (told in status, found) == (True, hit)


@pytest.mark.parametrize(
    ("value", "hit"),
    [
        pytest.param("no-cache", False, id="5.2.1.4"),
        pytest.param("max-age=4", False, id="5.2.1.1-too old"),
        pytest.param("max-age=5", True, id="5.2.1.1-young enough"),
        pytest.param("min-fresh=56", False, id="5.2.1.3-not for long enough"),
        pytest.param("min-fresh=55", True, id="5.2.1.3-for long enough"),
    ],
)
async def test_request_directives_where_the_route_honours_them(value: str, hit: bool) -> None:  # noqa: FBT001
    async with proxied(Policy(client_directives=ClientDirectives.HONOR)) as front:
        assert (await twice(front, reply(FRESH), [], [(CC, value)]))[1] is hit


@pytest.mark.parametrize(
    ("policy", "first", "hit"),
    [
        pytest.param(Policy(ttl=60), reply((CC, "max-age=1")), True, id="ttl"),
        pytest.param(Policy(ttl=1), reply(FRESH), False, id="ttl-shorter"),
        pytest.param(Policy(ttl=60), reply((CC, "no-store")), False, id="ttl-revives nothing"),
        pytest.param(Policy(default_ttl=60), reply(), True, id="default_ttl"),
        pytest.param(Policy(default_ttl=60), reply((CC, "max-age=1")), False, id="default_ttl-not"),
        pytest.param(Policy(negative_ttl={404: 60}), reply(status=404), True, id="negative_ttl"),
        pytest.param(Policy(negative_ttl={404: 60}), reply(status=500), False, id="negative-other"),
        pytest.param(
            Policy(targeted_fields=("own-cache-control",)),
            reply((CC, "max-age=1"), ("Own-Cache-Control", "max-age=60")),
            True,
            id="targeted_fields",
        ),
        pytest.param(
            Policy(set_cookie=SetCookie.STORE),
            reply(FRESH, ("Set-Cookie", "a=b")),
            True,
            id="store",
        ),
        pytest.param(
            Policy(surrogate_control=False),
            reply((CC, "max-age=1"), ("Surrogate-Control", "max-age=60")),
            False,
            id="surrogate_control-off",
        ),
    ],
)
async def test_what_the_route_says(policy: Policy, first: Reply, hit: bool) -> None:  # noqa: FBT001
    async with proxied(policy) as front:
        assert (await twice(front, first, []))[1] is hit


@pytest.mark.parametrize(
    ("vary", "one", "other", "hit"),
    [
        pytest.param(["A"], [("A", "1")], [("A", "1")], True, id="4.1-same"),
        pytest.param(["A"], [("A", "1")], [("A", "2")], False, id="4.1-other"),
        pytest.param(["A"], [], [("A", "")], False, id="4.1-absent is not empty"),
        pytest.param(["A", "B"], [("B", "1")], [("B", "2")], False, id="4.1-several lines"),
        pytest.param(
            ["Accept-Language"],
            [("Accept-Language", "de, en;q=0.5")],
            [("accept-language", "EN;q=0.50 ,DE")],
            True,
            id="4.1-safe normalisation",
        ),
    ],
)
async def test_vary(vary: list[str], one: list[Line], other: list[Line], hit: bool) -> None:  # noqa: FBT001
    async with proxied() as front:
        first = reply(FRESH, *(("Vary", line) for line in vary))
        assert (await twice(front, first, one, other))[1] is hit


async def test_4_2_3_age_is_what_came_and_the_way_and_the_stay() -> None:
    gate = asyncio.Event()
    async with proxied() as front:
        front.origin.will(replace(reply(FRESH, ("Age", "10")), wait=gate))
        asking = asyncio.create_task(front.get())
        await front.origin.asked()
        front.clock.now += 2
        gate.set()
        first = await asking
        front.clock.now += 5
        hit = await front.get()
    assert (first.headers["Age"], hit.headers["Age"]) == ("10", "17")
    assert "ttl=48" in first.cache_status
    assert "ttl=43" in hit.cache_status


async def test_targeted_fields_are_passed_on() -> None:
    async with proxied() as front:
        front.origin.will(reply(FRESH, ("CDN-Cache-Control", "max-age=60")))
        for answer in (await front.get(), await front.get()):
            assert answer.headers["CDN-Cache-Control"] == "max-age=60"


@pytest.mark.parametrize(
    ("since", "status"),
    [
        pytest.param(0.0, 304, id="4.3.2-not modified since"),
        pytest.param(-1.0, 200, id="4.3.2-modified since"),
    ],
)
async def test_if_modified_since(since: float, status: int) -> None:
    async with proxied() as front:
        front.origin.will(reply(FRESH, ("Last-Modified", front.clock.date())))
        await front.get()
        line = ("If-Modified-Since", front.clock.date(since))
        plain = await front.get("/", line)
        ruled = await front.get("/", line, ("If-None-Match", '"x"'))
    assert (plain.hit, plain.status) == (True, status)
    assert ruled.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_stored_error_is_answered_whatever_the_condition(method: str) -> None:
    async with proxied() as front:
        front.origin.will(reply(FRESH, ETAG, status=404, body=b"none"))
        await front.get()
        answer = await front.ask(method, "/", ("If-None-Match", "*"), ("Range", "bytes=0-0"))
    assert (answer.status, answer.hit) == (404, True)
    assert answer.headers["Content-Length"] == "4"


@pytest.mark.parametrize(
    ("value", "status", "content_range", "body"),
    [
        pytest.param("bytes=2-3", 206, "bytes 2-3/10", b"23", id="14.1.2-single"),
        pytest.param("bytes=-3", 206, "bytes 7-9/10", b"789", id="14.1.2-suffix"),
        pytest.param("bytes=7-", 206, "bytes 7-9/10", b"789", id="14.1.2-open"),
        pytest.param("bytes=10-", 416, "bytes */10", b"", id="15.5.17-unsatisfiable"),
        pytest.param("lines=1-2", 200, None, b"0123456789", id="14.2-another unit"),
        pytest.param("bytes=3-2", 200, None, b"0123456789", id="14.2-malformed"),
    ],
)
async def test_ranges(value: str, status: int, content_range: str | None, body: bytes) -> None:
    async with proxied() as front:
        front.origin.will(reply(FRESH, ETAG, body=b"0123456789"))
        await front.get()
        answer = await front.get("/", ("Range", value))
        same = await front.get("/", ("Range", value), ("If-None-Match", '"v"'))
    assert (answer.status, answer.body, answer.hit) == (status, body, True)
    assert answer.headers.get("Content-Range") == content_range
    assert same.status == 304


@pytest.mark.parametrize("name", ["If-Match", "If-Unmodified-Since"])
async def test_13_1_what_protects_from_lost_updates_is_for_the_origin(name: str) -> None:
    async with proxied() as front:
        front.origin.will(reply(FRESH, ETAG), reply(status=412, body=b"changed"))
        await front.get()
        answer = await front.get("/", (name, '"old"'))
        hit = await front.get()
    assert answer.status == 412
    assert "fwd=bypass" in answer.cache_status
    assert hit.hit
