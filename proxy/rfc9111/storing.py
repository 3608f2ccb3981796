"""Whether a response may be stored, and what of it (§3).

The checks go from the request to the response, and the first that fails is the reason:

    request      the route caches, the method is GET or POST, no no-store, it may be shared
    status       final, not 304, not one that its definition forbids to store
    error        not one that the request itself may have caused
    directives   must-understand, no-store, private, Authorization (§3.5)
    fields       Vary: *, Set-Cookie, Content-Range of a 206, Content-Location after POST
    key          it is of a reasonable size
    use          it has a lifetime, or a validator to reuse it by

What the body did (cut short, too large) is for those to judge who read it.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

from proxy.rfc9111 import freshness as freshness_rules
from proxy.rfc9111.directives import CacheControl, request_directives
from proxy.rfc9111.keys import primary_key, uri_key, variant_key, vary_names
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.parts import parse_content_range
from proxy.rfc9111.poisoning import LARGEST_KEY, is_unusual, unshareable
from proxy.rfc9111.policy import Policy, SetCookie
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import (
    ByteRange,
    Freshness,
    LifetimeSource,
    StoredResponse,
    VariantKey,
    packed,
)

UNDERSTOOD = frozenset(
    {
        *(200, 201, 202, 203, 204, 205, 206),
        *(300, 301, 302, 303, 307, 308),
        *(400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417),
        *(421, 422, 426, 451),
        *(500, 501, 502, 503, 504, 505),
    }
)
"""Status codes whose caching requirements this cache implements (§5.2.2.3)."""

NEVER_STORED = frozenset(
    {
        *(428, 429, 431, 511),  # RFC 6585 forbids it
        *(401, 407, 408, 411, 412, 413, 416, 417, 421, 425, 426),
    }
)
"""What answers one client's conduct, not the resource: its credentials, Range, Expect, content
or connection. None of that is in the key, so anybody could make it the answer for everybody.
"""

_FIRST_FINAL = 200
_OK = 200
_PARTIAL_CONTENT = 206
_NOT_MODIFIED = 304
_FIRST_ERROR = 400
_ABOUT_THE_REQUEST = frozenset({400, 403, 406})
"""What this client said, may, or accepts; only the route knows whether it means everybody."""

_LOSSLESS_REFERENCE = re.compile(r"[^\x00-\x20#\x7f]*(?<!\?)")
"""urllib forgets tabs, an empty query and an empty fragment, and so would call them equal."""

_OF_THIS_MESSAGE = frozenset(
    {"age", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization"}
)
"""Never stored: Age is computed anew, the others belong to one hop (§3.1)."""


@dataclass(frozen=True, slots=True)
class Storable:
    """The response may be stored, once its body is complete.

    Attributes:
        headers: What to store of its fields.
        variant: The request values that it is selected by (§4.1).
        part: The bytes that a 206 holds, None for a whole representation.
    """

    headers: Headers
    freshness: Freshness
    variant: VariantKey
    part: ByteRange | None = None


@dataclass(frozen=True, slots=True)
class NotStorable:
    """The response passes, and is not stored."""

    reason: Reason


StorageDecision: TypeAlias = Storable | NotStorable


def decide(
    request: Request,
    response: Response,
    policy: Policy,
    *,
    request_time: float,
    response_time: float,
) -> StorageDecision:
    """Whether `response` may be stored as the answer to `request` (§3)."""
    governed_by = freshness_rules.governing(response.headers, policy)
    directives = governed_by.directives
    varies_by = vary_names(response.headers)
    against = (
        _forbidden(request, response, policy, directives)
        or (Reason.VARY_ANY if varies_by is None else None)
        or _set_cookie_forbids(response, directives, policy)
    )
    if against is not None:
        return NotStorable(against)
    variant = variant_key(varies_by or (), request.headers)
    if not key_fits(len(primary_key(request, policy.key)), variant):
        return NotStorable(Reason.KEY_TOO_LARGE)
    part = _part(response)
    if response.status == _PARTIAL_CONTENT and part is None:
        return NotStorable(Reason.PARTIAL_UNUSABLE)
    freshness = freshness_rules.evaluate(
        request,
        response,
        policy,
        request_time=request_time,
        response_time=response_time,
        governed_by=governed_by,
    )
    useless = _post_forbids(request, response, freshness) or _useless(
        request, response, directives, freshness
    )
    if useless is not None:
        return NotStorable(useless)
    headers = storable_headers(response.headers, directives, policy)
    return Storable(headers, freshness, variant, part)


def directive_fields(policy: Policy) -> frozenset[str]:
    """Lower-case names of the response fields that have directives in them."""
    fields = {"cache-control", *map(str.lower, policy.targeted_fields)}
    return frozenset(fields | ({"surrogate-control"} if policy.surrogate_control else set()))


def forbidden(request: Request, response: Response, policy: Policy) -> Reason | None:
    """Why `decide` finds a response not storable, where its status and its directives say so.

    Nothing else of the response matters to this; None says nothing.

    Args:
        request: What it answers.
        response: Its `directive_fields` will do.
        policy: Of the route.
    """
    directives = freshness_rules.governing(response.headers, policy).directives
    return _forbidden(request, response, policy, directives)


def storable_headers(headers: Headers, directives: CacheControl, policy: Policy) -> Headers:
    """The end-to-end fields to store: a copy less what §3.1, the directives and the route omit."""
    omitted = _OF_THIS_MESSAGE | directives.no_cache_fields | directives.private_fields
    if policy.set_cookie is SetCookie.STRIP:
        omitted |= {"set-cookie"}
    # Surrogate-Control stays, though clients never see it: it still holds after a 304 without it.
    if headers.keys().isdisjoint(omitted):
        return headers.copy()
    return Headers((name, value) for name, value in headers.items() if name.lower() not in omitted)


def key_fits(length: int, variant: VariantKey) -> bool:
    """Whether neither a primary key of this length nor what Vary adds to it is too long."""
    varying = sum([len(value) for _, value in variant if value is not None])
    return varying <= LARGEST_KEY and length <= LARGEST_KEY


def stored_response(
    response: Response,
    storable: Storable,
    *,
    request_time: float,
    response_time: float,
    tags: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
    born: int = 0,
) -> StoredResponse:
    """What to put into the store for a response that `decide` found storable."""
    return StoredResponse(
        status=response.status,
        reason=response.reason,
        **packed(storable.headers),
        request_time=request_time,
        freshness=storable.freshness,
        variant=storable.variant,
        date=freshness_rules.date_value(response.headers, response_time),
        part=storable.part,
        tags=tags,
        groups=groups,
        born=born,
    )


def _forbidden(
    request: Request, response: Response, policy: Policy, directives: CacheControl
) -> Reason | None:
    return (
        _request_forbids(request, policy)
        or _status_forbids(response)
        or _error_forbids(request, response, policy)
        or _directives_forbid(request, response, directives)
    )


def _request_forbids(request: Request, policy: Policy) -> Reason | None:
    if not policy.cache:
        return Reason.CACHE_OFF
    if request.method not in {"GET", "POST"}:
        return Reason.METHOD_NOT_STORABLE
    if request_directives(request.headers).no_store:
        return Reason.REQUEST_NO_STORE
    return unshareable(request, policy.key)


def _status_forbids(response: Response) -> Reason | None:
    if response.status < _FIRST_FINAL:
        return Reason.STATUS_NOT_FINAL
    if response.status == _NOT_MODIFIED:
        return Reason.NOT_MODIFIED_PASSED
    if response.status in NEVER_STORED:
        return Reason.STATUS_NEVER_STORED
    return None


def _error_forbids(request: Request, response: Response, policy: Policy) -> Reason | None:
    """An error must not reach others because one client has provoked it."""
    if response.status < _FIRST_ERROR:
        return None
    status = response.status
    personal = status in _ABOUT_THE_REQUEST and status not in policy.negative_ttl
    unkeyed = len(uri_key(request.uri, policy.key)) < len(request.uri)
    provoked = personal or unkeyed or is_unusual(request.headers)
    return Reason.REQUEST_TO_BLAME if provoked else None


def _directives_forbid(
    request: Request, response: Response, directives: CacheControl
) -> Reason | None:
    if directives.must_understand and response.status not in UNDERSTOOD:
        return Reason.STATUS_NOT_UNDERSTOOD
    # With must-understand, no-store is for caches that do not know it (§5.2.2.3).
    if directives.no_store and not directives.must_understand:
        return Reason.NO_STORE
    if directives.private:
        return Reason.PRIVATE
    shared = directives.public or directives.must_revalidate or directives.s_maxage is not None
    if "Authorization" in request.headers and not shared:
        return Reason.AUTHORIZATION
    return None


def _set_cookie_forbids(
    response: Response, directives: CacheControl, policy: Policy
) -> Reason | None:
    if "Set-Cookie" not in response.headers or policy.set_cookie is not SetCookie.BYPASS:
        return None
    left_out = directives.no_cache_fields | directives.private_fields
    return None if "set-cookie" in left_out else Reason.SET_COOKIE


def _part(response: Response) -> ByteRange | None:
    """The one range of a 206; None for several, which come as multipart (RFC 9110 §15.3.7)."""
    lines = response.headers.getall("Content-Range", ())
    multipart = response.headers.get("Content-Type", "").lower().startswith("multipart/byteranges")
    if response.status != _PARTIAL_CONTENT or len(lines) != 1 or multipart:
        return None
    return parse_content_range(lines[0])


def _post_forbids(request: Request, response: Response, freshness: Freshness) -> Reason | None:
    """A POST is storable as what a later GET of its own URL would get (RFC 9110 §9.3.3)."""
    if request.method != "POST":
        return None
    if response.status != _OK:
        return Reason.METHOD_NOT_STORABLE
    locations = response.headers.getall("Content-Location", ())
    if not freshness.source.assumed and len(locations) == 1 and _is_own_uri(locations[0], request):
        return None
    return Reason.POST_WITHOUT_LOCATION


def _is_own_uri(reference: str, request: Request) -> bool:
    """Whether a URI reference names the request's target, case aside in scheme and host."""
    if not _LOSSLESS_REFERENCE.fullmatch(reference):
        return False
    try:
        uri = urlsplit(urljoin(request.uri, reference))
    except ValueError:
        return False
    return uri._replace(netloc=uri.netloc.lower()).geturl() == request.uri


def _useless(
    request: Request, response: Response, directives: CacheControl, freshness: Freshness
) -> Reason | None:
    """Why a response that may be stored could never be reused."""
    validator = "ETag" in response.headers or "Last-Modified" in response.headers
    if freshness.source is LifetimeSource.NONE and not (
        validator and _may_be_validated(request, response, directives)
    ):
        return Reason.NO_FRESHNESS
    if validator:
        return None
    if freshness.no_cache:
        return Reason.NO_CACHE
    by_route = freshness.source in {LifetimeSource.ROUTE, LifetimeSource.ROUTE_DEFAULT}
    windows = freshness.stale_while_revalidate or freshness.stale_if_error
    if by_route and not (freshness.lifetime or windows):
        return Reason.TTL_ZERO
    return None


def _may_be_validated(request: Request, response: Response, directives: CacheControl) -> bool:
    """Whether a response without a lifetime may be kept to be validated on every use.

    Not in silence when it may be for one user: Last-Modified seldom tells users apart, and the
    origin's 304 to our question would hand one user's page to another.
    """
    spoken = directives.no_cache or directives.public
    return freshness_rules.allows_assumptions(response, directives) and (
        spoken or not freshness_rules.carries_credentials(request)
    )
