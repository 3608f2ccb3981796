"""Routes that get no request, keys that do nothing where they stand, and answers of one user."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from proxy.problems import Location
from proxy.rfc9111.invalidation import SAFE_METHODS
from proxy.rfc9111.policy import SetCookie
from proxy.settings.advice.containment import apart, contains
from proxy.settings.advice.hints import Hint, chosen
from proxy.settings.models import Caching, Key, Route, Settings
from proxy.settings.routing import caching_of

_OF_STORING: Final = (
    "ttl",
    "default_ttl",
    "negative_ttl",
    "stale_while_revalidate",
    "stale_if_error",
    "grace",
    "refresh_ahead",
    "heuristic_max",
    "set_cookie",
    "key",
)
"""Keys that mean something only for what may be stored."""

_STORED: Final = frozenset({"GET", "HEAD", "POST"})
_OF_ONE_USER: Final = frozenset(
    {
        "account",
        "accounts",
        "basket",
        "billing",
        "cart",
        "checkout",
        "inbox",
        "login",
        "logout",
        "me",
        "my",
        "profile",
        "session",
        "sessions",
        "signin",
        "wallet",
        "wishlist",
    }
)
"""Segments of paths whose answers are seldom the same for two users."""

_EACH_VISITOR: Final = re.compile(
    r"(?:^|[._-])(?:sess(?:ion)?(?:_?id)?|sid|csrf(?:token)?|xsrf(?:-token)?|jwt|auth|token|"
    r"remember_me)(?:$|[._-])|^(?:phpsessid|jsessionid|asp\.net_sessionid|connect\.sid|"
    r"sessionid|csrftoken|laravel_session|_ga|_gid|_fbp)$",
    re.IGNORECASE,
)
_FIELDS_OF_VISITORS: Final = {
    "cookie": "name the cookies that matter in key.cookies",
    "user-agent": "let the API say what matters in Vary, or name a field that tells less",
    "referer": "remove it",
    "x-request-id": "remove it",
    "x-forwarded-for": "remove it",
    "traceparent": "remove it",
}


def hints(settings: Settings) -> Iterator[Hint]:
    """What of `routes`, and of `defaults` below them, is likely to be a mistake."""
    yield from _unreachable(settings)
    yield from _unused_origins(settings)
    yield from _warmed_for_nobody(settings)
    if not (settings.defaults.cache or any(route.cache for route in _own_cache(settings))):
        yield from _idle(settings.defaults, ("defaults",), "cache is off, here and in all routes")
    yield from _keys(settings.defaults.key, ("defaults", "key"))
    yield from _never_guessed(settings.defaults, settings.defaults, ("defaults",))
    for number, route in enumerate(settings.routes):
        yield from _of_route(route, caching_of(settings, route), ("routes", number))


def _own_cache(settings: Settings) -> list[Route]:
    return [route for route in settings.routes if "cache" in route.model_fields_set]


def _of_route(route: Route, caching: Caching, at: Location) -> Iterator[Hint]:
    methods = frozenset(route.match.methods)
    if not caching.cache:
        where = "cache is off" if "cache" in route.model_fields_set else "defaults.cache is off"
        yield from _idle(route, at, where)
    elif methods and not methods & _STORED:
        yield from _idle(route, at, f"answers to {' and '.join(sorted(methods))} are never stored")
    else:
        yield from _of_one_user(route, caching, at)
        yield from _never_guessed(route, caching, at)
        yield from _keys(route.key, (*at, "key"))
    if route.purge and methods and methods <= SAFE_METHODS:
        yield Hint(
            (*at, "purge"),
            f"never purges: {' and '.join(sorted(methods))} changes nothing",
            "name the methods that write in match.methods: [POST, PUT, PATCH, DELETE]",
        )


def _unreachable(settings: Settings) -> Iterator[Hint]:
    for number, route in enumerate(settings.routes):
        at = ("routes", number, "match")
        if apart(route.match.hosts, settings.allowed_hosts):
            yield Hint(
                (*at, "hosts"),
                "no request gets here: allowed_hosts has none of these",
                "add them to allowed_hosts",
            )
            continue
        for before, earlier in enumerate(settings.routes[:number]):
            if contains(earlier.match, route.match):
                yield Hint(
                    at if "match" in route.model_fields_set else at[:2],
                    f"no request gets here: routes[{before}] takes them all, and the first wins",
                    f"move it above routes[{before}]",
                )
                break


def _unused_origins(settings: Settings) -> Iterator[Hint]:
    used = {route.origin for route in settings.routes}
    for name in settings.origins:
        if name not in used:
            yield Hint(
                ("origins", name), "no route goes there", f"write origin: {name} in one, or remove"
            )


def _warmed_for_nobody(settings: Settings) -> Iterator[Hint]:
    """The store is under the host that was asked for."""
    for number, (source, url) in enumerate(
        zip(settings.warm.on_start, settings.warm.sources, strict=True)
    ):
        host = urlsplit(url).netloc
        if host and apart((host,), settings.allowed_hosts):
            yield Hint(
                ("warm", "site") if source.startswith("/") else ("warm", "on_start", number),
                f"no client can ask for {host}: it is not in allowed_hosts",
                "write a host that clients ask for",
            )


def _idle(section: Caching, at: Location, because: str) -> Iterator[Hint]:
    """What says how to store, where nothing is stored."""
    keys = chosen(section, *_OF_STORING)
    if isinstance(section, Route) and section.tags:
        keys.append("tags")
    if keys:
        what = "does nothing" if len(keys) == 1 else f"{', '.join(keys)} do nothing"
        yield Hint((*at, keys[0]), f"{what}: {because}", "remove one or the other")


def _of_one_user(route: Route, caching: Caching, at: Location) -> Iterator[Hint]:
    """A `ttl` is given also to answers to requests with cookies, where the API does not object."""
    methods = route.match.methods
    told_apart = caching.key.cookies or caching.key.headers
    if told_apart or not caching.ttl or (methods and "GET" not in methods):
        return
    words = [part for part in (route.match.path or "").split("/") if part.lower() in _OF_ONE_USER]
    if words and "ttl" in route.model_fields_set:
        yield Hint(
            (*at, "ttl"),
            f"/{words[0]} looks like one user's own, and what is stored goes to all: a ttl holds "
            "for requests with cookies too",
            "write cache: off, or have the API say Cache-Control: private",
        )
    if caching.set_cookie is SetCookie.STORE and {"ttl", "set_cookie"} & route.model_fields_set:
        key = "set_cookie" if "set_cookie" in route.model_fields_set else "ttl"
        yield Hint(
            (*at, key),
            "the cookie that one client was given goes to all others: nothing in `key` tells them "
            "apart",
            "write set_cookie: strip, or name what tells clients apart in key.cookies",
        )


def _never_guessed(section: Caching, caching: Caching, at: Location) -> Iterator[Hint]:
    if caching.default_ttl is not None and chosen(section, "heuristic_max"):
        yield Hint(
            (*at, "heuristic_max"),
            "does nothing: default_ttl is there, so no lifetime is guessed",
            "remove one or the other",
        )


def _keys(key: Key, at: Location) -> Iterator[Hint]:
    """What nearly every visitor has of its own makes every answer a miss."""
    for number, name in enumerate(key.cookies):
        if _EACH_VISITOR.search(name):
            yield Hint(
                (*at, "cookies", number),
                f"{name} is another for each visitor, so each gets a stored answer of its own",
                "name only cookies that many share, such as a language",
            )
    for number, name in enumerate(key.headers):
        if name.lower() in _FIELDS_OF_VISITORS:
            yield Hint(
                (*at, "headers", number),
                f"{name} is another for nearly each visitor, and so is what is stored",
                _FIELDS_OF_VISITORS[name.lower()],
            )
