"""Cache-Control and its relatives, parsed once into plain facts (§5.2, RFC 9213).

What cannot be read counts for what it forbids, never for what it allows:

    a malformed member (`private; max-age=9`, `max-age =9`)   restricts by every directive it names
    a lifetime that is no delta-seconds, or two that differ   is 0: stale (§4.2.1)
    an argument where none is defined (`public=1`)            spoils a permission, not a restriction
    a list of fields that cannot be left out one by one       makes no-cache and private unqualified
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar, cast

import http_sf

from proxy.rfc9111.messages import Headers, field_value

MAX_DELTA_SECONDS = 2**31
"""What larger values are taken for (§1.2.2)."""

_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_WORDS = re.compile(_WORD)
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# Not as one possessive group with a choice: Python before 3.11.5 gets that wrong (cpython#106052).
_MEMBER = re.compile(rf'[^,"]*+(?:{_QUOTED}[^,"]*+)*', re.DOTALL)
_DIRECTIVE = re.compile(rf"(?P<name>{_WORD})(?:=(?P<argument>{_WORD}|{_QUOTED}))?", re.DOTALL)
_FOR_ANOTHER = re.compile(rf"{_WORD}(?:=(?:{_WORD}|{_QUOTED}))?;{_WORD}", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)

_FIELD_LISTS = frozenset({"no-cache", "private"})
_INSEPARABLE = frozenset(
    {"cache-control", "content-encoding", "content-range", "content-type", "expires", "vary"}
)
"""Without one of these the rest of the response would mean something else."""

_REQUEST_FIELDS = frozenset({"Cache-Control", "Pragma"})

_REMEMBERED_LENGTH = 256
"""Longer values are parsed anew each time, so that nobody fills memory with odd ones."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheControl:
    """The directives of a response (§5.2.2, RFC 5861); seconds, None where absent.

    Attributes:
        no_cache: In the unqualified form; the qualified one is `no_cache_fields`.
        no_cache_fields: Lower-case names of fields that are not to be reused unvalidated.
        private: In the unqualified form; the qualified one is `private_fields`.
        private_fields: Lower-case names of fields that a shared cache must not store.
    """

    no_store: bool = False
    no_cache: bool = False
    no_cache_fields: frozenset[str] = frozenset()
    private: bool = False
    private_fields: frozenset[str] = frozenset()
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    no_transform: bool = False
    immutable: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SurrogateControl:
    """What Surrogate-Control asks of reverse proxies (W3C Edge Architecture); seconds.

    Attributes:
        no_store: Do not store it; also for `private` and `no-cache`, which it does not define.
        max_age: Lifetime here, None where absent.
        stale_while_revalidate: By that name, or the second figure in `max-age=60+30`.
        stale_if_error: The same.
    """

    no_store: bool = False
    max_age: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDirectives:
    """The directives of a request (§5.2.1); seconds, None where absent or unreadable.

    Attributes:
        max_stale_any: `max-stale` without an argument: stale by any time is fine.
    """

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    max_stale: int | None = None
    max_stale_any: bool = False
    min_fresh: int | None = None


NOTHING_ASKED = RequestDirectives()
"""What a request without Cache-Control says."""


def parse_delta_seconds(value: str) -> int | None:
    """A delta-seconds, at most MAX_DELTA_SECONDS; None when it is not one (§1.2.2)."""
    if _DIGITS.fullmatch(value) is None:
        return None
    digits = value.lstrip("0")
    # Ten digits reach the limit; int() of very many would be slow, or refused.
    return MAX_DELTA_SECONDS if len(digits) > 10 else min(int(digits or "0"), MAX_DELTA_SECONDS)  # noqa: PLR2004


def response_directives(headers: Headers) -> CacheControl:
    """The directives of all Cache-Control lines of a response (§5.2.2)."""
    value = field_value(headers, "Cache-Control")
    return _NOTHING_SAID if value is None else _parse_cache_control(value)


def targeted_directives(headers: Headers, names: Sequence[str]) -> CacheControl | None:
    """The directives of the first targeted field that is valid and not empty (RFC 9213 §2.2).

    Args:
        headers: Of a response.
        names: Targeted fields in order of preference.

    Returns:
        None when there is none, and Cache-Control decides.
    """
    for name in names:
        value = field_value(headers, name)
        if value is not None and (directives := _parse_targeted(value)) is not None:
            return directives
    return None


