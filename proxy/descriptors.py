"""File descriptors: as many as are needed, where the system lets us, and who gets them if not."""

import resource
from typing import Final

_OWN: Final = 96
"""Listening sockets, the log, the loop, the admin API, who is turned away, and a few to spare."""


def for_clients(clients: int, others: int) -> int:
    """How many of `clients` connections can be open while `others` are needed elsewhere too.

    Raises the soft limit for it, as far as the hard one allows. Where there are too few, the
    others come first, since without an origin there is nothing to answer clients with; but they
    never get more than half, for each of them serves a client.
    """
    limit = _raised(clients + others + _OWN)
    left = limit - _OWN
    return max(1, min(clients, max(left // 2, left - others)))


def _raised(wanted: int) -> int:
    """The soft limit, after an attempt to make it large enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    except (ValueError, OSError):  # macOS has a lower limit than it says
        return soft
    return possible
