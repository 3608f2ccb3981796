"""A Django project in one file: `gunicorn tests.apis.django_app:application`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

from django.conf import settings  # type: ignore[import-untyped]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.http import (  # type: ignore[import-untyped]
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
)
from django.urls import path  # type: ignore[import-untyped]
from django.views.decorators.cache import (  # type: ignore[import-untyped]
    cache_control,
    never_cache,
)
from django.views.decorators.http import condition  # type: ignore[import-untyped]
from django.views.decorators.vary import vary_on_headers  # type: ignore[import-untyped]

from tests.apis.shop import GREETINGS, SHORT, Product, Shop, language_of

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of no use to anybody",  # noqa: S106
    MIDDLEWARE=[
        f"{__name__}.count",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
)
shop = Shop()

View = Callable[[HttpRequest], HttpResponse]


def count(get_response: View) -> View:
    def counted(request: HttpRequest) -> HttpResponse:
        shop.count(request.method, request.path)
        return get_response(request)

    return counted


def found(product_id: str) -> Product:
    product = shop.find(product_id)
    if product is None:
        raise Http404
    return product


def tag_of(_request: HttpRequest, product_id: str) -> str | None:
    product = shop.find(product_id)
    return None if product is None else f'"{product.tag}"'


def last_change_of(_request: HttpRequest, product_id: str) -> datetime | None:
    product = shop.find(product_id)
    return None if product is None else product.modified


def hits(_request: HttpRequest) -> HttpResponse:
    return JsonResponse(shop.hits())


def show_product(_request: HttpRequest, product_id: str) -> HttpResponse:
    return JsonResponse(found(product_id).shown())


def change_product(request: HttpRequest, product_id: str) -> HttpResponse:
    product = shop.change(product_id, json.loads(request.body)["price"])
    return HttpResponse(status=422) if product is None else JsonResponse(product.shown())


def delete_product(_request: HttpRequest, product_id: str) -> HttpResponse:
    shop.delete(product_id)
    return HttpResponse(status=204)


shown_product = cache_control(public=True, max_age=0, s_maxage=60)(
    condition(etag_func=tag_of, last_modified_func=last_change_of)(show_product)
)
PRODUCT_VIEWS = {
    "GET": shown_product,
    "HEAD": shown_product,
    "PUT": change_product,
    "POST": change_product,
    "DELETE": delete_product,
}


def product_view(request: HttpRequest, product_id: str) -> HttpResponse:
    view = PRODUCT_VIEWS.get(request.method)
    return HttpResponse(status=405) if view is None else view(request, product_id)


def show_price(_request: HttpRequest, product_id: str) -> HttpResponse:
    return JsonResponse({"price": found(product_id).price})


def show_ticker(_request: HttpRequest, ticker_id: str) -> HttpResponse:
    return JsonResponse({"id": ticker_id})


def greet(request: HttpRequest, name: str) -> HttpResponse:
    language = language_of(request.headers.get("Accept-Language", ""))
    response = JsonResponse({"text": f"{GREETINGS[language]} {name}"})
    response["Content-Language"] = language
    return response


def show_account(request: HttpRequest, user: str) -> HttpResponse:
    return JsonResponse({"user": user, "session": request.COOKIES.get("session")})


def visit(_request: HttpRequest, visitor: str) -> HttpResponse:
    response = JsonResponse({"visitor": visitor, "at": datetime.now(UTC).isoformat()})
    response.set_cookie("session", visitor)
    return response


urlpatterns = [
    path("_hits", never_cache(hits)),
    path("products/<product_id>", product_view),
    path("prices/<product_id>", cache_control(no_cache=True)(show_price)),
    path("ticker/<ticker_id>", cache_control(max_age=SHORT)(show_ticker)),
    path(
        "greeting/<name>",
        cache_control(public=True, s_maxage=60)(vary_on_headers("Accept-Language")(greet)),
    ),
    path("account/<user>", cache_control(private=True, max_age=60)(show_account)),
    path("visit/<visitor>", cache_control(public=True, max_age=60)(visit)),
]

application = get_wsgi_application()
