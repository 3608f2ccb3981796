"""What the admin API answers, as far as its clients rely on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from proxy.client.errors import Fault


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What became of a purge.

    Attributes:
        seq: Its number in the purge log.
        acked: Live processes that have applied it.
        nodes: Live processes.
        pending: Names of those that have not said so; they may still answer with something older.
        entries: How many stored responses it reached; None where that is not counted.
        refused: What of the request was not purged, since it cannot be.
    """

    seq: int
    acked: int
    nodes: int
    pending: tuple[str, ...] = ()
    entries: int | None = None
    refused: tuple[Fault, ...] = ()

    @property
    def acknowledged(self) -> bool:
        """Whether all that was named is answered with nothing older from now on, anywhere."""
        return self.acked >= self.nodes and not self.pending and not self.refused


@dataclass(frozen=True, slots=True)
class Preview:
    """What a purge would reach.

    Attributes:
        entries: How many stored responses; None where that is not counted.
        urls: Addresses of some.
        complete: Whether `urls` names all of them.
        refused: What of the request cannot be purged.
    """

    entries: int | None
    urls: tuple[str, ...]
    complete: bool
    refused: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stored variant of one URL.

    Attributes:
        headers: Field lines as stored, in order.
        vary: Request fields that it was selected by; None: the field was absent.
        age: Seconds since the origin made it.
        ttl: Seconds for which it stays fresh; negative when stale.
        size: Bytes that it takes.
        tier: Where it lies: `memory` or `redis`.
        hits: How often it was served from there; None where nobody counts.
        born: Number of the last purge that was known before it was fetched.
    """

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    vary: tuple[tuple[str, str | None], ...]
    age: float
    ttl: float
    tags: tuple[str, ...]
    groups: tuple[str, ...]
    size: int
    tier: str
    hits: int | None
    born: int


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag, and how many stored responses bear it; None where that is not counted."""

    tag: str
    entries: int | None


@dataclass(frozen=True, slots=True)
class TagPage:
    """Some tags in order of their names; `complete` when there are no more."""

    tags: tuple[TagCount, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A key of the settings that means something else now; None: it is not there."""

    key: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of reading the settings anew.

    Attributes:
        restart: Keys whose change takes effect when the server is started anew.
        renewing: Keys for whose sake each worker is given a successor now.
    """

    changes: tuple[SettingChange, ...]
    restart: tuple[str, ...] = ()
    renewing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WarmFailure:
    """A URL that is not in the cache after warming; `status` is None without an answer."""

    url: str
    status: int | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmJob:
    """How a warming job stands.

    Attributes:
        state: `running`, `done` or `cancelled`.
        total: URLs to fetch.
        done: Those that are through: the sum of the four that follow.
        hit: Were in the cache already.
        stored: Are now.
        not_stored: May not be stored.
        failed: Could not be fetched.
        failures: The first that are not stored or failed.
        refused: What is no URL.
    """

    id: str
    state: str
    total: int
    done: int
    hit: int
    stored: int
    not_stored: int
    failed: int
    failures: tuple[WarmFailure, ...]
    refused: tuple[Fault, ...]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state != "running"


Explanation: TypeAlias = Mapping[str, Any]
"""What an explanation says, by name: `summary`, `advice`, `words`, and the facts behind them."""

Stats: TypeAlias = Mapping[str, Any]
"""Figures by name, as the server gives them."""
