"""Where Redis is and how to treat it: one URL, or a URL and what it leaves open."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import SplitResult, unquote

_REDIS_PORT = 6379
_SENTINEL_PORT = 26379
_MAX_PORT = 65535


class Mode(StrEnum):
    """How the servers stand to each other."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_SCHEMES: dict[str, tuple[Mode | None, bool]] = {
    "redis": (None, False),
    "rediss": (None, True),
    "unix": (Mode.STANDALONE, False),
    "redis+sentinel": (Mode.SENTINEL, False),
    "rediss+sentinel": (Mode.SENTINEL, True),
    "redis+cluster": (Mode.CLUSTER, False),
    "rediss+cluster": (Mode.CLUSTER, True),
}
"""Scheme to (mode, TLS); None: the explicit mode, standalone without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions:
    """How to reach Redis; times in seconds.

    Attributes:
        nodes: Host and port of each server to begin with (sentinels in that mode).
        service: Name that sentinels know the primary by.
        path: Unix socket instead of `nodes`, "" for none.
        username: ACL user (Redis 6), None for the default user.
        sentinel_password: Of the sentinels themselves, which have users of their own.
        ca_file: Who may have signed the certificate, None for the system's list.
        certificate_file: PEM with the client's certificate; its key is there or in `key_file`.
        timeout: Longest wait of a request for one answer.
        background_timeout: Longest wait for one answer where no request waits.
        max_connections: Bound of the pool, for each process.
        namespace: What all keys begin with.
        version: Follows the namespace; another one starts afresh.
        failures: That many in a row open the circuit breaker.
        retry_after: First pause before Redis is tried again; it doubles up to `retry_limit`.
    """

    mode: Mode = Mode.STANDALONE
    nodes: tuple[tuple[str, int], ...] = (("127.0.0.1", _REDIS_PORT),)
    service: str = ""
    path: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False
    verify: bool = True
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    connect_timeout: float = 1.0
    timeout: float = 0.25
    background_timeout: float = 2.0
    max_connections: int = 32
    namespace: str = "wf"
    version: int = 1
    failures: int = 5
    retry_after: float = 0.1
    retry_limit: float = 2.0

    def __post_init__(self) -> None:
        if not self.namespace or any(c in "{}" or not c.isprintable() for c in self.namespace):
            raise ValueError("namespace must be printable, not empty and without braces")
        if self.mode is Mode.CLUSTER and self.database:
            raise ValueError("a cluster has no database but 0")
        if self.mode is Mode.SENTINEL and not self.service:
            raise ValueError("sentinels need the service's name: redis+sentinel://host/NAME")

    @classmethod
    def from_url(cls, url: str, *, mode: Mode | None = None, **others: object) -> "RedisOptions":
        """Read a URL; `others` are attributes and win over it.

        `redis://[user[:password]@]host[:port][/database]`, `rediss://` for TLS,
        `unix:///path/to/socket`, `redis+cluster://host,host`,
        `redis+sentinel://host,host/service[/database]`, the last two with `rediss` as well.

        Raises:
            ValueError: With what is wrong in words, without the URL (it may hold a password).
        """
        parts = _split(url)
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"unknown scheme {parts.scheme!r}: use {', '.join(_SCHEMES)}")
        if parts.query or parts.fragment:
            raise ValueError("the URL takes no query: use the options of their own")
        own_mode, tls = _SCHEMES[parts.scheme]
        if mode and own_mode and mode is not own_mode:
            raise ValueError(f"the URL says {own_mode}, the mode says {mode}")
        found: dict[str, object] = {
            "mode": mode or own_mode or Mode.STANDALONE,
            "tls": tls,
            **_credentials(parts),
            **_place(parts, mode or own_mode or Mode.STANDALONE),
        }
        return cls(**(found | others))  # type: ignore[arg-type]

    @property
    def prefix(self) -> str:
        """What every key begins with."""
        return f"{self.namespace}:{self.version}:"

    @property
    def address(self) -> str:
        """Where Redis is, for people: without user and password."""
        if self.path:
            return f"unix://{self.path}"
        hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.nodes)
        return f"{self.mode} {hosts}" + (f" {self.service}" if self.service else "")

    def with_changes(self, **changes: object) -> "RedisOptions":
        """A copy with some attributes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def _split(url: str) -> SplitResult:
    """What urlsplit does, which takes no more than one host in brackets since Python 3.11.12."""
    scheme, _, rest = url.partition(":")
    place, _, fragment = rest.partition("#")
    place, _, query = place.partition("?")
    netloc = ""
    if place.startswith("//"):
        netloc, slash, path = place[2:].partition("/")
        place = slash + path
    return SplitResult(scheme.lower(), netloc, place, query, fragment)


def _credentials(parts: SplitResult) -> dict[str, object]:
    found: dict[str, object] = {}
    if parts.username:
        found["username"] = unquote(parts.username)
    if parts.password:
        found["password"] = unquote(parts.password)
    return found


def _place(parts: SplitResult, mode: Mode) -> dict[str, object]:
    if parts.scheme == "unix":
        return {"path": unquote(parts.path), "nodes": ()}
    default = _SENTINEL_PORT if mode is Mode.SENTINEL else _REDIS_PORT
    nodes = tuple(_node(text, default) for text in parts.netloc.rpartition("@")[2].split(","))
    if mode is Mode.STANDALONE and len(nodes) > 1:
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    path = [unquote(segment) for segment in parts.path.split("/") if segment]
    found: dict[str, object] = {"nodes": nodes}
    if mode is Mode.SENTINEL and path:
        found["service"] = path.pop(0)
    if path:
        found["database"] = _number(path.pop(0), "database")
    if path:
        raise ValueError("the URL's path is too long")
    return found


def _node(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        if not closed:
            raise ValueError("a bracket in the URL does not close")
    elif not colon:
        host, port = text, ""
    number = _number(port, "port") if port else default
    if not host or not 0 < number <= _MAX_PORT:
        raise ValueError("a host or port in the URL is missing or impossible")
    return host, number


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the {what} in the URL is not a number")
    return int(text)
