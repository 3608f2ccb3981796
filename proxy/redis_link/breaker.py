"""A circuit breaker: after failures in a row, do not try until a pause has passed.

    CLOSED --failures--> OPEN --pause over: one trial per pause--> CLOSED
                          ^                        |
                          +---- trial failed, pause doubles

A trial is allowed once per pause; one that never reports back costs a pause, not the breaker.
"""


class Breaker:
    """Pure bookkeeping: `now` is passed in, in seconds of any clock that only goes forward.

    Attributes:
        closed: Whether all goes through.
        retry_at: When the next trial is due while it is open.
    """

    def __init__(self, failures: int, pause: float, limit: float) -> None:
        self.closed = True
        self.retry_at = 0.0
        self._threshold = failures
        self._first_pause = pause
        self._limit = limit
        self._pause = pause
        self._in_a_row = 0

    def permits(self, now: float) -> bool:
        """Whether to go ahead; while open, True makes the caller the trial of this pause."""
        if self.closed:
            return True
        if now < self.retry_at:
            return False
        self.retry_at = now + self._pause
        return True

    def succeeded(self) -> bool:
        """Note a success; whether it closed the breaker."""
        changed = not self.closed
        self.closed = True
        self._in_a_row = 0
        self._pause = self._first_pause
        return changed

    def failed(self, now: float) -> bool:
        """Note a failure; whether it opened the breaker."""
        if not self.closed:
            self._pause = min(2 * self._pause, self._limit)
            self.retry_at = now + self._pause
            return False
        self._in_a_row += 1
        if self._in_a_row < self._threshold:
            return False
        self.trip(now)
        return True

    def trip(self, now: float) -> None:
        """Open it at once."""
        self.closed = False
        self.retry_at = now + self._pause
