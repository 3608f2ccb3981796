"""What is different between two settings, key by key, without secrets.

Lists of mappings, such as routes, are laid beside each other first, so that one that was put in
between is one change, and does not make changes of all that follow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from proxy.problems import Location, path_text
from proxy.settings.section import Section
from proxy.settings.showing import given, shown, text


@dataclass(frozen=True, slots=True)
class Change:
    """One key that means something else now.

    Attributes:
        key: Such as `routes[2].ttl`, by the new settings where these have it.
        old: As YAML has it, or hidden; None where it was not there.
        new: Likewise.
    """

    key: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        return f"{self.key}: {self.old or 'none'} -> {self.new or 'none'}"


def changes(old: Section, new: Section) -> tuple[Change, ...]:
    """All that differs, in the order in which the keys are documented."""
    return tuple(_of_sections(old, new, ()))


def _of_sections(old: Section, new: Section, at: Location) -> Iterator[Change]:
    for name in type(new).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        here = (*at, name)
        if isinstance(before, Section) and isinstance(after, Section):
            yield from _of_sections(before, after, here)
        elif isinstance(before, Section | None) and isinstance(after, Section | None):
            yield from _come_and_gone(before, after, here)
        elif _are_sections(before) and _are_sections(after):
            yield from _of_lists(before, after, here)
        elif isinstance(before, dict) and isinstance(after, dict) and _named(before, after):
            for key in dict.fromkeys((*before, *after)):
                yield from _come_and_gone(before.get(key), after.get(key), (*here, key))
        else:
            yield _change(
                here,
                None if before is None else shown(old, name, before),
                None if after is None else shown(new, name, after),
            )


def _are_sections(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, Section) for one in value)


def _named(before: dict[Any, Any], after: dict[Any, Any]) -> bool:
    return all(isinstance(one, Section) for one in (*before.values(), *after.values()))


def _come_and_gone(before: Section | None, after: Section | None, at: Location) -> Iterator[Change]:
    """A section that one of the two does not have, by what was written in it."""
    if before is not None and after is not None:
        yield from _of_sections(before, after, at)
    elif before is not None:
        written = [Change(path_text(key), value, None) for key, value in given(before, at)]
        yield from written or [Change(path_text(at), "on", "off")]
    elif after is not None:
        written = [Change(path_text(key), None, value) for key, value in given(after, at)]
        yield from written or [Change(path_text(at), "off", "on")]


def _of_lists(
    before: tuple[Section, ...], after: tuple[Section, ...], at: Location
) -> Iterator[Change]:
    identities = _identities((*before, *after))
    old, new = identities[: len(before)], identities[len(before) :]
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for tag, low, high, new_low, new_high in matcher.get_opcodes():
        if tag == "equal":
            continue
        pairs = zip_longest(range(low, high), range(new_low, new_high))
        for number, new_number in pairs:
            if number is None:
                here = path_text((*at, new_number))
                yield Change(here, None, text(after[new_number], None))
            elif new_number is None:
                yield Change(path_text((*at, number)), text(before[number], None), None)
            else:
                yield from _of_sections(before[number], after[new_number], (*at, new_number))


def _identities(sections: tuple[Section, ...]) -> list[int]:
    """A number for each, the same for equals; they cannot be hashed."""
    return [sections.index(one) for one in sections]


def _change(at: Location, old: str | None, new: str | None) -> Change:
    """What differs only in what is not shown differs all the same."""
    return Change(path_text(at), old, f"{new}, another one" if old == new else new)
