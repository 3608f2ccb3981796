"""Regular expressions that every Python reads alike.

Before 3.11.5 a possessive group may lose its place when its last turn fails midway, and then match
what it must not (python/cpython#106052). An atomic group around a greedy one does the same rightly.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from re import _constants as constants
from re import _parser as parser
from typing import Any

import proxy

ONE_CHARACTER = {constants.ANY, constants.IN, constants.LITERAL, constants.NOT_LITERAL}
KNOWN_TO_BE_READ_RIGHTLY = {
    "proxy.http1._SIZE_LINE",
    "proxy.origin.heads._HEAD",
    "proxy.origin.heads._STATUS_LINE",
    "proxy.rfc9111.directives._DIRECTIVE",
    "proxy.rfc9111.directives._FOR_ANOTHER",
    "proxy.rfc9111.directives._MEMBER",
    "proxy.rfc9111.etags._LIST",
    "proxy.rfc9111.keys._QUOTED_STRING",
    "proxy.rfc9111.keys._QUOTES_IN_PAIRS",
    "proxy.server.heads._HEAD",
    "proxy.splicing._REQUEST",
    "proxy.splicing._RESPONSE",
}
"""3.11.2 and 3.11.7 read 1.5 million texts alike, made for all patterns, whole and damaged."""


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """All that modules of the proxy hold, each where it is defined."""
    for module in pkgutil.walk_packages(proxy.__path__, "proxy."):
        if not module.name.endswith("__main__"):
            members = vars(importlib.import_module(module.name))
            yield from (
                (f"{module.name}.{name}", value)
                for name, value in members.items()
                if isinstance(value, re.Pattern)
            )


def has_possessive_group(parsed: Any) -> bool:
    """Whether anything in it repeats more than one character at a time, possessively."""
    for operator, argument in parsed:
        if operator is constants.POSSESSIVE_REPEAT:
            body = argument[2]
            if len(body) != 1 or body[0][0] not in ONE_CHARACTER:
                return True
        if any(has_possessive_group(inner) for inner in _inner(argument)):
            return True
    return False


def _inner(argument: Any) -> Iterator[Any]:
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from _inner(each)


def test_possessive_groups_are_seen() -> None:
    assert has_possessive_group(parser.parse("x(?:a|(?:ab?c)++)"))
    assert not has_possessive_group(parser.parse("x(?:a++|(?>(?:ab?c)+)[a-z]*+)"))


def test_no_possessive_group_is_new() -> None:
    found = {
        name
        for name, each in patterns()
        if has_possessive_group(parser.parse(each.pattern, each.flags))
    }
    assert found == KNOWN_TO_BE_READ_RIGHTLY
