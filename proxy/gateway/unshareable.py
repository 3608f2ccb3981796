"""Keys whose answers could not be shared of late: nobody should wait for one that cannot be used.

Other caches call such a note "hit-for-miss". Requests with credentials have notes of their own,
since it is often only their answers that are for one user.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from proxy.rfc9111.freshness import carries_credentials
from proxy.rfc9111.messages import Request
from proxy.stores import CacheKey

_REMEMBERED = 16_384
_FOR = 60.0
"""Seconds after which such a key is tried like any other."""

_Note: TypeAlias = tuple[CacheKey, bool]


class Unshareable:
    """Remembers keys, bounded in number and time.

    Args:
        clock: POSIX time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: OrderedDict[_Note, float] = OrderedDict()

    def covers(self, key: CacheKey, request: Request) -> bool:
        """Whether answers to requests like this one were of no use to others."""
        if not self._until:
            return False
        until = self._until.get((key, carries_credentials(request)))
        return until is not None and self._clock() < until

    def note(self, key: CacheKey, request: Request, *, shareable: bool) -> None:
        """Take note of what an answer was good for."""
        note = (key, carries_credentials(request))
        self._until.pop(note, None)
        if not shareable:
            self._until[note] = self._clock() + _FOR
            if len(self._until) > _REMEMBERED:
                self._until.popitem(last=False)
