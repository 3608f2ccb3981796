"""The only wall clock. Everything that decides gets `now` passed in."""

import time

wall = time.time  # noqa: TID251 - the one place
"""POSIX seconds now; what Date, Age and freshness are reckoned in."""
