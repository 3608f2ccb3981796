"""Which policy a request gets: the first route that matches, else the fallback.

Paths are matched as they were received: percent-encoded, without the query, case-sensitive.

    /products/{id}    `{id}` takes the text of one segment and keeps it under that name
    /files/*.css      `*` takes any text within one segment; alone, at least one character
    /account/**       `**` takes any number of whole segments, also none

A pattern becomes one regular expression that never looks back over a wildcard that is already
placed, so that no path, however hostile, costs more than its length times the pattern's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote

from proxy.rfc9111.messages import Headers, Request, field_value
from proxy.rfc9111.policy import Policy

HeaderCondition: TypeAlias = tuple[str, str | re.Pattern[str]]
"""A field name with its whole value: the same text, or a full match of the expression."""

_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_IN_PATH = re.compile(r"[!-~]+")
_HOST = re.compile(r"(\*\.)?([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?", re.ASCII)
_ANY_SEGMENTS = "(?:/[^/]*+)*"


class PathPattern:
    """A compiled path pattern.

    Raises:
        ValueError: The pattern is malformed; the text says what to write instead.
    """

    __slots__ = ("_regex", "names", "text")

    def __init__(self, text: str) -> None:
        _check_path(text)
        self.text = text
        self.names = _unique(_NAME.findall(text), text)
        self._regex = re.compile(_path_regex(text.split("/")[1:]), re.DOTALL)

    def __repr__(self) -> str:
        return f"PathPattern({self.text!r})"

    def match(self, path: str) -> dict[str, str] | None:
        """The captured names if the whole of `path` matches, else None."""
        found = self._regex.fullmatch(path)
        return None if found is None else found.groupdict()


def _check_path(text: str) -> None:
    if not text.startswith("/"):
        raise ValueError(f"path {text!r} must start with '/', as in '/products/{{id}}' or '/**'")
    if "?" in text or "#" in text:
        raise ValueError(
            f"path {text!r} is matched without the query: drop '?' or '#' and the rest"
        )
    if not _IN_PATH.fullmatch(text):
        encoded = quote(text, safe="/{}*%:@!$&'()+,;=~")
        raise ValueError(f"path {text!r} must be percent-encoded: write {encoded!r}")


def _unique(names: list[str], text: str) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"path {text!r} uses {{{name}}} twice: give each place its own name")
    return tuple(names)


def _path_regex(segments: list[str]) -> str:
    """All segments as one expression; between two `**` the earliest fit is the only one tried."""
    runs: list[str] = [""]
    for segment in segments:
        if segment == "**":
            runs.append("")
        else:
            runs[-1] += "/" + _segment_regex(segment)
    return _globbed(runs, _ANY_SEGMENTS)


def _segment_regex(segment: str) -> str:
    if "**" in segment:
        mended = segment.replace("**", "*")
        raise ValueError(f"'**' stands for whole segments: write '**/{mended}' for {segment!r}")
    literal = _NAME.sub("", segment)
    if "{" in literal or "}" in literal:
        raise ValueError(f"{segment!r} has a brace out of place: write a name as '{{product_id}}'")
    names = _NAME.findall(segment)
    if len(names) > 1 or (names and "*" in literal):
        raise ValueError(f"{segment!r} may hold one wildcard beside its text: keep one '{{name}}'")
    if names:
        before, _, after = _NAME.split(segment)
        return f"{re.escape(before)}(?P<{names[0]}>[^/]+){re.escape(after)}(?![^/])"
    if segment == "*":
        return "[^/]++"
    return _globbed([re.escape(text) for text in segment.split("*")], "[^/]*") + "(?![^/])"


def _globbed(pieces: list[str], wildcard: str) -> str:
    """`pieces` with a wildcard between each two.

    Only the last wildcard may need to give back what it took. For each before it the earliest
    fit of the piece that follows leaves the most for the rest, hence the atomic groups.
    """
    first, *middle = pieces
    if not middle:
        return first
    last = middle.pop()
    return first + "".join(f"(?>{wildcard}?{piece})" for piece in middle) + wildcard + last


class HostPattern:
    """`example.com` or `*.example.com` (its subdomains, not itself), either with a port.

    Without a port every port matches. Names are compared without regard to case.

    Raises:
        ValueError: The pattern is malformed; the text says what to write instead.
    """

    __slots__ = ("_host", "_port", "_subdomains")

    def __init__(self, text: str) -> None:
        found = _HOST.fullmatch(text.lower())
        if found is None:
            raise ValueError(
                f"host {text!r} must be a name such as 'api.example.com', '*.example.com' or "
                "'api.example.com:8080', without a scheme or a path"
            )
        self._subdomains, self._host, self._port = found[1] is not None, found[2], found[3]

    def matches(self, authority: str) -> bool:
        """Whether `host[:port]` fits."""
        host, port = _split_port(authority.lower())
        if self._port is not None and self._port != port:
            return False
        return host.endswith("." + self._host) if self._subdomains else host == self._host


def _split_port(authority: str) -> tuple[str, str]:
    host, colon, port = authority.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        return authority, ""
    return host, ":" + port


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderEdits:
    """Changes to the fields of a response, made in the order remove, set, add.

    Attributes:
        set: Replace every line of the name by one with this value.
        add: Append a line.
        remove: Drop every line of the name.
    """

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()

    @property
    def replaced(self) -> frozenset[str]:
        """Lower-case names of the fields whose lines go."""
        return frozenset(name.lower() for name in (*self.remove, *(name for name, _ in self.set)))

    @property
    def names(self) -> frozenset[str]:
        """Lower-case names of all fields that are changed."""
        return frozenset(
            name.lower() for name in (*self.remove, *(name for name, _ in (*self.set, *self.add)))
        )

    def apply(self, headers: Headers) -> Headers:
        """`headers` edited: a copy, or the same object when there is nothing to do."""
        if not (self.set or self.add or self.remove):
            return headers
        edited = headers.copy()
        for name in self.remove:
            edited.popall(name, None)
        for name, value in self.set:
            edited.popall(name, None)
            edited.add(name, value)
        for name, value in self.add:
            edited.add(name, value)
        return edited


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Conditions, all of which must hold, and what then applies.

    Attributes:
        name: Shown in the log.
        path: None for every path.
        methods: Empty for all. GET stands for HEAD too, since a stored GET answers both.
        hosts: Host patterns, one of which must match; empty for all.
        headers: Request fields that must have these values.
        tags: Templates of the tags that a response is stored under.
        purge: Templates of the tags that a successful write purges.
        response_headers: Edits of what the client gets, made as it is sent.
        strip_tags: Keep the fields that name tags from the client.
        server_timing: Tell the client in Server-Timing what its answer took.
        origin: Name of the origin that its requests go to; "" for the one that all share.
    """

    name: str
    path: PathPattern | None = None
    methods: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()
    headers: tuple[HeaderCondition, ...] = ()
    policy: Policy = field(default_factory=Policy)
    tags: tuple[str, ...] = ()
    purge: tuple[str, ...] = ()
    response_headers: HeaderEdits = field(default_factory=HeaderEdits)
    strip_tags: bool = True
    server_timing: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Matched:
    """The route of one request, with what its path captured (percent-encoded)."""

    route: Route
    variables: Mapping[str, str]


