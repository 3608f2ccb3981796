"""What the admin API asks of the proxy, as plain data in and out.

Whoever implements `Control` may trust what it gets: items are checked, normalised and unique.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from proxy.admin.figures import BusyUrl, PastPurge, Rates, Totals
from proxy.explain import Explanation, Mode, Tier
from proxy.origin import MemberStatus
from proxy.rfc9111.messages import Request
from proxy.settings import Change


class LogUnreachable(Exception):  # noqa: N818 - it tells what happened
    """The purge log cannot be reached: other processes may not have heard of the purge."""


class NothingToReload(Exception):  # noqa: N818 - it tells what is the case
    """The settings come from no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeOrder:
    """What to forget: everything that any of these names.

    Attributes:
        tags: Printable, case-sensitive, at most 1024 bytes of UTF-8 each.
        urls: Absolute `http` and `https` URLs without fragment, authority normalised; routes may
            still ignore parts of the query. One resource comes in both schemes.
        prefixes: `/a/b/` on every host, or `//authority/a/b/`; percent-encoding as given.
        hosts: Normalised `host[:port]`.
        pattern: Regular expression to `re.search` the URL with; bounded, see admin.patterns.
        everything: All there is.
        soft: Make stale instead of gone.
    """

    tags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    pattern: str | None = None
    everything: bool = False
    soft: bool = False

    def __bool__(self) -> bool:
        """Whether it names anything."""
        return bool(
            self.tags
            or self.urls
            or self.prefixes
            or self.hosts
            or self.pattern is not None
            or self.everything
        )


@dataclass(frozen=True, slots=True)
class PurgeReceipt:
    """How far a purge has come.

    Attributes:
        seq: Its number in the log.
        acked: Live processes that have applied it.
        nodes: Live processes.
        pending: Names of those that have not.
        entries: How many entries it touched where that is known (an estimate from the index).
    """

    seq: int
    acked: int
    nodes: int
    pending: tuple[str, ...] = ()
    entries: int | None = None

    @property
    def acknowledged(self) -> bool:
        """No live process serves anything older any more."""
        return not self.pending and self.acked >= self.nodes


@dataclass(frozen=True, slots=True)
class Preview:
    """What a purge would touch.

    Attributes:
        entries: How many entries; None where that is not known.
        urls: Some of their URLs.
        complete: `urls` names all of them.
    """

    entries: int | None
    urls: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag and how many entries carry it (None: not known)."""

    tag: str
    entries: int | None


@dataclass(frozen=True, slots=True)
class TagPage:
    """Some tags in order of their names; `complete` when there are no more."""

    tags: tuple[TagCount, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """One stored variant of one URL.

    Attributes:
        headers: As stored, in order.
        vary: Request fields that it was selected by; None: the field was absent.
        age: Seconds (RFC 9111 §4.2.3).
        ttl: Seconds for which it stays fresh; negative when stale.
        size: Bytes that it takes.
        hits: Times it was served from here; None where nobody counts.
        born: Number of the last purge known before it was fetched.
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
    tier: Tier
    hits: int | None
    born: int


