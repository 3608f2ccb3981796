"""One copy of what many entries have in common: names of fields, variants, tags, dates.

Every answer of an origin is parsed into objects of its own, and most of them are the same in most
answers. Names are kept as istr, which multidicts take as they are.

The tables are bounded: what is seen seldom is parsed, stored and dropped as before.
"""

from functools import lru_cache
from operator import is_

from multidict import istr

from proxy.rfc9111.stored import StoredResponse, VariantKey
from proxy.stores.entry import Entry

_NAMES = 1024
_MOST_NAMES = 64
_VALUES = 8192
_LONGEST = 96
"""Characters: longer texts are seldom alike."""


def shared_entry(entry: Entry) -> Entry:
    """An equal entry that shares with others what it can."""
    response = shared(entry.response)
    return entry if response is entry.response else Entry(response, entry.body)


def shared(response: StoredResponse) -> StoredResponse:
    """An equal response that shares with others what it can; the same if it does already."""
    names, reason = shared_names(response.names), shared_text(response.reason)
    variant, date = shared_variant(response.variant), shared_time(response.date)
    tags = tuple(map(shared_text, response.tags))
    if (
        names is response.names
        and reason is response.reason
        and variant is response.variant
        and date is response.date
        and all(map(is_, tags, response.tags))
    ):
        return response
    return StoredResponse(
        status=response.status,
        reason=reason,
        names=names,
        values=response.values,
        request_time=response.request_time,
        freshness=response.freshness,
        variant=variant,
        date=date,
        part=response.part,
        tags=tags,
        groups=response.groups,
        born=response.born,
    )


def shared_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Equal names of all fields of a head; shared as a whole, unless they are many."""
    return _usual_names(names) if len(names) <= _MOST_NAMES else _names(names)


def shared_raw_names(names: tuple[bytes, ...]) -> tuple[str, ...]:
    """The same for names as they are on the wire."""
    return _usual_raw_names(names) if len(names) <= _MOST_NAMES else _raw_names(names)


def shared_text(text: str) -> str:
    """An equal text that is shared, unless it is long."""
    return _usual_text(text) if len(text) <= _LONGEST else text


def shared_variant(variant: VariantKey) -> VariantKey:
    """An equal variant that is shared, unless it is long."""
    size = sum([len(value or "") for _, value in variant])
    return _usual_variant(variant) if size <= _LONGEST else variant


@lru_cache(maxsize=_VALUES)
def shared_time(seconds: float) -> float:
    """An equal time that is shared: Date is in whole seconds."""
    return seconds


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    # As istr first: to a table, what a multidict's names are is no equal of a str.
    return tuple([_usual_name(istr(name)) if len(name) <= _LONGEST else name for name in names])


def _raw_names(names: tuple[bytes, ...]) -> tuple[str, ...]:
    return shared_names(tuple([name.decode("latin-1") for name in names]))


_usual_raw_names = lru_cache(maxsize=_NAMES)(_raw_names)
_usual_name = lru_cache(maxsize=_NAMES)(istr)
_usual_names = lru_cache(maxsize=_NAMES)(_names)


@lru_cache(maxsize=_VALUES)
def _usual_text(text: str) -> str:
    return text


@lru_cache(maxsize=_VALUES)
def _usual_variant(variant: VariantKey) -> VariantKey:
    return variant
