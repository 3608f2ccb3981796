"""Telling of what was answered without waiting: noted at once, told a little later, together.

Hits that are given again, and answers that are passed on, are far more than one can tell of one by
one. Whoever looks at what is kept or counted has it told before.
"""

import asyncio
from typing import Final

from proxy.events import Emit, PassedOn, Repeated
from proxy.gateway.decisions import Decisions
from proxy.journal import Journal, figures_in
from proxy.request_ids import RequestIds

_EVERY: Final = 0.05
"""Seconds, at the latest."""

_MEASURED: Final = 3
"""Figures of what is passed on: when, how long it took, how long it is."""


class Telling:
    """Tells `emit` of answers, and `decisions` of what was decided.

    Args:
        ids: Names requests that have no name.
        decisions: Where decisions are kept; None where they are not.
        named: Whether anybody wants to know names.

    Attributes:
        hit: Is called with each hit as it is given again, see Journal.note: its Hit, what its
            client calls the request, POSIX time.
        passed: The same with each answer that is passed on: its Passed, what its client calls the
            request, POSIX time, seconds from the request to it, and bytes of its content.
    """

    def __init__(
        self, *, emit: Emit, ids: RequestIds, decisions: Decisions | None, named: bool
    ) -> None:
        self._emit = emit
        self._decisions = decisions
        self._timer: asyncio.TimerHandle | None = None
        if decisions is not None:
            decisions.pull = self.tell
        make = ids.make if named else None
        self._hits = Journal(begun=self._tell_soon, full=self._tell_hits, make=make, figures=1)
        self._passed = Journal(
            begun=self._tell_soon, full=self._tell_passed, make=make, figures=_MEASURED
        )
        self.hit = self._hits.note
        self.passed = self._passed.note

    def tell(self) -> None:
        """Tell of all that was answered; that is done by itself too, a little later."""
        self._tell_passed()
        self._tell_hits()

    def _tell_hits(self) -> None:
        taken = self._hits.take()
        if taken[0]:
            if self._decisions is not None:
                self._decisions.note_hits(taken)
            self._emit(Repeated(*taken))

    def _tell_passed(self) -> None:
        kinds, figures, names = self._passed.take()
        if kinds:
            times, durations, lengths = figures_in(figures, _MEASURED)
            packed = times.tobytes()
            if self._decisions is not None:
                self._decisions.note_passed((kinds, packed, names))
            self._emit(PassedOn(kinds, packed, durations, lengths, names))

    def _tell_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._tell_now)

    def _tell_now(self) -> None:
        self._timer = None
        self.tell()
