"""Entity tags: their grammar and their two comparisons (RFC 9110 §8.8.3)."""

import re

from proxy.rfc9111.messages import Headers, field_value

ANY = "*"
"""In a list of entity tags: any current representation. No entity tag looks like it."""

_ENTITY_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_ONE = re.compile(_ENTITY_TAG)
_LIST = re.compile(rf"[ \t,]*+(?:{_ENTITY_TAG}[ \t]*+(?:,[ \t,]*+|$))*+")
_WEAK = "W/"


def parse_entity_tags(value: str) -> tuple[str, ...] | None:
    """The members of an If-None-Match or If-Match value, (ANY,) for `*` (RFC 9110 §13.1.1).

    None when the value is neither `*` nor a list of entity tags.
    """
    if value.strip(" \t") == ANY:
        return (ANY,)
    # The separators are consumed greedily, so an entity tag is never cut in two by a comma in it.
    return tuple(_ONE.findall(value)) if _LIST.fullmatch(value) else None


def entity_tag(headers: Headers) -> str | None:
    """The ETag of a response; None where there is none, or none that is valid."""
    value = (field_value(headers, "ETag") or "").strip(" \t")
    return value if _ONE.fullmatch(value) else None


def strong_match(one: str, other: str) -> bool:
    """Equal, valid and neither weak: the same bytes (RFC 9110 §8.8.3.2)."""
    return one == other and is_strong(one)


def weak_match(one: str, other: str) -> bool:
    """Equal and valid but for weakness: the same meaning (RFC 9110 §8.8.3.2)."""
    opaque = one.removeprefix(_WEAK)
    return opaque == other.removeprefix(_WEAK) and is_strong(opaque)


def is_strong(tag: str) -> bool:
    """Whether `tag` is a valid entity tag without the weakness mark."""
    return not tag.startswith(_WEAK) and _ONE.fullmatch(tag) is not None
