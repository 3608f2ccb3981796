"""Our own operations, over real sockets."""

import asyncio
import json

import pytest

from proxy.admin import Tier, Warmed, WarmOutcome
from tests.admin.conftest import (
    ADMIN,
    API,
    PURGE,
    READ,
    Admin,
    Shelf,
    document,
    entry,
    faults,
)
from tests.apparatus import eventually


async def left(shelf: Shelf) -> list[str]:
    return [one.url.removeprefix(f"http://{API}") for one in shelf.entries_]


EVERYTHING = ["/products", "/products/1", "/products/1?lang=fr", "/products/10"]
OTHER = "http://other.example:8080/products/1"


@pytest.mark.parametrize(
    ("wish", "gone"),
    [
        pytest.param(
            {"tags": ["product:1"]}, ["/products/1", "/products/1?lang=fr", OTHER], id="tag"
        ),
        pytest.param({"urls": [f"http://{API}/products/1"]}, ["/products/1"], id="url"),
        pytest.param(
            {"urls": [f"https://{API.upper()}:443/products/1#x"]}, ["/products/1"], id="url-https"
        ),
        pytest.param(
            {"prefixes": ["/products/1"]},
            ["/products/1", "/products/1?lang=fr", OTHER],
            id="prefix",
        ),
        pytest.param(
            {"prefixes": [f"//{API}/products/1/"]},
            ["/products/1", "/products/1?lang=fr"],
            id="prefix-host",
        ),
        pytest.param({"hosts": ["OTHER.example:8080"]}, [OTHER], id="host"),
        pytest.param({"hosts": [f"{API}:80"]}, EVERYTHING, id="host-default-port"),
        pytest.param(
            {"pattern": r"/products/\d+$"}, ["/products/1", "/products/10", OTHER], id="pattern"
        ),
        pytest.param({"all": True}, [*EVERYTHING, OTHER], id="all"),
        pytest.param(
            {"all": True, "pattern": ""}, [*EVERYTHING, OTHER], id="all-with-empty-pattern"
        ),
        pytest.param(
            {"tags": ["product:10"], "hosts": ["other.example:8080"]},
            ["/products/10", OTHER],
            id="union",
        ),
    ],
)
async def test_purge_takes_what_is_named_and_nothing_else(
    admin: Admin, shelf: Shelf, wish: dict[str, object], gone: list[str]
) -> None:
    answer = await admin.ask("POST", "/purge", body=wish)
    assert answer.status == 200
    assert await left(shelf) == [one for one in [*EVERYTHING, OTHER] if one not in gone]
    assert document(answer) == {
        "seq": 1,
        "acked": 2,
        "nodes": 2,
        "pending": [],
        "entries": len(gone),
        "soft": False,
        "refused": [],
    }


async def test_soft_purge_and_the_time_to_wait(admin: Admin, shelf: Shelf) -> None:
    await admin.ask("POST", "/purge", body={"tags": ["product:1"], "soft": True, "wait": 0.25})
    assert len(shelf.softened) == 3
    assert len(shelf.entries_) == 5
    await admin.ask("POST", "/purge", body={"tags": ["product:1"]})
    assert shelf.waits == [0.25, 5.0]


async def test_what_is_not_acknowledged_is_not_done(admin: Admin, shelf: Shelf) -> None:
    shelf.late = ("b",)
    answer = await admin.ask("POST", "/purge", body={"all": True})
    assert (answer.status, document(answer)["pending"]) == (202, ["b"])
    assert document(answer)["acked"] == 1


async def test_an_unreachable_log_is_never_a_false_done(admin: Admin, shelf: Shelf) -> None:
    shelf.reachable = False
    answer = await admin.ask("POST", "/purge", body={"tags": ["a"]})
    assert answer.status == 503
    assert faults(answer)[0][0] == "purge log"
    assert answer.headers["Retry-After"] == "1"
    assert len(shelf.entries_) == 5


async def test_the_valid_part_is_purged_and_the_rest_is_listed(admin: Admin, shelf: Shelf) -> None:
    answer = await admin.ask(
        "POST",
        "/purge",
        body={"tags": ["product:10", ""], "urls": ["/x", "ftp://a/"], "pattern": "("},
    )
    assert answer.status == 207
    assert [fault["where"] for fault in document(answer)["refused"]] == [
        "tags[1]",
        "urls[0]",
        "urls[1]",
        "pattern",
    ]
    assert admin.order.tags == ("product:10",)
    assert len(shelf.entries_) == 4


