"""One line for each request, written in batches.

What is given again and again is rendered once; its lines say when that was told, which is up to a
tenth of a second after the answers.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from random import Random
from typing import Final, TypeAlias, assert_never

from proxy.clock import wall
from proxy.events import Answered, Refused, Repeated
from proxy.rfc9111.cache_status import Outcome

Fields: TypeAlias = Mapping[str, object]
Render: TypeAlias = Callable[[Fields], str]
"""Makes a line, without its end, in which the values stand in the order of the fields."""

_DELAY: Final = 0.05
_MOST_WAITING: Final = 4096
"""Lines; a burst should not grow into a long write."""

_MOST_REMEMBERED: Final = 8192
"""Answers that are given again."""

_TIME: Final = "@timestamp@"


_random = Random().random  # noqa: S311 - nothing secret hangs on which lines are written


class AccessLog:
    """Writes answered and refused requests to standard error.

    Args:
        render: Makes the lines.
        sample: Share of the answers that is written, 0 to 1; errors, and what was refused, are
            written in any case.
        clock: POSIX time.
        draw: Chance, evenly distributed over [0, 1).
    """

    def __init__(
        self,
        render: Render,
        sample: float = 1.0,
        *,
        clock: Callable[[], float] = wall,
        draw: Callable[[], float] = _random,
    ) -> None:
        self._render = render
        self._sample = sample
        self._clock = clock
        self._draw = draw
        self._logger = logging.getLogger("warmfront")
        self._lines: list[bytes] = []
        self._waiting = 0
        self._remembered: dict[int, tuple[Answered, bytes, bytes]] = {}
        self._owed = 0.0
        self._second = -1
        self._date = b""

    def __call__(self, event: Answered | Repeated | Refused) -> None:
        """Write an event, if it is one of those that are written."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        match event:
            case Repeated(answers=answers):
                self._write_repeated(answers)
            case Refused():
                self._write(self._line(refused_fields(event)))
            case Answered():
                if self._sample >= 1.0 or _is_error(event) or self._draw() < self._sample:
                    self._write(self._line(answered_fields(event)))
            case _:
                assert_never(event)

    def flush(self) -> None:
        """Write all that waits."""
        lines, self._lines, self._waiting = self._lines, [], 0
        if lines:
            with suppress(OSError, ValueError):  # nobody reads it, or it is closed
                sys.stderr.flush()
                sys.stderr.buffer.write(b"".join(lines))
                sys.stderr.buffer.flush()

    def _write_repeated(self, answers: Sequence[tuple[Answered, int]]) -> None:
        """Write the share of them that is due; what is left of it counts with the next ones."""
        now, owed, written = self._now(), self._owed, 0
        lines: list[bytes] = []
        for event, number in answers:
            owed += number * self._sample
            if owed >= 1.0:
                due = int(owed)
                owed -= due
                written += due
                before, after = self._remembered_of(event)
                lines.append((before + now + after) * due)
        self._owed = owed
        if written:
            self._write(b"".join(lines), written)

    def _write(self, lines: bytes, number: int = 1) -> None:
        self._lines.append(lines)
        self._waiting += number
        if len(self._lines) == 1:
            self._flush_soon()
        if self._waiting >= _MOST_WAITING:
            self.flush()

    def _flush_soon(self) -> None:
        try:
            asyncio.get_running_loop().call_later(_DELAY, self.flush)
        except RuntimeError:  # there is no loop, so there is no burst
            self.flush()

    def _remembered_of(self, event: Answered) -> tuple[bytes, bytes]:
        """What stands before and after the time."""
        known = self._remembered.get(id(event))
        if known is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            # With the event, so that its id is nobody else's.
            known = (event, *self._made(answered_fields(event)))
            self._remembered[id(event)] = known
        return known[1:]

    def _line(self, fields: Fields) -> bytes:
        before, after = self._made(fields)
        return before + self._now() + after

    def _made(self, fields: Fields) -> tuple[bytes, bytes]:
        # The time comes first: whatever a request says, this is not found in it.
        before, _, after = self._render({"timestamp": _TIME, **fields}).partition(_TIME)
        return before.encode(), f"{after}\n".encode()

    def _now(self) -> bytes:
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            date = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._date = date.encode()
        return b"%b.%06dZ" % (self._date, int((now - second) * 1_000_000))


def _is_error(event: Answered) -> bool:
    return event.outcome is Outcome.ERROR or event.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def answered_fields(event: Answered) -> Fields:
    """What the log tells of an answer; no query, and no header but the request's id."""
    fields: dict[str, object] = {
        "level": "info",
        "event": "answered",
        "method": event.method,
        "uri": event.uri,
        "status": event.status,
        "outcome": event.outcome.value,
        "reason": None if event.reason is None else event.reason.value,
        "route": event.route,
        "key": event.key,
        "seconds": round(event.duration, 6),
        "origin_seconds": None if event.origin_time is None else round(event.origin_time, 6),
        "bytes": event.length,
        "request_id": event.request_id or None,
        "cache": event.cache_status,
    }
    return {name: value for name, value in fields.items() if value is not None}


def refused_fields(event: Refused) -> Fields:
    """What the log tells of a request that nobody has seen."""
    return {
        "level": "info",
        "event": "refused",
        "status": event.status,
        "why": event.detail,
        "client": event.client or "unix",
    }
