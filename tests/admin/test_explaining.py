"""GET /explain and GET /explain/requests/{id}, as they judge and hand on what they are asked."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

import pytest

from proxy.explain import Mode
from tests.admin.conftest import ADMIN, PURGE, READ, Admin, document, faults

URL = "http://api.example/a"


def explain(*pairs: tuple[str, str]) -> str:
    return f"/explain?{urlencode([('url', URL), *pairs])}"


async def test_a_request_is_handed_on_as_it_would_come(admin: Admin) -> None:
    target = urlencode(
        [
            ("url", "HTTP://API.example:80/a b?é=1#x".replace(" ", "%20")),
            ("method", "HEAD"),
            ("header", "Accept-Language:  fr "),
            ("header", "X-Two: 1"),
            ("header", "X-Two: 2"),
        ]
    )
    answer = await admin.ask("GET", f"/explain?{target}")
    assert answer.status == 200
    ((request, mode),) = admin.shelf.explained
    assert mode is Mode.SIMULATE
    assert (request.method, request.uri) == ("HEAD", "http://api.example/a%20b?%C3%A9=1")
    assert list(request.headers.items()) == [
        ("Accept-Language", "fr"),
        ("X-Two", "1"),
        ("X-Two", "2"),
        ("Host", "api.example"),
    ]
    told = document(answer)
    assert (told["mode"], told["reuse"]["why"]["reason"]) == ("simulate", "uri-miss")
    assert told["reuse"]["why"]["advice"]


async def test_a_host_takes_the_place_of_the_url_s(admin: Admin) -> None:
    await admin.ask("GET", explain(("header", "Host: Other.example:80")))
    ((request, _),) = admin.shelf.explained
    assert request.uri == "http://other.example/a"
    assert request.headers["Host"] == "Other.example:80"


@pytest.mark.parametrize("mode", ["send", "probe"])
async def test_sending_needs_the_role_admin(admin: Admin, mode: str) -> None:
    for token in (READ, PURGE):
        admin.token = token
        answer = await admin.ask("GET", explain(("mode", mode)))
        assert answer.status == 403
        assert admin.shelf.explained == []
    admin.token = ADMIN
    assert (await admin.ask("GET", explain(("mode", mode)))).status == 200
    assert [how.value for _, how in admin.shelf.explained] == [mode]


@pytest.mark.parametrize("token", [READ, PURGE, ADMIN])
async def test_whoever_may_look_may_simulate(admin: Admin, token: str) -> None:
    admin.token = token
    assert (await admin.ask("GET", explain(("method", "DELETE")))).status == 200


async def test_what_may_change_something_is_not_sent(admin: Admin) -> None:
    answer = await admin.ask("GET", explain(("mode", "send"), ("method", "POST")))
    assert answer.status == 422
    assert faults(answer) == [("query method", "POST may change something")]


@pytest.mark.parametrize(
    ("pairs", "where"),
    [
        pytest.param([("url", "/a")], ["query url"], id="no absolute URL"),
        pytest.param([("url", "ftp://a/")], ["query url"], id="another scheme"),
        pytest.param([("url", URL), ("method", "G T")], ["query method"], id="no method"),
        pytest.param([("url", URL), ("method", "")], ["query method"], id="an empty method"),
        pytest.param([("url", URL), ("header", "Cookie")], ["query header[0]"], id="no colon"),
        pytest.param(
            [("url", URL), ("header", "A: b"), ("header", "A: b\r\nC: d")],
            ["query header[1]"],
            id="two lines in one",
        ),
        pytest.param([("url", URL), ("header", "A: \u20ac")], ["query header[0]"], id="no byte"),
        pytest.param(
            [("url", URL), ("header", "Host: a"), ("header", "host: b")],
            ["query header"],
            id="two hosts",
        ),
        pytest.param(
            [("url", "x"), ("method", " "), ("header", " ")],
            ["query url", "query method", "query header[0]"],
            id="all at once",
        ),
        pytest.param([("url", URL), ("mode", "past")], ["query mode"], id="a mode for the past"),
        pytest.param([("url", URL), ("headers", "A: b")], ["query headers"], id="unknown"),
        pytest.param([("url", URL), ("url", URL)], ["query url"], id="a URL twice"),
        pytest.param([("url", URL)] + 51 * [("header", "A: b")], ["query header"], id="too many"),
        pytest.param([], ["query url"], id="nothing"),
    ],
)
async def test_what_is_no_request(
    admin: Admin, pairs: Sequence[tuple[str, str]], where: list[str]
) -> None:
    answer = await admin.ask("GET", f"/explain?{urlencode(pairs)}")
    assert answer.status == 422
    assert [place for place, _ in faults(answer)] == where
    assert admin.shelf.explained == []


async def test_a_past_request(admin: Admin) -> None:
    admin.token = READ
    answer = await admin.ask("GET", f"/explain/requests/{quote('Root=1-a:b+c', safe='')}")
    assert (answer.status, document(answer)["request_id"]) == (200, "Root=1-a:b+c")
    missing = await admin.ask("GET", "/explain/requests/unknown")
    assert (missing.status, faults(missing)) == (
        404,
        [("path", "nothing is kept of such a request")],
    )


async def test_nobody_asks_without_a_token(admin: Admin) -> None:
    admin.token = None
    assert (await admin.ask("GET", explain())).status == 401
    assert (await admin.ask("GET", "/explain/requests/a")).status == 401
