"""The keys of the YAML, their defaults and what they mean.

Frozen, and closed: an unknown key is a problem. A key without a value is as if it were not there,
except in `match`, where dropping a condition would widen a route without a word.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from proxy.problems import (
    ManyRefused,
    Problem,
    Refused,
    SettingsError,
    did_you_mean,
    quoted,
)
from proxy.rfc9111.policy import Policy
from proxy.routes import PathPattern
from proxy.settings import addresses
from proxy.settings.admin import Admin, Purge
from proxy.settings.listening import ListenList
from proxy.settings.origins import Origin
from proxy.settings.parsers import is_off
from proxy.settings.scalars import (
    LOG_LEVEL,
    WORKERS,
    ClientDirectivesChoice,
    Count,
    Duration,
    EditedFieldName,
    ErrorStatus,
    Factor,
    FieldValue,
    FileName,
    Flag,
    HeaderText,
    HostText,
    LogFormat,
    LogFormatChoice,
    LogLevel,
    LogLevelChoice,
    Method,
    OriginName,
    PathText,
    PositiveDuration,
    PositiveSize,
    QueryName,
    SetCookieChoice,
    Share,
    Size,
    Tag,
    Token,
    Whole,
    Workers,
)
from proxy.settings.section import Section
from proxy.settings.stores import Store
from proxy.settings.warming import Warm
from proxy.tags import Source, placeholders

_POLICY = Policy()
"""Where the defaults of the caching keys come from, so that there is one source of them."""


class Tls(Section):
    """The certificate that the listener shows; without it the listener speaks plain HTTP."""

    cert: FileName
    """PEM file with the certificate and its chain."""
    key: FileName
    """PEM file with the private key."""


class Limits(Section):
    """What one client may take."""

    header_timeout: PositiveDuration = 10.0
    """To send a whole request head."""
    body_idle: PositiveDuration = 30.0
    """Between two reads of a request body."""
    body_rate: Size = 500
    """Of a request body, bytes a second beyond body_idle of waiting in all; 0 for any."""
    body_size: PositiveSize | None = None
    """Of one request; a larger one is answered 413."""
    send_timeout: PositiveDuration = 60.0
    """For a client that is being sent to, to take something."""
    keepalive: PositiveDuration = 75.0
    """Between two requests on one connection."""
    request_line: PositiveSize = 8 * 1024
    """Longest request line; 414 beyond."""
    header_size: PositiveSize = 32 * 1024
    """All fields of one request head."""
    headers: Count = 200
    """Field lines in one request head."""
    connections: Count = 10_000
    """Open client connections; one more is answered 503."""
    connections_per_client: Count | None = None
    """Of one IPv4 address or IPv6 /64; one more is answered 429."""
    requests_per_connection: Count | None = None
    """After so many answers a connection is closed."""


class Key(Section):
    """What makes two requests the same for the cache; the origin gets every request unchanged."""

    ignore_query: tuple[QueryName, ...] = ()
    """Query parameters that do not matter; * stands for any text, as in utm_*."""
    sort_query: Flag = False
    """The order of query parameters does not matter."""
    headers: tuple[Token, ...] = ()
    """Request fields that matter though the response does not name them in Vary."""
    cookies: tuple[Token, ...] = ()
    """Cookies that matter."""


class ResponseHeaders(Section):
    """Edits of what the client gets, made in this order."""

    remove: tuple[EditedFieldName, ...] = ()
    """Drop every line of these names."""
    set: dict[EditedFieldName, FieldValue] = Field(default_factory=dict)
    """Replace all lines of the name by one."""
    add: dict[EditedFieldName, FieldValue] = Field(default_factory=dict)
    """Append a line."""


class Caching(Section):
    """How responses are cached; in a route these keys replace those of `defaults`, one by one."""

    cache: Flag = _POLICY.cache
    """off: pass everything through, store and reuse nothing."""
    ttl: Duration | None = _POLICY.ttl
    """Lifetime in place of what the origin says; never revives no-store or private."""
    default_ttl: Duration | None = _POLICY.default_ttl
    """Lifetime where the origin says nothing."""
    negative_ttl: dict[ErrorStatus, Duration] = Field(default_factory=dict)
    """Lifetime of errors (400 to 599) where the origin says nothing, by status."""
    stale_while_revalidate: Duration | None = _POLICY.stale_while_revalidate
    """Serve stale for so long while a refresh runs, where the origin says nothing."""
    stale_if_error: Duration | None = _POLICY.stale_if_error
    """Serve stale for so long when the origin fails, where it said nothing."""
    grace: Duration = _POLICY.grace
    """Serve stale for so long when the origin cannot be reached at all."""
    refresh_ahead: Factor = _POLICY.refresh_ahead
    """Refresh what is in demand before it expires, more likely the nearer that is: 1, more for
    earlier, off for never."""
    heuristic_max: Duration = _POLICY.heuristic_max
    """Longest lifetime guessed from Last-Modified; 0 guesses none."""
    set_cookie: SetCookieChoice = _POLICY.set_cookie
    """Responses that set a cookie: bypass (do not store), strip (store without) or store."""
    client_directives: ClientDirectivesChoice = _POLICY.client_directives
    """Cache-Control of requests: ignore (but only-if-cached and no-store) or honor."""
    targeted_fields: tuple[Token, ...] = _POLICY.targeted_fields
    """Fields that speak to this cache before Cache-Control does, most important first."""
    surrogate_control: Flag = _POLICY.surrogate_control
    """Obey Surrogate-Control, and keep it from clients."""
    strip_tags: Flag = True
    """Keep the fields that name tags, such as Surrogate-Key, from clients."""
    server_timing: Flag = False
    """Tell clients in Server-Timing what their answers took; hits then take longer, too."""
    key: Key = Key()
    response_headers: ResponseHeaders = ResponseHeaders()


class Match(Section):
    """Conditions on a request, all of which must hold; without any, every request matches."""

    empty_is_absent: ClassVar[bool] = False

    path: PathText | None = None
    """Path with {name} and * within a segment, and ** for any number of segments."""
    methods: tuple[Method, ...] = ()
    """One of these; GET stands for HEAD too."""
    hosts: tuple[HostText, ...] = ()
    """One of these, as example.com, *.example.com or example.com:8080."""
    headers: dict[Token, HeaderText] = Field(default_factory=dict, repr=False)
    """Values of request fields; after ~ a regular expression for the whole value."""


class Route(Caching):
    """Requests, and what applies to them; the first route that matches is the only one."""

    match: Match = Match()
    origin: OriginName | None = None
    """Which of `origins` its requests go to; without it, `origin`."""
    tags: tuple[Tag, ...] = ()
    """Tags that its responses are stored under, besides those of their own fields.
    {name} is what the path captured, {query.name} a parameter, {header.Name} of the response."""
    purge: tuple[Tag, ...] = ()
    """Tags that a successful unsafe request purges, made in the same way."""

    @model_validator(mode="after")
    def _names_are_captured(self) -> "Route":
        captured = PathPattern(self.match.path).names if self.match.path else ()
        missing = [
            _not_captured(wanted.name, captured, (key, index))
            for key in ("tags", "purge")
            for index, template in enumerate(getattr(self, key))
            for wanted in placeholders(template)
            if wanted.source is Source.PATH and wanted.name not in captured
        ]
        if missing:
            raise ManyRefused(missing)
        return self


def _not_captured(name: str, captured: Sequence[str], at: tuple[str, int]) -> Refused:
    close = get_close_matches(name, captured, n=1)
    hint = f"did you mean {{{close[0]}}}?" if close else f"write {{{name}}} in match.path"
    return Refused(f"{{{name}}} is not captured by the path", hint, at)


class Log(Section):
    """What is told on standard error."""

    level: LogLevelChoice = LogLevel.INFO
    """debug, info, warning or error."""
    format: LogFormatChoice = LogFormat.PRETTY
    """pretty for people, json for machines."""
    access: Flag = True
    """One line for each request."""
    access_sample: Share = 1.0
    """So many of them are written; errors in any case."""


class Explain(Section):
    """What is kept of answered requests for `warmfront explain`."""

    ring: Whole = 1000
    """So many fresh hits and as many of all others, the last ones. Clients are told in
    Warmfront-Request-Id what to ask for. 0: nothing is kept, and no client is told anything."""
    sample: Share = 1.0
    """So many of all requests are kept."""


def _off_is_none(value: Any) -> Any:
    return None if is_off(value) else value


class _Told:
    """What is wrong with flags, each of which is read though another is wrong."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def read(self, flag: str, parse: Callable[[str], Any], text: str) -> Any:
        try:
            return parse(text)
        except Refused as refused:
            self.problems.append(
                Problem(message=refused.message, suggestion=refused.suggestion, path=flag)
            )


