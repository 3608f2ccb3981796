"""Figures as they come: server-sent events (WHATWG HTML §9.2).

    event: history    the last minutes, once
    event: figures    every second
    : still here      where nothing has come for a while

A reader that is slow misses figures; nothing is kept for it.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

from pydantic import TypeAdapter

from proxy.admin.control import Stats
from proxy.admin.figures import Rates
from proxy.admin.problems import Fault, Refusal
from proxy.admin.recent import Recent
from proxy.exchange import Outgoing
from proxy.rfc9111.messages import Headers

MOST_STREAMS: Final = 32
HEARTBEAT: Final = 15.0
"""Seconds of silence that nobody in between takes for the end."""

_STILL_HERE: Final = b": still here\n\n"
_RETRY: Final = b"retry: 2000\n\n"
_FIGURES: Final = TypeAdapter(tuple[Stats, Rates | None])
_HISTORY: Final = TypeAdapter(Sequence[Rates])


class Live:
    """All streams.

    Attributes:
        open: How many there are.
    """

    def __init__(self, recent: Recent, *, heartbeat: float = HEARTBEAT) -> None:
        self.open = 0
        self.recent = recent
        self.heartbeat = heartbeat

    def stream(self, holds: Callable[[], bool]) -> Outgoing:
        """One more, which ends when it no longer `holds`.

        Raises:
            Refusal: 503, there are enough.
        """
        if self.open >= MOST_STREAMS:
            fault = Fault(where="dashboard", what="open too often", how="close another one")
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many dashboards are open.",
                [fault],
                [("Retry-After", "10")],
            )
        headers = Headers(
            [
                ("Content-Type", "text/event-stream"),
                ("Cache-Control", "no-store"),
                ("X-Accel-Buffering", "no"),
                ("X-Content-Type-Options", "nosniff"),
            ]
        )
        return Outgoing(200, "OK", headers, Stream(self, holds), None)


class Stream:
    """The body of one: an event in every piece."""

    def __init__(self, live: Live, holds: Callable[[], bool]) -> None:
        self._live = live
        self._holds = holds
        self._begun = self._ended = False
        live.open += 1

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> bytes:
        recent = self._live.recent
        if not self._begun:
            self._begun = True
            first = _event(b"history", _HISTORY.dump_json(recent.history()))
            return _RETRY + first + self._figures()
        came = await recent.next(self._live.heartbeat)
        if not recent.running or not self._holds():
            raise StopAsyncIteration
        return self._figures() if came else _STILL_HERE

    async def aclose(self) -> None:
        """Make room for another."""
        if not self._ended:
            self._ended = True
            self._live.open -= 1

    def _figures(self) -> bytes:
        recent = self._live.recent
        if recent.stats is None:
            return _STILL_HERE
        return _event(b"figures", _FIGURES.dump_json((recent.stats, recent.last())))


def _event(name: bytes, data: bytes) -> bytes:
    """JSON has no line breaks of its own."""
    return b"event: %b\ndata: %b\n\n" % (name, data)
