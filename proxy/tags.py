"""Tags: the names that stored responses can be purged by, from the API and from the routes.

An API names them in a field of its response. Whatever the cache that it was written for calls that
field, all of these are read, united, and kept from the client:

    Surrogate-Key: product:42 products             split at blanks and commas, as clients of all
    Cache-Tag: product:42,products                 these systems mix the two; case-sensitive;
    Cache-Tags, X-Cache-Tags, Edge-Cache-Tag, xkey   any number of lines

A route names them by templates, filled from what its path captured, the query and the response:

    product:{id}                 the text of that name in match.path
    category:{query.category}    one tag for each value of the parameter
    shop:{header.X-Shop-Id}      one tag for each member of the response field

A response whose tags are not all understood must not be stored: it could never be purged by the
one that was lost. Cache-Groups are not tags, see rfc9111.groups.
"""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain, product
from typing import TypeAlias, assert_never
from urllib.parse import quote, unquote_to_bytes

from proxy.rfc9111.messages import Headers

TAG_FIELDS = ("Surrogate-Key", "Cache-Tag", "Cache-Tags", "X-Cache-Tags", "Edge-Cache-Tag", "xkey")
"""The response fields that name tags."""

MAX_TAG_SIZE = 1024
"""Bytes of one tag in UTF-8."""
MAX_FIELD_SIZE = 16_384
"""Bytes of all lines of one tag field."""
MAX_TAGS = 1000
"""Tags of one response."""

Tags: TypeAlias = tuple[str, ...]
"""Each once, in order of first mention."""


@dataclass(frozen=True, slots=True)
class InvalidTags:
    """Tags that cannot be used.

    Attributes:
        reason: For the log: which field or template and what is wrong, without any value of it.
    """

    reason: str


class Source(Enum):
    """Where a template takes a value from; the prefix of the name."""

    PATH = ""
    QUERY = "query."
    HEADER = "header."


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One `{name}` of a template."""

    source: Source
    name: str


_SEPARATORS = re.compile(r"[, \t]+")
_NOT_IN_FIELD = re.compile(r"[^!-~]")
_PLACEHOLDER = re.compile(r"\{(query\.|header\.|)([^{}]*)\}")
_NAMES = {
    Source.PATH: re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    Source.QUERY: re.compile(r"[^\s&=#?]+"),
    Source.HEADER: re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"),
}


def tags_of(headers: Headers) -> Tags | InvalidTags:
    """The tags that a response's own fields name."""
    if headers.keys().isdisjoint(TAG_FIELDS):
        return ()
    found: list[str] = []
    for field in TAG_FIELDS:
        lines = headers.getall(field, ())
        if sum(map(len, lines)) > MAX_FIELD_SIZE:
            return InvalidTags(f"{field} is longer than {MAX_FIELD_SIZE} bytes")
        tags = [tag for line in lines for tag in _SEPARATORS.split(line) if tag]
        for number, tag in enumerate(tags, 1):
            problem = _problem_in_field(tag)
            if problem is not None:
                return InvalidTags(f"{field}: tag {number} {problem}")
        found += tags
    return _united(found)


def response_tags(
    templates: Collection[str], variables: Mapping[str, str], query: str, headers: Headers
) -> Tags | InvalidTags:
    """All tags to store a response under: its route's, then those of its own fields.

    Arguments are as for `expand_tag`.
    """
    if not templates:
        return tags_of(headers)
    found: list[str] = []
    expanded = (expand_tag(template, variables, query, headers) for template in templates)
    for tags in chain(expanded, [tags_of(headers)]):
        if isinstance(tags, InvalidTags):
            return tags
        found += tags
    return _united(found)


def strip(headers: Headers) -> Headers:
    """`headers` without tag fields: a copy, or the same object when there are none."""
    if headers.keys().isdisjoint(TAG_FIELDS):
        return headers
    stripped = headers.copy()
    for field in TAG_FIELDS:
        stripped.popall(field, None)
    return stripped


