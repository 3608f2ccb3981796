"""Keys whose answers could not be shared of late: nobody should wait for one that cannot be used.

Other caches call such a note "hit-for-miss". Requests with credentials have notes of their own,
since it is often only their answers that are for one user.
"""

from collections import OrderedDict
from collections.abc import Callable

from proxy.rfc9111.directives import request_directives
from proxy.rfc9111.freshness import carries_credentials
from proxy.rfc9111.messages import Request
from proxy.stores import CacheKey

_REMEMBERED = 16_384
_FOR = 60.0
"""Seconds after which such a key is tried like any other."""

_FOR_ITSELF = ("Range", "If-None-Match", "If-Modified-Since", "If-Range")
"""Fields that turn the answer into one that others cannot use."""


def stands_for_others(request: Request) -> bool:
    """Whether its answer can be of use to others."""
    headers = request.headers
    return (
        request.method == "GET"
        and headers.keys().isdisjoint(_FOR_ITSELF)
        and not request_directives(headers).no_store
    )


class Unshareable:
    """Remembers keys, bounded in number and time.

    Args:
        clock: POSIX time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # By their hashes, since a key can be long: two that collide cost a request at most.
        self._until: OrderedDict[int, float] = OrderedDict()

    def covers(self, key: CacheKey, request: Request) -> bool:
        """Whether answers to requests like this one were of no use to others."""
        if not self._until:
            return False
        until = self._until.get(_name(key, request))
        return until is not None and self._clock() < until

    def note(self, key: CacheKey, request: Request, *, shareable: bool) -> None:
        """Take note of what an answer was good for.

        That others cannot use it says nothing of theirs, where the request asked for such a one.
        """
        note = _name(key, request)
        if shareable:
            self._until.pop(note, None)
        elif stands_for_others(request):
            self._until.pop(note, None)
            self._until[note] = self._clock() + _FOR
            if len(self._until) > _REMEMBERED:
                self._until.popitem(last=False)


def _name(key: CacheKey, request: Request) -> int:
    return hash((key, carries_credentials(request)))
