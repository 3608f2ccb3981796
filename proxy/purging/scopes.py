"""What an entry can be purged by. One purge names scopes; an entry has all of its own.

    *                                everything
    host:api.example:8080            all of one authority
    url:http://api.example/a?b       one URL, all variants
    prefix:/a/                       a path and all below it, on every host
    prefix://api.example/a/          the same on one host
    tag:product:42                   whatever carries the tag
    group:http://api.example name    a cache group (RFC 9875), which never leaves its origin

Where a scope would have to be cut short, the coarser one stands for it: too much is forgotten,
never too little. So URLs and prefixes count in one spelling: `%7e` and `~`, `%c3` and `%C3`, and a
raw byte and its encoding are one to most origins (RFC 3986 §6.2.2), though they have keys of their
own.
"""

import re
from collections.abc import Iterable, Iterator

ALL = "*"

_UNRESERVED = r"A-Za-z0-9\-._~"
_RESPELLED = re.compile(rf"%([0-9A-Fa-f]{{2}})|[^{_UNRESERVED}%:/?#\[\]@!$&'()*+,;=]")
_PLAIN = re.compile(rf"[{_UNRESERVED}]")

_DEPTH = 64
"""Path segments that prefixes tell apart: it bounds what a path of slashes alone can cost."""


def host_scope(authority: str) -> str:
    """All that is stored for one authority, spelled as in URLs: no default port."""
    return f"host:{authority.lower()}"


def url_scope(url: str) -> str:
    """All variants of one URL, as the primary key's first line has it."""
    origin = origin_of(url)
    return f"url:{origin}{_one_spelling(url[len(origin) :])}"


def tag_scope(tag: str) -> str:
    """All that carries a tag; tags are compared as they are spelled."""
    return f"tag:{tag}"


def group_scope(origin: str, name: str) -> str:
    """A cache group within its origin (`scheme://authority`)."""
    return f"group:{origin} {name}"


def prefix_scope(text: str) -> str:
    """All below a path, itself included: `/a`, or `//host/a` on one host; by whole segments.

    Raises:
        ValueError: It is neither, or has a query.
    """
    if not text.startswith("/") or "?" in text or "#" in text:
        raise ValueError("a prefix is a path such as /a/b, or //host/a/b, without a query")
    authority = ""
    path = text
    if text.startswith("//"):
        host, _, rest = text[2:].partition("/")
        if not host:
            raise ValueError("a prefix that begins with // names a host")
        authority, path = f"//{host.lower()}", f"/{rest}"
    *_, longest = _prefixes(_one_spelling(path))
    return f"prefix:{authority}{longest}"


def origin_of(url: str) -> str:
    """`scheme://authority` of an absolute URL."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.partition('/')[0].partition('?')[0]}"


def scopes_of(url: str, tags: Iterable[str] = (), groups: Iterable[str] = ()) -> tuple[str, ...]:
    """All scopes of one entry.

    Args:
        url: Absolute, as the primary key's first line has it.
        tags: As stored, compared as they are spelled.
        groups: Names of cache groups, within the URL's origin.
    """
    origin = origin_of(url)
    authority = origin.partition("://")[2].lower()
    rest = _one_spelling(url[len(origin) :])
    prefixes = tuple(_prefixes(rest.partition("?")[0]))
    return (
        ALL,
        host_scope(authority),
        f"url:{origin}{rest}",
        *(f"prefix:{prefix}" for prefix in prefixes),
        *(f"prefix://{authority}{prefix}" for prefix in prefixes),
        *(tag_scope(tag) for tag in tags),
        *(group_scope(origin, name) for name in groups),
    )


def _one_spelling(text: str) -> str:
    """Percent-encoded where it must be, and nowhere else."""
    return _RESPELLED.sub(_respelled, text)


def _respelled(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else ord(found[0])
    return chr(code) if _PLAIN.match(chr(code)) else f"%{code:02X}"


def _prefixes(path: str) -> Iterator[str]:
    """`/`, `/a/` and `/a/b/` of `/a/b` as of `/a/b/`."""
    prefix = "/"
    yield prefix
    segments = path.split("/", _DEPTH + 1)[1 : _DEPTH + 1]
    if segments and not segments[-1]:
        segments.pop()
    for segment in segments:
        prefix += f"{segment}/"
        yield prefix
