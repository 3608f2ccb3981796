"""The hot path: plain requests that are answered, or passed on, as soon as they are read.

    bytes -- Scan.find -- known --> Recurring.again --> the answer
               |             or --> Passing.start --> the origin
               |
               +-- new --> gist -> Alike.take -- stored --> Recurring -> remember
                                     |           else ----> the origin
                                     +-- the next time --> Answers.passing -> remember

Nothing is decided here, and nothing is kept that would have to hear of a purge: what is remembered
is whom to ask again. What gets no answer here, for whatever reason, takes the way of every other
request.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from proxy.exchange import (
    Alike,
    Answers,
    Asked,
    Given,
    Passage,
    Passing,
    Recurring,
    Reply,
    Watched,
)
from proxy.rfc9111.keys import normalise_authority
from proxy.rfc9111.messages import Request
from proxy.server.heads import parse_head
from proxy.server.options import ServerOptions
from proxy.server.plain import Gist, compile_grammar, head_of, member_of, member_of_name
from proxy.server.rejection import RequestRejected
from proxy.server.writing import plain_head

_REMEMBERED: Final = 24_576
"""Pieces of memory in each of two generations; what takes how many of them is measured."""

_PIECE: Final = 512
"""Bytes."""

_PLACE_TAKES: Final = 1
_RECURRING_TAKES: Final = 2
_PASSING_TAKES: Final = 4
"""Pieces, with all that hangs on it but text of the client's and heads."""

_COPIES: Final = 3
"""Of a gist: in keys, in the request, in what is made of that."""

_LONGEST: Final = 2048
"""Bytes of a gist that is remembered: nobody should fill memory with long targets or ETags."""

_LONGEST_PAUSE: Final = 63
"""Requests for one place that go by before it is tried again."""

_LARGEST_COPY: Final = 256 * 1024

_MOST_ALIKE: Final = 1024
"""Kinds of requests that are told apart by all but their targets, names and conditions."""

_PLACE: Final = 3
"""Members of a gist that name the place: method, target, Host."""


