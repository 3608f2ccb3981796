"""Flights: one request to the origin for all that want the same thing at the same time.

    WAITING   the leader has asked, and the head of the answer is not here yet
    SHARED    the head shows that others may have the answer; its body is on its way
    over      it is in the store, or never will be: the next request looks there, or leads anew

Who finds a flight under way waits for its outcome, and every outcome says what to do then:

    Shared     read along, from the first byte
    Landed     another process has stored it: look there
    Alone      nothing to share: everybody asks the origin, at once and side by side
    ErrorStatus, Unreachable   the origin fails: a stale response may stand in, if one has one

A request that comes after a purge never joins a flight that began before it, unless the head is
here and the purge does not concern it. While purges may be missed, no request joins a flight that
began before the request came: those that come meanwhile send one of them when it is over.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

from proxy.gateway.filling import Filling
from proxy.origin import OriginError
from proxy.purging import PurgeState, Valid, scopes_of
from proxy.rfc9111.stored import StoredResponse
from proxy.stores import CacheKey, Filled, Lease


@dataclass(frozen=True, slots=True)
class Shared:
    """The head of an answer that others may have, and its body: as it arrives, or all of it."""

    stored: StoredResponse
    body: Filling | bytes

    @property
    def arriving(self) -> Filling | None:
        """The body, while one may begin to read it."""
        return self.body if isinstance(self.body, Filling) and self.body.keeping else None

    @property
    def whole(self) -> bytes | None:
        """All of the body, once it is here and was not too large."""
        return self.body.whole if isinstance(self.body, Filling) else self.body


@dataclass(frozen=True, slots=True)
class Landed:
    """What was asked for has been stored."""


@dataclass(frozen=True, slots=True)
class Alone:
    """The answer is for the leader alone."""


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """The origin answered with an error that a stale response may stand in for."""

    status: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The origin gave no usable answer."""

    error: OriginError


Outcome: TypeAlias = Shared | Landed | Alone | ErrorStatus | Unreachable


Watch: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Is entered for as long as something takes."""


class Flight:
    """One request to the origin, and what others may expect of it.

    Attributes:
        born: Number of the last purge before the origin was asked.
        lease: Leave to fill the store, where other processes wait too.
        filled: What has become of the store, for those.
    """

    __slots__ = ("_flights", "_outcome", "born", "filled", "key", "lease")

    def __init__(self, flights: "Flights", key: CacheKey, born: int) -> None:
        self.key = key
        self.born = born
        self.lease: Lease | None = None
        self.filled = Filled.FAILED
        self._flights = flights
        self._outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    @property
    def known(self) -> Outcome | None:
        """The outcome, if there is one yet."""
        return self._outcome.result() if self._outcome.done() else None

    async def outcome(self) -> Outcome:
        """Wait for it; bounded by what the leader waits for the origin."""
        self._flights.waiting += 1
        try:
            with self._flights.watch():
                return await asyncio.shield(self._outcome)
        finally:
            self._flights.waiting -= 1

    def resolve(self, outcome: Outcome) -> None:
        """Tell those that wait; only the first word counts."""
        if not self._outcome.done():
            self._outcome.set_result(outcome)

    def end(self) -> None:
        """It is over: nobody joins it any more. May be called again."""
        if not self._outcome.done():
            self._outcome.set_result(Landed() if self.filled is Filled.STORED else Alone())
        self._flights.remove(self)


class Flights:
    """The flights of this process, one for each key.

    Args:
        state: What this process knows of purges.
        end_fill: Gives leave to fill the store back; see Store.
        watch: Entered while a request waits.

    Attributes:
        waiting: Requests that wait for an outcome now.
    """

    def __init__(
        self,
        state: PurgeState,
        end_fill: Callable[[Lease, Filled], None],
        watch: Watch = nullcontext,
    ) -> None:
        self.watch = watch
        self._state = state
        self._end_fill = end_fill
        self._flights: dict[CacheKey, Flight] = {}
        self.waiting = 0

    def __len__(self) -> int:
        """How many are under way and may be joined."""
        return len(self._flights)

    def find(self, key: CacheKey) -> Flight | None:
        """A flight that a request may join now; None if it is to `lead`."""
        flight = self._flights.get(key)
        if flight is None or self._is_outdated(flight):
            return None
        return flight

    def lead(self, key: CacheKey) -> Flight:
        """A new flight, which later requests find; it must be brought to its `end`."""
        flight = self._flights[key] = Flight(self, key, self._state.position)
        return flight

    def remove(self, flight: Flight) -> None:
        """See Flight.end."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        lease, flight.lease = flight.lease, None
        if lease is not None:
            self._end_fill(lease, flight.filled)

    def is_untouched(self, stored: StoredResponse, url: str) -> bool:
        """Whether no purge that this process knows of concerns an answer on its way."""
        scopes = scopes_of(url, stored.tags, stored.groups)
        return isinstance(self._state.judge(stored.born, url, scopes), Valid)

    def _is_outdated(self, flight: Flight) -> bool:
        match flight.known:
            case None:
                # Any purge may concern what nobody knows the tags of yet.
                return flight.born != self._state.position
            case Shared(stored=stored, body=body):
                # One whose body is whole goes on until it is stored.
                over = isinstance(body, Filling) and not body.keeping
                return over or not self.is_untouched(stored, flight.key.url)
            case _:
                return True
