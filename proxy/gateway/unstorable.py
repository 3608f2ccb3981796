"""Keys whose answers were not stored of late: nobody should wait for a fill that will not come."""

from collections import OrderedDict
from collections.abc import Callable

from proxy.stores import CacheKey

_REMEMBERED = 16_384
_FOR = 60.0
"""Seconds after which such a key is tried like any other."""


class Unstorable:
    """Remembers keys, bounded in number and time.

    Args:
        clock: POSIX time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: OrderedDict[CacheKey, float] = OrderedDict()

    def __contains__(self, key: CacheKey) -> bool:
        until = self._until.get(key)
        return until is not None and self._clock() < until

    def note(self, key: CacheKey, *, stored: bool) -> None:
        """Take note of what became of an answer."""
        self._until.pop(key, None)
        if not stored:
            self._until[key] = self._clock() + _FOR
            if len(self._until) > _REMEMBERED:
                self._until.popitem(last=False)
