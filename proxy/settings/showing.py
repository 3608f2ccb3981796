"""Settings as text again, for people: units on what has them, nothing that may be a secret."""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final, get_args

from proxy.problems import Location, path_text
from proxy.settings.scalars import REDIS_URL, STATUS_RANGE, Kind
from proxy.settings.section import Section

HIDDEN: Final = "(hidden)"
"""In place of a secret."""


def given(section: Section, at: Location = ()) -> Iterator[tuple[Location, str]]:
    """Each value that the operator wrote, also in sections within, with the way to it."""
    for name in type(section).model_fields:
        if name in section.model_fields_set:
            value = getattr(section, name)
            if isinstance(value, Section):
                yield from given(value, (*at, name))
            else:
                yield (*at, name), shown(section, name, value)


def shown(section: Section, name: str, value: Any) -> str:
    """One value of a key as YAML has it; hidden where the key may hold a secret."""
    field = type(section).model_fields[name]
    kinds = [one for one in field.metadata if isinstance(one, Kind)]
    kind = kinds[0] if kinds else _kind(field.annotation)
    if kind is REDIS_URL and value is not None:
        return _without_credentials(value)
    return text(value, kind) if field.repr or value is None else HIDDEN


def text(value: Any, kind: Kind | None) -> str:
    """A value of a kind as YAML has it."""
    match value:
        case Section():
            return _mapping({path_text(at): what for at, what in given(value)})
        case dict():
            return _mapping({str(key): text(one, kind) for key, one in value.items()})
        case tuple() if not (kind is STATUS_RANGE and value and isinstance(value[0], int)):
            return f"[{', '.join(text(one, kind) for one in value)}]"
        case _:
            return _scalar(value, kind)


def _mapping(pairs: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in pairs.items())}}}"


def _scalar(value: Any, kind: Kind | None) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "on" if value else "off"
        case Enum():
            return str(value.value)
        case re.Pattern():
            return f"~{value.pattern}"
    told = value if kind is None else kind.show(value)
    return f"{told:g}" if isinstance(told, float) else str(told)


def _kind(annotation: Any) -> Kind | None:
    """The kind of value that an annotation such as `Duration | None` or `tuple[Tag, ...]` holds."""
    inner = [*get_args(annotation), *getattr(annotation, "__metadata__", ())]
    for one in reversed(inner):  # of a dict the values, not the names
        found = one if isinstance(one, Kind) else _kind(one)
        if found is not None:
            return found
    return None


def _without_credentials(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else url
