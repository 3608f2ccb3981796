"""Why a decision fell as it did: one member per reason, shown by Cache-Status, log and explain.

The value is a token (RFC 9110 §5.6.2), so that it stands in `detail=` as it is.
"""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """A reason with one sentence that explains it.

    Attributes:
        explanation: One sentence for people, with the clause it rests on.
    """

    explanation: str

    def __new__(cls, value: str, explanation: str) -> Self:
        """Make a member of its token and its sentence."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        return member

    # Why a stored response was used.
    FRESH = "fresh", "The stored response is within its freshness lifetime (§4.2)."
    VALIDATED = "validated", "The origin confirmed the stored response with a 304 (§4.3.3)."
    STALE_WHILE_REVALIDATE = (
        "stale-while-revalidate",
        "Stale, within its stale-while-revalidate window; a refresh runs (RFC 5861 §3).",
    )
    STALE_IF_ERROR = (
        "stale-if-error",
        "Stale, within its stale-if-error window, and the origin failed (RFC 5861 §4).",
    )
    GRACE = "grace", "Stale, within the grace period, and the origin cannot be reached (§4.2.4)."
    REQUEST_MAX_STALE = "request-max-stale", "Stale, and the client allows that (§5.2.1.2)."

    # Why the origin was asked.
    URI_MISS = "uri-miss", "Nothing is stored for this URL."
    VARY_MISS = "vary-miss", "What is stored for this URL answers other request fields (§4.1)."
    EXPIRED = "expired", "The stored response is past its freshness lifetime (§4.2)."
    NO_CACHE = "no-cache", "The stored response says no-cache: validate before each use (§5.2.2.4)."
    REQUEST_NO_CACHE = "request-no-cache", "The client demands validation (§5.2.1.4)."
    REQUEST_MAX_AGE = "request-max-age", "Older than the client accepts (§5.2.1.1)."
    REQUEST_MIN_FRESH = "request-min-fresh", "Not fresh for as long as the client asks (§5.2.1.3)."
    CREDENTIALS = (
        "credentials",
        "The request has Cookie or Authorization, and the stored lifetime is assumed (§4.2.2).",
    )
    RANGE_NOT_HELD = "range-not-held", "Only a part is stored, and not the part asked for (§3.3)."
    METHOD = "method", "Requests with this method always go to the origin (RFC 9110 §9.2.3)."
    CACHE_OFF = "cache-off", "The route says cache: off."
    REQUEST_BODY = "request-body", "A GET or HEAD with a body may mean anything; it is not cached."
    REQUEST_PRECONDITION = (
        "request-precondition",
        "If-Match or If-Unmodified-Since are for the origin to judge (§4.3.2).",
    )
    REQUEST_OVERRIDE = (
        "request-override",
        "A field of the request names another resource or method, such as X-Original-URL.",
    )
    REQUEST_WITHHOLDS = (
        "request-withholds",
        "Connection lists a field that the origin does not get to see, and others send it.",
    )
    REQUEST_WITHOUT_HOST = (
        "request-without-host",
        "An HTTP/1.0 request without Host: no purge could name what would be stored for it.",
    )
    MAX_FORWARDS = "max-forwards", "The request was to go no further than here (RFC 9110 §7.6.2)."
    REQUEST_UPGRADE = "request-upgrade", "The client asks to switch protocols."
    PURGES_UNKNOWN = (
        "purges-unknown",
        "The purge log cannot be read: what is stored may have been purged.",
    )
    ONLY_IF_CACHED = "only-if-cached", "The client wants a stored response or none (§5.2.1.7)."

    # Why a response was not stored.
    STORED = "stored", "The response was stored (§3)."
    METHOD_NOT_STORABLE = "method-not-storable", "Responses to this method are not stored (§3)."
    REQUEST_NO_STORE = "request-no-store", "The client forbids storing (§5.2.1.5)."
    NO_STORE = "no-store", "The response forbids storing (§5.2.2.5)."
    PRIVATE = "private", "The response is for one user (§5.2.2.7)."
    AUTHORIZATION = (
        "authorization",
        "The request was authorized; the response lacks public, must-revalidate, s-maxage (§3.5).",
    )
    SET_COOKIE = "set-cookie", "The response sets a cookie; see set_cookie in the route."
    VARY_ANY = "vary-any", "Vary names what no later request can be known to match (§4.1)."
    STATUS_NOT_FINAL = "status-not-final", "Only final responses are stored (§3)."
    STATUS_NOT_UNDERSTOOD = (
        "status-not-understood",
        "must-understand, and this cache does not implement the status code (§5.2.2.3).",
    )
    STATUS_NEVER_STORED = (
        "status-never-stored",
        "The status is about this one request, not about the resource (RFC 6585, RFC 9110 §15.5).",
    )
    REQUEST_TO_BLAME = (
        "request-to-blame",
        "An error that something unusual in the request, or who sent it, may have caused.",
    )
    KEY_TOO_LARGE = "key-too-large", "The key, or what Vary adds to it, is longer than 16 KiB."
    NOT_MODIFIED_PASSED = (
        "not-modified-passed",
        "A 304 to the client's own condition has no content to store (§4.3.3).",
    )
    NO_FRESHNESS = (
        "no-freshness",
        "No explicit lifetime, no heuristic one, and no validator to reuse it by (§3, §4.2.2).",
    )
    TTL_ZERO = "ttl-zero", "The route's lifetime is zero, and there is no validator to reuse it by."
    POST_WITHOUT_LOCATION = (
        "post-without-location",
        "A POST's response needs a lifetime and its URL in Content-Location (RFC 9110 §9.3.3).",
    )
    PARTIAL_UNUSABLE = (
        "partial-unusable",
        "A 206 without one valid Content-Range cannot be reused (§3.3).",
    )
    TOO_LARGE = "too-large", "The body is larger than store.memory.max_object_size."
    INVALID_TAGS = "invalid-tags", "A tag cannot be read, so no purge by it could be relied on."
    OUTDATED = "outdated", "It was invalidated, or a newer response came, while it was on its way."
    TOO_SLOW = "too-slow", "The client read so slowly that others could wait no longer for it."
    ABANDONED = "abandoned", "The client left before the end, and nobody could read on."

    # What went wrong on the way from the client.
    REQUEST_INCOMPLETE = "request-incomplete", "The request body did not arrive as announced."

    # What went wrong on the way to the origin.
    ORIGIN_REFUSED = "origin-refused", "The origin refused the connection."
    ORIGIN_UNREACHABLE = "origin-unreachable", "The origin's address cannot be resolved or routed."
    ORIGIN_TLS = "origin-tls", "The TLS handshake with the origin failed."
    ORIGIN_CONNECT_TIMEOUT = "origin-connect-timeout", "The origin did not accept in time."
    ORIGIN_HEADER_TIMEOUT = "origin-header-timeout", "The origin sent no response head in time."
    ORIGIN_IDLE_TIMEOUT = "origin-idle-timeout", "The origin stalled in the middle of its body."
    ORIGIN_BROKEN = "origin-broken", "The origin closed the connection before a whole response."
    ORIGIN_MALFORMED = "origin-malformed", "The origin's response is not valid HTTP/1.1."
    ORIGIN_TOTAL_TIMEOUT = (
        "origin-total-timeout",
        "The origin's whole response did not arrive in timeouts.total.",
    )
    ORIGIN_OVERLOADED = (
        "origin-overloaded",
        "As many requests as origin.limit allows are under way, and none ended in time.",
    )
    ORIGIN_DOWN = "origin-down", "No origin is fit to be asked: all have failed, or fail checks."
