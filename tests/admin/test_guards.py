"""What keeps browsers out, over real sockets."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.admin import AdminServer, guards
from proxy.exchange import Client, Incoming
from proxy.rfc9111.messages import Headers, Request
from tests.admin.conftest import API, OPTIONS, Admin, Shelf, admin_of, faults
from tests.apparatus import read_answer


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:PORT", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("admin.localhost", 200),
        ("[::1]:PORT", 200),
        ("192.0.2.1", 200),
        ("cache.internal:PORT", 200),
        ("evil.example", 403),
        ("evil.example:PORT", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
async def test_a_foreign_name_for_this_machine_is_refused(
    shelf: Shelf, host: str, status: int
) -> None:
    options = replace(OPTIONS, allowed_hosts=("cache.internal",))
    async with admin_of(shelf, options) as admin:
        answer = await admin.by(None).send(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert answer.status == status
        if status == 403:
            assert faults(answer)[0][0] == "header Host"
    async with admin_of(shelf, replace(OPTIONS, allowed_hosts=("*",))) as admin:
        answer = await admin.by(None).send(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert answer.status == 200


LINK = (
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
)


async def test_a_link_may_lead_to_a_page(admin: Admin) -> None:
    answer = await admin.by(None).ask("GET", "/dashboard", *LINK)
    assert answer.status == 200
    assert b"form" not in answer.body
    assert b'content="0; url=/dashboard"' in answer.body


@pytest.mark.parametrize(
    ("method", "target", "lines"),
    [
        pytest.param("GET", "/dashboard/events", LINK, id="not a page"),
        pytest.param("GET", "/stats", LINK, id="the API"),
        pytest.param("POST", "/dashboard", LINK, id="not by GET"),
        pytest.param("GET", "/dashboard", LINK[:2], id="not as a document"),
        pytest.param("GET", "/dashboard", (LINK[0], *LINK[2:]), id="not by going there"),
        pytest.param("GET", "/dashboard", (*LINK[:2], ("Sec-Fetch-Dest", "iframe")), id="a frame"),
        pytest.param("GET", "/dashboard", (*LINK, ("Origin", "http://evil")), id="an Origin"),
    ],
)
async def test_and_to_nothing_else(
    admin: Admin, method: str, target: str, lines: tuple[tuple[str, str], ...]
) -> None:
    assert (await admin.ask(method, target, *lines)).status == 403


async def test_other_machines_and_unix_sockets_may_use_any_name(tmp_path: Path) -> None:
    path = tmp_path / "admin"
    server = AdminServer(Shelf(), replace(OPTIONS, listen=(f"unix:{path}",)))
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: any.example\r\n\r\n")
        assert (await read_answer(reader, "GET")).status == 200
        writer.close()
    finally:
        await server.close()
    request = Request("GET", "http", "warmfront:8081", "/healthz", Headers())
    guards.check(Incoming(request, Client("192.0.2.7", (1, 1)), None, lambda *_: None), ())


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([("Origin", "http://127.0.0.1:PORT")], 200),
        ([("Origin", "http://127.0.0.1:PORT"), ("Sec-Fetch-Site", "same-origin")], 200),
        ([("Sec-Fetch-Site", "none")], 200),
        ([("Origin", "http://evil.example")], 403),
        ([("Origin", "null")], 403),
        ([("Origin", "")], 403),
        ([("Origin", "http://127.0.0.1:1")], 403),
        ([("Sec-Fetch-Site", "cross-site")], 403),
        ([("Sec-Fetch-Site", "same-site")], 403),
        ([("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")], 403),
    ],
)
@pytest.mark.parametrize("request_line", ["POST /purge/all", "GET /healthz", "PURGETAGS /"])
async def test_pages_of_other_sites_are_refused(
    admin: Admin, request_line: str, lines: list[tuple[str, str]], status: int
) -> None:
    method, target = request_line.split(" ")
    sent = [(name, value.replace("PORT", str(admin.port))) for name, value in lines]
    answer = await admin.ask(method, target, ("X-Cache-Tags", "a"), *sent)
    assert answer.status == status
    assert not admin.shelf.orders or status == 200
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


async def test_a_rebound_name_cannot_use_the_cache_verbs_from_a_page(admin: Admin) -> None:
    origin = ("Origin", "http://evil.example")
    answer = await admin.ask("PURGE", "/x", origin, host="evil.example")
    assert answer.status == 403
    # Without a page behind it, Host names what to purge.
    assert (await admin.ask("PURGE", "/x", host="evil.example")).status == 200


async def test_no_preflight_is_answered(admin: Admin) -> None:
    answer = await admin.by(None).ask(
        "OPTIONS", "/purge/all", ("Access-Control-Request-Method", "POST")
    )
    assert answer.status == 401
    assert (await admin.ask("OPTIONS", "/purge/all")).status == 405


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"],
)
async def test_bodies_of_forms_are_refused(admin: Admin, kind: str) -> None:
    answer = await admin.ask("POST", "/purge", ("Content-Type", kind), body=b'{"all": true}')
    assert answer.status == 415
    assert not admin.shelf.orders
    two = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    assert (await admin.ask("POST", "/purge", *two, body=b'{"all": true}')).status == 415
    assert (await admin.ask("POST", "/purge", body=b'{"all": true}')).status == 415


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"]
)
async def test_json_by_any_of_its_names(admin: Admin, kind: str) -> None:
    answer = await admin.ask("POST", "/purge", ("Content-Type", kind), body=b'{"all": true}')
    assert answer.status == 200


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", False),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("::ffff:192.0.2.1", False),
    ],
)
def test_is_loopback(address: str, loopback: bool) -> None:  # noqa: FBT001 - a row of the table
    assert guards.is_loopback(address) is loopback


def test_host_name() -> None:
    assert guards.host_name("[::1]:8081") == "::1"
    assert guards.host_name("localhost.:80") == "localhost"
    assert guards.host_name(API) == API
