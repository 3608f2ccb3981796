"""How long a response stays fresh, and how old it is already (§4.2, RFC 9213, RFC 5861).

The lifetime is the first of these that exists:

    1  the route's ttl       status below 400      if any other of these could exist
    2  a targeted field      s-maxage, max-age     Cache-Control and Expires then do not exist
    3  Surrogate-Control     max-age               see `governing`
    4  Cache-Control         s-maxage, max-age
    5  Expires               less Date             an invalid one is in the past
    6  the route's negative_ttl for the status
    7  the route's default_ttl                     where 8 would be allowed
    8  a share of the time since Last-Modified     for a cacheable status or with public

6 to 8 are assumptions about an origin that is silent. They are never made for a request with
Cookie or Authorization, whose answer may be for one user. An error keeps the lifetime that it
states, or gets that of negative_ttl: a route's ttl must not turn an accident into an outage.

1, 6 and 7 are the route's, and count only where its pattern saw the path that the origin sees.
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from proxy.rfc9111.dates import parse_http_date
from proxy.rfc9111.directives import (
    CacheControl,
    SurrogateControl,
    parse_delta_seconds,
    response_directives,
    surrogate_control,
    targeted_directives,
)
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.poisoning import is_doubtful
from proxy.rfc9111.policy import Policy
from proxy.rfc9111.stored import Freshness, LifetimeSource

HEURISTICALLY_CACHEABLE = frozenset(
    {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 451, 501}
)
"""RFC 9110 §15.1, and 451 by RFC 7725 §3."""


class Governing(NamedTuple):
    """The directives that count, and the field that speaks to caches like this one, if any."""

    directives: CacheControl
    addressed_by: LifetimeSource | None


def governing(headers: Headers, policy: Policy) -> Governing:
    """The directives that count here: of a targeted field, else of Cache-Control.

    Surrogate-Control, where no targeted field stands above it, adds its no-store, and replaces
    the lifetime and the stale windows that it states. Its max-age also replaces `no-cache`,
    which beside it is meant for browsers. `private` and `no-store` in Cache-Control stay in
    force: a page that says so is not shared on the word of an unregistered field. Fastly, where
    the field is most in use, draws the same line; an origin that means otherwise can say it with
    CDN-Cache-Control.
    """
    targeted = targeted_directives(headers, policy.targeted_fields)
    if targeted is not None:
        return Governing(targeted, LifetimeSource.TARGETED)
    directives = response_directives(headers)
    surrogate = surrogate_control(headers) if policy.surrogate_control else None
    if surrogate is None:
        return Governing(directives, None)
    source = None if surrogate.max_age is None else LifetimeSource.SURROGATE_CONTROL
    return Governing(_under_surrogate_control(directives, surrogate), source)


def evaluate(
    request: Request,
    response: Response,
    policy: Policy,
    *,
    request_time: float,
    response_time: float,
    governed_by: Governing | None = None,
) -> Freshness:
    """Lifetime, age and stale windows of a response, from its fields and the route (§4.2).

    Args:
        request: The request that it answers.
        response: As received, or merged when a 304 freshens it.
        policy: Of the route.
        request_time: When the request was sent.
        response_time: When the response was received.
        governed_by: What `governing` says of it, where that is known.
    """
    if is_doubtful(request.target):
        policy = replace(policy, ttl=None, negative_ttl={}, default_ttl=None)
    headers = response.headers
    directives, addressed_by = governed_by or governing(headers, policy)
    date = date_value(headers, response_time)
    stated = _stated_lifetime(headers, directives, addressed_by, date)
    lifetime, source = (
        _route_lifetime(response, directives, policy, stated)
        or stated
        or _assumed_lifetime(request, response, directives, policy, date)
    )
    return Freshness(
        lifetime=lifetime,
        source=source,
        initial_age=corrected_initial_age(age_value(headers), date, request_time, response_time),
        response_time=response_time,
        public=directives.public,
        no_cache=directives.no_cache,
        must_revalidate=directives.must_revalidate or directives.proxy_revalidate,
        s_maxage=directives.s_maxage is not None,
        stale_while_revalidate=_window(
            directives.stale_while_revalidate, policy.stale_while_revalidate
        ),
        stale_if_error=_window(directives.stale_if_error, policy.stale_if_error),
        grace=0.0 if directives.s_maxage is not None else max(0.0, policy.grace),
    )


def date_value(headers: Headers, response_time: float) -> float:
    """Date in POSIX seconds; the time of arrival where it is missing or invalid."""
    return date_of(headers.get("Date", ""), response_time)


def date_of(value: str, response_time: float) -> float:
    """The same for the value of Date."""
    date = parse_http_date(value, now=response_time)
    return response_time if date is None else date


def age_value(headers: Headers) -> int:
    """Age in seconds: the first member, 0 when that is invalid (§5.1)."""
    first, _, _ = headers.get("Age", "").partition(",")
    return parse_delta_seconds(first.strip(" \t")) or 0


def corrected_initial_age(
    age: int, date: float, request_time: float, response_time: float
) -> float:
    """corrected_initial_age in seconds (§4.2.3), >= 0 whatever the clocks say."""
    apparent_age = max(0.0, response_time - date)
    response_delay = max(0.0, response_time - request_time)
    return max(apparent_age, age + response_delay)


def carries_credentials(request: Request) -> bool:
    """Whether the answer may be for one user only."""
    return "Cookie" in request.headers or "Authorization" in request.headers


def allows_assumptions(response: Response, directives: CacheControl) -> bool:
    """Whether a response without explicit freshness may have a lifetime assumed (§4.2.2)."""
    return response.status in HEURISTICALLY_CACHEABLE or directives.public


_FIRST_ERROR = 400

_seconds = lru_cache(maxsize=1024)(float)
"""Durations are alike in most responses, and kept with each."""

_Lifetime: TypeAlias = tuple[float, LifetimeSource]


def _under_surrogate_control(directives: CacheControl, surrogate: SurrogateControl) -> CacheControl:
    if surrogate.max_age is not None:
        # s-maxage keeps what else it means: it permits (§3.5), and forbids unasked staleness.
        s_maxage = None if directives.s_maxage is None else surrogate.max_age
        directives = replace(
            directives, max_age=surrogate.max_age, s_maxage=s_maxage, no_cache=False
        )
    if surrogate.no_store:
        # must-understand lifts only the no-store that it stands beside.
        directives = replace(directives, no_store=True, must_understand=False)
    if surrogate.stale_while_revalidate is not None:
        directives = replace(directives, stale_while_revalidate=surrogate.stale_while_revalidate)
    if surrogate.stale_if_error is not None:
        directives = replace(directives, stale_if_error=surrogate.stale_if_error)
    return directives


def _route_lifetime(
    response: Response, directives: CacheControl, policy: Policy, stated: _Lifetime | None
) -> _Lifetime | None:
    """The route's ttl, in place of a lifetime that the response has or could be given."""
    if policy.ttl is None or response.status >= _FIRST_ERROR:
        return None
    if stated is None and not allows_assumptions(response, directives):
        return None
    return max(0.0, policy.ttl), LifetimeSource.ROUTE


