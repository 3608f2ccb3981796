"""May a stored response be used now (§4), and if not, what then (§4.2.4, RFC 5861).

what forbids       what it forbids
no-cache           any use without validation, fresh or stale
must-revalidate    any stale use, whoever asks (and proxy-revalidate)
s-maxage           stale use that the origin did not ask for: max-stale, grace
silence            use for a request with Cookie or Authorization of what nobody called shared
request directives use that the client does not want, where the route honors them

what permits               when                                       from
stale-while-revalidate     always                                     response or route
max-stale                  where the route honors request directives  client
stale-if-error             the origin fails                           response or route
grace                      the origin cannot be reached at all        route
"""

from dataclasses import dataclass
from enum import Enum
from math import inf, log
from typing import TypeAlias

from proxy.rfc9111.directives import NOTHING_ASKED, RequestDirectives, request_directives
from proxy.rfc9111.freshness import carries_credentials
from proxy.rfc9111.messages import Request
from proxy.rfc9111.poisoning import unshareable
from proxy.rfc9111.policy import ClientDirectives, Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import Freshness, StoredResponse

STALE_IF_ERROR_STATUSES = frozenset({500, 502, 503, 504})
"""Statuses of the origin that count as an error (RFC 5861 §4)."""

_LEAST_DRAW = 2.0**-53
_LEAST_COST = 0.001
"""Seconds that an answer costs at least: clocks may be coarse."""

_ORIGIN_PRECONDITIONS = frozenset({"If-Match", "If-Unmodified-Since"})


@dataclass(frozen=True, slots=True)
class Fresh:
    """Use the stored response; its current_age in seconds."""

    age: float


