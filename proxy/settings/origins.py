"""The API behind Warmfront: where it is, and what happens when it is slow, crowded or gone."""

from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from proxy.problems import ManyRefused, Refused
from proxy.settings.scalars import (
    KIND_KEY,
    ORIGIN_URL,
    BalanceChoice,
    BalanceKind,
    CheckPath,
    Count,
    Duration,
    FileName,
    Flag,
    OriginHost,
    OriginUrl,
    PositiveDuration,
    ServerName,
    Share,
    StatusRange,
    Whole,
)
from proxy.settings.section import Section


class Timeouts(Section):
    """How long the origin may take; 504 to the client beyond that."""

    connect: PositiveDuration = 5.0
    """To accept a connection, the TLS handshake included."""
    header: PositiveDuration = 60.0
    """From the end of the request to the response head."""
    idle: PositiveDuration = 60.0
    """Between two reads of the response body."""
    total: PositiveDuration | None = None
    """For all of it, to the last byte of the response, whatever is tried again."""


class OriginTls(Section):
    """How an https origin proves who it is."""

    verify: Flag = True
    """Check the certificate and its name."""
    ca: FileName | None = None
    """PEM file with the authorities to trust instead of the system's."""
    server_name: ServerName | None = None
    """Name to ask and check for (SNI) instead of the host of the URL."""


class Pool(Section):
    """Connections to each URL that are kept for the next request."""

    connections: Count = 256
    """At most so many at a time; further requests wait for one, up to timeouts.connect."""
    keepalive: Duration = 1.5
    """Close one that was idle for so long: sooner than application servers do (gunicorn: 2s)."""


class Forwarded(Section):
    """What the origin is told about the client."""

    x_forwarded: Flag = True
    """Send X-Forwarded-For, -Proto and -Host; off passes the client's, which then join the key."""
    forwarded: Flag = True
    """Send Forwarded (RFC 7239); off passes the client's, which then joins the key."""
    via: Flag = True
    """Add Via to requests and responses (RFC 9110 §7.6.3)."""


class Server(Section):
    """One of several that answer the same requests."""

    url: OriginUrl
    """http://host:port, https://host:port or unix:/path."""
    weight: Count = 1
    """Its share of the requests, relative to that of the others."""
    backup: Flag = False
    """Ask it only while none of the others may be asked."""


class Limit(Section):
    """How much is asked at a time, for each process; beyond it requests wait in turn, then 503."""

    concurrent: Count | None = None
    """Requests under way, over all URLs; tunnels do not count. Without: no limit."""
    queue: Whole = 100
    """Requests that wait for one of them to end."""
    queue_timeout: PositiveDuration = 5.0
    """For so long."""


class Retries(Section):
    """What failed is asked of another URL: requests of which nothing was sent, and idempotent ones
    without a body that got no response head."""  # noqa: D205, D209 - shown in editors as it is

    attempts: Whole = 1
    """Other URLs for one request, each asked once."""
    budget: Share = 0.2
    """Of all requests, so many may be sent again: an outage is not multiplied."""


class Breaker(Section):
    """When a URL is left alone, and how it comes back."""

    failures: Count | None = None
    """After so many in a row. Without: 5 where there are several URLs; a lone one never."""
    statuses: tuple[StatusRange, ...] = ()
    """Statuses that count as failures, besides errors: 500, 502-504 or 5xx."""
    pause: PositiveDuration = 1.0
    """Before it is tried again; doubles each time that fails."""
    max_pause: PositiveDuration = 30.0
    """The longest pause."""
    trials: Count = 1
    """So many requests try it then, all of which must succeed."""
    slow_start: Duration = 0.0
    """Over which its share of the requests grows again."""

    @model_validator(mode="after")
    def _pause_can_grow(self) -> "Breaker":
        if self.max_pause < self.pause:
            raise Refused("is longer than max_pause", "raise that too", at=("pause",))
        return self


class Health(Section):
    """Checks of each URL, apart from requests; without a path there are none."""

    path: CheckPath | None = None
    """What to GET."""
    interval: PositiveDuration = 5.0
    """Between two checks, give or take a tenth."""
    timeout: PositiveDuration = 2.0
    """To connect, and again for the response head."""
    healthy: Count = 2
    """Passed checks in a row after which it is tried again."""
    unhealthy: Count = 3
    """Failed checks in a row after which it is left alone."""
    statuses: tuple[StatusRange, ...] = ((200, 399),)
    """Statuses that pass: 200, 200-299 or 2xx."""

    @model_validator(mode="after")
    def _there_are_checks(self) -> "Health":
        settled = type(self).model_construct()
        if self.path is None and self != settled:
            raise Refused("checks nothing without a path", "write path: /health, say")
        if not self.statuses:
            raise Refused("lets no check pass", "write 2xx, say", at=("statuses",))
        return self


class _OrUrl:
    """In the schema: a URL alone will do for a server."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{KIND_KEY: ORIGIN_URL.name}, handler(schema)]}


def _server(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


def _distinct(servers: tuple[Server, ...]) -> tuple[Server, ...]:
    first = {one.url: index for index, one in reversed(list(enumerate(servers)))}
    twice = [
        Refused(f"{one.url} is listed twice", "remove it, or give one a weight", at=(index,))
        for index, one in enumerate(servers)
        if first[one.url] != index
    ]
    if twice:
        raise ManyRefused(twice)
    if servers and all(one.backup for one in servers):
        raise Refused("are all backups, of nothing", "remove backup from one")
    return servers


Servers: TypeAlias = Annotated[
    tuple[Annotated[Server, BeforeValidator(_server), _OrUrl], ...], AfterValidator(_distinct)
]
"""Of different URLs; not all of them backups."""


class Origin(Section):
    """The API that Warmfront stands in front of."""

    url: OriginUrl | None = None
    """http://host:port, https://host:port or unix:/path; --origin wins over it."""
    urls: Servers = ()
    """Several in place of `url`, each a URL or {url, weight, backup}."""
    balance: BalanceChoice = BalanceKind.ROUND_ROBIN
    """Which of them is asked: round_robin, least_connections or hash (the same for a resource)."""
    host: OriginHost = "preserve"
    """Host field of its requests: preserve (the client's), origin (the URL's) or a name."""
    timeouts: Timeouts = Timeouts()
    limit: Limit = Limit()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    health: Health = Health()
    tls: OriginTls = OriginTls()
    pool: Pool = Pool()
    forwarded: Forwarded = Forwarded()

    @model_validator(mode="after")
    def _one_of_both(self) -> "Origin":
        if self.url is not None and self.urls:
            raise Refused("are in place of `url`", "add that to the list", at=("urls",))
        return self

    @property
    def servers(self) -> tuple[Server, ...]:
        """All that answer for it; () where none is named yet."""
        return (Server(url=self.url),) if self.url is not None else self.urls

    @property
    def named(self) -> str:
        """Its URLs, for people; "" where there are none."""
        return ", ".join(one.url for one in self.servers)
