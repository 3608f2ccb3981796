"""Answers that were fetched at once: what they get on their way out, and how they are told of.

Those of one route that came about alike, ttl and all, are given the same lines, and counted
together. What there is to tell of a single one is made when somebody wants to know.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from proxy.events import Answered, Passed
from proxy.exchange import Outgoing
from proxy.gateway.decisions import Decision
from proxy.gateway.splices import field_lines
from proxy.gateway.steps import Answer, Exchange
from proxy.rfc9111.cache_status import CacheStatus
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import StoredResponse
from proxy.splicing import BODILESS

_MOST: Final = 1024
"""Kinds in all: there is one for each ttl."""

_Dress = Callable[[Exchange, Answer, str, float], Headers]


class Kinds:
    """Those that are known, on all simple routes.

    Args:
        dress: Fields of an answer on its way out.
    """

    def __init__(self, dress: _Dress) -> None:
        self._dress = dress
        self._known: dict[tuple[int, CacheStatus], Kind] = {}

    def of(self, exchange: Exchange, status: CacheStatus) -> "Kind":
        """What all answers on a route have in common that came about like this.

        Raises:
            ValueError: The settings have it write what cannot be written.
        """
        about = (id(exchange.matched.route), status)  # the table keeps it, and does not change
        kind = self._known.get(about)
        if kind is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            kind = self._known[about] = Kind(self._dress, exchange, status)
        return kind


class Together(Passed):
    """Answers that are dressed and counted alike.

    Attributes:
        cache_status: How they came about.
        lines: Of their heads, behind those of the origin and Date.
    """

    __slots__ = ("cache_status", "lines")

    cache_status: CacheStatus
    lines: bytes


class Kind(Together):
    """All answers on one route that came about alike."""

    __slots__ = ()

    def __init__(self, dress: _Dress, exchange: Exchange, cache_status: CacheStatus) -> None:
        status = cache_status.forward_status or 0
        told = cache_status.render()
        answer = Answer(Outgoing(status, "", Headers([("Date", "")])), cache_status)
        fields = dress(exchange, answer, told, exchange.started)
        route = exchange.matched.route
        super().__init__(
            Answered(
                *(exchange.request.method, "", status, told, 0.0, route.name),
                *(cache_status.outcome, cache_status.detail),
            ),
            route.origin,
            sized=status not in BODILESS,
        )
        self.cache_status = cache_status
        self.lines = field_lines(list(fields.items())[1:])


class One(Passed):
    """One answer: counted like all of its kind; what else there is to tell is made if need be."""

    __slots__ = ("_exchange", "_kind", "_not_stored", "_stored")

    recurs = False

    def __init__(
        self,
        kind: Together,
        exchange: Exchange,
        stored: StoredResponse | None,
        not_stored: Reason | None,
    ) -> None:
        self._kind = kind
        self._exchange = exchange
        self._stored = stored
        self._not_stored = not_stored
        self.origin = kind.origin
        self.sized = kind.sized

    @property
    def counted(self) -> Any:
        """See Passed."""
        return self._kind.counted

    @counted.setter
    def counted(self, place: Any) -> None:
        self._kind.counted = place

    @property
    def answered(self) -> Answered:  # type: ignore[override]  # nobody sets it
        """See Passed."""
        exchange = self._exchange
        return replace(self._kind.answered, uri=exchange.uri, key=exchange.key_hash)

    @property
    def decision(self) -> Decision:
        """See Passed."""
        kind = self._kind
        return Decision.made(
            self._exchange,
            kind.answered.status,
            kind.cache_status,
            stored=self._stored,
            refused=self._not_stored,
        )
