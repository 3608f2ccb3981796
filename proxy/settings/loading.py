"""From a file to Settings, or to every problem in it at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.problems import (
    Location,
    ManyRefused,
    Problem,
    Refused,
    SettingsError,
    did_you_mean,
    path_text,
)
from proxy.settings.document import Document, parse
from proxy.settings.models import Settings
from proxy.settings.section import Section

LARGEST_FILE = 1 << 20
"""Bytes; a file of settings beyond that is some other file."""

_MISSHAPEN = {
    "dict_type": Refused("must be a mapping", "write key: value lines under it"),
    "model_type": Refused("must be a mapping", "write key: value lines under it"),
    "tuple_type": Refused("must be a list", "write [one, two]"),
}


def defaults() -> Settings:
    """What applies where the operator says nothing; an origin is still to be named."""
    return Settings()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the file that says where each of them stands."""

    settings: Settings
    document: Document


def load(path: Path, env: Mapping[str, str]) -> Settings:
    """The settings in the file at `path`, with variables from `env`.

    Raises:
        SettingsError: The file cannot be read or used; it tells all that is wrong.
    """
    return settings_from(read_text(path), file=str(path), env=env)


def load_with_places(path: Path, env: Mapping[str, str]) -> Loaded:
    """As `load`, for those who have more to say about the file."""
    return loaded_from(read_text(path), file=str(path), env=env)


def settings_from(text: str, *, file: str, env: Mapping[str, str]) -> Settings:
    """The settings in YAML `text`, which came from `file`.

    Raises:
        SettingsError: As in `load`.
    """
    return loaded_from(text, file=file, env=env).settings


def loaded_from(text: str, *, file: str, env: Mapping[str, str]) -> Loaded:
    """As `settings_from`, with the places."""
    document = parse(text, file=file, env=env)
    data = document.plain()
    if not isinstance(data, dict):
        mark = document.root.mark
        problem = Problem(
            message="the file is not a mapping",
            suggestion="write key: value lines",
            file=file,
            line=mark.line,
            column=mark.column,
        )
        raise SettingsError([*document.problems, problem])
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        raise SettingsError(_all_problems(error, document)) from None
    if document.problems:
        raise SettingsError(document.problems)
    return Loaded(settings, document)


def read_text(path: Path) -> str:
    """What stands in the file at `path`; raises SettingsError."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            [Problem(file=str(path), message=f"cannot be read: {reason}")]
        ) from None
    if len(raw) > LARGEST_FILE:
        raise SettingsError(
            [Problem(file=str(path), message=f"is larger than {LARGEST_FILE >> 20} MiB")]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        problem = Problem(
            file=str(path),
            line=line,
            column=column,
            message=f"the byte 0x{raw[error.start]:02X} is not UTF-8",
            suggestion="save the file as UTF-8",
        )
        raise SettingsError([problem]) from None


def _all_problems(error: ValidationError, document: Document) -> list[Problem]:
    """The document's own problems, then those of the models that are not their consequence."""
    told = {problem.path for problem in document.problems}
    found = chain.from_iterable(
        _problems(details, document)
        for details in error.errors(include_url=False, include_input=False)
    )
    return [*document.problems, *(problem for problem in found if problem.path not in told)]


def _problems(details: ErrorDetails, document: Document) -> Iterator[Problem]:
    """`details` in the operator's words; one may speak of several values."""
    location = tuple(part for part in details["loc"] if part != "[key]")
    for refused in _refusals(details, location):
        wanted = (*location, *refused.at)
        known, mark = document.locate(wanted)
        yield Problem(
            message=refused.message,
            suggestion=refused.suggestion,
            path=path_text(wanted if details["type"] == "missing" else known),
            file=document.file,
            line=mark.line,
            column=mark.column,
        )


def _refusals(details: ErrorDetails, location: Location) -> tuple[Refused, ...]:
    match details["type"], details.get("ctx", {}).get("error"):
        case _, Refused() as refused:
            return (refused,)
        case _, ManyRefused(refused=refused):
            return refused
        case _, ValueError() as error:
            return (Refused(str(error)),)
        case "extra_forbidden", _:
            return (Refused("unknown key", _known_key(location)),)
        case "missing", _:
            return (Refused("missing"),)
        case kind, _:
            return (_MISSHAPEN.get(kind) or Refused(details["msg"]),)


def _known_key(location: Location) -> str | None:
    """A suggestion for the unknown key at the end of `location`, one level down included."""
    section = _section_at(location[:-1])
    key = str(location[-1])
    inner = [
        f"{name}{'[]' if get_origin(field.annotation) is tuple else ''}.{key}"
        for name, field in section.model_fields.items()
        if (below := _section_in(field.annotation)) and key in below.model_fields
    ]
    if inner:
        return f"did you mean {' or '.join(inner)}?"
    return did_you_mean(key, section.model_fields)


def _section_at(location: Location) -> type[Section]:
    section: type[Section] = Settings
    steps = iter(location)
    for step in steps:
        if isinstance(step, str):
            annotation = section.model_fields[step].annotation
            section = _section_in(annotation) or section
            if get_origin(annotation) is dict:
                next(steps, None)  # a name that the operator chose
    return section


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that an annotation such as `Tls | None` or `tuple[Route, ...]` holds."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
