"""Keys whose answers could not be shared of late: nobody should wait for one that cannot be used.

Other caches call such a note "hit-for-miss". Requests with credentials have notes of their own,
since it is often only their answers that are for one user.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from proxy.rfc9111.directives import request_directives
from proxy.rfc9111.freshness import carries_credentials
from proxy.rfc9111.messages import Request
from proxy.rfc9111.reasons import Reason
from proxy.stores import CacheKey

PLAIN: Final = frozenset({Reason.NO_STORE, Reason.PRIVATE})
"""Why an answer is of no use to others that says so itself."""

_REMEMBERED = 16_384
_FOR = 60.0
"""Seconds after which such a key is tried like any other."""

_NEVER = (0.0, False)

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
        self._until: OrderedDict[int, tuple[float, bool]] = OrderedDict()

    @property
    def any(self) -> bool:
        """Whether there are any notes."""
        return bool(self._until)

    def covers(self, key: CacheKey, request: Request) -> bool:
        """Whether answers to requests like this one were of no use to others."""
        return self.any and self._find(note_name(key, request)) is not None

    def covers_plainly(self, name: int) -> bool:
        """Whether the last of them said so itself, in its directives. See `note_name`."""
        return self._find(name) is True

    def note(
        self, key: CacheKey, request: Request, *, shareable: bool, plain: bool = False
    ) -> None:
        """Take note of what an answer was good for.

        That others cannot use it says nothing of theirs, where the request asked for such a one.

        Args:
            key: The request's.
            request: What it answers.
            shareable: Others could use it.
            plain: If not, it said so itself, in its directives.
        """
        name = note_name(key, request)
        if shareable:
            self._until.pop(name, None)
        elif stands_for_others(request):
            self.note_plainly(name, plain=plain)

    def note_plainly(self, name: int, *, plain: bool = True) -> None:
        """The same, for one that others could not use, by what `note_name` said."""
        self._until[name] = self._clock() + _FOR, plain
        self._until.move_to_end(name)
        if len(self._until) > _REMEMBERED:
            self._until.popitem(last=False)

    def _find(self, name: int) -> bool | None:
        """Whether the note is a plain one; None where there is none."""
        until, plain = self._until.get(name, _NEVER)
        return plain if self._clock() < until else None


def note_name(key: CacheKey, request: Request) -> int:
    """What the note for a key is called: those for requests with credentials are others."""
    return hash((key, carries_credentials(request)))