async def test_dry_run_forgets_nothing(admin: Admin, shelf: Shelf) -> None:
    answer = await admin.ask("POST", "/purge", body={"tags": ["product:1"], "dry_run": True})
    assert answer.status == 200
    assert document(answer) == {
        "dry_run": True,
        "entries": 3,
        "urls": [f"http://{API}/products/1", f"http://{API}/products/1?lang=fr", OTHER],
        "complete": True,
        "refused": [],
    }
    assert not shelf.orders
    answer = await admin.ask("POST", "/purge", body={"tags": ["product:1", ""], "dry_run": True})
    assert (answer.status, len(document(answer)["refused"])) == (207, 1)


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        pytest.param(b"{", 400, "body", id="no JSON"),
        pytest.param(b"", 400, "body", id="nothing"),
        pytest.param(b"[]", 422, "body", id="no object"),
        pytest.param(b"{}", 422, "request", id="empty"),
        pytest.param(b'{"tags": []}', 422, "request", id="no tags"),
        pytest.param(b'{"all": false}', 422, "request", id="not all"),
        pytest.param(b'{"tag": ["a"]}', 422, "tag", id="unknown"),
        pytest.param(b'{"tags": ["a", 1]}', 422, "tags[1]", id="no text"),
        pytest.param(b'{"tags": "a"}', 422, "tags", id="no list"),
        pytest.param(b'{"tags": ["a"], "soft": "yes"}', 422, "soft", id="no flag"),
        pytest.param(b'{"tags": ["a"], "wait": 61}', 422, "wait", id="too patient"),
        pytest.param(b'{"tags": ["a"], "wait": NaN}', 422, "wait", id="not a number"),
        pytest.param(b'{"tags": ["\\u0007"]}', 422, "tags[0]", id="control character"),
        pytest.param(b'{"urls": ["http:///x"]}', 422, "urls[0]", id="no host"),
        pytest.param(b'{"pattern": ".*"}', 422, "pattern", id="matches all"),
        pytest.param(json.dumps({"tags": ["a"] * 1001}).encode(), 422, "tags", id="too many"),
        pytest.param(b'{"tags": ["%s"]}' % (b"a" * 65536), 413, "body", id="too long"),
    ],
)
async def test_refusals_say_what_where_and_how(
    admin: Admin, shelf: Shelf, body: bytes, status: int, where: str
) -> None:
    answer = await admin.ask("POST", "/purge", ("Content-Type", "application/json"), body=body)
    assert answer.status == status
    assert faults(answer)[0][0] == where
    assert not shelf.orders


async def test_a_slip_is_met_with_the_right_word(admin: Admin) -> None:
    answer = await admin.ask("POST", "/purge", body={"tagz": ["a"]})
    assert document(answer)["errors"][0]["how"] == "write tags"


async def test_a_chunked_body_is_bounded_too(admin: Admin) -> None:
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    answer = await admin.send(
        b"POST /purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer " + ADMIN.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk * 3 + b"0\r\n\r\n"
    )  # fmt: skip
    assert answer.status == 413


async def test_purge_by_path(admin: Admin, shelf: Shelf) -> None:
    answer = await admin.ask("POST", "/purge/tag/product%3A1?soft=true&wait=1.5")
    assert answer.status == 200
    assert (admin.order.tags, admin.order.soft, shelf.waits) == (("product:1",), True, [1.5])
    await admin.ask("POST", "/purge/tag//books/1")
    assert shelf.orders[-1].tags == ("/books/1",)
    await admin.ask("POST", "/purge/all")
    assert shelf.orders[-1].everything
    assert not shelf.entries_


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ("/purge/all?soft=1", "query soft"),
        ("/purge/all?soft=yes", "query soft"),
        ("/purge/all?sofd=true", "query sofd"),
        ("/purge/all?soft=true&soft=false", "query soft"),
        ("/purge/all?wait=%2B1", "query wait"),
        ("/purge/all?wait=1_0", "query wait"),
        ("/purge/all?a=%ff", "query"),
        ("/purge/tag/%ff", "path"),
        ("/purge/tag/%00", "tags[0]"),
        ("/purge/tag/a\xe9", "path"),
    ],
)
async def test_odd_paths_and_queries_purge_nothing(
    admin: Admin, shelf: Shelf, target: str, where: str
) -> None:
    answer = await admin.ask("POST", target)
    assert answer.status in {400, 422}
    assert faults(answer)[0][0] == where
    assert not shelf.orders


