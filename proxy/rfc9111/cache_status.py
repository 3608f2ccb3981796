"""The Cache-Status field: how this cache handled a request (RFC 9211)."""

from enum import StrEnum
from typing import NamedTuple

from proxy.rfc9111.reasons import Reason

_CACHE_NAME = "warmfront"


class Forward(StrEnum):
    """Why a request went to the origin (RFC 9211 §2.2)."""

    BYPASS = "bypass"
    METHOD = "method"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    MISS = "miss"
    REQUEST = "request"
    STALE = "stale"
    PARTIAL = "partial"


_FORWARD = {
    Reason.CACHE_OFF: Forward.BYPASS,
    Reason.REQUEST_BODY: Forward.BYPASS,
    Reason.REQUEST_PRECONDITION: Forward.BYPASS,
    Reason.REQUEST_UPGRADE: Forward.BYPASS,
    Reason.METHOD: Forward.METHOD,
    Reason.URI_MISS: Forward.URI_MISS,
    Reason.VARY_MISS: Forward.VARY_MISS,
    Reason.REQUEST_NO_CACHE: Forward.REQUEST,
    Reason.REQUEST_MAX_AGE: Forward.REQUEST,
    Reason.REQUEST_MIN_FRESH: Forward.REQUEST,
    Reason.CREDENTIALS: Forward.REQUEST,
    Reason.EXPIRED: Forward.STALE,
    Reason.NO_CACHE: Forward.STALE,
    Reason.RANGE_NOT_HELD: Forward.PARTIAL,
}


def forward_of(reason: Reason) -> Forward:
    """The `fwd` value for a reason to ask the origin; `miss` says no more than that it was."""
    return _FORWARD.get(reason, Forward.MISS)


class Outcome(StrEnum):
    """What came of a request, in the operator's words; each has one."""

    HIT = "hit"
    """Answered from the store, fresh."""
    STALE = "stale"
    """Answered from the store, stale, as somebody allowed."""
    REVALIDATED = "revalidated"
    """Answered from the store, after the origin had confirmed it."""
    COLLAPSED = "collapsed"
    """Answered along with another request, which had asked the origin."""
    MISS = "miss"
    """Answered by the origin."""
    BYPASS = "bypass"
    """Not for the cache: it had no say in it."""
    ERROR = "error"
    """Answered with an error of the proxy's own."""


_OUTCOME = {
    Reason.STALE_WHILE_REVALIDATE: Outcome.STALE,
    Reason.STALE_IF_ERROR: Outcome.STALE,
    Reason.GRACE: Outcome.STALE,
    Reason.REQUEST_MAX_STALE: Outcome.STALE,
    Reason.VALIDATED: Outcome.REVALIDATED,
    Reason.CACHE_OFF: Outcome.BYPASS,
    Reason.MAX_FORWARDS: Outcome.BYPASS,
    Reason.REQUEST_BODY: Outcome.BYPASS,
    Reason.REQUEST_OVERRIDE: Outcome.BYPASS,
    Reason.REQUEST_PRECONDITION: Outcome.BYPASS,
    Reason.REQUEST_UPGRADE: Outcome.BYPASS,
    Reason.REQUEST_WITHHOLDS: Outcome.BYPASS,
    Reason.REQUEST_WITHOUT_HOST: Outcome.BYPASS,
}
"""Of the reasons that leave no doubt."""


class CacheStatus(NamedTuple):
    """What happened to one request, and to the response to it.

    Attributes:
        hit: Answered from the store; has no effect beside `forward`, which excludes it.
        forward: Why the origin was asked.
        forward_status: What it answered.
        stored: Its answer was stored, or updated what is.
        collapsed: The request shared another one's way to the origin.
        ttl: Freshness left, in seconds; negative when stale.
        detail: Why, in this cache's words.
    """

    hit: bool = False
    forward: Forward | None = None
    forward_status: int | None = None
    stored: bool = False
    collapsed: bool = False
    ttl: int | None = None
    detail: Reason | None = None

    @property
    def outcome(self) -> Outcome:
        """The same in one word."""
        if self.detail in _OUTCOME:
            return _OUTCOME[self.detail]
        if self.hit and self.forward is None:
            return Outcome.HIT
        if self.collapsed:
            return Outcome.COLLAPSED
        if self.forward_status is None:
            return Outcome.ERROR
        return Outcome.BYPASS if self.forward is Forward.METHOD else Outcome.MISS

    def render(self) -> str:
        """The list member for this cache (RFC 9211 §2)."""
        parts = [
            _CACHE_NAME,
            "hit" if self.hit and self.forward is None else "",
            f"fwd={self.forward}" if self.forward is not None else "",
            f"fwd-status={self.forward_status}" if self.forward_status is not None else "",
            "stored" if self.stored else "",
            "collapsed" if self.collapsed else "",
            f"ttl={self.ttl}" if self.ttl is not None else "",
            f"detail={self.detail}" if self.detail is not None else "",
        ]
        return "; ".join(filter(None, parts))
