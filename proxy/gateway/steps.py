"""What the gateway's steps hand to each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple, TypeAlias, TypedDict

from proxy.exchange import Incoming, Outgoing
from proxy.gateway.filling import Fate
from proxy.gateway.flights import Flight
from proxy.gateway.forwarding import is_last_hop
from proxy.origin import Begun, OriginGroup, OriginResponse
from proxy.rfc9111 import keys, ranges, reuse
from proxy.rfc9111.cache_status import CacheStatus
from proxy.rfc9111.directives import request_directives
from proxy.rfc9111.messages import Request, Response
from proxy.rfc9111.policy import Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse
from proxy.routes import Matched
from proxy.stores import CacheKey, Entry


@dataclass(frozen=True, slots=True)
class Bypass:
    """The store is neither asked nor filled."""

    reason: Reason


Verdict: TypeAlias = Bypass | reuse.ReuseDecision
"""What is done for a request, before anybody else is asked."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What was done for a request before it came here: its way to the origin has begun.

    Attributes:
        group: Of origins, one of which it goes to.
        started: POSIX time at which it came in, and was sent if it was.
        born: The store's sequence then.
    """

    group: OriginGroup
    begun: Begun
    started: float
    born: int


class Wanted(NamedTuple):
    """What a request is for."""

    request: Request
    matched: Matched
    key: CacheKey


@dataclass(slots=True)
class Exchange:
    """One request on its way: what every step needs to know of it.

    Attributes:
        started: POSIX time at which it came in.
        flight: What others may share of its way to the origin; None where nobody may.
        verdict: What was decided to do; None until then.
        origin_time: Seconds that the origin took to its answer's head; None where nobody asked.
        beginning: Of its way to the origin, where that began before it came here.
        request: Its head.
        policy: Its route's.
    """

    incoming: Incoming
    matched: Matched
    key: CacheKey
    started: float
    flight: Flight | None = None
    verdict: Verdict | None = None
    origin_time: float | None = None
    beginning: Beginning | None = None
    request: Request = field(init=False)
    policy: Policy = field(init=False)
    _key_hash: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Have at hand what every step asks for."""
        self.request = self.incoming.request
        self.policy = self.matched.route.policy

    @property
    def uri(self) -> str:
        """Its target URI without the query, which may hold secrets."""
        return self.request.uri.partition("?")[0]

    @property
    def key_hash(self) -> str:
        """Its key in 16 digits: tells keys apart, and not what is in them."""
        if not self._key_hash:
            key = f"{self.key.url}\n{self.key.extra}".encode("utf-8", "surrogateescape")
            self._key_hash = blake2b(key, digest_size=8).hexdigest()
        return self._key_hash


@dataclass(frozen=True, slots=True)
class Found:
    """The stored variant that matches a request, and what of it the request wants."""

    entry: Entry
    selection: ranges.RangeSelection

    @property
    def usable(self) -> bool:
        """Whether all that is wanted is held."""
        return not isinstance(self.selection, ranges.NotHeld)


def select(exchange: Exchange, entries: Sequence[Entry]) -> Found | None:
    """The variant among `entries` that answers the request, if one does (§4.1)."""
    stored = keys.select_variant([entry.response for entry in entries], exchange.request.headers)
    if stored is None:
        return None
    entry = next(entry for entry in entries if entry.response is stored)
    selection = ranges.select(exchange.request, stored, len(entry.body), now=exchange.started)
    return Found(entry, selection)


def bypassed(exchange: Exchange) -> Bypass | None:
    """Why the store has no part in the answer, if so."""
    incoming = exchange.incoming
    reason = reuse.bypass_reason(
        exchange.request,
        exchange.policy,
        has_body=incoming.body is not None,
        upgrade=incoming.upgrade,
    )
    if reason is None:
        return None
    return Bypass(Reason.MAX_FORWARDS if is_last_hop(exchange.request) else reason)


def suffice(exchange: Exchange, entries: Sequence[Entry]) -> bool:
    """Whether one of `entries` answers the request, fresh or not."""
    found = select(exchange, entries)
    return found is not None and found.usable


def judge(
    exchange: Exchange, found: Found | None, *, any_variant: bool, now: float, trusted: bool
) -> reuse.ReuseDecision:
    """What to do for a request that nothing bypasses the store for (§4).

    Args:
        exchange: The request.
        found: What `select` found for it.
        any_variant: Whether anything at all is stored under its key.
        now: POSIX time.
        trusted: Whether all purges are known; where one may have been missed, the origin is asked.
    """
    request = exchange.request
    stored = found.entry.response if found is not None and found.usable else None
    decision = reuse.decide(request, stored, exchange.policy, now=now, any_variant=any_variant)
    if found is not None and stored is None and isinstance(decision, reuse.Miss):
        return reuse.Miss(Reason.RANGE_NOT_HELD)
    if trusted or not isinstance(decision, reuse.Fresh | reuse.ServeStale):
        return decision
    if request_directives(request.headers).only_if_cached:
        return reuse.GatewayTimeout(Reason.PURGES_UNKNOWN)
    return reuse.Revalidate(Reason.PURGES_UNKNOWN)


class Times(TypedDict):
    """See Fetched."""

    request_time: float
    response_time: float


class Fetched(NamedTuple):
    """An origin's answer, its head read, its body yet to be read.

    Attributes:
        response: The head with end-to-end fields only, and with a Date.
        request_time: POSIX time at which the request was sent.
        response_time: POSIX time at which the head came.
        born: The store's sequence before the origin was asked.
    """

    origin: OriginResponse
    response: Response
    request_time: float
    response_time: float
    born: int

    @property
    def times(self) -> "Times":
        """Both times, as the core takes them."""
        return {"request_time": self.request_time, "response_time": self.response_time}


class Relayed(NamedTuple):
    """What became of an origin's answer that is given as it came; see Answer."""

    cache_status: CacheStatus
    stored: StoredResponse | None
    not_stored: Reason | None


class Answer(NamedTuple):
    """An answer before it gets what every answer carries, with what Cache-Status says of it.

    Attributes:
        stored: The head that it was given from, or is stored with; None where neither is so.
        fetched: What the origin answered, where that is the answer.
        not_stored: Why that was not stored.
        fate: What becomes of it where it is stored as its body passes.
    """

    outgoing: Outgoing
    cache_status: CacheStatus
    stored: StoredResponse | None = None
    fetched: Fetched | None = None
    not_stored: Reason | None = None
    fate: Fate | None = None

    @property
    def refused(self) -> Reason | None:
        """Why what the origin answered was not stored, as far as that is known by now."""
        return self.fate.refused if self.not_stored is None and self.fate else self.not_stored
