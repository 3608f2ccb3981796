"""Which origin of several gets a request.

All of it is pure: who may be asked, and when it is, comes in.

Hashing is rendezvous hashing (highest random weight) and not a ring as in ketama: when an origin
leaves, only its own keys move, and they spread over all others by weight; weights are exact, also
fractions as in a slow start; and there is nothing to build or to keep in step. It costs one
multiplication or two for each origin and request, where a ring costs one search in all: groups
have a handful of origins, not thousands.
"""

from collections.abc import Sequence
from enum import Enum
from hashlib import blake2b
from math import log
from typing import Protocol, TypeVar

_MASK = (1 << 64) - 1


class Weighted(Protocol):
    """An origin as balancing sees it; the same object for as long as it lives.

    Attributes:
        seed: 64 bits of its own, the same in every process: `seed_of` its URL.
        in_flight: Requests that it is busy with.
    """

    seed: int
    in_flight: int

    def weight(self, now: float) -> float:
        """Its share of the requests, relative to that of the others; more than 0."""
        ...


W = TypeVar("W", bound=Weighted)


class Balance(Enum):
    """How requests are spread over origins."""

    ROUND_ROBIN = "round_robin"
    LEAST_CONNECTIONS = "least_connections"
    HASH = "hash"


class Balancer(Protocol):
    """Chooses among those that may be asked, of whom there is at least one."""

    def choose(self, among: Sequence[W], key: str, now: float) -> W:
        """The one to ask."""
        ...


class RoundRobin:
    """In turn and by weight, evenly interleaved: of weights 2 and 1, A B A, not A A B."""

    def __init__(self) -> None:
        self._credits: dict[int, float] = {}

    def choose(self, among: Sequence[W], key: str, now: float) -> W:  # noqa: ARG002 - see Balancer
        """The one with most credit: all earn their weight, the chosen pays the sum."""
        credit, total = self._credits, 0.0
        best, most = among[0], float("-inf")
        for one in among:
            weight = one.weight(now)
            total += weight
            held = credit[one.seed] = credit.get(one.seed, 0.0) + weight
            if held > most:
                best, most = one, held
        credit[best.seed] -= total
        return best


class LeastConnections:
    """The least busy for its weight; in turn among equals."""

    def __init__(self) -> None:
        self._turns = RoundRobin()

    def choose(self, among: Sequence[W], key: str, now: float) -> W:
        """One with the fewest requests in flight for its weight."""
        loads = [one.in_flight / one.weight(now) for one in among]
        least = min(loads)
        idlest = [one for one, load in zip(among, loads, strict=True) if load == least]
        return idlest[0] if len(idlest) == 1 else self._turns.choose(idlest, key, now)


class Hash:
    """The same for the same key, as long as it may be asked."""

    def choose(self, among: Sequence[W], key: str, now: float) -> W:
        """The one with the highest weighted random number that is drawn from key and seed."""
        drawn = seed_of(key)
        # -ln(u) / weight is exponentially distributed with rate `weight`: the smallest of such
        # is each one's with a probability that is its share of the weight.
        return min(among, key=lambda one: -log(_fraction(one.seed ^ drawn)) / one.weight(now))


def seed_of(text: str) -> int:
    """64 bits that depend on all of `text`, and on nothing else."""
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


def balancer(balance: Balance) -> Balancer:
    """One that balances so, and has balanced nothing yet."""
    match balance:
        case Balance.ROUND_ROBIN:
            return RoundRobin()
        case Balance.LEAST_CONNECTIONS:
            return LeastConnections()
        case Balance.HASH:
            return Hash()


def _fraction(bits: int) -> float:
    """A number between 0 and 1, both excluded, in which every bit matters (splitmix64)."""
    bits = (bits + 0x9E3779B97F4A7C15) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    return (((bits ^ (bits >> 31)) >> 12) + 0.5) / 2.0**52