class RouteTable:
    """Routes in order of precedence.

    Attributes:
        key_policies: Every way in which some route makes keys.
        condition_fields: Lower-case names of the request fields that conditions look at.

    Raises:
        ValueError: A route has a malformed host pattern.
    """

    def __init__(self, routes: Sequence[Route], fallback: Route) -> None:
        self._routes = tuple((route, tuple(map(HostPattern, route.hosts))) for route in routes)
        self._fallback = Matched(fallback, {})
        self.key_policies = frozenset(route.policy.key for route in (*routes, fallback))
        self.condition_fields = frozenset(
            name.lower() for route in routes for name, _ in route.headers
        )

    def find(self, request: Request) -> Matched:
        """The first route whose conditions all hold, else the fallback."""
        path = request.target.partition("?")[0]
        for route, hosts in self._routes:
            variables = {} if route.path is None else route.path.match(path)
            if variables is not None and _unmet(route, hosts, request) is None:
                return Matched(route, variables)
        return self._fallback

    def passed_over(self, request: Request) -> Iterator[tuple[Route, str]]:
        """The routes before the one that `find` returns, with what of each does not hold."""
        path = request.target.partition("?")[0]
        for route, hosts in self._routes:
            if route.path is not None and route.path.match(path) is None:
                yield route, f"the path does not fit {route.path.text}"
                continue
            unmet = _unmet(route, hosts, request)
            if unmet is None:
                return
            yield route, unmet.told_of(route)


@dataclass(frozen=True, slots=True)
class _Unmet:
    """The condition of a route that does not hold: the method, the host, or a field."""

    kind: str
    field: str = ""

    def told_of(self, route: Route) -> str:
        """In words; without values of fields, which may be secrets between proxies."""
        if self.kind == "method":
            return f"the method is not {' or '.join(sorted(route.methods))}"
        if self.kind == "host":
            return f"the host is not {' or '.join(route.hosts)}"
        return f"the field {self.field} is not as the route wants it"


_UNMET_METHOD = _Unmet("method")
_UNMET_HOST = _Unmet("host")


def _unmet(route: Route, hosts: tuple[HostPattern, ...], request: Request) -> _Unmet | None:
    """What beside its path a request lacks for this route, if anything."""
    method = "GET" if request.method == "HEAD" and "GET" in route.methods else request.method
    if route.methods and method not in route.methods:
        return _UNMET_METHOD
    if hosts and not any(host.matches(request.authority) for host in hosts):
        return _UNMET_HOST
    for name, wanted in route.headers:
        if not _has(request.headers, name, wanted):
            return _Unmet("field", name)
    return None


def _has(headers: Headers, name: str, wanted: str | re.Pattern[str]) -> bool:
    value = field_value(headers, name)
    if value is None:
        return False
    return value == wanted if isinstance(wanted, str) else wanted.fullmatch(value) is not None
