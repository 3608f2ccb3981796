"""What advice is made of."""

from dataclasses import dataclass
from typing import Any

from proxy.problems import Location
from proxy.settings.section import Section


@dataclass(frozen=True, slots=True)
class Hint:
    """One likely mistake.

    Attributes:
        at: The key.
        why: What it leads to, or fails to.
        how: What to write instead.
    """

    at: Location
    why: str
    how: str


def chosen(section: Section, *keys: str) -> list[str]:
    """Those of `keys` that the operator wrote, and not as they are by default."""
    return [
        key
        for key in keys
        if key in section.model_fields_set and getattr(section, key) != default_of(section, key)
    ]


def default_of(section: Section, key: str) -> Any:
    """What a key means that is not there."""
    return type(section).model_fields[key].get_default(call_default_factory=True)
