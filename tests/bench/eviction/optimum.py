"""What no policy can do better.

Where all objects are of one size, Belady's is the optimum: who is asked for again last leaves
first. With sizes the optimum cannot be computed (it is NP-hard); so there are two figures:

- Belady's rule in bytes: a policy that knows the future, and not always the best of those.
- A bound (PFOO-L; Berger, Beckmann, Harchol-Balter 2018): to hit a request the object takes its
  size for the time since it was last asked for. There is so much room times so much time, and the
  cheapest hits come first, wherever in time they are.
"""

import heapq
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

from tests.bench.eviction.traces import Trace

NEVER = 1 << 60


def next_uses(names: Sequence[int]) -> list[int]:
    """For each request the number of the next one for the same, or NEVER."""
    following = [NEVER] * len(names)
    seen: dict[int, int] = {}
    for number in range(len(names) - 1, -1, -1):
        following[number] = seen.get(names[number], NEVER)
        seen[names[number]] = number
    return following


def belady(trace: Trace, following: Sequence[int], room: int) -> tuple[int, int]:
    """Hits, and their bytes."""
    most = room
    held: dict[int, int] = {}
    last: list[tuple[int, int]] = []
    hits = hit_bytes = 0
    for name, following_use in zip(trace.names, following, strict=True):
        size = trace.sizes[name]
        if name in held:
            hits += 1
            hit_bytes += size
        elif size > most:
            continue
        else:
            room -= size
        held[name] = following_use
        heapq.heappush(last, (-following_use, name))
        while room < 0:
            use, leaving = heapq.heappop(last)
            if held.get(leaving) == -use:
                del held[leaving]
                room += trace.sizes[leaving]
    return hits, hit_bytes


def bound(
    trace: Trace, following: Sequence[int], rooms: Sequence[int]
) -> list[tuple[float, float]]:
    """For each size of cache: the most hits, and the most bytes hit."""
    intervals = [
        (trace.sizes[trace.names[number]], use - number)
        for number, use in enumerate(following)
        if use != NEVER
    ]
    requests = _cheapest(intervals, lambda _size: 1)
    in_bytes = _cheapest(intervals, lambda size: size)
    total = [room * len(trace.names) for room in rooms]
    return [(requests(budget), in_bytes(budget)) for budget in total]


def _cheapest(
    intervals: Sequence[tuple[int, int]], worth: Callable[[int], int]
) -> Callable[[int], float]:
    """How much can be had for a budget of bytes times requests, when the cheapest comes first."""
    ordered = sorted(intervals, key=lambda one: one[0] * one[1] / worth(one[0]))
    costs = list(accumulate((size * time for size, time in ordered), initial=0))
    worths = list(accumulate((worth(size) for size, _ in ordered), initial=0))

    def had_for(budget: int) -> float:
        whole = bisect_right(costs, budget) - 1
        if whole == len(ordered):
            return worths[-1]
        share = (budget - costs[whole]) / (costs[whole + 1] - costs[whole])
        return worths[whole] + share * (worths[whole + 1] - worths[whole])

    return had_for
