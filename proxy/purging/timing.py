"""How long a process trusts what it knows of the log, and what follows from that."""

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds; all processes of a fleet must have the same.

    Attributes:
        max_lag: How long a process may be without news of the log and still trust what it knows.
        blind: How much longer this process serves what it kept all the same; more than 0 gives up
            the promise for that long, since the others no longer wait for it.
    """

    max_lag: float = 3.0
    blind: float = 0.0

    @property
    def heartbeat(self) -> float:
        """Between two steps without any purge."""
        return self.max_lag / 6

    @property
    def patience(self) -> float:
        """For one answer of Redis: some attempts must fit into `max_lag`."""
        return self.max_lag / 3

    @property
    def expiry(self) -> float:
        """After which a silent process is no longer waited for."""
        return self.max_lag * 1.25


def steady() -> float:
    """Seconds that go on while the machine sleeps, where it can tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