async def test_a_body_that_nobody_reads_is_refused(admin: Admin, shelf: Shelf) -> None:
    answer = await admin.ask("POST", "/purge/all", body={"soft": True})
    assert answer.status == 422
    assert not shelf.orders


async def test_tags(admin: Admin) -> None:
    answer = await admin.ask("GET", "/tags?prefix=product%3A&limit=1")
    assert document(answer) == {
        "tags": [{"tag": "product:1", "entries": 3}],
        "complete": False,
    }
    answer = await admin.ask("GET", "/tags/product:1?limit=2")
    assert document(answer) == {
        "tag": "product:1",
        "entries": 3,
        "urls": [f"http://{API}/products/1", f"http://{API}/products/1?lang=fr"],
        "complete": False,
    }
    assert (await admin.ask("GET", "/tags?limit=0")).status == 422
    assert (await admin.ask("GET", f"/tags?limit={'[' * 7000}")).status == 422
    assert (await admin.ask("GET", f"/tags?limit={'9' * 7000}")).status == 422


async def test_entries_shows_all_variants_without_secrets(admin: Admin, shelf: Shelf) -> None:
    url = f"https://{API}/me"
    shelf.entries_ = [
        entry(
            url,
            "user:1",
            headers=(("X", "1"), ("x", "2"), ("Set-Cookie", "id=1")),
            vary=(("accept-language", "fr"), ("cookie", "id=1"), ("authorization", None)),
        ),
        entry(url.replace("https", "http"), tier=Tier.REDIS, hits=None, ttl=-1.0),
    ]
    answer = await admin.ask("GET", f"/entries?url=http%3A%2F%2F{API}%2Fme")
    assert answer.status == 200
    plain, secure = document(answer)["entries"]
    assert secure == {
        "url": url,
        "status": 200,
        "headers": [["X", "1"], ["x", "2"], ["Set-Cookie", "(hidden)"]],
        "vary": [["accept-language", "fr"], ["cookie", "(hidden)"], ["authorization", None]],
        "age": 1.0,
        "ttl": 59.0,
        "tags": ["user:1"],
        "groups": [],
        "size": 2048,
        "tier": "memory",
        "hits": 3,
        "born": 0,
    }
    assert (plain["tier"], plain["hits"], plain["ttl"]) == ("redis", None, -1.0)
    assert faults(await admin.ask("GET", "/entries")) == [("query url", "Field required")]
    assert faults(await admin.ask("GET", "/entries?url=/me"))[0][0] == "urls[0]"


async def test_delete_entries_is_a_purge_of_the_url(admin: Admin, shelf: Shelf) -> None:
    answer = await admin.ask("DELETE", f"/entries?url=http%3A%2F%2F{API}%2Fproducts%2F1")
    assert answer.status == 200
    assert admin.order.urls == (f"http://{API}/products/1", f"https://{API}/products/1")
    assert len(shelf.entries_) == 4


async def test_warm_reports_progress(admin: Admin, shelf: Shelf) -> None:
    shelf.gate = asyncio.Event()
    outcomes = iter(
        [
            Warmed(WarmOutcome.STORED, 200),
            Warmed(WarmOutcome.HIT, 200),
            Warmed(WarmOutcome.NOT_STORED, 200, "private"),
            Warmed(WarmOutcome.FAILED, None, "refused"),
        ]
    )
    shelf.fetch = lambda _: next(outcomes)
    urls = [f"https://{API}/{n}" for n in range(4)]
    answer = await admin.ask("POST", "/warm", body={"urls": [*urls, "x"], "concurrency": 1})
    assert answer.status == 202
    job = document(answer)
    assert (job["state"], job["total"], job["done"]) == ("running", 4, 0)
    assert [fault["where"] for fault in job["refused"]] == ["urls[4]"]
    assert answer.headers["Location"] == f"/warm/{job['id']}"
    shelf.gate.set()

    async def done() -> bool:
        nonlocal job
        job = document(await admin.by(READ).ask("GET", f"/warm/{job['id']}"))
        return bool(job["state"] == "done")

    await eventually(done)
    assert shelf.warmed == urls
    assert [job[key] for key in ("done", "stored", "hit", "not_stored", "failed")] == [
        4,
        1,
        1,
        1,
        1,
    ]
    assert [(one["url"], one["what"]) for one in job["failures"]] == [
        (urls[2], "private"),
        (urls[3], "refused"),
    ]


