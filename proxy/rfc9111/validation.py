"""Asking the origin whether a stored response still holds, and using its answer (§4.3, §3.2).

The conditions of a validating request are the cache's own: they take the place of the client's,
which are judged afterwards, against what came of it. A 304 then always speaks about what is
stored, even one without any validator, as origins written by hand send it; had the two been
mixed (§4.3.2 allows that), it could mean either. And an origin that compares If-None-Match with
one ETag as text still finds it.
"""

from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TypeAlias

from proxy.rfc9111 import storing
from proxy.rfc9111.dates import parse_http_date
from proxy.rfc9111.etags import entity_tag, is_strong, strong_match, weak_match
from proxy.rfc9111.freshness import date_value, evaluate
from proxy.rfc9111.groups import parse_groups
from proxy.rfc9111.messages import Headers, Request, Response, field_value
from proxy.rfc9111.policy import Policy
from proxy.rfc9111.stored import StoredResponse

_OF_THE_STORED_CONTENT = frozenset(
    {
        "content-digest",
        "content-encoding",
        "content-length",
        "content-md5",
        "content-range",
        "content-type",
    }
)
"""What an update leaves alone (§3.2): it describes the bytes that the stored response came with.

The RFC names Content-Length and leaves the rest to what a cache relies on. A 304 has no content
to describe, and what a framework says there by default (Content-Type: text/html) must not
relabel JSON.
"""

_VALIDATORS = ("ETag", "Last-Modified")


@dataclass(frozen=True, slots=True)
class Freshened:
    """The HEAD response confirmed a stored response, which it updates."""

    stored: StoredResponse


@dataclass(frozen=True, slots=True)
class Invalidated:
    """The HEAD response shows that the stored response is out of date."""


@dataclass(frozen=True, slots=True)
class Untouched:
    """The HEAD response says nothing about the stored response."""


HeadUpdate: TypeAlias = Freshened | Invalidated | Untouched


def conditional_headers(request_headers: Headers, stored: StoredResponse) -> Headers | None:
    """The request's fields with the cache's conditions in place of the client's (§4.3.1).

    None when `stored` has no validator: a 304 could then only answer the client's own condition.
    """
    tag, modified = entity_tag(stored.headers), _last_modified(stored)
    if tag is None and modified is None:
        return None
    headers = request_headers.copy()
    for name in ("If-None-Match", "If-Modified-Since"):
        headers.popall(name, None)
    if tag is not None:
        headers["If-None-Match"] = tag
    if modified is not None:
        headers["If-Modified-Since"] = modified
    if stored.part is None:
        # The answer is to renew the whole; the client gets its range out of that.
        for name in ("Range", "If-Range"):
            headers.popall(name, None)
    return headers


def confirms(not_modified: Response, stored: StoredResponse) -> bool:
    """Whether a 304 to the `conditional_headers` for `stored` is about it (§4.3.4)."""
    theirs, ours = entity_tag(not_modified.headers), entity_tag(stored.headers)
    if theirs is None and "Last-Modified" not in not_modified.headers:
        return True  # nothing but what was asked about can be meant
    if theirs is not None and is_strong(theirs):
        return ours is not None and strong_match(theirs, ours)
    if theirs is not None and ours is not None:
        return weak_match(theirs, ours)
    return _agree(not_modified, stored, "Last-Modified")


def updated_headers(stored_headers: Headers, update_headers: Headers) -> Headers:
    """Stored fields, each replaced by all lines of its name in a 304 or HEAD response (§3.2)."""
    update = [
        (name, value)
        for name, value in update_headers.items()
        if name.lower() not in _OF_THE_STORED_CONTENT
    ]
    replaced = {name.lower() for name, _ in update}
    kept = [(name, value) for name, value in stored_headers.items() if name.lower() not in replaced]
    return Headers([*kept, *update])


