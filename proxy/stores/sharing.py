"""One copy of what many entries have in common: names of fields, usual values, variants, tags.

Every answer of an origin is parsed into strings of its own, and most of them are the same in most
answers. Of each name a multidict even keeps two, as received and in lower case; an istr is both.

The tables are bounded: what is seen seldom is parsed, stored and dropped as before.
"""

from functools import lru_cache

from multidict import istr

from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import StoredResponse, VariantKey

_NAMES = 1024
_VALUES = 8192
_LONGEST = 96
"""Characters: longer texts are seldom alike."""


def shared(response: StoredResponse) -> StoredResponse:
    """An equal response that shares with others what it can."""
    return response.with_changes(
        reason=_text(response.reason),
        headers=Headers([(_name(name), _text(value)) for name, value in response.headers.items()]),
        variant=_variant(response.variant),
        tags=tuple(map(_text, response.tags)),
    )


def _name(name: str) -> str:
    return _usual_name(name) if len(name) <= _LONGEST else name


def _text(text: str) -> str:
    return _usual_text(text) if len(text) <= _LONGEST else text


def _variant(variant: VariantKey) -> VariantKey:
    size = sum(len(value or "") for _, value in variant)
    return _usual_variant(variant) if size <= _LONGEST else variant


_usual_name = lru_cache(maxsize=_NAMES)(istr)


@lru_cache(maxsize=_VALUES)
def _usual_text(text: str) -> str:
    return text


@lru_cache(maxsize=_VALUES)
def _usual_variant(variant: VariantKey) -> VariantKey:
    return variant
