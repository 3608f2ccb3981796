"""Who has logged in: random names for callers, which die with the process."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from proxy.admin.tokens import Caller

LIFETIME: Final = 12 * 3600.0
"""Seconds; however much it is used."""
MOST: Final = 64
"""One more ends the oldest."""


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One login.

    Attributes:
        name: What the cookie holds; says nothing of the token.
        proof: What the page shows to prove that a request is its own.
        ends: When, in the clock of Sessions.
    """

    caller: Caller
    ends: float
    name: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    proof: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class Sessions:
    """All of them.

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[bytes, Session] = {}

    def begin(self, caller: Caller) -> Session:
        """A new one."""
        session = Session(caller, self._clock() + LIFETIME)
        if len(self._open) >= MOST:
            del self._open[next(iter(self._open))]
        self._open[_digest(session.name)] = session
        return session

    def find(self, name: str) -> Session | None:
        """The one of this name, if it has not ended."""
        session = self._open.get(_digest(name))
        return session if session is not None and self.holds(session) else None

    def holds(self, session: Session) -> bool:
        """Whether it has not ended."""
        return _digest(session.name) in self._open and self._clock() < session.ends

    def end(self, session: Session) -> None:
        """Log out."""
        self._open.pop(_digest(session.name), None)

    def end_all(self) -> None:
        """Log everybody out."""
        self._open.clear()


def _digest(name: str) -> bytes:
    """How long it takes to find one tells nothing of its name then."""
    return hashlib.sha256(name.encode()).digest()
