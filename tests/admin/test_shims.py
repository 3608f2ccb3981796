"""Other caches' clients: what they send, byte for byte, and what they must get.

Each request is as the named client puts it on the wire; only host, port and token are ours.
"""

import json

import pytest

from proxy.admin import PurgeOrder
from tests.admin.conftest import ADMIN, API, READ, Admin, Shelf, document, faults

BOTH = (f"http://{API}/products/1", f"https://{API}/products/1")


def url_order(*, soft: bool = False, url: str = f"{API}/products/1") -> PurgeOrder:
    return PurgeOrder(urls=(f"http://{url}", f"https://{url}"), soft=soft)


CASES = [
    pytest.param(
        "POST /service/SU1Z0isxPaozGVKXdv0eY/purge/product%3A1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        "User-Agent: FastlyGo/9.2.1 (+github.com/fastly/go-fastly; go1.22.0)\r\n"
        f"Content-Length: 0\r\nFastly-Key: {ADMIN}\r\nFastly-Soft-Purge: 1\r\n"
        "Accept-Encoding: gzip\r\n\r\n",
        PurgeOrder(tags=("product:1",), soft=True),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="fastly-go-PurgeKey",
    ),
    pytest.param(
        "POST /service/SU1Z0isxPaozGVKXdv0eY/purge HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        "User-Agent: FastlyGo/9.2.1 (+github.com/fastly/go-fastly; go1.22.0)\r\n"
        f"Content-Length: 0\r\nFastly-Key: {ADMIN}\r\nSurrogate-Key: a b/c\r\n"
        "Accept-Encoding: gzip\r\n\r\n",
        PurgeOrder(tags=("a", "b/c")),
        {"a": "1", "b/c": "1"},
        id="fastly-go-PurgeKeys",
    ),
    pytest.param(
        "POST /service/SU1Z0isxPaozGVKXdv0eY/purge_all HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        "User-Agent: FastlyGo/9.2.1 (+github.com/fastly/go-fastly; go1.22.0)\r\n"
        f"Content-Length: 0\r\nFastly-Key: {ADMIN}\r\nAccept-Encoding: gzip\r\n\r\n",
        PurgeOrder(everything=True),
        {"status": "ok", "acked": 2, "nodes": 2},
        id="fastly-go-PurgeAll",
    ),
    pytest.param(
        f"POST /purge/http:/{API}/products/1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        "User-Agent: FastlyGo/9.2.1 (+github.com/fastly/go-fastly; go1.22.0)\r\n"
        f"Content-Length: 0\r\nFastly-Key: {ADMIN}\r\nAccept-Encoding: gzip\r\n\r\n",
        url_order(),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="fastly-go-Purge",
    ),
    pytest.param(
        f"POST /purge/{API}/products/1?lang=fr HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        f"User-Agent: curl/8.5.0\r\nAccept: application/json\r\nFastly-Key: {ADMIN}\r\n"
        "fastly-soft-purge: 1\r\n\r\n",
        url_order(soft=True, url=f"{API}/products/1?lang=fr"),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="fastly-curl-url",
    ),
    pytest.param(
        f"POST /purge/https%3A%2F%2F{API}%2Fproducts%2F1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        f"Fastly-Key: {ADMIN}\r\n\r\n",
        PurgeOrder(urls=BOTH[::-1]),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="fastly-encoded-url",
    ),
    pytest.param(
        # Guzzle adds no Content-Type to a body of text.
        "POST /service/abc/purge HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 30\r\n"
        f"Accept: application/json\r\nFastly-Soft-Purge: 1\r\nFastly-Key: {ADMIN}\r\n\r\n"
        '{"surrogate_keys":["a","b:1"]}',
        PurgeOrder(tags=("a", "b:1"), soft=True),
        {"a": "1", "b:1": "1"},
        id="fastly-foshttpcache-tags",
    ),
    pytest.param(
        f"PURGE /products/1 HTTP/1.1\r\nHost: {API}\r\nFastly-Soft-Purge: 1\r\n"
        f"Fastly-Key: {ADMIN}\r\n\r\n",
        url_order(soft=True),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="fastly-foshttpcache-purge",
    ),
    pytest.param(
        "POST /client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache HTTP/1.1\r\n"
        f"Host: 127.0.0.1:PORT\r\nAuthorization: Bearer {ADMIN}\r\nUser-Agent: curl/8.5.0\r\n"
        "Accept: */*\r\nContent-Type: application/json\r\nContent-Length: 134\r\n\r\n"
        '{"files":["http://www.example.com/css/styles.css",'
        '{"url":"http://www.example.com/cat_picture.jpg","headers":{"CF-IPCountry":"US"}}]}  ',
        PurgeOrder(
            urls=(
                "http://www.example.com/css/styles.css",
                "https://www.example.com/css/styles.css",
                "http://www.example.com/cat_picture.jpg",
                "https://www.example.com/cat_picture.jpg",
            )
        ),
        {"success": True, "errors": [], "messages": [], "result": {"id": f"{1:032x}"}},
        id="cloudflare-curl-files",
    ),
    pytest.param(
        "POST /client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache HTTP/1.1\r\n"
        "Host: 127.0.0.1:PORT\r\nX-Auth-Email: user@example.com\r\n"
        f"X-Auth-Key: {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: 85\r\n\r\n"
        '{"tags":["a","B"],"hosts":["www.example.com"],"prefixes":["images.example.com/bar/"]}',
        PurgeOrder(
            tags=("a", "B"), hosts=("www.example.com",), prefixes=("//images.example.com/bar/",)
        ),
        {"success": True, "errors": [], "messages": [], "result": {"id": f"{1:032x}"}},
        id="cloudflare-curl-flex",
    ),
    pytest.param(
        "POST /client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache HTTP/1.1\r\n"
        f"Host: 127.0.0.1:PORT\r\nAuthorization: Bearer {ADMIN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 25\r\n\r\n"
        '{"purge_everything":true}',
        PurgeOrder(everything=True),
        {"success": True, "errors": [], "messages": [], "result": {"id": f"{1:032x}"}},
        id="cloudflare-everything",
    ),
    pytest.param(
        "POST /ccu/v3/invalidate/tag/production HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        "Authorization: EG1-HMAC-SHA256 client_token=akab-c;"
        f"access_token={ADMIN};timestamp=20260718T10:00:00+0000;nonce=9b8c;signature=x=\r\n"
        "Content-Type: application/json\r\nContent-Length: 35\r\n\r\n"
        '{"objects": ["black-friday","tv" ]}',
        PurgeOrder(tags=("black-friday", "tv"), soft=True),
        {
            "httpStatus": 201,
            "detail": "Request accepted",
            "supportId": "00000000-0000-0000-0000-000000000001",
            "purgeId": "00000000-0000-0000-0000-000000000001",
            "estimatedSeconds": 0,
        },
        id="akamai-invalidate-tag",
    ),
    pytest.param(
        f"POST /ccu/v3/delete/tag HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-API-Key: {ADMIN}\r\n"
        'Content-Type: application/json\r\nContent-Length: 18\r\n\r\n{"objects": ["a"]}',
        PurgeOrder(tags=("a",)),
        None,
        id="akamai-delete-tag",
    ),
    pytest.param(
        "POST /ccu/v3/delete/url/staging HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        f"X-API-Key: {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: 53\r\n\r\n"
        '{"hostname":"api.example","objects":["/products/1"] }',
        url_order(),
        None,
        id="akamai-delete-url",
    ),
    pytest.param(
        "POST /ccu/v3/invalidate/url HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        f"X-API-Key: {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: 48\r\n\r\n"
        '{"objects":["http://api.example/products/1"]}   ',
        url_order(soft=True),
        None,
        id="akamai-invalidate-url",
    ),
    pytest.param(
        "PURGE /souin-api/souin HTTP/1.1\r\nSurrogate-Key: /products/1, /products\r\n"
        f"Accept: */*\r\nUser-Agent: Symfony HttpClient (Curl)\r\nAuthorization: Bearer {ADMIN}\r\n"
        "Accept-Encoding: gzip\r\nHost: 127.0.0.1:PORT\r\n\r\n",
        PurgeOrder(tags=("/products/1", "/products")),
        204,
        id="souin-api-platform",
    ),
    pytest.param(
        "PURGE /souin-api/souin/flush HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        f"Authorization: Bearer {ADMIN}\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
        PurgeOrder(everything=True),
        204,
        id="souin-flush",
    ),
    pytest.param(
        f"PURGE /souin-api/souin/GET-http-{API}-/products/1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        f"Authorization: Bearer {ADMIN}\r\n\r\n",
        url_order(),
        204,
        id="souin-key",
    ),
    pytest.param(
        f"PURGE /souin-api/souin/http%3A%2F%2F{API}%2Fproducts%2F1 HTTP/1.1\r\n"
        f"Host: 127.0.0.1:PORT\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
        url_order(),
        204,
        id="souin-url",
    ),
    pytest.param(
        "POST /souin-api/souin HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        "Content-Type: application/json\r\n"
        f"Authorization: Bearer {ADMIN}\r\nContent-Length: 66\r\n\r\n"
        '{"type":"uri","selectors":["api.example/products/1"],"purge":true}',
        url_order(),
        200,
        id="souin-invalidate-uri",
    ),
    pytest.param(
        "POST /souin-api/souin HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        "Content-Type: application/json\r\n"
        f"Authorization: Bearer {ADMIN}\r\nContent-Length: 58\r\n\r\n"
        '{"type":"uri-prefix","selectors":["api.example/products"]}',
        PurgeOrder(prefixes=(f"//{API}/products/",), soft=True),
        200,
        id="souin-invalidate-prefix",
    ),
    pytest.param(
        "POST /souin-api/souin HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        "Content-Type: application/json\r\n"
        f"Authorization: Bearer {ADMIN}\r\nContent-Length: 54\r\n\r\n"
        '{"type":"origin","selectors":["//api.example:8000"]}  ',
        PurgeOrder(hosts=("api.example:8000",), soft=True),
        200,
        id="souin-invalidate-origin",
    ),
    pytest.param(
        "POST /souin-api/souin HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        "Content-Type: application/json\r\n"
        f"Authorization: Bearer {ADMIN}\r\nContent-Length: 33\r\n\r\n"
        '{"type":"group","groups":["a b"]}',
        PurgeOrder(tags=("a b",), soft=True),
        200,
        id="souin-invalidate-group",
    ),
    pytest.param(
        f"PURGE / HTTP/1.1\r\nxkey: /products/1 /products\r\nUser-Agent: GuzzleHttp/7\r\n"
        f"Host: 127.0.0.1:PORT\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
        PurgeOrder(tags=("/products/1", "/products")),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="xkey-api-platform",
    ),
    pytest.param(
        f"PURGEKEYS / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nxkey-softpurge: c52 l2 ez-all\r\n"
        f"X-Invalidate-Token: {ADMIN}\r\n\r\n",
        PurgeOrder(tags=("c52", "l2", "ez-all"), soft=True),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="xkey-foshttpcache-soft",
    ),
    pytest.param(
        f"PURGEKEYS / HTTP/1.1\r\nHost: varnish\r\nxkey-purge: c52\r\n"
        f"Authorization: Bearer {ADMIN}\r\n\r\n",
        PurgeOrder(tags=("c52",)),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="xkey-foshttpcache-hard",
    ),
    pytest.param(
        "PURGETAGS / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-Cache-Tags: product-1,products\r\n"
        f"Authorization: Bearer {ADMIN}\r\n\r\n",
        PurgeOrder(tags=("product-1", "products")),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="foshttpcache-symfony-tags",
    ),
    pytest.param(
        "PURGE / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nClear-Cache: true\r\n"
        f"Authorization: Bearer {ADMIN}\r\n\r\n",
        PurgeOrder(everything=True),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="foshttpcache-symfony-clear",
    ),
    pytest.param(
        f"PURGE /products/1 HTTP/1.1\r\nHost: {API}\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
        url_order(),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="foshttpcache-varnish-purge",
    ),
    pytest.param(
        f"PURGE http://{API}/products/1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        f"Authorization: Basic {'bm9ib2R5OmFkbWlucy10b2tlbi0wMTIzNDU2'}\r\n\r\n",
        url_order(),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="purge-absolute-form",
    ),
    pytest.param(
        "BAN / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-Host: .*\r\nX-Url: .*\r\n"
        "X-Content-Type: .*\r\n"
        "X-Cache-Tags: (^|,)(product\\-1|a\\.b\\:c)(,|$)\r\n"
        f"Authorization: Bearer {ADMIN}\r\n\r\n",
        PurgeOrder(tags=("product-1", "a.b:c")),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="foshttpcache-ban-tags",
    ),
    pytest.param(
        "BAN / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-Host: .*\r\nX-Url: .*\r\n"
        "X-Content-Type: .*\r\n"
        f"X-Cache-Tags: (product\\-1|b)(,.+)?$\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
        PurgeOrder(tags=("product-1", "b")),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="foshttpcache-1-ban-tags",
    ),
    pytest.param(
        "BAN / HTTP/1.1\r\nApiPlatform-Ban-Regex: (/products/1|/products)($|\\,)\r\n"
        f"Host: 127.0.0.1:PORT\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
        PurgeOrder(tags=("/products/1", "/products")),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="api-platform-ban",
    ),
    pytest.param(
        "BAN / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-Host: .*\r\nX-Url: .*\r\n"
        "X-Content-Type: .*\r\n"
        f"Authorization: Bearer {ADMIN}\r\n\r\n",
        PurgeOrder(everything=True),
        {"status": "ok", "id": "1", "acked": 2, "nodes": 2},
        id="foshttpcache-ban-all",
    ),
]


@pytest.mark.parametrize(("raw", "order", "reply"), CASES)
async def test_real_clients_are_understood(
    admin: Admin, raw: str, order: PurgeOrder, reply: dict[str, object] | int | None
) -> None:
    head, _, body = raw.partition("\r\n\r\n")
    if "Content-Length:" in head:
        assert f"Content-Length: {len(body)}\r\n" in f"{head}\r\n", len(body)
    answer = await admin.send(raw)
    assert answer.status < 300, answer.body
    assert admin.order == order
    if isinstance(reply, int):
        assert (answer.status, answer.body) == (reply, b"")
    elif reply is not None:
        assert document(answer) == reply


async def test_varnish_clients_read_the_reason(admin: Admin) -> None:
    answer = await admin.ask("PURGE", "/products/1", host=API)
    assert (answer.status, answer.reason) == (200, "Purged")


@pytest.mark.parametrize(
    ("url", "gone"),
    [
        pytest.param("products/1", ["/products/1", "/products/1?lang=fr"], id="segments"),
        pytest.param("/products/1", ["/products/1", "/products/1?lang=fr"], id="leading slash"),
        pytest.param("/products/1$", ["/products/1"], id="anchored"),
        pytest.param(
            "http.%2A/products/%5Cd+",
            ["/products/1", "/products/1?lang=fr", "/products/10"],
            id="regex",
        ),
        pytest.param("roducts", [], id="inside a segment"),
        pytest.param(".+lang=fr", ["/products/1?lang=fr"], id="query"),
    ],
)
async def test_souin_patterns_match_whole_segments(
    admin: Admin, shelf: Shelf, url: str, gone: list[str]
) -> None:
    before = [one.url for one in shelf.entries_]
    assert (await admin.ask("PURGE", f"/souin-api/souin/{url}")).status == 204
    left = {one.url for one in shelf.entries_}
    lost = [one.partition(API)[2] for one in before if one not in left and API in one]
    assert lost == gone


@pytest.mark.parametrize(
    ("host", "path", "gone"),
    [
        ("^(api\\.example)$", "^/products/1$", ["http://api.example/products/1"]),
        (".*", "/products/10", ["http://api.example/products/10"]),
        ("other", ".*", ["http://other.example:8080/products/1"]),
        ("example", "lang", ["http://api.example/products/1?lang=fr"]),
    ],
)
async def test_bans_are_searched_for_in_host_and_path(
    admin: Admin, shelf: Shelf, host: str, path: str, gone: list[str]
) -> None:
    before = [one.url for one in shelf.entries_]
    answer = await admin.ask("BAN", "/", ("X-Host", host), ("X-Url", path))
    assert answer.status == 200
    left = {one.url for one in shelf.entries_}
    assert [one for one in before if one not in left] == gone


async def test_hard_and_soft_keys_in_one_request(admin: Admin, shelf: Shelf) -> None:
    answer = await admin.ask("PURGEKEYS", "/", ("xkey-purge", "a"), ("xkey-softpurge", "b"))
    assert answer.status == 200
    assert shelf.orders == [PurgeOrder(tags=("b",), soft=True), PurgeOrder(tags=("a",))]


@pytest.mark.parametrize(
    ("method", "target", "lines", "where"),
    [
        ("PURGE", "/products/1", [], "header Host"),
        ("PURGE", "/", [("xkey", " ")], "header xkey"),
        ("PURGEKEYS", "/", [], "header xkey-purge"),
        ("PURGETAGS", "/", [("X-Cache-Tags", ",")], "header X-Cache-Tags"),
        ("BAN", "/", [], "header"),
        ("BAN", "/", [("X-Cache-Tags", "prod.*")], "header"),
        ("BAN", "/", [("X-Cache-Tags", "((a)|b)")], "header"),
        ("BAN", "/", [("X-Url", "(a+)+")], "header"),
        ("BAN", "/", [("X-Url", "^/a|^/b")], "header"),
        ("BAN", "/", [("X-Url", "/a$|/b$")], "header"),
        ("PURGE", "/souin-api/souin", [], "header Surrogate-Key"),
        ("PURGE", "/souin-api/souin/.*", [], "path"),
        ("PURGE", "/souin-api/souin/(", [], "path"),
        ("POST", "/service/a/purge", [], "header Surrogate-Key"),
        ("POST", "/service/a/purge", [("Surrogate-Key", "a " * 257)], "surrogate_keys"),
        ("POST", "/purge/:80/z", [], "urls[0]"),
        ("POST", "/ccu/v3/delete/tag", [("Content-Type", "application/json")], "body"),
        ("POST", "/service/a/purge/%00", [], "tags[0]"),
    ],
)
async def test_what_names_nothing_is_never_done(
    admin: Admin, method: str, target: str, lines: list[tuple[str, str]], where: str
) -> None:
    answer = await admin.ask(method, target, *lines)
    assert answer.status in {400, 422}
    assert faults(answer)[0][0] == where
    assert not admin.shelf.orders


async def test_refusals_have_the_shape_that_clients_look_for(admin: Admin) -> None:
    anybody = admin.by(None)
    fastly = document(await anybody.ask("POST", "/service/a/purge_all"))
    assert (fastly["msg"], fastly["detail"]) == ("Unauthorized", "A valid token is needed.")
    path = "/client/v4/zones/1/purge_cache"
    answer = await anybody.ask("POST", path, body={"purge_everything": True})
    assert answer.status == 401
    cloudflare = document(answer)
    assert (cloudflare["success"], cloudflare["result"]) == (False, None)
    assert cloudflare["errors"][0] == {"code": 10000, "message": "A valid token is needed."}
    assert answer.headers["WWW-Authenticate"]
    cloudflare = document(await admin.ask("POST", path, body={"tags": []}))
    assert (cloudflare["success"], cloudflare["errors"][0]["code"]) == (False, 1012)
    assert (await admin.ask("POST", path, body={"files": [{"headers": {}}]})).status == 422
    akamai = document(await admin.by(READ).ask("POST", "/ccu/v3/delete/tag", body={"objects": []}))
    assert akamai["httpStatus"] == 403


@pytest.mark.parametrize(
    ("method", "target", "lines", "body"),
    [
        ("POST", "/service/a/purge/k", [], None),
        ("POST", "/service/a/purge_all", [], None),
        ("POST", "/client/v4/zones/1/purge_cache", [], {"tags": ["a"]}),
        ("PURGE", "/souin-api/souin/flush", [], None),
        ("PURGE", "/", [("xkey", "a")], None),
        ("BAN", "/", [("X-Url", "^/a")], None),
        ("POST", "/ccu/v3/delete/tag", [], {"objects": ["a"]}),
    ],
)
async def test_no_shim_says_done_too_early(
    admin: Admin,
    method: str,
    target: str,
    lines: list[tuple[str, str]],
    body: object,
) -> None:
    admin.shelf.late = ("b",)
    answer = await admin.ask(method, target, *lines, body=body)
    assert answer.status == (201 if "ccu" in target else 202)
    text = answer.body.decode()
    assert not text or "pending" in text or "so far" in text or '"estimatedSeconds": 5' in text
    admin.shelf.reachable = False
    assert (await admin.ask(method, target, *lines, body=body)).status == 503


async def test_souin_lists(admin: Admin) -> None:
    urls = document(await admin.by(READ).ask("GET", "/souin-api/souin"))
    assert f"http://{API}/products/10" in urls
    tags = document(await admin.ask("GET", "/souin-api/souin/surrogate_keys"))
    assert tags["product:10"] == f"http://{API}/products/10"
    assert (await admin.ask("PURGE", "/souin-api/souin/mapping")).status == 204


async def test_one_purge_has_a_bound(admin: Admin) -> None:
    body = {"tags": [str(n) for n in range(1001)]}
    assert (await admin.ask("POST", "/client/v4/zones/1/purge_cache", body=body)).status == 422
    assert not admin.shelf.orders


async def test_forms_cannot_drive_the_shims(admin: Admin, shelf: Shelf) -> None:
    body = json.dumps({"surrogate_keys": ["a"]}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await admin.ask("POST", "/service/a/purge", ("Content-Type", kind), body=body)
        assert answer.status == 415
    assert not shelf.orders
