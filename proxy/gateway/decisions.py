"""What was decided of late, for those who ask about a request afterwards.

What is kept of a request holds no value of a field and none of its query: its method, its URL with
the names of the query's parameters, its route, a hash of its key, and what was decided with the
numbers that this rests on. Fresh hits, by far the most, have a ring of their own, so that they do
not push out what people ask about.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from random import Random
from typing import Final, Protocol, TypeAlias

from proxy.gateway.filling import Fate
from proxy.gateway.steps import Answer, Exchange, Verdict
from proxy.journal import Taken, names_in, some, times_in
from proxy.rfc9111 import reuse
from proxy.rfc9111.cache_status import CacheStatus
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import Freshness, VariantKey

_LONGEST: Final = 1024
"""Characters that are kept of a URL, of tags, of names in Vary: a bound on what a ring takes."""

_random = Random().random  # noqa: S311 - nothing secret hangs on which decisions are kept


class Known(Protocol):
    """What there is to know of a stored response; see StoredResponse."""

    @property
    def freshness(self) -> Freshness:
        """See above."""
        ...

    @property
    def variant(self) -> VariantKey:
        """See above."""
        ...

    @property
    def tags(self) -> tuple[str, ...]:
        """See above."""
        ...

    @property
    def born(self) -> int:
        """See above."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one request, or for one hit that is given again and again.

    Attributes:
        uri: With the names of the query's parameters, without their values.
        key: A hash of its key, as in the log.
        verdict: What was to be done.
        freshness: Of what the answer was given from, or stored with; None for neither.
        vary: Request fields that this was selected by.
        born: Number of the last purge before it was fetched.
        fate: What became of an answer that was to be stored as its body passed.
        refused: Why it was not to be.
    """

    method: str
    uri: str
    status: int
    route: str
    key: str
    verdict: Verdict
    cache_status: CacheStatus
    freshness: Freshness | None
    vary: tuple[str, ...]
    tags: tuple[str, ...]
    born: int
    fate: Fate | None
    refused: Reason | None

    @property
    def not_stored(self) -> Reason | None:
        """Why the origin's answer was not stored; None where it was, or there was none."""
        return self.fate.refused if self.refused is None and self.fate else self.refused

    @classmethod
    def of(cls, exchange: Exchange, answer: Answer) -> "Decision":
        """Of a request that has its answer."""
        return cls.made(
            exchange,
            answer.outgoing.status,
            answer.cache_status,
            stored=answer.stored,
            fate=answer.fate,
            refused=answer.not_stored,
        )

    @classmethod
    def made(
        cls,
        exchange: Exchange,
        status: int,
        cache_status: CacheStatus,
        *,
        stored: Known | None,
        fate: Fate | None = None,
        refused: Reason | None,
    ) -> "Decision":
        """The same, by what there is to know of the answer; see Answer."""
        assert exchange.verdict is not None  # noqa: S101 - it has its answer
        return cls(
            method=exchange.request.method,
            uri=_told(exchange.request.uri),
            status=status,
            route=exchange.matched.route.name,
            key=exchange.key_hash,
            verdict=exchange.verdict,
            cache_status=cache_status,
            freshness=None if stored is None else stored.freshness,
            vary=() if stored is None else _bounded(name for name, _ in stored.variant),
            tags=() if stored is None else _bounded(stored.tags),
            born=0 if stored is None else stored.born,
            fate=fate,
            refused=refused,
        )


