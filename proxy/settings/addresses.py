"""Where to listen and where the origin is."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TypeAlias
from urllib.parse import urlsplit

from proxy.problems import Refused, did_you_mean, quoted

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_NAME = 253
_IPV4_LIKE = re.compile(r"[0-9.]+")
_HIGHEST_PORT = 65535
_LONGEST_SOCKET_PATH = 107  # bytes in sun_path, less the closing NUL (Linux)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An address to listen on.

    Attributes:
        host: A name or an IP address without brackets; "" for all interfaces.
        port: 0 for one that the system picks.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket to listen on, by its absolute path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


ListenAddress: TypeAlias = TcpAddress | UnixAddress


def parse_listen(text: str) -> ListenAddress:
    """An address from `host:port`, `[::1]:port`, `:port` or `unix:/path`.

    Raises:
        Refused: It is none of these.
    """
    if text.startswith("unix:"):
        return UnixAddress(_socket_path(text))
    if "//" in text:
        raise Refused(f"{quoted(text)} is a URL", "write host:port, such as 127.0.0.1:8080")
    if text.isascii() and text.isdigit():
        raise Refused(
            f"{quoted(text)} is only a port", f"write 127.0.0.1:{text}, or :{text} for everywhere"
        )
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        raise Refused(f"{quoted(text)} has no port", f"write {text}:8080")
    if host == "*":
        raise Refused(f"{quoted(text)} is not an address", f"write :{port} for all interfaces")
    number = _port(port, text)
    return TcpAddress("" if host == "" else _host(host).strip("[]"), number)


def parse_origin(text: str) -> str:
    """An origin's URL in its plain form: `http://host[:port]`, `https://...`, `unix:///path`.

    Raises:
        Refused: Another scheme, or parts that cannot apply to an origin.
    """
    if text.startswith("unix:"):
        return f"unix://{_socket_path(text)}"
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise Refused(f"{quoted(text)} is not a URL: it has blanks or non-ASCII characters")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise Refused(f"{quoted(text)} is not a URL", f"write http://{text}")
    if scheme.lower() not in {"http", "https"}:
        raise Refused(
            f"{quoted(scheme)} is not a scheme of an origin",
            did_you_mean(scheme, ("http", "https", "unix")) or "write http, https or unix",
        )
    if "@" in rest:
        raise Refused("a URL of an origin has no user and password", "remove the part before @")
    return f"{scheme.lower()}://{_authority(text).lower()}"


def _authority(text: str) -> str:
    """host[:port] of a URL that must have nothing after it."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise Refused(f"{quoted(text)} is not a URL: its brackets do not match") from None
    if parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise Refused(
            "an origin has no path: requests keep the path they came with",
            f"write {parts.scheme}://{parts.netloc}",
        )
    return parse_authority(parts.netloc)


def parse_authority(text: str) -> str:
    """`host` or `host:port`, checked.

    Raises:
        Refused: A malformed host or port.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return _host(text)
    if _port(port, text) == 0:
        raise Refused(f"{quoted(text)} has port 0, where nothing can be reached")
    return f"{_host(host)}:{port}"


def parse_origin_host(text: str) -> str:
    """`preserve`, `origin`, or the name to send in Host.

    Raises:
        Refused: Not a name, or one that looks like a slip of `preserve`.
    """
    if text in {"preserve", "origin"}:
        return text
    if get_close_matches(text.lower(), ["preserve"], cutoff=0.8):
        raise Refused(f"{quoted(text)} is neither preserve nor origin", "did you mean preserve?")
    return parse_authority(text)


def parse_server_name(text: str) -> str:
    """A host name for the TLS handshake (SNI), without a port.

    Raises:
        Refused: Not a name.
    """
    return _host(text)


def _socket_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not path.startswith("/"):
        raise Refused(f"{quoted(text)} needs an absolute path", f"write unix:/{path}")
    path = "/" + path.lstrip("/")
    if path == "/" or not path.isprintable():
        raise Refused(f"{quoted(text)} is not the path of a socket", "write unix:/run/api.sock")
    if len(path.encode()) > _LONGEST_SOCKET_PATH:
        raise Refused(
            f"the path of a Unix socket is longer than {_LONGEST_SOCKET_PATH} bytes",
            "choose a shorter one",
        )
    return path


def _port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= len(str(_HIGHEST_PORT))):
        raise Refused(f"{quoted(text)} has no valid port", "write host:port, such as api:8080")
    if int(port) > _HIGHEST_PORT:
        raise Refused(f"port {port} does not exist", f"write at most {_HIGHEST_PORT}")
    return int(port)


def _host(host: str) -> str:
    """`host` if it is an IPv4 address, a bracketed IPv6 address or a name."""
    try:
        if host.startswith("[") and host.endswith("]"):
            IPv6Address(host[1:-1])
            return host
        if ":" in host:
            IPv6Address(host)
            raise Refused(f"{quoted(host)} needs brackets", f"write [{host}]")
        if _IPV4_LIKE.fullmatch(host):
            return str(IPv4Address(host))
    except AddressValueError:
        raise Refused(f"{quoted(host)} is not an IP address") from None
    if len(host) > _LONGEST_NAME or not _is_name(host):
        raise Refused(f"{quoted(host)} is not a host name")
    return host


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return all(_LABEL.fullmatch(label) for label in labels)
