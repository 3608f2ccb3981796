"""A FastAPI application: `uvicorn tests.apis.fastapi_app:app`."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, NonNegativeInt

from tests.apis.shop import GREETINGS, PRODUCT_CACHE_CONTROL, SHORT, Product, Shop, language_of

app = FastAPI()
shop = Shop()


class Change(BaseModel):
    price: NonNegativeInt


@app.middleware("http")
async def count(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    shop.count(request.method, request.url.path)
    return await call_next(request)


def found(product_id: str) -> Product:
    product = shop.find(product_id)
    if product is None:
        raise HTTPException(404)
    return product


def conditional(
    content: object, headers: dict[str, str], etag: str, if_none_match: str | None
) -> Response:
    headers = {**headers, "ETag": etag}
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return JSONResponse(content, headers=headers)


@app.get("/_hits")
async def hits() -> Response:
    return JSONResponse(shop.hits(), headers={"Cache-Control": "no-store"})


@app.get("/products/{product_id}")
async def show_product(
    product_id: str, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    product = found(product_id)
    headers = {
        "Cache-Control": PRODUCT_CACHE_CONTROL,
        "Last-Modified": format_datetime(product.modified, usegmt=True),
    }
    return conditional(product.shown(), headers, f'"{product.tag}"', if_none_match)


@app.api_route("/products/{product_id}", methods=["PUT", "POST"])
async def change_product(product_id: str, change: Change) -> dict[str, object]:
    product = shop.change(product_id, change.price)
    if product is None:
        raise HTTPException(422)
    return product.shown()


@app.delete("/products/{product_id}", status_code=204)
async def delete_product(product_id: str) -> None:
    shop.delete(product_id)


@app.get("/prices/{product_id}")
async def show_price(
    product_id: str, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    product = found(product_id)
    headers = {"Cache-Control": "no-cache"}
    return conditional({"price": product.price}, headers, f'"{product.tag}"', if_none_match)


@app.get("/ticker/{ticker_id}")
async def show_ticker(
    ticker_id: str, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    headers = {"Cache-Control": f"max-age={SHORT}"}
    return conditional({"id": ticker_id}, headers, f'"{ticker_id}"', if_none_match)


@app.get("/greeting/{name}")
async def greet(name: str, accept_language: Annotated[str, Header()] = "") -> Response:
    language = language_of(accept_language)
    headers = {
        "Cache-Control": "public, s-maxage=60",
        "Content-Language": language,
        "Vary": "Accept-Language",
    }
    return JSONResponse({"text": f"{GREETINGS[language]} {name}"}, headers=headers)


@app.get("/account/{user}")
async def show_account(user: str, request: Request) -> Response:
    content = {"user": user, "session": request.cookies.get("session")}
    return JSONResponse(content, headers={"Cache-Control": "private, max-age=60"})


@app.get("/visit/{visitor}")
async def visit(visitor: str) -> Response:
    content = {"visitor": visitor, "at": datetime.now(UTC).isoformat()}
    response = JSONResponse(content, headers={"Cache-Control": "public, max-age=60"})
    response.set_cookie("session", visitor)
    return response
