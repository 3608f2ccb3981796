"""The sample API: products in two languages, and a few routes that each show one rule of caching.

An ordinary aiohttp application that knows nothing of the cache in front of it. Whatever it must
"compute" takes `DELAY` seconds; answering "not modified" takes none, as in a real API that can
compare a version number without building the page.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web

DELAY = 0.4
"""Seconds that every computed answer takes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Product:
    """One product; `version` counts its changes, `modified` is when the last one was made."""

    id: int
    names: dict[str, str]
    price: int
    modified: datetime
    version: int = 1

    def shown(self, language: str) -> dict[str, object]:
        """What the API says of it; the price is in cents."""
        return {"id": self.id, "name": self.names[language], "price": self.price}


class SampleApi:
    """The routes and the state behind them; `application()` makes it a server.

    Args:
        delay: Seconds that every computed answer takes.
    """

    def __init__(self, delay: float = DELAY) -> None:
        opened = datetime.now(UTC)
        self._delay = delay
        self._outage = False
        self._products = {
            1: Product(1, {"en": "lantern", "de": "Laterne"}, 2900, opened),
            2: Product(2, {"en": "kettle", "de": "Kessel"}, 4500, opened),
            3: Product(3, {"en": "blanket", "de": "Decke"}, 3900, opened),
        }

    def application(self) -> web.Application:
        """A fresh aiohttp application over this state."""
        application = web.Application(middlewares=[self._fail_in_an_outage])
        application.add_routes(
            [
                web.get("/products", self.list_products),
                web.get("/products/{id:[0-9]+}", self.show_product),
                web.put("/products/{id:[0-9]+}", self.change_product),
                web.get("/account", self.show_account),
                web.get("/prices", self.show_prices),
                web.get("/offers", self.show_offers),
                web.put("/outage", self.set_outage),
            ]
        )
        return application

    async def list_products(self, request: web.Request) -> web.Response:
        """All products: shared for a minute, in a group that every change of a product drops."""
        language = _language(request)
        headers = {
            "Cache-Control": "public, s-maxage=60, stale-while-revalidate=30",
            "Vary": "Accept-Language",
            "Content-Language": language,
            "Last-Modified": _http_date(max(p.modified for p in self._products.values())),
            "Cache-Groups": '"product-list"',
            "Surrogate-Key": "products",
        }
        etag = f'"list-{sum(p.version for p in self._products.values())}-{language}"'
        return await self._answer(
            request, headers, etag, lambda: [p.shown(language) for p in self._products.values()]
        )

    async def show_product(self, request: web.Request) -> web.Response:
        """One product: shared for a minute, and for another half while it is refreshed."""
        product = self._product(request)
        language = _language(request)
        headers = {
            "Cache-Control": "public, s-maxage=60, stale-while-revalidate=30",
            "Vary": "Accept-Language",
            "Content-Language": language,
            "Last-Modified": _http_date(product.modified),
            "Surrogate-Key": f"products product-{product.id}",
        }
        etag = f'"{product.id}-{product.version}-{language}"'
        return await self._answer(request, headers, etag, lambda: product.shown(language))

    async def change_product(self, request: web.Request) -> web.Response:
        """Set a price. Success invalidates this URL by itself, and the list by its group."""
        product = self._product(request)
        try:
            price = (await request.json())["price"]
        except (ValueError, KeyError, TypeError):
            raise web.HTTPUnprocessableEntity(text='send {"price": cents}\n') from None
        if not isinstance(price, int) or isinstance(price, bool) or price < 0:
            raise web.HTTPUnprocessableEntity(text='"price" is a whole number of cents\n')
        product.price = price
        product.version += 1
        product.modified = datetime.now(UTC)
        return web.json_response(
            product.shown(_language(request)),
            headers={"Cache-Group-Invalidation": '"product-list"'},
        )

    async def show_account(self, request: web.Request) -> web.Response:
        """One user's page: no shared cache may keep it."""
        headers = {"Cache-Control": "private, max-age=60"}
        return await self._answer(request, headers, '"account"', lambda: {"user": "you"})

    async def show_prices(self, request: web.Request) -> web.Response:
        """Fresh for two seconds only, then confirmed by ETag; may be stale while the API fails."""
        headers = {"Cache-Control": "s-maxage=2, stale-if-error=300"}
        etag = f'"prices-{sum(p.version for p in self._products.values())}"'
        return await self._answer(
            request, headers, etag, lambda: {str(p.id): p.price for p in self._products.values()}
        )

    async def show_offers(self, request: web.Request) -> web.Response:
        """Fresh for three seconds, then a minute stale while a new answer is fetched."""
        headers = {"Cache-Control": "s-maxage=3, stale-while-revalidate=60"}
        made = datetime.now(UTC).isoformat(timespec="milliseconds")
        return await self._answer(request, headers, None, lambda: {"made": made})

    async def set_outage(self, request: web.Request) -> web.Response:
        """Pretend to be broken, `{"on": true}`, or whole again, `{"on": false}`."""
        try:
            self._outage = bool((await request.json())["on"])
        except (ValueError, KeyError, TypeError):
            raise web.HTTPUnprocessableEntity(text='send {"on": true} or {"on": false}\n') from None
        return web.json_response({"outage": self._outage})

    async def _answer(
        self,
        request: web.Request,
        headers: dict[str, str],
        etag: str | None,
        compute: Callable[[], object],
    ) -> web.Response:
        """304 at once where the client holds `etag`, else what `compute` says, after the delay."""
        if etag is not None:
            headers = {**headers, "ETag": etag}
            if etag in request.headers.get("If-None-Match", ""):
                return web.Response(status=304, headers=headers)
        await asyncio.sleep(self._delay)
        return web.Response(
            text=json.dumps(compute()) + "\n", content_type="application/json", headers=headers
        )

    def _product(self, request: web.Request) -> Product:
        product = self._products.get(int(request.match_info["id"]))
        if product is None:
            raise web.HTTPNotFound(text="no such product\n")
        return product

    @web.middleware
    async def _fail_in_an_outage(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        if self._outage and request.path != "/outage":
            return web.Response(status=503, text="the sample API pretends to be broken\n")
        return await handler(request)


def _language(request: web.Request) -> str:
    """`de` where the client names German first, else `en`."""
    return "de" if request.headers.get("Accept-Language", "").strip().startswith("de") else "en"


def _http_date(when: datetime) -> str:
    """As HTTP writes dates (RFC 9110 §5.6.7)."""
    return format_datetime(when, usegmt=True)
