"""How many requests may be sent a second time."""

from dataclasses import dataclass

BURST = 10.0
"""Retries that may be made in a row: no more are saved up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """How often to try again.

    Attributes:
        attempts: Further origins that one request may be sent to; 0: none.
        budget: Retries per request, over all requests: 0.2 allows one in five.
    """

    attempts: int = 1
    budget: float = 0.2


class RetryBudget:
    """A bucket of tokens that requests fill and retries empty.

    Over any stretch of time there are at most `share` retries per request, and ten: in an outage,
    when every request would be tried again, the origins that still stand get that much more.

    Attributes:
        tokens: Retries that may be made now.
    """

    __slots__ = ("_share", "tokens")

    def __init__(self, share: float) -> None:
        self.tokens = BURST if share else 0.0
        self._share = share

    def earn(self) -> None:
        """A request was sent for the first time."""
        self.tokens = min(BURST, self.tokens + self._share)

    def spend(self) -> bool:
        """Whether one may be sent again; that is paid for then."""
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True