@dataclass(frozen=True, slots=True)
class ServeStale:
    """Use the stored response though it is stale; its current_age in seconds."""

    age: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Revalidate:
    """Ask the origin whether the stored response still holds."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing stored answers the request; ask the origin."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class GatewayTimeout:
    """Answer 504: the client wants nothing from the origin (§5.2.1.7)."""

    reason: Reason


ReuseDecision: TypeAlias = Fresh | ServeStale | Revalidate | Miss | GatewayTimeout


class OriginFailure(Enum):
    """How the origin failed to answer."""

    UNREACHABLE = "unreachable"
    """No usable response: refused, broken off, or not in time."""
    ERROR_STATUS = "error-status"
    """A response whose status is in STALE_IF_ERROR_STATUSES."""


def bypass_reason(
    request: Request, policy: Policy, *, has_body: bool, upgrade: bool
) -> Reason | None:
    """Why a request must not be answered from the store at all; None when it may be."""
    if request.method not in {"GET", "HEAD"}:
        return Reason.METHOD
    if not policy.cache:
        return Reason.CACHE_OFF
    if upgrade:
        return Reason.REQUEST_UPGRADE
    if has_body:
        return Reason.REQUEST_BODY
    if not request.headers.keys().isdisjoint(_ORIGIN_PRECONDITIONS):
        return Reason.REQUEST_PRECONDITION
    return unshareable(request, policy.key)


def decide(
    request: Request,
    stored: StoredResponse | None,
    policy: Policy,
    *,
    now: float,
    any_variant: bool,
) -> ReuseDecision:
    """What to do for a request that may be answered from the store (§4).

    Args:
        request: A GET or HEAD for which `bypass_reason` found none.
        stored: The variant that matches the request, if any.
        policy: Of the route.
        now: POSIX seconds.
        any_variant: Whether anything at all is stored for the URL.
    """
    directives = request_directives(request.headers)
    decision: ReuseDecision
    if stored is None:
        decision = Miss(Reason.VARY_MISS if any_variant else Reason.URI_MISS)
    else:
        decision = _silence_forbids(request, stored.freshness) or _use(
            stored.freshness, _honored(directives, policy), now
        )
    if directives.only_if_cached and isinstance(decision, Miss | Revalidate):
        return GatewayTimeout(Reason.ONLY_IF_CACHED)
    return decision


def refreshes_early(stored: StoredResponse, policy: Policy, *, now: float, draw: float) -> bool:
    """Whether this use of a fresh response is the one that refreshes it before it expires.

    The closer the end, the dearer the answer and the more uses, the more likely, so that what is
    in demand never expires (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache
    Stampede Prevention, 2015).

    Args:
        stored: A fresh response.
        policy: Of the route; beta 1 is the best for an exponential wait, more refreshes earlier.
        now: POSIX seconds.
        draw: Evenly distributed over (0, 1].
    """
    if not policy.refresh_ahead:
        return False
    return -log(draw) * _refresh_scale(stored, policy) >= stored.freshness.ttl(now)


def refresh_window(stored: StoredResponse, policy: Policy) -> float:
    """Seconds before the end of freshness from which on `refreshes_early` may say yes."""
    return -log(_LEAST_DRAW) * _refresh_scale(stored, policy)


def _refresh_scale(stored: StoredResponse, policy: Policy) -> float:
    cost = max(_LEAST_COST, stored.freshness.response_time - stored.request_time)
    return policy.refresh_ahead * cost


def after_failure(
    stored: StoredResponse,
    policy: Policy,
    failure: OriginFailure,
    *,
    now: float,
    request: Request,
) -> ServeStale | None:
    """Whether a response that could not be validated is served all the same (RFC 5861 §4)."""
    freshness = stored.freshness
    demands = _honored(request_directives(request.headers), policy)
    if freshness.no_cache or freshness.must_revalidate or _refusal(freshness, demands, now):
        return None
    if _silence_forbids(request, freshness):
        return None
    staleness = -freshness.ttl(now)
    if staleness < freshness.stale_if_error:
        return ServeStale(freshness.current_age(now), Reason.STALE_IF_ERROR)
    if failure is OriginFailure.UNREACHABLE and staleness < freshness.grace:
        return ServeStale(freshness.current_age(now), Reason.GRACE)
    return None


def _honored(directives: RequestDirectives, policy: Policy) -> RequestDirectives:
    """The request directives that steer reuse on this route (§5.2.1)."""
    honor = policy.client_directives is ClientDirectives.HONOR
    return directives if honor else NOTHING_ASKED


def _silence_forbids(request: Request, freshness: Freshness) -> Revalidate | Miss | None:
    """A lifetime that is only assumed is not for a request whose answer may be for one user.

    Where the origin has called the response shared (public, no-cache) it may be validated. Else
    not even that: Last-Modified seldom tells users apart.
    """
    if not (freshness.source.assumed and carries_credentials(request)):
        return None
    shared = freshness.public or freshness.no_cache
    return Revalidate(Reason.CREDENTIALS) if shared else Miss(Reason.CREDENTIALS)


def _use(
    freshness: Freshness, demands: RequestDirectives, now: float
) -> Fresh | ServeStale | Revalidate:
    age, ttl = freshness.current_age(now), freshness.ttl(now)
    if freshness.no_cache:
        return Revalidate(Reason.NO_CACHE)
    refusal = _refusal(freshness, demands, now)
    if ttl > 0:
        return Fresh(age) if refusal is None else Revalidate(refusal)
    permission = None if refusal is not None else _permission(freshness, demands, -ttl)
    return Revalidate(Reason.EXPIRED) if permission is None else ServeStale(age, permission)


def _refusal(freshness: Freshness, demands: RequestDirectives, now: float) -> Reason | None:
    """Why the client does not want this response unvalidated (§5.2.1)."""
    age, ttl = freshness.current_age(now), freshness.ttl(now)
    if demands.no_cache:
        return Reason.REQUEST_NO_CACHE
    if demands.min_fresh is not None and ttl < demands.min_fresh:
        return Reason.REQUEST_MIN_FRESH
    if demands.max_age is not None:
        # Whoever gives max-age does not want a stale response without max-stale (§5.2.1.1).
        stale = ttl <= 0 and _max_stale(demands) is None
        if age > demands.max_age or stale:
            return Reason.REQUEST_MAX_AGE
    return None


def _permission(
    freshness: Freshness, demands: RequestDirectives, staleness: float
) -> Reason | None:
    """What permits to use a response that is stale by `staleness` seconds, before asking."""
    if freshness.must_revalidate:
        return None
    if staleness < freshness.stale_while_revalidate:
        return Reason.STALE_WHILE_REVALIDATE
    max_stale = _max_stale(demands)
    if max_stale is not None and staleness <= max_stale and not freshness.s_maxage:
        return Reason.REQUEST_MAX_STALE
    return None


def _max_stale(demands: RequestDirectives) -> float | None:
    return inf if demands.max_stale_any else demands.max_stale