class Settings(Section):
    """Configuration of Warmfront."""

    listen: ListenList = (addresses.TcpAddress("127.0.0.1", 8080),)
    """Address or list of addresses: host:port, [::1]:port, :port for everywhere, unix:/path."""
    reuse_port: Flag = False
    """Other processes may listen on the same addresses at the same time (SO_REUSEPORT)."""
    tls: Tls | None = None
    allowed_hosts: tuple[HostText, ...] = ()
    """Hosts that requests may be for, as in `match`; others are answered 421. Empty: all."""
    workers: Workers = 1
    """Processes that answer clients, a number or `auto` for one on each core.
    store.memory.max_size is shared out among them, other limits apply to each."""
    origin: Origin = Origin()
    origins: dict[OriginName, Origin] = Field(default_factory=dict)
    """More of them, by name, for routes that go elsewhere."""
    limits: Limits = Limits()
    store: Store = Store()
    admin: Annotated[Admin | None, BeforeValidator(_off_is_none)] = Admin()
    purge: Purge = Purge()
    warm: Warm = Warm()
    defaults: Caching = Caching()
    routes: tuple[Route, ...] = ()
    """Exceptions from `defaults`; the first route that matches a request applies."""
    log: Log = Log()
    tracing: Flag = False
    """Send OpenTelemetry spans where OTEL_EXPORTER_OTLP_ENDPOINT says; needs the extra `otel`."""
    explain: Explain = Explain()
    drain_delay: Duration = 0.0
    """After SIGTERM, answer for so long as before while /readyz says no, for load balancers."""
    drain_timeout: Duration = 30.0
    """After that, so long may open requests take to end."""

    @model_validator(mode="after")
    def _origins_exist(self) -> "Settings":
        refused = [
            Refused("names no URL", "write url: http://127.0.0.1:8000, say", ("origins", name))
            for name, origin in self.origins.items()
            if not origin.servers
        ]
        refused += [
            Refused(
                f"{quoted(route.origin)} is not one of `origins`",
                did_you_mean(route.origin, self.origins) or "name it there",
                ("routes", number, "origin"),
            )
            for number, route in enumerate(self.routes)
            if route.origin is not None and route.origin not in self.origins
        ]
        if refused:
            raise ManyRefused(refused)
        return self

    @property
    def connections_out(self) -> int:
        """The most connections to all origins and Redis at a time, tunnels not counted."""
        redis = self.store.redis
        origins = (self.origin, *self.origins.values())
        return sum(len(one.servers) * one.pool.connections for one in origins) + (
            0 if redis is None else redis.connections
        )

    def with_overrides(
        self,
        *,
        origin: str | None = None,
        listen: Sequence[str] | None = None,
        log_level: str | None = None,
        admin: str | None = None,
        redis: str | None = None,
        workers: str | None = None,
    ) -> "Settings":
        """These settings with what the command line says instead; nothing given, nothing changed.

        Raises:
            SettingsError: A flag's value cannot be used; all that cannot are named.
        """
        told = _Told()
        changes: dict[str, Any] = {}
        if origin is not None:
            url = told.read("--origin", addresses.parse_origin, origin)
            changes["origin"] = self.origin.model_copy(update={"url": url, "urls": ()})
        if listen:
            given = [told.read("--listen", addresses.parse_listen, text) for text in listen]
            changes["listen"] = tuple(dict.fromkeys(given))
        if log_level is not None:
            level = told.read("--log-level", LOG_LEVEL.parse, log_level)
            changes["log"] = self.log.model_copy(update={"level": level})
        if admin is not None:
            changes["admin"] = told.read("--admin", self._admin_at, admin)
        if redis is not None:
            changes["store"] = told.read("--redis", self.store.with_redis, redis)
        if workers is not None:
            changes["workers"] = told.read("--workers", WORKERS.parse, workers)
        if told.problems:
            raise SettingsError(told.problems)
        return self.model_copy(update=changes)

    def for_worker(
        self, *, workers: int, listen: Sequence[str], admin: Sequence[str] | None
    ) -> "Settings":
        """Those of one of several workers.

        Args:
            workers: How many share the memory.
            listen: Where they answer.
            admin: Where this one answers the admin API; None where it does not.
        """
        memory = self.store.memory
        share = memory.model_copy(update={"max_size": max(1, memory.max_size // workers)})
        changes: dict[str, Any] = {
            "listen": tuple(map(addresses.parse_listen, listen)),
            "store": self.store.model_copy(update={"memory": share}),
            "admin": None,
        }
        if admin is not None and self.admin is not None:
            at = {"listen": tuple(map(addresses.parse_listen, admin))}
            changes["admin"] = self.admin.model_copy(update=at)
        return self.model_copy(update=changes)

    def _admin_at(self, text: str) -> Admin | None:
        if is_off(text):
            return None
        address = addresses.parse_listen(text)
        return (self.admin or Admin()).model_copy(update={"listen": (address,)})

    def require_origin(self) -> str:
        """The origin's URL or URLs, for people; nothing works without one.

        Raises:
            SettingsError: Neither the file nor a flag names one.
        """
        if not self.origin.servers:
            raise SettingsError(
                [
                    Problem(
                        path="origin.url",
                        message="missing",
                        suggestion="write origin: {url: http://127.0.0.1:8000}, or give --origin",
                    )
                ]
            )
        return self.origin.named