def surrogate_control(headers: Headers) -> SurrogateControl | None:
    """The directives of Surrogate-Control, None when the response has none.

    Members addressed to a surrogate by name (`max-age=60;edge-1`) are for others, and skipped.
    """
    value = field_value(headers, "Surrogate-Control")
    return None if value is None else _parse_surrogate_control(value)


def request_directives(headers: Headers) -> RequestDirectives:
    """The directives of a request; Pragma stands in where there is no Cache-Control (§5.4)."""
    if headers.keys().isdisjoint(_REQUEST_FIELDS):
        return NOTHING_ASKED
    value = field_value(headers, "Cache-Control")
    if value is not None:
        return _parse_request(value)
    pragma = field_value(headers, "Pragma")
    if pragma is not None and "no-cache" in _parse(pragma).named:
        return RequestDirectives(no_cache=True)
    return NOTHING_ASKED


@dataclass(slots=True)
class _Directives:
    """One field's members.

    Attributes:
        arguments: Lower-case name to the argument of each of its well-formed members.
        spoiled: Words of the malformed members, lower-case.
    """

    arguments: dict[str, list[str | None]] = field(default_factory=dict)
    spoiled: set[str] = field(default_factory=set)

    @property
    def named(self) -> set[str]:
        return self.arguments.keys() | self.spoiled

    def add(self, name: str, argument: str | None) -> None:
        self.arguments.setdefault(name, []).append(argument)

    def permits(self, name: str) -> bool:
        """Stated, well-formed and without an argument."""
        return all(text is None for text in self.arguments.get(name, [""]))

    def seconds(self, name: str) -> int | None:
        """The value of `name`: None when absent, 0 when unreadable or contradictory (§4.2.1)."""
        if name in self.spoiled:
            return 0
        if name not in self.arguments:
            return None
        return _agreed({parse_delta_seconds(text or "") for text in self.arguments[name]})

    def fields(self, name: str) -> tuple[bool, frozenset[str]]:
        """Whether `name` stands unqualified, and the fields of its qualified forms."""
        lists = [_parse_field_names(text) for text in self.arguments.get(name, [])]
        unqualified = name in self.spoiled or not all(lists)
        return unqualified, frozenset().union(*lists)


def _agreed(values: set[int | None]) -> int:
    """The one valid value, or 0."""
    return (values.pop() or 0) if len(values) == 1 else 0


