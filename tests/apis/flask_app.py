"""A Flask API: `gunicorn tests.apis.flask_app:app`."""

from datetime import UTC, datetime

from flask import Flask, abort, jsonify, request
from werkzeug import Response

from tests.apis.shop import GREETINGS, PRODUCT_CACHE_CONTROL, SHORT, Shop, language_of

app = Flask(__name__)
shop = Shop()


@app.before_request
def count() -> None:
    shop.count(request.method, request.path)


@app.get("/_hits")
def hits() -> Response:
    response = jsonify(shop.hits())
    response.cache_control.no_store = True
    return response


@app.get("/products/<product_id>")
def show_product(product_id: str) -> Response:
    product = shop.find(product_id)
    if product is None:
        abort(404)
    response = jsonify(product.shown())
    response.headers["Cache-Control"] = PRODUCT_CACHE_CONTROL
    response.last_modified = product.modified
    response.set_etag(product.tag)
    return response.make_conditional(request)


@app.route("/products/<product_id>", methods=["PUT", "POST"])
def change_product(product_id: str) -> Response:
    product = shop.change(product_id, request.get_json()["price"])
    if product is None:
        abort(422)
    return jsonify(product.shown())


@app.delete("/products/<product_id>")
def delete_product(product_id: str) -> tuple[str, int]:
    shop.delete(product_id)
    return "", 204


@app.get("/prices/<product_id>")
def show_price(product_id: str) -> Response:
    product = shop.find(product_id)
    if product is None:
        abort(404)
    response = jsonify(price=product.price)
    response.cache_control.no_cache = True
    response.set_etag(product.tag)
    return response.make_conditional(request)


@app.get("/ticker/<ticker_id>")
def show_ticker(ticker_id: str) -> Response:
    response = jsonify(id=ticker_id)
    response.cache_control.max_age = SHORT
    response.add_etag()
    return response.make_conditional(request)


@app.get("/greeting/<name>")
def greet(name: str) -> Response:
    language = language_of(request.headers.get("Accept-Language", ""))
    response = jsonify(text=f"{GREETINGS[language]} {name}")
    response.cache_control.public = True
    response.cache_control.s_maxage = 60
    response.content_language.add(language)
    response.vary.add("Accept-Language")
    return response


@app.get("/account/<user>")
def show_account(user: str) -> Response:
    response = jsonify(user=user, session=request.cookies.get("session"))
    response.cache_control.private = True
    response.cache_control.max_age = 60
    return response


@app.get("/visit/<visitor>")
def visit(visitor: str) -> Response:
    response = jsonify(visitor=visitor, at=datetime.now(UTC).isoformat())
    response.cache_control.public = True
    response.cache_control.max_age = 60
    response.set_cookie("session", visitor)
    return response
