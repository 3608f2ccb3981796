"""A response head as the cache keeps it, with everything that was decided when it was stored."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias, TypedDict

from proxy.rfc9111.messages import Headers


class LifetimeSource(StrEnum):
    """What a freshness lifetime rests on."""

    ROUTE = "route"
    SURROGATE_CONTROL = "surrogate-control"
    TARGETED = "targeted"
    S_MAXAGE = "s-maxage"
    MAX_AGE = "max-age"
    EXPIRES = "expires"
    ROUTE_DEFAULT = "route-default"
    HEURISTIC = "heuristic"
    NONE = "none"

    @property
    def assumed(self) -> bool:
        """Whether the origin is silent, and the operator has not overridden it either."""
        return self in _ASSUMED


_ASSUMED = frozenset({LifetimeSource.ROUTE_DEFAULT, LifetimeSource.HEURISTIC, LifetimeSource.NONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What §4.2 and RFC 5861 need to know about one stored response; durations in seconds.

    Attributes:
        lifetime: freshness_lifetime (§4.2.1), >= 0.
        source: What the lifetime rests on.
        initial_age: corrected_initial_age (§4.2.3), >= 0.
        response_time: When the response was received.
        public: The origin says that the response is for everybody (§5.2.2.9).
        no_cache: Validate before every use (§5.2.2.4 without a field list).
        must_revalidate: Never serve it stale (must-revalidate, proxy-revalidate).
        s_maxage: s-maxage was given: stale only where a directive asks for it (§5.2.2.10).
        stale_while_revalidate: Window after the lifetime (RFC 5861 §3), 0 for none.
        stale_if_error: Window after the lifetime (RFC 5861 §4), 0 for none.
        grace: Window after the lifetime while the origin cannot be reached (§4.2.4), 0 for none.
    """

    lifetime: float
    source: LifetimeSource
    initial_age: float
    response_time: float
    public: bool = False
    no_cache: bool = False
    must_revalidate: bool = False
    s_maxage: bool = False
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    grace: float = 0.0

    def current_age(self, now: float) -> float:
        """current_age (§4.2.3), never negative even when the clock steps back."""
        return self.initial_age + max(0.0, now - self.response_time)

    def ttl(self, now: float) -> float:
        """Seconds of freshness left; negative by how long it has been stale."""
        return self.lifetime - self.current_age(now)


VariantKey: TypeAlias = tuple[tuple[str, str | None], ...]
"""Lower-case names in Vary with the request's normalised values; None where it was absent."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The part of a representation that is held: bytes `first` to `last`, both included.

    Attributes:
        complete_length: Length of the whole representation in bytes.
    """

    first: int
    last: int
    complete_length: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.last - self.first + 1


class PackedHeaders(TypedDict):
    """Header fields as a stored response has them."""

    names: tuple[str, ...]
    values: str


def packed(headers: Headers) -> PackedHeaders:
    """What a stored response keeps of `headers`.

    A line break in a value, which no parser lets through, becomes a space (RFC 9110 §5.5).
    """
    names, values = tuple([name for name, _ in headers.items()]), "\n".join(headers.values())
    if values.count("\n") >= max(1, len(names)):
        values = "\n".join([value.replace("\n", " ") for value in headers.values()])
    return PackedHeaders(names=names, values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """A stored response head.

    Its fields are packed: caches hold many heads and look into few. Most have the same names, and
    one text takes a fraction of what a mapping does.

    Attributes:
        status: Of the whole representation: a stored 206 has `part` set and keeps 206 here.
        names: Of its end-to-end fields as they will be sent, in wire order, less those that must
            not be stored and less `Age`, which the cache writes itself.
        values: Theirs, one a line.
        request_time: When the request that fetched (or last validated) it was sent.
        freshness: Decided at storing time and on every validation.
        variant: The request values it was selected by (§4.1).
        part: The bytes held, None when the body is complete.
        date: Value of Date (or of its arrival) in seconds, to choose the most recent variant.
        tags: What it can be purged by beside its URL, in order of first mention.
        groups: Its cache groups (RFC 9875).
        born: Number of the last purge that had been applied before the origin was asked.
    """

    status: int
    reason: str
    names: tuple[str, ...]
    values: str
    request_time: float
    freshness: Freshness
    variant: VariantKey
    date: float
    part: ByteRange | None = None
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    born: int = 0

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Names and values of its fields."""
        return list(zip(self.names, self.values.split("\n"), strict=False))

    @property
    def headers(self) -> Headers:
        """Its fields, unpacked each time: the caller's to change."""
        return Headers(list(zip(self.names, self.values.split("\n"), strict=False)))

    def has(self, name: str) -> bool:
        """Whether a field of this name, in lower case, is there."""
        return name in map(str.lower, self.names)

    def with_changes(self, headers: Headers | None = None, **changes: object) -> "StoredResponse":
        """A copy with other `headers`, if given, and some attributes changed."""
        if headers is not None:
            changes.update(packed(headers))
        return replace(self, **changes)  # type: ignore[arg-type]