def _remembered(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Parse the same short value once; an API sends few different ones."""
    cached = lru_cache(maxsize=1024)(parse)

    def read(value: str) -> _T:
        return cached(value) if len(value) <= _REMEMBERED_LENGTH else parse(value)

    return read


@_remembered
def _parse_cache_control(value: str) -> CacheControl:
    return _cache_control(_parse(value))


@_remembered
def _parse_targeted(value: str) -> CacheControl | None:
    """None when the value is empty or not a Dictionary (RFC 9213 §2.1, RFC 9651).

    Nor when its lifetime is no Integer: it is not consumed, and must not lift what Cache-Control
    forbids by being there. Unless the field forbids something itself, which then counts.
    """
    try:
        parsed = http_sf.parse(value.encode("latin-1"), tltype="dictionary")
    except ValueError:
        return None
    members = cast("Mapping[str, tuple[object, ...]]", parsed)
    directives = _Directives()
    for name, (member, *_) in members.items():
        _add_structured(directives, name, member)
    found = _cache_control(directives)
    legible = all(type(members.get(name, (0,))[0]) is int for name in ("max-age", "s-maxage"))
    restrictive = found.no_store or found.private or found.no_cache
    return found if members and (legible or restrictive) else None


def _add_structured(directives: _Directives, name: str, member: object) -> None:
    """Only a value of the directive's own type is consumed (RFC 9213 §2.1)."""
    match member:
        case True:
            directives.add(name, None)
        case False:
            pass
        case int() if name not in _FIELD_LISTS:
            directives.add(name, str(member))
        case str() if name in _FIELD_LISTS:
            directives.add(name, member)
        case _:
            directives.spoiled.add(name)


@_remembered
def _parse_surrogate_control(value: str) -> SurrogateControl:
    directives = _parse(value, addressed=True)
    fresh, stale = _surrogate_max_age(directives)
    revalidate = directives.seconds("stale-while-revalidate")
    error = directives.seconds("stale-if-error")
    return SurrogateControl(
        no_store=not directives.named.isdisjoint({"no-store", "private", "no-cache"}),
        max_age=fresh,
        stale_while_revalidate=stale if revalidate is None else revalidate,
        stale_if_error=stale if error is None else error,
    )


def _surrogate_max_age(directives: _Directives) -> tuple[int | None, int | None]:
    """Both figures of `max-age=60+30`; the second is None where it is not given."""
    if "max-age" not in directives.named:
        return None, None
    pairs = [(text or "").partition("+") for text in directives.arguments.get("max-age", [])]
    fresh = {parse_delta_seconds(first) for first, _, _ in pairs}
    stale = {parse_delta_seconds(second) for _, plus, second in pairs if plus}
    if "max-age" in directives.spoiled:
        return 0, None
    return _agreed(fresh), _agreed(stale) if stale else None


@_remembered
def _parse_request(value: str) -> RequestDirectives:
    directives = _parse(value)

    def seconds(name: str) -> list[int]:
        texts = directives.arguments.get(name, [])
        return [n for text in texts if (n := parse_delta_seconds(text or "")) is not None]

    max_stale = min(seconds("max-stale"), default=None)
    return RequestDirectives(
        no_cache="no-cache" in directives.named,
        no_store="no-store" in directives.named,
        only_if_cached="only-if-cached" in directives.named,
        max_age=min(seconds("max-age"), default=None),
        max_stale=max_stale,
        max_stale_any=max_stale is None and directives.permits("max-stale"),
        min_fresh=max(seconds("min-fresh"), default=None),
    )


def _cache_control(directives: _Directives) -> CacheControl:
    named = directives.named
    no_cache, no_cache_fields = directives.fields("no-cache")
    private, private_fields = directives.fields("private")
    return CacheControl(
        no_store="no-store" in named,
        no_cache=no_cache,
        no_cache_fields=no_cache_fields,
        private=private,
        private_fields=private_fields,
        public=directives.permits("public"),
        must_revalidate="must-revalidate" in named,
        proxy_revalidate="proxy-revalidate" in named,
        must_understand=directives.permits("must-understand"),
        no_transform="no-transform" in named,
        immutable=directives.permits("immutable"),
        max_age=directives.seconds("max-age"),
        s_maxage=directives.seconds("s-maxage"),
        stale_while_revalidate=directives.seconds("stale-while-revalidate"),
        stale_if_error=directives.seconds("stale-if-error"),
    )


def _parse(value: str, *, addressed: bool = False) -> _Directives:
    """Read `#directive`; with `addressed`, members for a surrogate with a name are skipped."""
    directives = _Directives()
    for member in _members(value):
        text = member.strip(" \t")
        if match := _DIRECTIVE.fullmatch(text):
            directives.add(match["name"].lower(), _unquoted(match["argument"]))
        elif not (addressed and _FOR_ANOTHER.fullmatch(text)):
            directives.spoiled.update(_WORDS.findall(text.lower()))
    return directives


def _members(value: str) -> Iterator[str]:
    """Split at the commas outside quoted strings; a quote that never ends quotes nothing."""
    end = -1
    while end < len(value):
        start = end + 1
        end = next(_MEMBER.finditer(value, start)).end()  # it matches, be it nothing, at `start`
        if value[end : end + 1] == '"':
            yield from value[start:].split(",")
            return
        yield value[start:end]


def _unquoted(argument: str | None) -> str | None:
    if argument is None or not argument.startswith('"'):
        return argument
    return _QUOTED_PAIR.sub(r"\1", argument[1:-1])


def _parse_field_names(text: str | None) -> frozenset[str]:
    """Lower-case field names; none when the directive must be taken as unqualified."""
    names = [name.strip(" \t").lower() for name in (text or "").split(",")]
    found = frozenset(name for name in names if name)
    valid = all(_WORDS.fullmatch(name) for name in found) and found.isdisjoint(_INSEPARABLE)
    return found if valid else frozenset()


_NOTHING_SAID = CacheControl()