def placeholders(template: str) -> tuple[Placeholder, ...]:
    """What `template` is filled from, so that a route can be checked for it.

    Raises:
        ValueError: It is malformed; the text says what to write instead.
    """
    literal = _PLACEHOLDER.sub("", template)
    if "{" in literal or "}" in literal:
        raise ValueError(f"{template!r} has a brace out of place: write a name as '{{id}}'")
    found = tuple(_placeholders(template))
    for one in found:
        if not _NAMES[one.source].fullmatch(one.name):
            raise ValueError(
                f"{template!r}: {{{one.source.value}{one.name}}} is not a name: write '{{id}}', "
                "'{query.category}' or '{header.X-Shop-Id}'"
            )
    return found


def expand_tag(
    template: str, variables: Mapping[str, str], query: str, headers: Headers
) -> Tags | InvalidTags:
    """The tags that `template` makes: one for each combination of its values.

    There are none where a name has no value, or an empty one. Values of path and query are
    percent-decoded, so that `/p/42` and `/p/%34%32`, one resource to most origins, share a tag.
    What does not decode to printable UTF-8 stays percent-encoded: a tag never holds a control
    character.

    Args:
        template: One that `placeholders` accepts.
        variables: What the path captured, percent-encoded.
        query: The request's, without the question mark.
        headers: The response's.
    """
    names = tuple(dict.fromkeys(_placeholders(template)))
    values = [tuple(_values(name, variables, query, headers)) for name in names]
    if math.prod(map(len, values)) > MAX_TAGS:
        return InvalidTags(f"{template!r} makes more than {MAX_TAGS} tags")
    tags = tuple(_filled(template, dict(zip(names, row, strict=True))) for row in product(*values))
    if any(len(tag.encode()) > MAX_TAG_SIZE for tag in tags):
        return InvalidTags(f"{template!r} makes a tag longer than {MAX_TAG_SIZE} bytes")
    return tags


def _united(tags: Sequence[str]) -> Tags | InvalidTags:
    united = tuple(dict.fromkeys(tags))
    if len(united) > MAX_TAGS:
        return InvalidTags(f"the response has more than {MAX_TAGS} tags")
    return united


def _problem_in_field(tag: str) -> str | None:
    if len(tag) > MAX_TAG_SIZE:
        return f"is longer than {MAX_TAG_SIZE} bytes"
    alien = _NOT_IN_FIELD.search(tag)
    return None if alien is None else f"holds byte 0x{ord(alien[0]):02X}, not printable ASCII"


def _placeholders(template: str) -> Iterator[Placeholder]:
    return (Placeholder(Source(found[1]), found[2]) for found in _PLACEHOLDER.finditer(template))


def _filled(template: str, values: Mapping[Placeholder, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values[Placeholder(Source(found[1]), found[2])], template)


def _values(
    wanted: Placeholder, variables: Mapping[str, str], query: str, headers: Headers
) -> Iterable[str]:
    """The values of one name, each once, none empty."""
    match wanted.source:
        case Source.PATH:
            return filter(None, [_percent_decoded(variables.get(wanted.name, ""))])
        case Source.QUERY:
            named = (value for name, value in _parameters(query) if name == wanted.name)
            return dict.fromkeys(filter(None, named))
        case Source.HEADER:
            return dict.fromkeys(filter(None, _members(headers.getall(wanted.name, ()))))
        case _:
            assert_never(wanted.source)


def _members(lines: Iterable[str]) -> Iterator[str]:
    members = chain.from_iterable(line.split(",") for line in lines)
    return (_text(member.strip(" \t").encode("latin-1")) for member in members)


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    """Names and values as forms encode them: `+` is a blank."""
    for pair in query.replace("+", "%20").split("&"):
        name, _, value = pair.partition("=")
        yield _percent_decoded(name), _percent_decoded(value)


def _percent_decoded(value: str) -> str:
    return _text(unquote_to_bytes(value.encode("latin-1")))


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return quote(raw, safe="")
    return text if text.isprintable() else quote(raw, safe="")
