"""The only wall clock. Everything that decides gets `now` passed in."""

import time


def wall() -> float:
    """POSIX seconds now; what Date, Age and freshness are reckoned in."""
    return time.time()  # noqa: TID251 - the one place