class HotPath:
    """Answers the plain requests of one scheme; none to begin with."""

    def __init__(self, scheme: str, options: ServerOptions) -> None:
        self._answers: Answers | None = None
        self._scheme = scheme
        self._options = options
        self._largest = 0
        self._watch(Watched())

    def answer_from(self, answers: Answers | None) -> None:
        """From now on answer from these, and from nothing that is known yet."""
        self._answers = answers
        self._largest = _largest_body(self._scheme)
        self._watch(Watched() if answers is None else answers.watched)

    def take(self, data: bytes, address: str, reply: Reply) -> Given | Passage | None:
        """What comes of these bytes, if they are one request for something that is known well.

        Args:
            data: What has come.
            address: The client's.
            reply: Gets the answer where the origin is asked for it.
        """
        found = self._scan.find(data, self._places)
        if found is None:
            return self._take_new(data, address, reply)
        known, name = found
        if isinstance(known, Recurring):
            given = known.again(name)
            if given is not None:
                return given
        else:
            passing: Passing = known
            passage = passing.start(data, name, address, reply)
            if passage is not None or passing.lasts:
                return passage
        self._forget(data)
        return self._take_new(data, address, reply)

    def _take_new(self, data: bytes, address: str, reply: Reply) -> Given | Passage | None:
        """The same for what was not asked for of late."""
        answers = self._answers
        if answers is None:
            return None
        if answers.watched is not self._watched:
            self._watch(answers.watched)
        gist = self._scan(data)
        if gist is None:
            return None
        key = self._scan.place_key(gist)
        place = self._places.get(key)
        if place is None and key in self._older:
            place = self._place(gist)
        if place is not None and self._recall(place, gist):
            return self.take(data, address, reply)
        name = None if self._name is None else gist[self._name]
        asked = Asked(_text(gist[1]), self._conditions(gist), data, name, address)
        alike = self._alike(answers, gist)
        taken = None if alike is None else alike.take(asked, reply)
        if isinstance(taken, tuple):
            recurring, given = taken
            self._remember(place or self._place(gist), gist, recurring)
            return given
        if taken is None or taken.recurs:
            self._prepare_to_pass(answers, place or self._place(gist), gist)
        return taken

    def _alike(self, answers: Answers, gist: Gist) -> Alike | None:
        """How requests like this one are answered, whatever their targets."""
        key = self._scan.known_key(gist, self._told_apart)
        if key in self._alikes:
            return self._alikes[key]
        common = [value if i in self._told_apart else None for i, value in enumerate(gist)]
        request = self._request((gist[0], b"/", *common[2:]))
        if request is None:
            return None
        if len(self._alikes) >= _MOST_ALIKE:
            self._alikes.clear()
        alike = self._alikes[key] = answers.alike(request, self._largest, plain_head)
        return alike

    def _conditions(self, gist: Gist) -> Sequence[tuple[str, str]]:
        """What the client says that it has."""
        return [
            (name, _text(gist[i].strip(b" \t")))
            for name, i in self._conditional
            if gist[i] is not None
        ]

    def _watch(self, watched: Watched) -> None:
        """Start over with other fields in every gist."""
        options = self._options
        longest = min(options.request_line, options.header_size)
        self._watched = watched
        self._scan = compile_grammar(watched, longest=longest, lines=options.headers)
        self._members = member_of(watched)
        self._name = member_of_name(watched)
        self._conditional = [
            (name, i) for name, i in self._members.items() if name in watched.conditions
        ]
        own = {self._name, *(i for _, i in self._conditional)}
        self._told_apart = bytes([0, 2, *(i for i in self._members.values() if i not in own)])
        self._alikes: dict[object, Alike | None] = {}
        self._numbers: dict[frozenset[str], bytes] = {}
        self._places: dict[object, _Place] = {}
        self._older: dict[object, _Place] = {}
        self._remembered = 0

    def _place(self, gist: Gist) -> "_Place":
        """A place that was not asked for of late, if ever."""
        key = self._scan.place_key(gist)
        place = self._older.pop(key, None) or _Place()
        place.grow_older()
        length = sum(map(len, gist[:_PLACE]))
        if length <= _LONGEST:
            self._count(_PLACE_TAKES + length // _PIECE)
            self._places[key] = place
        return place

    def _recall(self, place: "_Place", gist: Gist) -> bool:
        """Whether this was known, but not asked for of late: it counts like a new one."""
        key = self._scan.known_key(gist, place.members)
        known = place.older.pop(key, None)
        if known is None:
            return False
        self._count(_pieces(_length(gist), known))
        place.known[key] = known
        return True

    def _forget(self, data: bytes) -> None:
        """What was known of this request is no longer so."""
        gist = self._scan(data)
        if gist is not None:
            place = self._places[self._scan.place_key(gist)]
            del place.known[self._scan.known_key(gist, place.members)]

    def _prepare_to_pass(self, answers: Answers, place: "_Place", gist: Gist) -> None:
        """Have the next request like this passed on; where not, try less and less often."""
        if place.pause:
            place.pause -= 1
            return
        request = self._request(gist)
        passing = None if request is None else answers.passing(request)
        if passing is None:
            place.put_off()
        else:
            self._remember(place, gist, passing)

    def _remember(self, place: "_Place", gist: Gist, known: Recurring | Passing) -> None:
        """Keep an answer, or how to get one, if its gist is short."""
        length = _length(gist)
        if length > _LONGEST:
            return
        self._count(_pieces(length, known))
        place.tell_apart(self._members_of(known.depends_on))
        place.known[self._scan.known_key(gist, place.members)] = known

    def _members_of(self, names: frozenset[str]) -> bytes:
        """The members of a gist that these fields are; there are few such sets of names."""
        found = self._numbers.get(names)
        if found is None:
            if len(self._numbers) >= _MOST_ALIKE:
                self._numbers.clear()
            members = self._members
            found = bytes(sorted(members[name] for name in names if name in members))
            self._numbers[names] = found
        return found

    def _request(self, gist: Gist) -> Request | None:
        """What the gist means, if it may be remembered."""
        data = head_of(gist, self._watched)
        if len(data) > _LONGEST:
            return None
        try:
            head = parse_head(data, self._options)
        except RequestRejected:  # for its Host, which the grammar does not look into
            return None
        if not self._options.serves(head.authority):
            return None
        authority = normalise_authority(head.authority, self._scheme)
        return Request(head.method, self._scheme, authority, head.target, head.headers)

    def _count(self, pieces: int) -> None:
        """Count what is remembered now by what it takes."""
        self._remembered += pieces
        if self._remembered > _REMEMBERED:
            self._remembered = 0
            self._older, self._places = self._places, {}


def _largest_body(scheme: str) -> int:
    """Bytes that may be written at once: all, where what waits for a slow client is no copy."""
    copies = scheme == "https" or (
        sys.version_info < (3, 12) and isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    )
    return _LARGEST_COPY if copies else sys.maxsize


class _Place:
    """All requests with one method, target and Host. See plain.Place.

    Attributes:
        older: What was known in the generation before, and nobody has asked for since.
        pause: How many are let go by before one is tried.
    """

    __slots__ = ("_pauses", "known", "members", "older", "pause")

    def __init__(self) -> None:
        self.known: dict[object, Recurring | Passing] = {}
        self.members = b""
        self.older: dict[object, Recurring | Passing] = {}
        self.pause = 1  # most of what is asked for once is not asked for again
        self._pauses = 0

    def grow_older(self) -> None:
        """Begin a generation: one place may have any number of answers, asked for once each."""
        self.older, self.known = self.known, {}

    def put_off(self) -> None:
        """It was tried in vain."""
        self.pause = self._pauses = min(2 * self._pauses + 1, _LONGEST_PAUSE)

    def tell_apart(self, members: bytes) -> None:
        """Tell requests apart by these members of their gists, too; what is known may end."""
        self._pauses = 0
        if members != self.members and not {*members} <= {*self.members}:
            self.members = bytes(sorted({*self.members, *members}))
            self.known.clear()
            self.older.clear()


def _length(gist: Gist) -> int:
    """Bytes of all its members."""
    return sum([len(value) for value in gist if value])


def _pieces(length: int, known: Recurring | Passing) -> int:
    """What it takes to remember this of a gist of this length."""
    text = _COPIES * length
    if isinstance(known, Recurring):
        return _RECURRING_TAKES + (text + len(known.head)) // _PIECE
    return _PASSING_TAKES + text // _PIECE


def _text(value: bytes) -> str:
    return value.decode("latin-1")
