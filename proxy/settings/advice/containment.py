"""Whether one route takes every request that another is for. True only where that is certain.

A pattern of paths contains another if it matches some samples of what that one matches, chosen so
that they stand for all: its names and wildcards hold a character that no pattern can spell, so
that only a wildcard can have taken it, and what a wildcard has taken could have been anything.
"""

import re
from collections.abc import Iterator
from itertools import product
from typing import Final

from proxy.routes import HostPattern, PathPattern
from proxy.settings.models import Match

_ANYTHING: Final = "\x00"
_NOWHERE: Final = ""
"""No path: no pattern matches it."""
_MOST_BITS: Final = 12
_WILD: Final = re.compile(r"\{\w+\}|\*")


def contains(outer: Match, inner: Match) -> bool:
    """Whether every request that `inner` matches is matched by `outer`."""
    return (
        _has_methods(outer, inner)
        and _has_hosts(outer.hosts, inner.hosts)
        and _asks_no_more(outer, inner)
        and _has_paths(outer.path, inner.path)
    )


def apart(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Whether no host fits a pattern of both; none at all fits every host."""
    return bool(ours and theirs) and not any(
        _may_meet(one.lower(), other.lower()) for one, other in product(ours, theirs)
    )


def _has_methods(outer: Match, inner: Match) -> bool:
    if not outer.methods:
        return True
    return bool(inner.methods) and _methods(inner) <= _methods(outer)


def _methods(match: Match) -> set[str]:
    return {*match.methods, *(["HEAD"] if "GET" in match.methods else [])}


def _has_hosts(outer: tuple[str, ...], inner: tuple[str, ...]) -> bool:
    if not outer:
        return True
    return bool(inner) and all(any(_has_host(one, other) for one in outer) for other in inner)


def _has_host(outer: str, inner: str) -> bool:
    """`*.a` has `*.b.a` and `b.a`; what says no port has all."""
    if outer.lower() == inner.lower():
        return True
    sample = f"{_ANYTHING}{inner[1:]}" if inner.startswith("*.") else inner
    return HostPattern(outer).matches(sample)


def _may_meet(one: str, other: str) -> bool:
    one, one_port = _split(one)
    other, other_port = _split(other)
    if one_port and other_port and one_port != other_port:
        return False
    if one.startswith("*.") and other.startswith("*."):
        return one.endswith(other[1:]) or other.endswith(one[1:])
    if one.startswith("*."):
        return other.endswith(one[1:])
    if other.startswith("*."):
        return one.endswith(other[1:])
    return one == other


def _split(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdigit() else (host, "")


def _asks_no_more(outer: Match, inner: Match) -> bool:
    """Whether each condition on a field follows from one of the other route."""
    wanted = {name.lower(): value for name, value in inner.headers.items()}
    for name, value in outer.headers.items():
        theirs = wanted.get(name.lower())
        if theirs is None:
            return False
        if isinstance(value, str) or not isinstance(theirs, str):
            if theirs != value:
                return False
        elif value.fullmatch(theirs) is None:
            return False
    return True


def _has_paths(outer: str | None, inner: str | None) -> bool:
    if outer is None:
        return True
    if inner is None:
        return False  # requests such as OPTIONS * have no path that a pattern could match
    if _nameless(outer) == _nameless(inner):
        return True
    pattern = PathPattern(outer)
    return all(pattern.match(one) is not None for one in _samples(inner, outer.count("/") + 1))


def _nameless(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def _samples(pattern: str, longest: int) -> Iterator[str]:
    """Paths that stand for all that `pattern` matches; where these are too many, one for none.

    Where `**` may be any number of segments, one more than the other pattern has will do: no
    pattern has so many without a `**` of its own, which then takes any number of them.
    """
    segments = pattern.split("/")[1:]
    if sum(_bits(segment, longest) for segment in segments) > _MOST_BITS:
        return iter((_NOWHERE,))
    return map("".join, product(*(_segment_samples(segment, longest) for segment in segments)))


def _bits(segment: str, longest: int) -> int:
    """The number of samples of a segment is below 2 to this power."""
    return longest + 1 if segment == "**" else segment.count("*")


def _segment_samples(segment: str, longest: int) -> list[str]:
    if segment == "**":
        counts = range(longest + 1)
        return ["".join(one) for n in counts for one in product(("/", f"/{_ANYTHING}"), repeat=n)]
    if segment == "*":
        return [f"/{_ANYTHING}"]
    first, *texts = _WILD.split(segment)
    fillings = [
        ["", _ANYTHING] if found[0] == "*" else [_ANYTHING] for found in _WILD.finditer(segment)
    ]
    return [
        f"/{first}" + "".join(map("".join, zip(chosen, texts, strict=True)))
        for chosen in product(*fillings)
    ]
