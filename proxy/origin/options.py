"""Where the origin is and how long to wait for it."""

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an origin URL names.

    Attributes:
        scheme: `http`, `https` or `unix`.
        host: Name or address without brackets; "" for `unix`.
        port: TCP port; 0 for `unix`.
        path: The socket's path; "" for TCP.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """What a Host field of the origin's own says; default ports are left out."""
        if self.scheme == "unix":
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class OriginOptions:
    """How to reach one origin. All durations in seconds.

    Attributes:
        url: `http://host[:port]`, `https://host[:port]` or `unix:///path/to.sock`.
        connect_timeout: Waiting for a free slot in the pool, resolving, connecting, TLS.
        header_timeout: From the request sent to the final response head; it also bounds a stall
            of the origin while the request body is sent.
        idle_timeout: Between two reads of the body.
        verify: Check the certificate and its name.
        ca_file: Trust these certificates (PEM) instead of the system's.
        server_name: Name for SNI and the certificate check, where it is not the URL's host.
        connections: Exchanges at a time, tunnels not counted; 0 for no limit.
        keepalive: How long an idle connection is kept; servers close theirs, gunicorn after 2 s.
        header_size: Bytes of one response head.
        headers: Field lines of one response head.
        lean: Requests without a body take the lean path; False lets tests compare.
    """

    url: str
    connect_timeout: float = 5.0
    header_timeout: float = 60.0
    idle_timeout: float = 60.0
    verify: bool = True
    ca_file: str | None = None
    server_name: str | None = None
    connections: int = 512
    keepalive: float = 1.5
    header_size: int = 131_072
    headers: int = 1000
    lean: bool = True

    @property
    def endpoint(self) -> Endpoint:
        """The URL, parsed. Raises ValueError with a sentence for the operator."""
        return parse_origin_url(self.url)


def parse_origin_url(url: str) -> Endpoint:
    """Parse an origin URL; raise ValueError with a sentence for the operator.

    A base path is refused: the origin gets the client's request target byte for byte.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"origin URL {url!r}: {error}") from None
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError(f"origin URL {url!r}: a query or fragment has no meaning here")
    if parts.scheme == "unix":
        return _unix_endpoint(url, parts)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"origin URL {url!r}: must begin with http://, https:// or unix:///")
    if "@" in parts.netloc:
        raise ValueError(f"origin URL {url!r}: user and password are not supported")
    if not parts.hostname or port == 0:
        raise ValueError(f"origin URL {url!r}: host or port is missing")
    if _is_short_address(parts.hostname):
        raise ValueError(f"origin URL {url!r}: an IPv4 address has four numbers")
    if parts.path not in {"", "/"}:
        raise ValueError(
            f"origin URL {url!r}: a base path ({parts.path}) is not supported; "
            "request targets reach the origin unchanged"
        )
    return Endpoint(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme])


def _is_short_address(host: str) -> bool:
    """`127.1` and the like: an address to some, a name to others."""
    if ":" in host or not host.rpartition(".")[2].isdecimal():
        return False
    try:
        IPv4Address(host)
    except AddressValueError:
        return True
    return False


def _unix_endpoint(url: str, parts: SplitResult) -> Endpoint:
    if parts.netloc or len(parts.path) < len("/x"):
        raise ValueError(f"origin URL {url!r}: write unix:///absolute/path.sock")
    return Endpoint("unix", "", 0, parts.path)