async def test_warm_can_be_stopped_and_is_bounded(admin: Admin, shelf: Shelf) -> None:
    shelf.gate = asyncio.Event()
    wish = {"urls": [f"http://{API}/{n}" for n in range(100)]}
    jobs = [document(await admin.ask("POST", "/warm", body=wish)) for _ in range(4)]
    answer = await admin.ask("POST", "/warm", body=wish)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
    for job in jobs:
        answer = await admin.ask("DELETE", f"/warm/{job['id']}")
        assert document(answer)["state"] == "cancelled"
    assert (await admin.ask("POST", "/warm", body=wish)).status == 202
    assert not shelf.warmed


async def test_warm_survives_an_error_of_its_own(admin: Admin, shelf: Shelf) -> None:
    def fail(_: str) -> Warmed:
        raise RuntimeError

    shelf.fetch = fail
    wish = {"urls": [f"http://{API}/"]}
    job = document(await admin.ask("POST", "/warm", body=wish))

    async def failed() -> bool:
        found = document(await admin.ask("GET", f"/warm/{job['id']}"))
        return bool(found["failed"] == 1 and found["state"] == "done")

    await eventually(failed)


async def test_only_so_many_ended_jobs_are_remembered(admin: Admin) -> None:
    wish = {"urls": [f"http://{API}/"]}
    first = document(await admin.ask("POST", "/warm", body=wish))["id"]

    async def forgotten() -> bool:
        await admin.ask("POST", "/warm", body=wish)
        return (await admin.ask("GET", f"/warm/{first}")).status == 404

    await eventually(forgotten)


async def test_warm_refuses_what_holds_no_url(admin: Admin) -> None:
    assert faults(await admin.ask("POST", "/warm", body={"urls": ["x"]}))[0][0] == "urls[0]"
    assert faults(await admin.ask("POST", "/warm", body={"urls": []}))[0][0] == "urls"
    assert (await admin.ask("GET", "/warm/none")).status == 404


async def test_health_needs_no_token(admin: Admin, shelf: Shelf) -> None:
    anybody = admin.by(None)
    assert document(await anybody.ask("GET", "/healthz")) == {"status": "ok"}
    assert document(await anybody.ask("GET", "/readyz")) == {"ready": True, "checks": {"log": True}}
    shelf.reachable = False
    answer = await anybody.ask("GET", "/readyz")
    assert (answer.status, document(answer)["ready"]) == (503, False)
    assert (await anybody.ask("HEAD", "/healthz")).status == 200


async def test_metrics_come_in_the_format_that_is_asked_for(admin: Admin) -> None:
    answer = await admin.by(READ).ask("GET", "/metrics", ("Accept", "text/plain"))
    assert (answer.status, answer.body) == (200, b"# asked for as text/plain\n")
    assert answer.headers["Content-Type"] == "text/plain"


async def test_stats(admin: Admin) -> None:
    found = document(await admin.by(READ).ask("GET", "/stats"))
    assert found["requests"] == {"hit": 3, "miss": 1}
    assert found["memory"]["entries"] == 5
    assert found["log"]["nodes"] == [{"name": "a", "position": 7, "heartbeat_age": 0.1}]


@pytest.mark.parametrize(
    ("method", "target", "role"),
    [
        ("GET", "/stats", READ),
        ("GET", "/metrics", READ),
        ("GET", "/tags", READ),
        ("GET", "/entries?url=http://a/", READ),
        ("GET", "/openapi.json", READ),
        ("GET", "/souin-api/souin", READ),
        ("POST", "/purge/all", PURGE),
        ("POST", "/purge/tag/a", PURGE),
        ("DELETE", "/entries?url=http://a/", PURGE),
        ("PURGE", "http://a/", PURGE),
        ("POST", "/warm", ADMIN),
        ("DELETE", "/warm/x", ADMIN),
    ],
)
async def test_roles(admin: Admin, method: str, target: str, role: str) -> None:
    roles = [READ, PURGE, ADMIN]
    for token in roles:
        answer = await admin.by(token).ask(method, target)
        if roles.index(token) < roles.index(role):
            assert answer.status == 403
            assert faults(answer)
        else:
            assert answer.status not in {401, 403}
    answer = await admin.by(None).ask(method, target)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="warmfront"'


async def test_unknown_paths_and_methods(admin: Admin) -> None:
    assert (await admin.ask("GET", "/nothing")).status == 404
    answer = await admin.ask("PUT", "/purge")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    answer = await admin.ask("PATCH", "/entries")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, DELETE, HEAD")
    # Whoever has no token does not learn what exists.
    assert (await admin.by(None).ask("GET", "/nothing")).status == 401
    assert (await admin.by(None).ask("PUT", "/purge")).status == 401