def confirmed(
    request: Request,
    stored: StoredResponse,
    update: Response,
    policy: Policy,
    *,
    request_time: float,
    response_time: float,
) -> StoredResponse:
    """A stored response as the origin has just confirmed it to the client of `request` (§4.3.3).

    It has everything that the 304 says, also what is for this client alone. What others may get
    of it is for `freshen` to say.

    Args:
        request: The request that `update` answers.
        stored: The response to update.
        update: A 304, or a 200 to HEAD; with a Date, which its recipient adds (RFC 9110 §6.6.1).
        policy: Of the route.
        request_time: When `request` was sent.
        response_time: When `update` was received.
    """
    response = _merged(stored, update)
    freshness = evaluate(
        request, response, policy, request_time=request_time, response_time=response_time
    )
    return stored.with_changes(
        headers=response.headers,
        freshness=freshness,
        request_time=request_time,
        date=date_value(response.headers, response_time),
    )


def freshen(
    request: Request,
    stored: StoredResponse,
    update: Response,
    policy: Policy,
    *,
    request_time: float,
    response_time: float,
) -> StoredResponse | None:
    """What to store of a response after the origin confirmed it: new fields, new freshness (§3.2).

    It stays the variant that it was, unless Vary has changed: then it is that of `request`. It is
    returned as it was, still stale, when only this request or a cookie set for it forbids to
    store the update. The arguments are those of `confirmed`.

    Returns:
        None when it may not be stored any longer, as after no-store in a 304.
    """
    request = replace(request, method="GET")
    response = _merged(stored, update)
    decide = partial(
        storing.decide, policy=policy, request_time=request_time, response_time=response_time
    )
    decision = decide(request, response)
    if isinstance(decision, storing.NotStorable):
        impersonal = decide(*_impersonal(request, response))
        return stored if isinstance(impersonal, storing.Storable) else None
    fresh = storing.stored_response(
        response,
        decision,
        request_time=request_time,
        response_time=response_time,
        tags=stored.tags,
        groups=parse_groups(response.headers),
        born=stored.born,
    )
    same_vary = [name for name, _ in stored.variant] == [name for name, _ in fresh.variant]
    variant = stored.variant if same_vary else fresh.variant
    return fresh.with_changes(part=stored.part, variant=variant)


def update_from_head(
    request: Request,
    stored: StoredResponse,
    body_length: int,
    head: Response,
    policy: Policy,
    *,
    request_time: float,
    response_time: float,
) -> HeadUpdate:
    """What the origin's response to a HEAD says about a stored response to GET (§4.3.5).

    Only a validator confirms it: a length alone, or silence, would let every HEAD prolong
    content that has long changed.

    Args:
        request: The HEAD request.
        stored: A stored response that a GET of the same request could be answered with.
        body_length: Bytes of `stored`'s body.
        head: The response.
        policy: Of the route.
        request_time: When `request` was sent.
        response_time: When `head` was received.
    """
    if head.status != HTTPStatus.OK:
        return Untouched()
    complete_length = body_length if stored.part is None else stored.part.complete_length
    if not _describes(head, stored, complete_length):
        return Invalidated()
    if not any(name in head.headers for name in _VALIDATORS):
        return Untouched()
    updated = freshen(
        request, stored, head, policy, request_time=request_time, response_time=response_time
    )
    if updated is None:
        return Invalidated()
    return Untouched() if updated is stored else Freshened(updated)


def _last_modified(stored: StoredResponse) -> str | None:
    """Last-Modified byte for byte, None where it is no date."""
    value = field_value(stored.headers, "Last-Modified")
    if value is None or parse_http_date(value, now=stored.freshness.response_time) is None:
        return None
    return value


def _merged(stored: StoredResponse, update: Response) -> Response:
    return Response(stored.status, stored.reason, updated_headers(stored.headers, update.headers))


def _agree(update: Response, stored: StoredResponse, name: str) -> bool:
    return field_value(update.headers, name) == field_value(stored.headers, name)


def _impersonal(request: Request, response: Response) -> tuple[Request, Response]:
    """The same exchange with a client that asks for nothing special and is set no cookie."""
    headers = response.headers.copy()
    headers.popall("Set-Cookie", None)
    return replace(request, headers=Headers()), replace(response, headers=headers)


def _describes(head: Response, stored: StoredResponse, complete_length: int) -> bool:
    """Whether nothing in a 200 to HEAD contradicts the stored response (§4.3.5)."""
    if stored.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        return False
    length = field_value(head.headers, "Content-Length")
    if length is not None and length != str(complete_length):
        return False
    return all(_agree(head, stored, name) for name in _VALIDATORS if name in head.headers)
