"""The only wall clock. Everything that decides gets `now` passed in."""

import time
from collections.abc import Callable
from typing import Final

wall: Final[Callable[[], float]] = time.time  # noqa: TID251 - the one place
"""POSIX seconds now; what Date, Age and freshness are reckoned in."""