_Kept: TypeAlias = tuple[bytes, float, Decision]
"""What the request is called; POSIX time; what was decided."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """An answer of which nothing else is kept."""

    decision: Decision


class _Ring:
    """The last ones; what came together stays together, to take it apart would cost too much.

    Args:
        size: How many are kept; up to as many as came together more.

    Attributes:
        number: How many there are.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: deque[_Kept | Taken] = deque()
        self.number = 0

    def add(self, kept: _Kept) -> None:
        """This is the last one now."""
        self._kept.append(kept)
        self.number += 1
        self._drop()

    def add_all(self, taken: Taken) -> None:
        """These are; each has its `decision`."""
        if taken[0]:
            self._kept.append(taken)
            self.number += len(taken[0])
            self._drop()

    def resize(self, size: int) -> None:
        """Keep so many."""
        self._size = size
        self._drop()

    def __reversed__(self) -> Iterator[_Kept]:
        for kept in reversed(self._kept):
            if isinstance(kept[0], bytes):
                yield kept
            else:
                answers, times, names = kept
                together = zip(names_in(names), times_in(times), answers, strict=True)
                for name, at, answer in reversed(list(together)):
                    yield name, at, answer.decision

    def _drop(self) -> None:
        while self._kept and self.number - _count(self._kept[0]) >= self._size:
            self.number -= _count(self._kept.popleft())


def _count(kept: "_Kept | Taken") -> int:
    return 1 if isinstance(kept[0], bytes) else len(kept[0])


class Decisions:
    """The last ones.

    Args:
        size: How many fresh hits are kept, and how many of all others.
        sample: Share of requests that are kept at all, above 0 and up to 1.
        draw: Chance, evenly distributed over [0, 1).

    Attributes:
        pull: Is called before somebody looks, to have noted what has not been noted yet.
    """

    def __init__(self, size: int, sample: float, draw: Callable[[], float] = _random) -> None:
        self.pull: Callable[[], None] = lambda: None
        self._sample = sample
        self._draw = draw
        self._hits = _Ring(size)
        self._others = _Ring(size)

    def __len__(self) -> int:
        """How many are kept."""
        self.pull()
        return self._hits.number + self._others.number

    def adjust(self, size: int, sample: float) -> None:
        """Keep so many, by such a share, from now on."""
        self._sample = sample
        self._hits.resize(size)
        self._others.resize(size)

    def note(self, name: bytes, at: float, decision: Decision) -> None:
        """Keep one, if its lot is drawn."""
        if self._sample >= 1.0 or self._draw() < self._sample:
            fresh = type(decision.verdict) is reuse.Fresh
            (self._hits if fresh else self._others).add((name, at, decision))

    def note_hits(self, taken: Taken) -> None:
        """The same for many fresh hits, which have a `decision` each, in less time."""
        self._hits.add_all(self._drawn(taken))

    def note_passed(self, taken: Taken) -> None:
        """The same for what was passed on; what does not recur may know more than is to be kept."""
        answers, times, names = self._drawn(taken)
        kept = [one if one.recurs else _Decided(one.decision) for one in answers]
        self._others.add_all((kept, times, names))

    def _drawn(self, taken: Taken) -> Taken:
        if self._sample >= 1.0:
            return taken
        return some(taken, [self._draw() < self._sample for _ in taken[0]])

    def find(self, name: str) -> tuple[float, Decision] | None:
        """When what was decided for the request of this name; the last one of several."""
        self.pull()
        wanted = name.encode("latin-1", "replace")
        return next((kept[1:] for kept in self._latest() if kept[0] == wanted), None)

    def last_fetched(self, key: str) -> tuple[float, Decision] | None:
        """The last one under a key (a hash) for which the origin was asked."""
        self.pull()
        return next(
            (
                (at, one)
                for _, at, one in reversed(self._others)
                if one.key == key and one.cache_status.forward_status is not None
            ),
            None,
        )

    def _latest(self) -> Iterator[_Kept]:
        return chain(reversed(self._others), reversed(self._hits))


def _bounded(names: Iterable[str]) -> tuple[str, ...]:
    """The first of these, as many as there is room for."""
    kept, room = [], _LONGEST
    for name in names:
        room -= len(name)
        if room < 0:
            break
        kept.append(name)
    return tuple(kept)


def _told(uri: str) -> str:
    """A URL with the names of its parameters: `/a?id=7&x` is `/a?id=...&...`."""
    path, mark, query = uri.partition("?")
    if mark:
        names = (one.partition("=") for one in query.split("&"))
        path += "?" + "&".join(f"{name}=..." if equals else "..." for name, equals, _ in names)
    return path[:_LONGEST]
