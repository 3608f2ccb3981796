"""The sample API on its own, without a cache: what its clients may count on."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from proxy.demo.api import SampleApi

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]


@pytest.fixture
async def client(aiohttp_client: MakeClient) -> Client:
    return await aiohttp_client(SampleApi(delay=0).application())


async def test_a_product_says_everything_a_shared_cache_wants_to_know(client: Client) -> None:
    response = await client.get("/products/1")
    assert response.status == 200
    assert await response.json() == {"id": 1, "name": "lantern", "price": 2900}
    assert response.headers["Cache-Control"] == "public, s-maxage=60, stale-while-revalidate=30"
    assert response.headers["Vary"] == "Accept-Language"
    assert response.headers["ETag"] == '"1-1-en"'
    assert response.headers["Last-Modified"].endswith("GMT")
    assert response.headers["Surrogate-Key"] == "products product-1"


async def test_the_language_is_negotiated(client: Client) -> None:
    response = await client.get("/products", headers={"Accept-Language": "de, en;q=0.5"})
    assert response.headers["Content-Language"] == "de"
    assert [product["name"] for product in await response.json()] == ["Laterne", "Kessel", "Decke"]


@pytest.mark.parametrize("path", ["/products", "/products/1", "/account", "/prices"])
async def test_a_version_the_client_holds_is_not_sent_again(client: Client, path: str) -> None:
    held = (await client.get(path)).headers["ETag"]
    response = await client.get(path, headers={"If-None-Match": f'"other", {held}'})
    assert (response.status, await response.read()) == (304, b"")
    assert response.headers["ETag"] == held


async def test_a_change_makes_new_versions_of_all_that_show_it(client: Client) -> None:
    async def versions() -> list[str]:
        answers = [await client.get(path) for path in ("/products", "/products/1", "/prices")]
        return [answer.headers["ETag"] for answer in answers]

    before = await versions()
    changed = await client.put("/products/1", json={"price": 2500})
    assert (await changed.json())["price"] == 2500
    assert changed.headers["Cache-Group-Invalidation"] == '"product-list"'
    assert not set(before) & set(await versions())
    assert (await (await client.get("/prices")).json())["1"] == 2500


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/products/1", "not json"),
        ("/products/1", "[]"),
        ("/products/1", '{"price": "1"}'),
        ("/products/1", '{"price": true}'),
        ("/products/1", '{"price": -1}'),
        ("/outage", "{}"),
    ],
)
async def test_a_bad_change_is_refused_with_what_to_send(
    client: Client, path: str, body: str
) -> None:
    response = await client.put(path, data=body)
    assert response.status == 422
    assert "price" in await response.text() or '"on"' in await response.text()


async def test_an_unknown_product_is_not_there(client: Client) -> None:
    assert (await client.get("/products/9")).status == 404


async def test_an_outage_breaks_everything_until_it_is_over(client: Client) -> None:
    async def statuses() -> set[int]:
        answers: list[ClientResponse] = [
            await client.get(path) for path in ("/products", "/account", "/prices", "/offers")
        ]
        return {answer.status for answer in answers}

    assert await statuses() == {200}
    assert (await client.put("/outage", json={"on": True})).status == 200
    assert await statuses() == {503}
    assert (await client.put("/outage", json={"on": False})).status == 200
    assert await statuses() == {200}
