"""Single things to purge, from text to what Control takes; each refused with what helps.

A URL names its resource in both schemes: where TLS ends in front of the proxy, clients say
https:// to what is stored as http://, and forgetting one too many only costs a fetch.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import quote

from proxy.admin import patterns
from proxy.admin.control import PurgeOrder
from proxy.admin.problems import Fault
from proxy.admin.reading import shown
from proxy.rfc9111.keys import normalise_authority
from proxy.tags import MAX_TAG_SIZE

MAX_URL: Final = 8192

_URL: Final = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_HOST: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::([0-9]{1,5}))?"
)
_MAX_PORT: Final = 65535
_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_OTHER_SCHEME: Final = {"http": "https", "https": "http"}


class InvalidItem(ValueError):  # noqa: N818 - it is a verdict on the item
    """Something that cannot be purged.

    Attributes:
        what: What is wrong with it.
        how: What to write instead.
    """

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what}: {how}")
        self.what = what
        self.how = how


@dataclass(slots=True)
class Wanted:
    """What a request names, as it stands there.

    Attributes:
        composed: A pattern whose parts have been checked, in place of `pattern`.
    """

    tags: Iterable[str] = ()
    urls: Iterable[str] = ()
    prefixes: Iterable[str] = ()
    hosts: Iterable[str] = ()
    pattern: str | None = None
    composed: str | None = None
    everything: bool = False
    soft: bool = False


@dataclass(slots=True)
class Checked:
    """What can be purged of it, and what cannot."""

    order: PurgeOrder
    faults: list[Fault] = field(default_factory=list)


def check(wanted: Wanted) -> Checked:
    """Sort what is valid from what is not."""
    faults: list[Fault] = []
    order = PurgeOrder(
        tags=_each("tags", wanted.tags, tag, faults),
        urls=_each("urls", wanted.urls, url, faults),
        prefixes=_each("prefixes", wanted.prefixes, prefix, faults),
        hosts=_each("hosts", wanted.hosts, host, faults),
        pattern=_pattern(wanted, faults),
        everything=wanted.everything,
        soft=wanted.soft,
    )
    return Checked(order, faults)


def tag(text: str) -> tuple[str]:
    """A tag, as it is; raises InvalidItem."""
    if not text:
        raise InvalidItem("empty", "remove it")
    if not text.isprintable():
        raise InvalidItem("holds a control character", "remove it")
    if len(text.encode()) > MAX_TAG_SIZE:
        raise InvalidItem(f"longer than {MAX_TAG_SIZE} bytes", "no response can carry it")
    return (text,)


def url(text: str) -> tuple[str, ...]:
    """An absolute URL in both schemes, without fragment; raises InvalidItem."""
    if len(text) > MAX_URL:
        raise InvalidItem(f"longer than {MAX_URL} characters", "no request can name it")
    found = _URL.fullmatch(text)
    if found is None:
        raise InvalidItem("not an absolute URL", "write http://host/path")
    scheme, authority, target = found[1].lower(), found[2], found[3]
    _check_authority(authority)
    authority = normalise_authority(authority, scheme)
    rest = _encoded(target if target.startswith("/") else f"/{target}")
    return f"{scheme}://{authority}{rest}", f"{_OTHER_SCHEME[scheme]}://{authority}{rest}"


def prefix(text: str) -> tuple[str, ...]:
    """`/a/b`, `//host/a`, `host/a` or `http://host/a` as PurgeOrder has it; raises InvalidItem."""
    if "?" in text or "#" in text:
        raise InvalidItem("a prefix has no query", "end it at a path segment, or purge the URL")
    if text.endswith("*"):
        raise InvalidItem("a prefix has no wildcard", "leave it out: all below is meant")
    if not text:
        raise InvalidItem("empty", "write /path, or //host/path")
    _, _, rest = text.rpartition("://")
    rest = rest.removeprefix("//") if rest.startswith("//") else rest
    if rest.startswith("/"):
        if rest != text:
            raise InvalidItem("no host after //", "write /path, or //host/path")
        return (_closed(_encoded(text)),)
    authority, _, path = rest.partition("/")
    if rest == text and not (set(authority) & set(".:") or authority.lower() == "localhost"):
        raise InvalidItem("neither a path nor a host", f"write /{shown(text)}, or //host/path")
    path = _closed(_encoded(f"/{path}"))
    return tuple(f"//{name}{path}" for name in host(authority))


def host(text: str) -> tuple[str, ...]:
    """`host[:port]` as keys spell it, also without a port that may be a default."""
    _check_authority(text)
    spellings = (normalise_authority(text, scheme) for scheme in ("", "http", "https"))
    return tuple(dict.fromkeys(spellings))


def _each(
    where: str, items: Iterable[str], parse: Callable[[str], Iterable[str]], faults: list[Fault]
) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for number, item in enumerate(items):
        try:
            found.update(dict.fromkeys(parse(item)))
        except InvalidItem as error:
            what = f"{shown(item)!r}: {error.what}"
            faults.append(Fault(where=f"{where}[{number}]", what=what, how=error.how))
    return tuple(found)


def _pattern(wanted: Wanted, faults: list[Fault]) -> str | None:
    if wanted.pattern is None:
        return wanted.composed
    try:
        return patterns.check(wanted.pattern, matches_all=wanted.everything)
    except patterns.InvalidPattern as error:
        faults.append(Fault(where="pattern", what=error.what, how=error.how))
        return None


def _check_authority(text: str) -> None:
    if "*" in text:
        raise InvalidItem("a host has no wildcard", "name each host, or use a pattern")
    found = _HOST.fullmatch(text)
    if found is None:
        raise InvalidItem("no valid host", "write a name or address, Unicode names as xn--...")
    address, port = found.groups()
    if port and int(port) > _MAX_PORT:
        raise InvalidItem("no valid port", f"write 1 to {_MAX_PORT}")
    try:
        if address is not None:
            IPv6Address(address)
    except AddressValueError:
        raise InvalidItem("no valid IPv6 address", "write [::1], say") from None


def _encoded(path: str) -> str:
    """`path` as browsers send it: what is not ASCII is percent-encoded."""
    try:
        encoded = quote(path, safe=_ASCII)
    except UnicodeEncodeError:
        raise InvalidItem("holds half a character", "write whole ones") from None
    if any(character <= " " or character == "\x7f" for character in path):
        raise InvalidItem("holds a blank or control character", "percent-encode it")
    return encoded


def _closed(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"
