"""One line for each request, written in batches.

Of what is told again and again most is rendered once: each line of it is that with its own time
and name, and what was measured.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from itertools import count
from random import Random
from typing import Final, TypeAlias, TypeVar, assert_never

from proxy.clock import wall
from proxy.events import Answered, Hit, Passed, PassedOn, Refused, Repeated
from proxy.journal import Line, lines, measured, names_in, some, stamp, times_in
from proxy.rfc9111.cache_status import Outcome

Fields: TypeAlias = Mapping[str, object]
Render: TypeAlias = Callable[[Fields], str]
"""Makes a line, without its end, in which the values stand in the order of the fields."""

_DELAY: Final = 0.05
_MOST_WAITING: Final = 64 * 1024
"""Bytes; a burst should not grow into a long write."""

_TIME: Final = "#timestamp#"
_NAME: Final = "#request_id#"
"""Nothing that a request can say: in its target there is no such sign."""

_VALUES: Final = (b"at", b"name", b"seconds", b"length")

_Number = TypeVar("_Number", int, float)

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
        self._common = (b"", b"")
        self._lines: list[bytes] = []
        self._waiting = 0

    def __call__(self, event: Answered | Repeated | PassedOn | Refused) -> None:
        """Write an event, if it is one of those that are written."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        match event:
            case Repeated():
                self._write_repeated(event)
            case PassedOn():
                self._write_passed(event)
            case Refused():
                self._write(self._line(refused_fields(event)))
            case Answered():
                if self._is_written(event):
                    self._write(self._line(answered_fields(event)))
            case _:
                assert_never(event)

    def flush(self) -> None:
        """Write all that waits."""
        waiting, self._lines, self._waiting = self._lines, [], 0
        if waiting:
            with suppress(OSError, ValueError):  # nobody reads it, or it is closed
                sys.stderr.flush()
                sys.stderr.buffer.write(b"".join(waiting))
                sys.stderr.buffer.flush()

    def _write_repeated(self, event: Repeated) -> None:
        taken = (event.hits, event.times, event.names)
        if self._sample < 1.0:
            taken = some(taken, [self._draw() < self._sample for _ in event.hits])
        if taken[0]:
            self._write(lines(*taken, self._make_line))

    def _write_passed(self, event: PassedOn) -> None:
        written: list[bytes] = []
        times, names = times_in(event.times), names_in(event.names)
        rows = zip(event.kinds, times, event.durations, event.lengths, names, strict=True)
        for kind, at, seconds, length, name in rows:
            if not kind.recurs:
                one = measured(kind, seconds, length, name)
                if self._is_written(one):
                    written.append(stamp(at).join(self._made(answered_fields(one))))
            elif self._is_written(kind.answered):
                line = kind.line or self._make_template(kind)
                values = (stamp(at), name, repr(round(seconds, 6)).encode(), int(length))
                written.append(line % dict(zip(_VALUES, values, strict=True)))
        if written:
            self._write(b"".join(written))

    def _make_template(self, kind: Passed) -> bytes:
        event = replace(kind.answered, request_id=_NAME)
        text = self._render(answered_fields(event))
        seconds = _absent((float(10**exponent) for exponent in count(40)), text)
        length = _absent((10**exponent for exponent in count(40)), text)
        event = replace(event, duration=seconds, origin_time=seconds)
        if kind.sized:
            event = replace(event, length=length)
        line = _TIME.encode().join(self._made(answered_fields(event))).replace(b"%", b"%%")
        for mark, value in (
            *((_TIME, b"%(at)b"), (_NAME, b"%(name)b")),
            *((repr(seconds), b"%(seconds)b"), (repr(length), b"%(length)d")),
        ):
            line = line.replace(mark.encode(), value)
        kind.line = line
        return line

    def _is_written(self, event: Answered) -> bool:
        return self._sample >= 1.0 or _is_error(event) or self._draw() < self._sample

    def _make_line(self, hit: Hit) -> Line:
        before, rest = self._made(answered_fields(replace(hit.answered, request_id=_NAME)))
        between, _, after = rest.partition(_NAME.encode())
        # What all have in common is there once: so it is at hand when it is written.
        common = self._common
        if (before, after) != common:
            common = self._common = (before, after)
        hit.line = line = (common[0], between, common[1])
        return line

    def _write(self, lines: bytes) -> None:
        self._lines.append(lines)
        self._waiting += len(lines)
        if self._waiting >= _MOST_WAITING:
            self.flush()
        elif len(self._lines) == 1:
            self._flush_soon()

    def _flush_soon(self) -> None:
        try:
            asyncio.get_running_loop().call_later(_DELAY, self.flush)
        except RuntimeError:  # there is no loop, so there is no burst
            self.flush()

    def _line(self, fields: Fields) -> bytes:
        before, after = self._made(fields)
        return before + stamp(self._clock()) + after

    def _made(self, fields: Fields) -> tuple[bytes, bytes]:
        before, _, after = self._render({"timestamp": _TIME, **fields}).partition(_TIME)
        return before.encode(), f"{after}\n".encode()


def _is_error(event: Answered) -> bool:
    return event.outcome is Outcome.ERROR or event.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _absent(numbers: Iterable[_Number], text: str) -> _Number:
    """The first of these that is not in the text as it would be written."""
    return next(number for number in numbers if repr(number) not in text)


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
