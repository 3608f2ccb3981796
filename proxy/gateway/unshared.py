"""Answers of no use to others, passed on as soon as they come.

Nobody foresees them: no setting keeps the cache out, but the last answer for the same URL has said
that it is not to be stored, and `unshareable` has a note of that. Nothing is stored there, so
nothing can be answered from the store, and nobody waits for anybody else. So these requests are
passed on like those of `passing`. Their answers are judged one by one as ever, with one difference:

    the status and the directives are of an answer that was judged already --> Reply.give
    else                                                                   --> a task

For some verdicts depend on nothing else, see `storing.forbidden`. An answer that does not say so
goes the longer way, is judged there by all that it says, stored if it may be, and ends the note.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from proxy.exchange import Incoming, Outgoing, Reply
from proxy.gateway.flights import Flight
from proxy.gateway.missing import MISS
from proxy.gateway.passing import Kind, Passage, Passing, Passings, Simple
from proxy.gateway.steps import Beginning, bypassed
from proxy.gateway.unshareable import PLAIN, Unshareable, note_name
from proxy.http1 import fields_of
from proxy.rfc9111 import storing
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.stores import AtOnce

_FIRST_ERROR: Final = 400
"""Errors are judged by all of the request."""

_GoOn = Callable[[Incoming, Beginning, Flight | None], Awaitable[Outgoing]]


class Unshareds:
    """Knows which requests are passed on like this.

    Args:
        passings: What all that is passed on at once has in common.
        store: Where the answers might be; None where a look there may have to wait.
        unshareable: What is known of them.
        go_on: Answers a request for which nothing was stored, whose way to the origin has begun.
    """

    def __init__(
        self, passings: Passings, store: AtOnce | None, unshareable: Unshareable, go_on: _GoOn
    ) -> None:
        self._passings = passings
        self._store = store
        self._unshareable = unshareable
        self._go_on = go_on

    def of(self, request: Request, depends_on: frozenset[str]) -> "Unshared | None":
        """How requests like this one are passed on; None where they are not.

        Args:
            request: Reduced to what is watched; it has nothing to say to caches.
            depends_on: See Passing.
        """
        passings, store = self._passings, self._store
        if store is None or request.method != "GET" or not self._unshareable.any:
            return None
        simple = passings.simple(request)
        if simple is None or bypassed(simple.exchange) is not None:
            return None
        simple.exchange.verdict = MISS
        try:
            unshared = Unshared(passings, simple, depends_on, store, self._unshareable, self._go_on)
        except ValueError:  # the settings have it write what cannot be written
            return None
        return unshared if unshared.lasts else None


class Unshared(Passing):
    """What is the same for all requests for one URL that are alike."""

    __slots__ = ("_go_on", "_name", "_noted", "_store", "_unshareable")

    def __init__(  # noqa: PLR0917 - one is made of all this, in one place
        self,
        passings: Passings,
        simple: Simple,
        depends_on: frozenset[str],
        store: AtOnce,
        unshareable: Unshareable,
        go_on: _GoOn,
    ) -> None:
        self._store = store
        self._unshareable = unshareable
        self._go_on = go_on
        exchange = simple.exchange
        self._name = note_name(exchange.key, exchange.request)
        noted = storing.directive_fields(exchange.policy)
        super().__init__(passings, simple, depends_on, noted)

    @property
    def lasts(self) -> bool:
        """See exchange.Passing."""
        return self._unshareable.covers_plainly(self._name) and self._store.lacks(self._key)

    def start(self, head: bytes, name: bytes | None, address: str, reply: Reply) -> Passage | None:
        """See exchange.Passing."""
        return super().start(head, name, address, reply) if self.lasts else None

    def kind(self, status: int, noted: bytes) -> Kind | None:
        """See Passing; the note is renewed."""
        kind = super().kind(status, noted)
        if kind is not None:
            self._unshareable.note_plainly(self._name)
        return kind

    def _new_kind(self, status: int, noted: bytes) -> Kind | None:
        """See Passing."""
        if status >= _FIRST_ERROR:
            return None
        exchange = self._exchange
        response = Response(status, "", Headers(fields_of(noted.decode("latin-1"))))
        reason = storing.forbidden(exchange.request, response, exchange.policy)
        return self._remember(status, noted, reason) if reason in PLAIN else None

    def go_on(self, incoming: Incoming, beginning: Beginning) -> Awaitable[Outgoing]:
        """See Passing."""
        return self._go_on(incoming, beginning, None)
