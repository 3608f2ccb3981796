"""What the operator may change about the core's decisions, per route.

The defaults are Warmfront's: correct with no configuration at all. Durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class SetCookie(Enum):
    """What to do with a storable response that sets a cookie."""

    BYPASS = "bypass"
    """Do not store it (the default: a cookie is usually meant for one user)."""
    STRIP = "strip"
    """Store it without its Set-Cookie fields."""
    STORE = "store"
    """Store it as it is; every client gets the same cookie."""


class ClientDirectives(Enum):
    """Whether Cache-Control in requests (§5.2.1) steers reuse."""

    IGNORE = "ignore"
    """Only `only-if-cached` and `no-store` count; a reload cannot hammer the origin."""
    HONOR = "honor"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """How the primary key differs from the plain target URI.

    Attributes:
        ignore_query: Names of query parameters left out of the key; `*` matches any run.
        sort_query: Order parameters by name (stable), so that their order does not matter.
        headers: Request fields whose values join the key.
        cookies: Cookies whose values join the key.
        conditions: On the request's fields, by which the route was chosen: what other requests
            for the same URL get may come from another origin, or by another policy.
    """

    ignore_query: tuple[str, ...] = ()
    sort_query: bool = False
    headers: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()
    conditions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One route's caching policy.

    Attributes:
        cache: False: requests and responses pass, nothing is stored or reused.
        ttl: Freshness lifetime in place of the origin's; never revives no-store or private.
        default_ttl: Freshness lifetime where the origin states none, in place of a heuristic one.
        negative_ttl: Per status (4xx, 5xx), the lifetime where the origin states none.
        stale_while_revalidate: Used where the response states none (RFC 5861 §3).
        stale_if_error: Used where the response states none (RFC 5861 §4).
        grace: How long past its lifetime a response may be served when the origin cannot be
            reached at all and nobody asked for more (§4.2.4).
        refresh_ahead: beta of early refreshes; 0 for none, see reuse.refreshes_early.
        set_cookie: See SetCookie.
        client_directives: See ClientDirectives.
        heuristic_fraction: Share of the time since Last-Modified (§4.2.2).
        heuristic_max: Cap of a heuristic lifetime.
        targeted_fields: Lower-case names of targeted fields in order of preference (RFC 9213 §2.2).
        surrogate_control: Obey Surrogate-Control, and strip it towards the client.
        key: See KeyPolicy.
    """

    cache: bool = True
    ttl: float | None = None
    default_ttl: float | None = None
    negative_ttl: Mapping[int, float] = field(default_factory=dict)
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    grace: float = 60.0
    refresh_ahead: float = 0.0
    set_cookie: SetCookie = SetCookie.BYPASS
    client_directives: ClientDirectives = ClientDirectives.IGNORE
    heuristic_fraction: float = 0.1
    heuristic_max: float = 86_400.0
    targeted_fields: tuple[str, ...] = ("cdn-cache-control",)
    surrogate_control: bool = True
    key: KeyPolicy = field(default_factory=KeyPolicy)
