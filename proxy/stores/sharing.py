"""One copy of what many entries have in common: names of fields, usual values, variants, tags.

Every answer of an origin is parsed into strings of its own, and most of them are the same in most
answers. Of each name a multidict even keeps two, as received and in lower case; an istr is both.

The tables are bounded: what is seen seldom is parsed, stored and dropped as before.
"""

from collections.abc import Sequence
from functools import lru_cache

from multidict import istr

from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import StoredResponse, VariantKey
from proxy.stores.entry import Entry

_NAMES = 1024
_VALUES = 8192
_LONGEST = 96
"""Characters: longer texts are seldom alike."""


def shared_entry(entry: Entry) -> Entry:
    """An equal entry that shares with others what it can."""
    return Entry(shared(entry.response), entry.body)


def shared(response: StoredResponse) -> StoredResponse:
    """An equal response that shares with others what it can."""
    return response.with_changes(
        reason=shared_text(response.reason),
        headers=Headers(
            [
                (
                    _usual_name(name) if len(name) <= _LONGEST else name,
                    _usual_text(value) if len(value) <= _LONGEST else value,
                )
                for name, value in response.headers.items()
            ]
        ),
        variant=shared_variant(response.variant),
        tags=tuple(map(shared_text, response.tags)),
    )


def shared_fields(names: Sequence[bytes], values: Sequence[bytes]) -> Headers:
    """Fields as they are on the wire, made of texts that are shared."""
    texts = [shared_text(value.decode("latin-1")) for value in values]
    return Headers(list(zip(map(_name_of, names), texts, strict=True)))


def shared_text(text: str) -> str:
    """An equal text that is shared, unless it is long."""
    return _usual_text(text) if len(text) <= _LONGEST else text


def shared_variant(variant: VariantKey) -> VariantKey:
    """An equal variant that is shared, unless it is long."""
    size = sum([len(value or "") for _, value in variant])
    return _usual_variant(variant) if size <= _LONGEST else variant


def _name_of(raw: bytes) -> str:
    return _usual_raw_name(raw) if len(raw) <= _LONGEST else raw.decode("latin-1")


_usual_name = lru_cache(maxsize=_NAMES)(istr)


@lru_cache(maxsize=_NAMES)
def _usual_raw_name(raw: bytes) -> str:
    # As an istr, which is what a multidict's names are: to the other table it is no equal of a str.
    return _usual_name(istr(raw.decode("latin-1")))


@lru_cache(maxsize=_VALUES)
def _usual_text(text: str) -> str:
    return text


@lru_cache(maxsize=_VALUES)
def _usual_variant(variant: VariantKey) -> VariantKey:
    return variant
