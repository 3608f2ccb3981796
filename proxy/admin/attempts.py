"""Wrong tokens, counted by client.

Whoever has sent too many of late is told to wait, and no longer fills the log. A known token is
let in all the same: else anybody at the same address could keep purges out, and tokens are too
long to be guessed at any pace.
"""

from typing import Final

from proxy.server.clients import network_of

_BURST: Final = 10
_FORGIVEN_EVERY: Final = 6.0
"""Seconds after which one wrong token is forgotten."""

_MOST_CLIENTS: Final = 4096


class Attempts:
    """A leaking bucket for each client."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}

    def failed(self, address: str, now: float) -> float:
        """Take note of a wrong token; returns the seconds to wait, 0 while it is not too many."""
        client = network_of(address)
        level, since = self._last.pop(client, (0.0, now))
        level = max(0.0, level - (now - since) / _FORGIVEN_EVERY)
        excess = level + 1 - _BURST
        if len(self._last) >= _MOST_CLIENTS:
            del self._last[next(iter(self._last))]  # whose last attempt is longest ago
        self._last[client] = (min(level + 1, float(_BURST)), now)
        return max(0.0, excess * _FORGIVEN_EVERY)