class WarmOutcome(StrEnum):
    """What came of fetching one URL into the cache."""

    HIT = "hit"
    STORED = "stored"
    NOT_STORED = "not_stored"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Warmed:
    """One URL after warming; `detail` tells why it is not in the cache, "" where it is."""

    outcome: WarmOutcome
    status: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests should be sent here; `checks` names what was looked at."""

    ready: bool
    checks: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TierStats:
    """How full a tier is; None where that is not known.

    Attributes:
        size: Bytes.
        max_size: Bytes.
        available: False while it cannot be reached.
    """

    entries: int | None
    size: int | None
    max_size: int | None
    available: bool = True


@dataclass(frozen=True, slots=True)
class NodeStats:
    """One live process as the log sees it.

    Attributes:
        position: Number of the last purge that it applied.
        heartbeat_age: Seconds since it was last heard of.
    """

    name: str
    position: int
    heartbeat_age: float


@dataclass(frozen=True, slots=True)
class LogStats:
    """The purge log as this process sees it.

    Attributes:
        kind: `memory` or `redis`.
        position: Number of the last purge applied here.
        floor: What was fetched before this purge is not valid.
        trusted: It has been read recently enough to believe fresh entries.
        patterns: Regular expressions that are checked on every lookup.
    """

    kind: str
    position: int
    floor: int
    trusted: bool
    patterns: int
    nodes: tuple[NodeStats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginGroupStats:
    """The origins that answer the same requests, as this process sees them.

    Attributes:
        name: As in `origins`; "" for the one of routes that name none.
        in_flight: Requests under way.
        limit: Requests that may be; None for no limit.
        waiting: Requests in the queue for that.
        queue: Requests that may be there.
        overloaded: Requests in all that were answered 503 by that.
        retries: Requests in all that were sent again.
        retry_budget: Retries that may be made now.
    """

    name: str
    in_flight: int
    limit: int | None
    waiting: int
    queue: int
    overloaded: int
    retries: int
    retry_budget: float
    origins: tuple[MemberStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpStats:
    """How far this process, or all workers together, have come with what they fetch at the start.

    Attributes:
        ready: Clients may be sent here.
        over: All is through.
        total: URLs; 0 while they are being listed.
    """

    ready: bool
    over: bool
    total: int = 0
    hit: int = 0
    stored: int = 0
    not_stored: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Exposition:
    """Metrics at one moment, as Prometheus reads them.

    Attributes:
        media_type: What `text` is: the format that was asked for.
    """

    text: bytes
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """This process in figures.

    Attributes:
        uptime: Seconds.
        requests: Answered requests by what the cache did (`hit`, `miss`, `stale`, ...).
        failures: Times that work behind the requests failed; the log says how.
        redis: None without Redis.
        origins: Each group of origins, the one that routes share first.
        totals: What of `requests` can be added up.
        urls: Those in memory that are asked for most.
        purges: The last ones, the latest first.
        rates: How it has been of late; None in the first second.
        warm_up: What is fetched at the start; None for nothing.
    """

    version: str
    node: str
    uptime: float
    requests: Mapping[str, int]
    failures: int
    memory: TierStats
    redis: TierStats | None
    log: LogStats
    origins: tuple[OriginGroupStats, ...] = ()
    totals: Totals = field(default_factory=Totals)
    urls: tuple[BusyUrl, ...] = ()
    purges: tuple[PastPurge, ...] = ()
    rates: Rates | None = None
    warm_up: WarmUpStats | None = None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of reading the settings anew.

    Attributes:
        changes: All that differs from what held before.
        restart: Keys whose change takes effect when the process is started anew.
        renewing: Keys for whose sake each worker is given a successor now, one after the other.
    """

    changes: tuple[Change, ...]
    restart: tuple[str, ...] = ()
    renewing: tuple[str, ...] = ()


class Control(Protocol):
    """The proxy, as the admin API drives it."""

    async def purge(self, order: PurgeOrder, *, wait: float) -> PurgeReceipt:
        """Append one purge to the log and wait for the other processes for so many seconds.

        On return it is applied in this process. Raises LogUnreachable.
        """
        ...

    async def preview(self, order: PurgeOrder, *, limit: int) -> Preview:
        """What `order` would touch, with at most `limit` URLs. Changes nothing."""
        ...

    async def tags(self, *, prefix: str, limit: int) -> TagPage:
        """The first `limit` tags that start with `prefix`."""
        ...

    async def tag(self, tag: str, *, limit: int) -> Preview:
        """What carries `tag`, with at most `limit` URLs."""
        ...

    async def entries(self, url: str) -> Sequence[EntryView]:
        """All variants of a URL (as in PurgeOrder) in all tiers; () for none."""
        ...

    async def warm(self, url: str) -> Warmed:
        """Fetch `url` as a client without any header would, so that it is stored."""
        ...

    async def explain(self, request: Request, mode: Mode) -> Explanation:
        """How a request is answered now; simulated, or sent (a GET or HEAD), as `mode` says."""
        ...

    async def recall(self, name: str) -> Explanation | None:
        """How the past request of this name was answered; None where nothing is kept of it."""
        ...

    async def reload(self) -> Reloaded:
        """Read the settings anew, for all workers; nothing stored and no request is lost.

        Raises SettingsError with all that is wrong, NothingToReload without a file: the old
        settings stay.
        """
        ...

    async def readiness(self) -> Readiness:
        """Whether requests should be sent here."""
        ...

    async def stats(self) -> Stats:
        """Figures of this process."""
        ...

    async def metrics(self, accept: str) -> Exposition:
        """All figures as metrics, in the format that a field Accept with this value asks for."""
        ...
