"""What happened, as plain data: made where it happens, told to whoever listens.

Nothing here holds a secret: no header values, no bodies; query strings stay out of URIs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from proxy.rfc9111.cache_status import Outcome
from proxy.rfc9111.reasons import Reason


@dataclass(frozen=True, slots=True)
class Answered:
    """A request was answered (its head went out).

    Attributes:
        uri: Without query.
        cache_status: As the client sees it.
        duration: Seconds from the request to its answer's head.
        route: Name of the route that applied.
        outcome: What the cache did.
        reason: Why.
        origin_time: Seconds that the origin took to its answer's head, where it was asked.
        length: Bytes of body, where they were known beforehand.
        key: A hash of the cache key, the same in all processes.
        request_id: What the client calls the request, or what we do; "" where it is of a Hit.
    """

    method: str
    uri: str
    status: int
    cache_status: str
    duration: float
    route: str
    outcome: Outcome
    reason: Reason | None
    origin_time: float | None = None
    length: int | None = None
    key: str = ""
    request_id: str = ""


class HitKind:
    """Hits that are counted together.

    Attributes:
        counted: Where; None at first. Belongs to the one who counts.
    """

    __slots__ = ("counted",)

    def __init__(self) -> None:
        self.counted: Any = None


class Hit:
    """An answer that is given again and again from memory; equal to nothing but itself.

    Attributes:
        answered: What there is to tell each time; its `cache_status` leaves out the ttl, and nobody
            has measured its `duration`.
        kind: All hits on its route that have its status.
        length: Bytes of its body; 0 where they were not known beforehand.
        decision: What was decided, for who keeps that; None at first.
        line: Its line in the access log, as far as it is always the same; None at first. Belongs
            to the one who writes that.
    """

    __slots__ = ("answered", "decision", "kind", "length", "line")

    def __init__(self, answered: Answered, kind: HitKind | None = None) -> None:
        self.answered = answered
        self.kind = kind or HitKind()
        self.length = answered.length or 0
        self.decision: Any = None
        self.line: Any = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """Hits were given again, as soon as their requests were read.

    Attributes:
        hits: Each as often as it was given.
        times: When each was given, see journal.times_in.
        names: What its request is called, see journal.names_in; empty where nobody is told.
    """

    hits: list[Hit]
    times: bytes
    names: bytes


class Passed:
    """Origins' answers that are told alike; equal to nothing but itself.

    Attributes:
        answered: What there is to tell of each, without what was measured, and without a name.
        origin: Name of the group that was asked.
        recurs: There may be several.
        sized: The answers have content, so that there is a length to tell.
        decision: What was decided, for who keeps that.
        counted: Where they are counted; None at first. Belongs to the one who counts.
        line: Their line in the access log, as far as it is always the same; None at first. Belongs
            to the one who writes that.
    """

    __slots__ = ("answered", "counted", "decision", "line", "origin", "sized")

    recurs: ClassVar[bool] = True

    def __init__(self, answered: Answered, origin: str, *, sized: bool) -> None:
        self.answered = answered
        self.origin = origin
        self.sized = sized
        self.decision: Any = None
        self.counted: Any = None
        self.line: Any = None


@dataclass(frozen=True, slots=True)
class PassedOn:
    """Answers of origins were passed on as they came.

    Attributes:
        kinds: Of each, how to tell of it.
        times: When each was, see journal.times_in.
        durations: Of each, seconds from its request to its head.
        lengths: Of each, bytes of its content.
        names: What its request is called, see journal.names_in; empty where nobody is told.
    """

    kinds: list[Passed]
    times: bytes
    durations: Sequence[float]
    lengths: Sequence[float]
    names: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A request, or a connection, was refused at the door: nobody behind it has seen it.

    Attributes:
        detail: Which rule it broke; nothing of what was sent.
        client: IP address; "" on a Unix socket.
    """

    status: int
    detail: str
    client: str


@dataclass(frozen=True, slots=True)
class OriginAnswered:
    """The origin was asked and answered (its head is here), for a client or in the background.

    Attributes:
        origin: Name of its group; "" for the one that routes share.
        duration: Seconds from the request to its answer's head.
        validates: It was asked whether something stored still holds.
    """

    origin: str
    status: int
    duration: float
    validates: bool


@dataclass(frozen=True, slots=True)
class OriginFailed:
    """The origin gave no usable answer.

    Attributes:
        detail: What exactly went wrong; for operators only.
    """

    uri: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class OriginChanged:
    """An origin is trusted with more or fewer requests than before.

    Attributes:
        group: Its group's name; "" for the one that routes share.
        url: Where it is, without credentials.
        state: "up", "down", "half_open" or "slow_start".
        cause: What showed it.
    """

    group: str
    url: str
    state: str
    cause: str


@dataclass(frozen=True, slots=True)
class NotStored:
    """A response that looked storable was not stored in the end."""

    uri: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class TagsRefused:
    """A response was not stored, since not all of its tags can be used to purge it.

    Attributes:
        problem: Which field or template, and what is wrong with it.
    """

    uri: str
    problem: str


@dataclass(frozen=True, slots=True)
class Purged:
    """A purge that was asked for here is recorded, and who has applied it was waited for.

    Attributes:
        seq: Its number in the log.
        soft: What it concerns is stale now, not gone.
        acked: Live processes that have applied it.
        pending: Names of those that have not.
        duration: Seconds, with the wait.
    """

    seq: int
    soft: bool
    acked: int
    pending: tuple[str, ...]
    duration: float


@dataclass(frozen=True, slots=True)
class PurgeIncomplete:
    """A write purged its URL, but not all that its route says.

    Attributes:
        problem: Which template, and what is wrong with it.
    """

    uri: str
    problem: str


@dataclass(frozen=True, slots=True)
class BackgroundFailed:
    """A bug or a failure in work that no client waits for."""

    name: str
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """What was to be fetched at the start, before clients ask for it.

    Attributes:
        state: "begun", "running", "late" (clients are asked in all the same) or "done".
        total: URLs.
        done: Those that are through.
        stored: Those of them that are in the cache now.
        failures: Some that are not, and why; without query.
    """

    state: str
    total: int
    done: int
    stored: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WarmSourceRefused:
    """A list or sitemap of what was to be fetched at the start cannot be used."""

    problem: str


@dataclass(frozen=True, slots=True)
class RedisChanged:
    """Redis went away, came back, or began or ceased to refuse what it is asked.

    Attributes:
        address: Where it is, without credentials.
        state: "up", "refusing" (it answers, with errors) or "down".
        cause: What showed it; "" when it is up.
    """

    address: str
    state: str
    cause: str


@dataclass(frozen=True, slots=True)
class PurgeLogChanged:
    """Something happened to what this process knows of purges.

    Attributes:
        state: "lost" or "regained" (the log itself), "reset" (purges may have been missed, so
            all that is kept here was dropped), or "crowded" (many patterns slow every answer).
        cause: In words, for operators.
    """

    state: str
    cause: str


Event: TypeAlias = (
    Answered
    | Repeated
    | PassedOn
    | Refused
    | OriginAnswered
    | OriginFailed
    | OriginChanged
    | NotStored
    | TagsRefused
    | Purged
    | PurgeIncomplete
    | BackgroundFailed
    | WarmUp
    | WarmSourceRefused
    | RedisChanged
    | PurgeLogChanged
)
Emit: TypeAlias = Callable[[Event], None]
