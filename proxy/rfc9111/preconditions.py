"""The client's own conditions, answered from a stored response (§4.3.2, RFC 9110 §13)."""

from dataclasses import dataclass
from typing import TypeAlias

from proxy.rfc9111.dates import parse_http_date
from proxy.rfc9111.etags import ANY, parse_entity_tags, weak_match
from proxy.rfc9111.messages import Headers, field_value
from proxy.rfc9111.stored import StoredResponse

_CONDITIONAL_STATUSES = frozenset({200, 206})

_OF_THE_CONTENT = frozenset(
    {
        "content-digest",
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-range",
        "content-type",
        "digest",
        "repr-digest",
    }
)
"""Representation metadata that a 304 should not carry (RFC 9110 §15.4.5)."""


@dataclass(frozen=True, slots=True)
class Proceed:
    """Answer as if there were no condition."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """Answer 304: what the client has is current."""


Evaluation: TypeAlias = Proceed | NotModified


def evaluate(request_headers: Headers, stored: StoredResponse, *, now: float) -> Evaluation:
    """If-None-Match, else If-Modified-Since, against a stored 200 or 206 (§4.3.2)."""
    if stored.status not in _CONDITIONAL_STATUSES:
        return Proceed()
    tags = field_value(request_headers, "If-None-Match")
    if tags is not None:
        current = _is_listed(tags, stored.headers)
    else:
        since = field_value(request_headers, "If-Modified-Since")
        current = since is not None and _is_unmodified_since(since, stored, now)
    return NotModified() if current else Proceed()


def not_modified_headers(headers: Headers) -> Headers:
    """The fields of a stored response that its 304 carries (RFC 9110 §15.4.5)."""
    left_out = _OF_THE_CONTENT | ({"last-modified"} if "ETag" in headers else frozenset())
    return Headers((name, value) for name, value in headers.items() if name.lower() not in left_out)


def _is_listed(value: str, headers: Headers) -> bool:
    """Whether an If-None-Match value names the stored response (RFC 9110 §13.1.2).

    An origin that forgets the quotes of its ETag gets it back from clients as it is; the same
    text then means the same response.
    """
    etag = (field_value(headers, "ETag") or "").strip(" \t")
    tags = parse_entity_tags(value)
    if tags is None:
        return value.strip(" \t") == etag
    return tags == (ANY,) or any(weak_match(tag, etag) for tag in tags)


def _is_unmodified_since(value: str, stored: StoredResponse, now: float) -> bool:
    """Whether the stored response is no newer than an If-Modified-Since date (§13.1.3).

    Without Last-Modified its Date decides (§4.3.2). What is no date is ignored.
    """
    since = parse_http_date(value.strip(" \t"), now=now)
    modified = parse_http_date(field_value(stored.headers, "Last-Modified") or "", now=now)
    return since is not None and (stored.date if modified is None else modified) <= since