def _stated_lifetime(
    headers: Headers,
    directives: CacheControl,
    addressed_by: LifetimeSource | None,
    date: float,
) -> _Lifetime | None:
    """What the origin says (§4.2.1)."""
    if directives.s_maxage is not None:
        return _seconds(directives.s_maxage), addressed_by or LifetimeSource.S_MAXAGE
    if directives.max_age is not None:
        return _seconds(directives.max_age), addressed_by or LifetimeSource.MAX_AGE
    if "Expires" in headers and addressed_by is None:
        return _until_expires(headers, date), LifetimeSource.EXPIRES
    return None


def _until_expires(headers: Headers, date: float) -> float:
    """Seconds from Date to Expires; 0 when it is past, invalid or contradictory (§5.3)."""
    lines = set(headers.getall("Expires"))
    expires = parse_http_date(lines.pop(), now=date)
    return 0.0 if lines or expires is None else max(0.0, expires - date)


def _assumed_lifetime(
    request: Request, response: Response, directives: CacheControl, policy: Policy, date: float
) -> _Lifetime:
    """What the route or a heuristic says where the origin is silent (§4.2.2)."""
    if not carries_credentials(request):
        if response.status in policy.negative_ttl:
            return max(0.0, policy.negative_ttl[response.status]), LifetimeSource.ROUTE_DEFAULT
        if allows_assumptions(response, directives):
            if policy.default_ttl is not None:
                return max(0.0, policy.default_ttl), LifetimeSource.ROUTE_DEFAULT
            modified = parse_http_date(response.headers.get("Last-Modified", ""), now=date)
            if modified is not None:
                share = max(0.0, date - modified) * policy.heuristic_fraction
                return min(share, policy.heuristic_max), LifetimeSource.HEURISTIC
    return 0.0, LifetimeSource.NONE


def _window(stated: int | None, by_default: float | None) -> float:
    return _seconds(stated) if stated is not None else max(0.0, by_default or 0.0)
