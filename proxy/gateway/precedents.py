"""Decisions to store an answer, taken over for the next one that says the same to caches.

Few fields of an answer decide whether it is stored, and for how long. Where two answers to requests
that are alike agree in these, and in the names of all their fields, what was found of one holds for
the other:

    the same        status, lifetime, windows, which fields are kept
    its own         values of fields, tags, groups, Date, times and age, born, what Vary names

Only what was stored sets a precedent, and only where time has no other part in it: no lifetime that
is counted from Date (Expires, Last-Modified), no error, no part of a representation. All else is
judged by itself, each time.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple
from weakref import WeakSet

from proxy.gateway.forwarding import HOP_BY_HOP
from proxy.gateway.landing import tags_to_store
from proxy.gateway.steps import Exchange
from proxy.rfc9111 import keys, poisoning
from proxy.rfc9111.freshness import corrected_initial_age, date_of
from proxy.rfc9111.groups import parse_groups
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.policy import Policy
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse
from proxy.rfc9111.storing import key_fits
from proxy.stores.sharing import shared
from proxy.tags import TAG_FIELDS, InvalidTags, Tags

_DECISIVE: Final = frozenset({"age", "cache-control", "surrogate-control", "vary"})
"""Fields whose values decide, beside the targeted ones; of others only the presence does."""

_NAMING: Final = frozenset({"cache-groups", *map(str.lower, TAG_FIELDS)})
"""Fields that say what an answer can be purged by, each of its own."""

_COUNTED: Final = frozenset({LifetimeSource.EXPIRES, LifetimeSource.HEURISTIC, LifetimeSource.NONE})
"""What lifetimes rest on that are counted from dates, or would be from other ones."""

_FIRST_ERROR: Final = 400
_MOST: Final = 4096
"""Precedents in all, and shapes; one takes about 2 KiB."""

_Picked = Callable[[Sequence[str]], tuple[str, ...]]


class Head(NamedTuple):
    """Of an answer, less the names of its fields.

    Attributes:
        length: Bytes of its content.
        request_time: See Fetched, as for the next two.
    """

    status: int
    reason: str
    values: Sequence[str]
    length: int
    request_time: float
    response_time: float
    born: int


class Room:
    """What all precedents share; when there is none left they all start over.

    Attributes:
        largest: Bytes of content above which an answer is not stored.
    """

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self._left = _MOST
        self._all: WeakSet[Precedents] = WeakSet()

    def share_with(self, precedents: "Precedents") -> None:
        """These begin."""
        self._all.add(precedents)

    def take(self) -> None:
        """There is one more."""
        self._left -= 1
        if not self._left:
            self._left = _MOST
            for each in self._all:
                each.forget()


class Precedents:
    """Those set by answers to requests that differ in nothing that matters but their targets.

    Args:
        policy: Of their route.
        room: For all of them.

    Attributes:
        room: The same.
        by_route: The route says for how long answers are stored.
    """

    def __init__(self, policy: Policy, room: Room) -> None:
        self._decisive = _DECISIVE.union(map(str.lower, policy.targeted_fields))
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self.room = room
        room.share_with(self)
        self.by_route = (
            policy.ttl is not None or policy.default_ttl is not None or bool(policy.negative_ttl)
        )

    def of(self, names: tuple[str, ...]) -> "Shape":
        """Those of answers whose fields have these names, in this order."""
        shape = self._shapes.get(names)
        if shape is None:
            self.room.take()
            shape = self._shapes[names] = Shape(self, names, self._decisive)
        return shape

    def forget(self) -> None:
        """Start over."""
        self._shapes.clear()


class Shape:
    """Precedents of answers whose fields have the same names.

    Attributes:
        varies: Vary is among them: what decides is not known without the request's fields.
    """

    __slots__ = (
        *("_date", "_decisive", "_end_to_end", "_lower", "_names", "_naming", "_of"),
        *("_precedents", "varies"),
    )

    def __init__(self, of: Precedents, names: Sequence[str], decisive: frozenset[str]) -> None:
        lower = [name.lower() for name in names]
        self._of = of
        self._names = names
        self._lower = lower
        self._naming = not _NAMING.isdisjoint(lower)
        self._end_to_end = [i for i, name in enumerate(lower) if name not in HOP_BY_HOP]
        self._decisive = picker([i for i in self._end_to_end if lower[i] in decisive])
        self._date = lower.index("date") if "date" in lower else None
        self._precedents: dict[object, _Precedent] = {}
        self.varies = "vary" in lower

    def recall(self, exchange: Exchange, head: Head) -> StoredResponse | None:
        """What is to be stored of an answer; None if that has to be decided.

        Args:
            exchange: The request.
            head: Of its answer.
        """
        precedent = self._precedents.get(self._about(exchange, head))
        if precedent is None or head.length > self._of.room.largest:
            return None
        if self._naming or exchange.matched.route.tags:
            return precedent.follow_naming(exchange, head, self._headers(head))
        return precedent.follow(exchange, head)

    def note(self, exchange: Exchange, head: Head, stored: StoredResponse, age: int) -> None:
        """This was decided of an answer whose Age is `age`."""
        if (
            self._date is None
            or stored.status >= _FIRST_ERROR
            or stored.part is not None
            or stored.freshness.source in _COUNTED
        ):
            return
        self._of.room.take()
        kept_names = set(map(str.lower, stored.names))
        kept = [i for i in self._end_to_end if self._lower[i] in kept_names]
        about = self._about(exchange, head)
        self._precedents[about] = _Precedent(shared(stored), self._date, picker(kept), age)

    def _headers(self, head: Head) -> Headers:
        """All that an answer can be named by, be it kept or not."""
        names, values = self._names, head.values
        return Headers([(names[i], values[i]) for i in self._end_to_end])

    def _about(self, exchange: Exchange, head: Head) -> object:
        """All that decides, for an answer with these names."""
        doubtful = self._of.by_route and poisoning.is_doubtful(exchange.request.target)
        return head.status, head.reason, doubtful, self._decisive(head.values)


class _Precedent:
    """What was stored, and what of it is taken from the next answer in place of it."""

    __slots__ = ("_age", "_date", "_kept", "_stored", "_vary")

    def __init__(self, stored: StoredResponse, date: int, kept: _Picked, age: int) -> None:
        # Less what is each one's own, which may be long.
        self._stored = stored.with_changes(values="", variant=(), tags=(), groups=())
        self._date = date
        self._kept = kept
        self._age = age
        self._vary = tuple(name for name, _ in stored.variant)

    def follow_naming(
        self, exchange: Exchange, head: Head, headers: Headers
    ) -> StoredResponse | None:
        """The same for another answer that has tags or groups, if they make sense."""
        tags = tags_to_store(exchange, headers)
        if isinstance(tags, InvalidTags):
            return None
        return self.follow(exchange, head, tags, parse_groups(headers))

    def follow(
        self,
        exchange: Exchange,
        head: Head,
        tags: Tags = (),
        groups: tuple[str, ...] = (),
    ) -> StoredResponse | None:
        """The same for another answer, if its key is not too large."""
        stored, request = self._stored, exchange.request
        variant = keys.variant_key(self._vary, request.headers) if self._vary else ()
        if not key_fits(sum(map(len, exchange.key)) + 1, variant):
            return None
        date = date_of(head.values[self._date], head.response_time)
        return StoredResponse(
            status=stored.status,
            reason=stored.reason,
            names=stored.names,
            values="\n".join(self._kept(head.values)),
            request_time=head.request_time,
            freshness=_at(
                stored.freshness,
                corrected_initial_age(self._age, date, head.request_time, head.response_time),
                head.response_time,
            ),
            variant=variant,
            date=date,
            tags=tags,
            groups=groups,
            born=head.born,
        )


def _at(freshness: Freshness, initial_age: float, response_time: float) -> Freshness:
    """The same at another time."""
    return Freshness(
        lifetime=freshness.lifetime,
        source=freshness.source,
        initial_age=initial_age,
        response_time=response_time,
        public=freshness.public,
        no_cache=freshness.no_cache,
        must_revalidate=freshness.must_revalidate,
        s_maxage=freshness.s_maxage,
        stale_while_revalidate=freshness.stale_while_revalidate,
        stale_if_error=freshness.stale_if_error,
        grace=freshness.grace,
    )


def picker(numbers: Sequence[int]) -> _Picked:
    """What takes these of a sequence, always as a tuple."""
    if len(numbers) > 1:
        return itemgetter(*numbers)
    return lambda values: tuple([values[number] for number in numbers])
