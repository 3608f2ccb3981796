"""Forms: what is filled in is what would have been written."""

from dataclasses import replace

import pytest

from proxy.exchange import Asked, Recurring
from proxy.gateway import Decisions
from proxy.gateway.forms import Form
from proxy.request_ids import ANSWERED
from proxy.rfc9111.messages import Headers, Request
from proxy.routes import HeaderEdits, Route
from proxy.server.writing import plain_head
from proxy.stores import CacheKey
from tests.apparatus import Answer, Proxied, Reply, proxied
from tests.gateway.test_hot import LARGEST, MINUTE, NOBODY, body_of, same
from tests.stores.conftest import make_entry

URL = "http://api.example/"


def found(
    proxy: Proxied, *conditions: tuple[str, str], method: str = "GET", target: str = "/"
) -> Recurring | None:
    hot = proxy.gateway.hot
    request = Request(method, "http", "api.example", "/", Headers([("Host", "api.example")]))
    alike = hot.alike(request, LARGEST, plain_head)
    assert alike is not None
    taken = alike.take(Asked(target, conditions, b"", None, ""), NOBODY)
    assert taken is None or isinstance(taken, tuple)
    return None if taken is None else taken[0]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("conditions", [[], [("if-none-match", '"1"')]], ids=["whole", "304"])
@pytest.mark.parametrize(
    "route",
    [
        Route(name="as it is"),
        Route(name="set", response_headers=HeaderEdits(set=(("X-Twice", "%s %d"), ("Age", "9")))),
        Route(name="add", response_headers=HeaderEdits(add=(("Cache-Status", "x"), ("Via", "y")))),
        Route(name="remove", response_headers=HeaderEdits(remove=("Age", "Cache-Status", "Date"))),
        Route(name="with tags", strip_tags=False),
    ],
    ids=lambda route: route.name,
)
@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("X-Twice", "one"), ("x-twice", "two"), ("Cache-Tag", "t"), ("Cache-Status", "origin")],
        [("X-Odd", "100 % \\1 %s {0} \x7f\xe9".replace("\x7f", "")), ("X-Empty", ""), ("Via", "a")],
        [("Content-Type", "text/plain"), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")],
    ],
    ids=["few", "twice", "odd", "metadata"],
)
@pytest.mark.parametrize("status", [200, 203, 301, 404])
async def test_it_is_the_head_that_respond_gives(
    status: int,
    fields: list[tuple[str, str]],
    route: Route,
    conditions: list[tuple[str, str]],
    method: str,
) -> None:
    async with proxied(routes=[route], hot=False) as proxy:
        proxy.origin.will(Reply(status, [MINUTE, ("ETag", '"1"'), *fields], body=b"body"))
        await proxy.get()
        for seconds in (0.0, 1.3):
            proxy.clock.now += seconds
            plain = await proxy.ask(method, "/", *conditions)
            recurring = found(proxy, *conditions, method=method)
            assert recurring is not None
            assert body_of(recurring.again(None)) == plain.body
            assert same(recurring, plain)
        assert len(proxy.origin.seen) == 1


async def test_one_form_serves_all_that_have_the_same_fields() -> None:
    async with proxied(hot=False) as proxy:
        for number in range(3):
            answer = Reply(headers=[MINUTE, ("X-Number", str(number))], body=b"x" * number * 50)
            proxy.origin.will(answer)
            await proxy.get(f"/{number}")
            recurring = found(proxy, target=f"/{number}")
            assert recurring is not None
            assert same(recurring, await proxy.get(f"/{number}"))
        assert len(proxy.gateway.hot.forms._known) == 1


async def test_an_origins_own_name_for_a_request_does_not_stand_in_for_ours() -> None:
    async with proxied(hot=False, decisions=Decisions(10, 1.0)) as proxy:
        proxy.origin.will(Reply(headers=[MINUTE, (ANSWERED, "theirs")]))
        await proxy.get()
        recurring = found(proxy)
        assert recurring is not None
        assert b"theirs" not in recurring.head
        given = recurring.again(b"ours")
        assert given is not None
        assert given[1] == b"Warmfront-Request-Id: ours\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([("Date", "x"), ("X", "a\rb")], id="a line break"),
        pytest.param([("Date", "x"), ("X", "a\0b")], id="NUL"),
        pytest.param([("Date", "x"), ("X", "\u0161")], id="not latin-1"),
        pytest.param([("X", "a")], id="no Date"),
    ],
)
async def test_what_cannot_be_written_so_has_none(fields: list[tuple[str, str]]) -> None:
    async with proxied(hot=False) as proxy:
        entry = make_entry()
        response = entry.response.with_changes(Headers(fields))
        await proxy.store.put(CacheKey(URL), replace(entry, response=response))
        assert len(proxy.store.lookup_now(CacheKey(URL))) == 1
        assert found(proxy) is None


async def test_forms_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.gateway.forms._MOST", 3)
    async with proxied(hot=False) as proxy:
        for number in range(9):
            proxy.origin.will(Reply(headers=[MINUTE, (f"X-{number}", "a")]))
            await proxy.get(f"/{number}")
            assert found(proxy, target=f"/{number}") is not None
            assert len(proxy.gateway.hot.forms._known) <= 3


def test_a_form_may_have_nothing_to_fill_in() -> None:
    form = Form("HTTP/1.1 200 OK\r\nX: 100 %\r\n", 200)
    assert form.fill("", 0, 0, "") == b"HTTP/1.1 200 OK\r\nX: 100 %\r\n"


def test_plain_answers_are_what_it_is_compared_with() -> None:
    """`same` looks at every line, in its order."""
    answer = Answer(200, "OK", Headers([("A", "1"), ("B", "2")]), b"")

    class Given(Recurring):
        head = b"HTTP/1.1 200 OK\r\nB: 2\r\nA: 1\r\n"

    assert not same(Given(), answer)
