"""What is wrong with the settings, where, and what to write instead."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

Location: TypeAlias = tuple[str | int, ...]
"""Keys and indexes that lead to a value: ("routes", 2, "ttl")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to put right; as text `config.yaml:12:5: routes[0].tll: unknown key; ...`.

    Attributes:
        message: What is wrong.
        path: The key, such as `routes[2].ttl`, or the flag, such as `--listen`; "" for the file.
        suggestion: What to do about it, where that is known.
        file: As the operator named it, or "" when no file is to blame.
        line: From 1, or None.
        column: From 1, or None.
    """

    message: str
    path: str = ""
    suggestion: str | None = None
    file: str = ""
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        what = f"{self.message}; {self.suggestion}" if self.suggestion else self.message
        return _printable(": ".join(part for part in (place, self.path, what) if part))


def _printable(text: str) -> str:
    """`text` with what could upset a terminal or an encoder escaped; keys may hold anything."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class SettingsError(Exception):
    """The settings cannot be used.

    Attributes:
        problems: All that was found, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda one: (one.line or 0, one.column or 0)))
        super().__init__("\n".join(map(str, self.problems)))


class Refused(ValueError):  # noqa: N818 - the value is refused; nothing is in error but it
    """One value cannot be used; who reads it knows where it stands.

    Attributes:
        message: What is wrong.
        suggestion: What to write instead.
        at: The way from the place where this is raised to the value.
    """

    def __init__(self, message: str, suggestion: str | None = None, at: Location = ()) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.at = at


class ManyRefused(ValueError):  # noqa: N818 - as Refused
    """Several values of one section do not fit together."""

    def __init__(self, refused: Sequence[Refused]) -> None:
        super().__init__("; ".join(map(str, refused)))
        self.refused = tuple(refused)


def path_text(location: Location) -> str:
    """("routes", 2, "ttl") as `routes[2].ttl`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def did_you_mean(text: str, known: Iterable[str]) -> str | None:
    """A suggestion if `text` looks like one of `known`."""
    close = get_close_matches(text.lower(), sorted(known), n=1)
    return f"did you mean {close[0]}?" if close else None


def quoted(text: str) -> str:
    """`text` for use in a message: in quotes, escaped and not too long."""
    most = 60
    return repr(text if len(text) <= most else text[:most] + "…")
