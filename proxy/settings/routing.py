"""From settings to what the gateway works with: routes and the policy of each."""

import re
from dataclasses import replace
from typing import TypeVar

from proxy import routes
from proxy.rfc9111.policy import KeyPolicy, Policy
from proxy.settings.models import Caching, ResponseHeaders, Route, Settings
from proxy.settings.origins import Origin
from proxy.settings.section import Section

S = TypeVar("S", bound=Section)


def routes_of(settings: Settings) -> tuple[list[routes.Route], routes.Route]:
    """The routes in order, named by their place (`routes[0]`), and the fallback, `defaults`."""
    numbered = enumerate(settings.routes)
    fallback = routes.Route(
        name="defaults",
        policy=_keyed(policy_of(settings.defaults), settings.origin),
        response_headers=_edits(settings.defaults.response_headers),
        strip_tags=settings.defaults.strip_tags,
        server_timing=settings.defaults.server_timing,
    )
    return [_route(route, settings, f"routes[{n}]") for n, route in numbered], fallback


def _route(route: Route, settings: Settings, name: str) -> routes.Route:
    caching = caching_of(settings, route)
    match = route.match
    origin = settings.origin if route.origin is None else settings.origins[route.origin]
    conditions = "; ".join(f"{name}: {_text(value)}" for name, value in match.headers.items())
    return routes.Route(
        name=name,
        path=None if match.path is None else routes.PathPattern(match.path),
        methods=frozenset(match.methods),
        hosts=match.hosts,
        headers=tuple(match.headers.items()),
        policy=_keyed(policy_of(caching), origin, conditions),
        tags=route.tags,
        purge=route.purge,
        origin=route.origin or "",
        response_headers=_edits(caching.response_headers),
        strip_tags=caching.strip_tags,
        server_timing=caching.server_timing,
    )


def caching_of(settings: Settings, route: Route) -> Caching:
    """The caching keys that hold in `route`: its own, and those of `defaults` that it leaves."""
    return _laid_over(settings.defaults, route)


def policy_of(caching: Caching) -> Policy:
    """The policy that these keys describe."""
    key = caching.key
    return Policy(
        cache=caching.cache,
        ttl=caching.ttl,
        default_ttl=caching.default_ttl,
        negative_ttl=dict(caching.negative_ttl),
        stale_while_revalidate=caching.stale_while_revalidate,
        stale_if_error=caching.stale_if_error,
        grace=caching.grace,
        refresh_ahead=caching.refresh_ahead,
        heuristic_max=caching.heuristic_max,
        set_cookie=caching.set_cookie,
        client_directives=caching.client_directives,
        targeted_fields=tuple(name.lower() for name in caching.targeted_fields),
        surrogate_control=caching.surrogate_control,
        key=KeyPolicy(
            ignore_query=key.ignore_query,
            sort_query=key.sort_query,
            headers=tuple(name.lower() for name in key.headers),
            cookies=key.cookies,
        ),
    )


def _keyed(policy: Policy, origin: Origin, conditions: str = "") -> Policy:
    """`policy` with all in the key that tells answers apart, so that none is for the wrong client.

    That is the fields that the route asks for, and those that pass though anybody may send them
    because the operator relies on a proxy in front to set them.
    """
    passing: tuple[str, ...] = ()
    if not origin.forwarded.x_forwarded:
        passing += ("x-forwarded-host", "x-forwarded-port", "x-forwarded-proto")
    if not origin.forwarded.forwarded:
        passing += ("forwarded",)
    headers = tuple(dict.fromkeys((*policy.key.headers, *passing)))
    return replace(policy, key=replace(policy.key, headers=headers, conditions=conditions))


def _text(condition: str | re.Pattern[str]) -> str:
    return condition if isinstance(condition, str) else f"~{condition.pattern}"


def _laid_over(base: S, top: Section) -> S:
    """`base` with what the operator wrote in `top`, key by key, also in sections within."""
    changes = {}
    for name in top.model_fields_set & type(base).model_fields.keys():
        below, above = getattr(base, name), getattr(top, name)
        changes[name] = _laid_over(below, above) if isinstance(above, Section) else above
    return base.model_copy(update=changes)


def _edits(edits: ResponseHeaders) -> routes.HeaderEdits:
    return routes.HeaderEdits(
        set=tuple(edits.set.items()), add=tuple(edits.add.items()), remove=edits.remove
    )
