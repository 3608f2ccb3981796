"""What counts as one client, and how many connections each holds."""

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_PREFIX: Final = 64
"""Bits of an IPv6 address that name one site: the rest is any client's to choose (RFC 4291)."""


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, the /64 of an IPv6 one; else the text itself."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, _PREFIX), strict=False))


class Clients:
    """Counts connections by client.

    Args:
        limit: Most of one client; None for any number.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count one in, unless there are too many; a Unix socket's "" is never too many."""
        if self._limit is None or not address:
            return True
        client = network_of(address)
        if self._held[client] >= self._limit:
            return False
        self._held[client] += 1
        return True

    def leave(self, address: str) -> None:
        """Count one out that had entered."""
        if self._limit is None or not address:
            return
        client = network_of(address)
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]
