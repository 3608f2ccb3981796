"""An explanation as plain data; every number in seconds, every list in the order of its source.

Values of fields that can be used to be somebody else are hidden (see `shown`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

HIDDEN: Final = "(hidden)"
_SECRETS: Final = frozenset({"authorization", "cookie", "set-cookie"})


def shown(name: str, value: str) -> str:
    """The value of a field, unless it can be used to be somebody else."""
    return HIDDEN if name.lower() in _SECRETS else value


class Mode(StrEnum):
    """How an explanation was come by."""

    SIMULATE = "simulate"
    """From what is stored now; nothing was sent, nothing has changed."""
    SEND = "send"
    """The request was answered like every other, and the answer thrown away."""
    PROBE = "probe"
    """The same, once before."""
    PAST = "past"
    """From what is remembered of a past request."""


class Tier(StrEnum):
    """Where an entry lies."""

    MEMORY = "memory"
    REDIS = "redis"


class Outcome(StrEnum):
    """What is done for a request, before anybody else is asked."""

    HIT = "hit"
    STALE = "stale"
    REVALIDATE = "revalidate"
    MISS = "miss"
    BYPASS = "bypass"
    GATEWAY_TIMEOUT = "gateway-timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """A reason.

    Attributes:
        reason: As in Cache-Status.
        explanation: One sentence.
        clause: What it rests on, such as "RFC 9111 §4.2"; "" for a rule of our own.
        advice: What would have to change; "" where nothing has to.
    """

    reason: str
    explanation: str
    clause: str
    advice: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A route that came first, and which of its conditions does not hold."""

    route: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePart:
    """Which route applies.

    Attributes:
        conditions: What it asks of requests, in words.
        captured: What its path took from the request's, percent-encoded.
        policy: Its keys that differ from their defaults, such as "ttl: 60s".
    """

    name: str
    conditions: tuple[str, ...] = ()
    captured: Mapping[str, str]
    passed_over: tuple[PassedOver, ...] = ()
    policy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPart:
    """What makes two requests the same for the cache.

    Attributes:
        hash: As in the log.
        url: The URL in it.
        others: What else of the request is in it, such as ("header x-tenant", "a").
        left_out: Query parameters that are not in it.
        sorted: The query's parameters stand in another order in it.
    """

    hash: str
    url: str
    others: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    sorted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessPart:
    """The arithmetic of RFC 9111 §4.2.

    Attributes:
        at: POSIX time that it is of.
        lifetime: freshness_lifetime (§4.2.1).
        source: What the lifetime rests on, as a word.
        source_told: The same for people.
        initial_age: Age when it came (§4.2.3).
        held: Time since then.
        age: The sum of both: current_age.
        ttl: lifetime less age; negative when stale.
        no_cache: It is validated before each use.
        must_revalidate: It is never used stale.
        stale_while_revalidate: Window after its lifetime (RFC 5861 §3).
        stale_if_error: Window after its lifetime (RFC 5861 §4).
        grace: Window after its lifetime while the origin cannot be reached (§4.2.4).
    """

    at: float
    lifetime: float
    source: str
    source_told: str
    initial_age: float
    held: float
    age: float
    ttl: float
    no_cache: bool
    must_revalidate: bool
    stale_while_revalidate: float
    stale_if_error: float
    grace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantPart:
    """One stored response under the key.

    Attributes:
        chosen: It is the one for this request.
        vary: Request fields that it was selected by; None: the field was absent.
        differs: Those in which this request differs.
        validators: Fields by which the origin can confirm it.
        held: Bytes of a part, as "0-99/1000"; "" for a whole.
        size: Bytes that it takes.
        hits: Times it was used from where it lies; None where nobody counts.
    """

    chosen: bool
    status: int
    vary: tuple[tuple[str, str | None], ...]
    differs: tuple[str, ...]
    freshness: FreshnessPart
    validators: tuple[str, ...]
    tags: tuple[str, ...]
    groups: tuple[str, ...]
    held: str
    size: int
    tier: Tier
    hits: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """What is stored.

    Attributes:
        variants: Under this key; none where nothing of it may be used.
        other_keys: What other keys of the same URL add to it.
        other_scheme: Something is stored for the same URL by the other scheme.
    """

    variants: tuple[VariantPart, ...] = ()
    other_keys: tuple[str, ...] = ()
    other_scheme: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReusePart:
    """Whether what is stored may be used (§4)."""

    outcome: Outcome
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class StoringPart:
    """Whether the origin's answer may be stored (§3).

    Attributes:
        stored: None where nobody has decided that yet.
        why: None where nobody has.
        at: POSIX time of the decision; None where that is not known.
        freshness: What it would be or is stored with; None where that was not looked at.
    """

    stored: bool | None = None
    why: Why | None = None
    at: float | None = None
    freshness: FreshnessPart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPart:
    """What the client got.

    Attributes:
        cache_status: As it is in the head.
        detail: Its reason.
        collapsed: Another request's way to the origin was shared.
        origin_status: What the origin answered; None where it did not, or was not asked.
        origin_headers: What it said in fields that caches look at; () where that is not known.
        seconds: From the request to the answer's head; None where nobody measured.
    """

    status: int
    cache_status: str
    detail: Why | None = None
    collapsed: bool = False
    origin_status: int | None = None
    origin_headers: tuple[tuple[str, str], ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PurgePart:
    """A purge that concerns the request's URL, or what is stored for it.

    Attributes:
        scope: What was purged, such as "tag:product:42".
        mode: hard or soft.
        seq: Its number in the log.
    """

    scope: str
    mode: str
    seq: int


@dataclass(frozen=True, slots=True)
class Section:
    """One heading of the explanation in words."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a request is answered as it is.

    Attributes:
        uri: The request's; of a past one without values of the query.
        request_id: What a past request is called; "" for others.
        at: POSIX time that it is of.
        trusted: All purges are known; else what is stored is not used unasked.
        served: The host is one of allowed_hosts; else the request is answered 421.
        ambiguous_path: Readers may take the path for another one: the route gives it no lifetime.
        stored: What is stored now; None for a past request.
        workers: Of several workers how many would do what, by outcome; {} where one was asked.
        status: Of the answer, where what is stored would give it; None else.
        answer: None where nothing was sent.
        vary: Request fields that what answers, or would, was selected by.
        tags: By which it can be purged.
        purges: Of what is stored, or was, those that this process remembers, the last one last.
        purges_on_success: What a successful write purges; () for a request that writes nothing.
        summary: One sentence.
        advice: What would have to change for a hit; () where it is one.
        words: All of it for people.
    """

    mode: Mode
    method: str
    uri: str
    request_id: str = ""
    at: float
    trusted: bool = True
    served: bool = True
    ambiguous_path: bool = False
    route: RoutePart
    key: KeyPart
    stored: StoredPart | None = None
    reuse: ReusePart
    workers: Mapping[str, int] = field(default_factory=dict)
    storing: StoringPart
    freshness: FreshnessPart | None = None
    status: int | None = None
    answer: AnswerPart | None = None
    vary: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    purges: tuple[PurgePart, ...] = ()
    purges_on_success: tuple[str, ...] = ()
    summary: str = ""
    advice: tuple[str, ...] = ()
    words: tuple[Section, ...] = ()
