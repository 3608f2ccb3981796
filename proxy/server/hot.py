"""The hot path: plain requests that are answered, or passed on, as soon as they are read.

    bytes -- Scan.find -- known --> Recurring.again --> head, body
               |             or --> Passing.start --> the origin
               |
               +-- not stored --> gist -> Missing.start --> the origin
               |
               +-- new --> gist -> parse_head -> Answers.prepare -> remember
                                              or Answers.passing

Nothing is decided here, and nothing is kept that would have to hear of a purge: what is remembered
is whom to ask again, and the answer's head as bytes. What gets no answer here, for whatever reason,
takes the way of every other request.
"""

import asyncio
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, TypeAlias

from proxy.exchange import Answers, Missing, Passage, Passing, Recurring, Reply, Watched
from proxy.rfc9111.keys import normalise_authority
from proxy.rfc9111.messages import Request
from proxy.server import writing
from proxy.server.heads import parse_head
from proxy.server.options import ServerOptions
from proxy.server.plain import Gist, compile_grammar, head_of, member_of, member_of_name
from proxy.server.rejection import RequestRejected

Answer: TypeAlias = tuple[bytes, bytes, bytes]
"""A head, what ends it, and a body."""

_HTTP_1_1: Final = (1, 1)
_CRLF: Final = b"\r\n"

_REMEMBERED: Final = 4096
"""Places and answers in each of two generations; one takes about 2 KiB, seldom twice that."""

_LONGEST: Final = 2048
"""Bytes of a gist that is remembered: nobody should fill memory with long targets or ETags."""

_LARGE: Final = 4096
"""Bytes of a head that count as one answer more."""

_LONGEST_PAUSE: Final = 63
"""Requests for one place that go by before it is tried again."""

_LARGEST_COPY: Final = 256 * 1024

_MOST_ALIKE: Final = 1024
"""Kinds of requests that are told apart by all but their targets and names."""

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

    def take(self, data: bytes, address: str, reply: Reply) -> Answer | Passage | None:
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
        if not isinstance(known, _Known):
            passing: Passing = known
            passage = passing.start(data, name, address, reply)
            if passage is not None or passing.lasts:
                return passage
            self._forget(data)
            return self._take_new(data, address, reply)
        recurring = known.recurring
        body = recurring.again(name)
        if body is None:
            self._forget(data)
            return None
        if known.changing is not recurring.changing:
            known.renew()
        return known.head, recurring.ending, body

    def _take_new(self, data: bytes, address: str, reply: Reply) -> Answer | Passage | None:
        """The same for what was not asked for of late."""
        answers, gist = self._answers, self._scan(data)
        if answers is None or gist is None:
            return None
        key = self._scan.place_key(gist)
        if key in self._places or key in self._older:
            place = self._places.get(key) or self._place(gist)
            if self._recall(place, gist):
                return self.take(data, address, reply)
            fetching = self._fetch(answers, gist, data, address, reply)
            return fetching or self._prepare(answers, place, gist)
        fetching = self._fetch(answers, gist, data, address, reply)
        return fetching or self._prepare(answers, self._place(gist), gist)

    def _fetch(
        self, answers: Answers, gist: Gist, data: bytes, address: str, reply: Reply
    ) -> Passage | None:
        """Ask for what is not stored, if that is simple."""
        alike = self._scan.known_key(gist, self._alike)
        known = alike in self._missing
        missing = self._missing[alike] if known else self._learn(answers, alike, gist)
        if missing is None:
            return None
        name = None if self._name is None else gist[self._name]
        return missing.start(gist[1].decode("latin-1"), data, name, address, reply)

    def _learn(self, answers: Answers, alike: object, gist: Gist) -> Missing | None:
        """How what such requests ask for is fetched, whatever their targets."""
        anonymous = [None if i == self._name else value for i, value in enumerate(gist)]
        request = self._request((gist[0], b"/", *anonymous[2:]))
        if request is None:
            return None
        if len(self._missing) >= _MOST_ALIKE:
            self._missing.clear()
        missing = self._missing[alike] = answers.missing(request)
        return missing

    def _watch(self, watched: Watched) -> None:
        """Start over with other fields in every gist."""
        options = self._options
        longest = min(options.request_line, options.header_size)
        self._watched = watched
        self._scan = compile_grammar(watched, longest=longest, lines=options.headers)
        self._members = member_of(watched)
        self._name = member_of_name(watched)
        self._alike = bytes([0, 2, *(i for i in self._members.values() if i != self._name)])
        self._missing: dict[object, Missing | None] = {}
        self._places: dict[object, _Place] = {}
        self._older: dict[object, _Place] = {}
        self._remembered = 0

    def _place(self, gist: Gist) -> "_Place":
        """A place that was not asked for of late, if ever."""
        key = self._scan.place_key(gist)
        place = self._older.pop(key, None) or _Place()
        place.grow_older()
        if sum(map(len, gist[:_PLACE])) <= _LONGEST:
            self._count_one_more()
            self._places[key] = place
        return place

    def _recall(self, place: "_Place", gist: Gist) -> bool:
        """Whether this was known, but not asked for of late: it counts like a new one."""
        key = self._scan.known_key(gist, place.members)
        known = place.older.pop(key, None)
        if known is None:
            return False
        self._count_one_more()
        place.known[key] = known
        return True

    def _forget(self, data: bytes) -> None:
        """What was known of this request is no longer so."""
        gist = self._scan(data)
        if gist is not None:
            place = self._places[self._scan.place_key(gist)]
            del place.known[self._scan.known_key(gist, place.members)]

    def _prepare(self, answers: Answers, place: "_Place", gist: Gist) -> Answer | None:
        """Have a new request answered; where that is in vain, try less and less often."""
        if place.pause:
            place.pause -= 1
            return None
        request = self._request(gist)
        passing = None if request is None else answers.passing(request)
        if passing is not None:
            self._remember(place, gist, passing, passing.depends_on)
            return None
        prepared = None if request is None else answers.prepare(request, self._largest)
        if answers.watched is not self._watched:
            self._watch(answers.watched)
            return None
        if request is None or prepared is None:
            place.put_off()
            return None
        recurring, outgoing, body = prepared
        framing = writing.framing_of(outgoing, method=request.method, version=_HTTP_1_1)
        head = writing.response_head(outgoing, framing, version=_HTTP_1_1, persistent=True)
        head = head.removesuffix(_CRLF)
        pieces = _split(head, recurring.changing)
        if pieces is None:
            place.put_off()
        else:
            known = _Known(recurring, head, pieces)
            self._remember(place, gist, known, recurring.depends_on, len(head))
        return head, recurring.ending, body

    def _remember(
        self,
        place: "_Place",
        gist: Gist,
        known: "_Known | Passing",
        depends_on: Iterable[str],
        size: int = 0,
    ) -> None:
        """Keep an answer, or how to get one, that depends on these fields."""
        self._count_one_more(size)
        place.tell_apart(self._members[name] for name in depends_on if name in self._members)
        place.known[self._scan.known_key(gist, place.members)] = known

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

    def _count_one_more(self, size: int = 0) -> None:
        """Count a place or an answer, one with a large head like several."""
        self._remembered += 1 + size // _LARGE
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
        self.known: dict[object, _Known | Passing] = {}
        self.members = b""
        self.older: dict[object, _Known | Passing] = {}
        self.pause = 1  # most of what is asked for once is not asked for again
        self._pauses = 0

    def grow_older(self) -> None:
        """Begin a generation: one place may have any number of answers, asked for once each."""
        self.older, self.known = self.known, {}

    def put_off(self) -> None:
        """It was tried in vain."""
        self.pause = self._pauses = min(2 * self._pauses + 1, _LONGEST_PAUSE)

    def tell_apart(self, members: Iterable[int]) -> None:
        """Tell requests apart by these members of their gists, too; what is known may end."""
        self._pauses = 0
        apart = bytes(sorted({*self.members, *members}))
        if apart != self.members:
            self.members = apart
            self.known.clear()
            self.older.clear()


class _Known:
    """An answer with its head as bytes, less what ends it."""

    __slots__ = ("_pieces", "changing", "head", "recurring")

    def __init__(self, recurring: Recurring, head: bytes, pieces: Sequence[bytes]) -> None:
        self.recurring = recurring
        self.changing = recurring.changing
        self.head = head
        self._pieces = pieces

    def renew(self) -> None:
        """Write the head as it is by now."""
        self.changing = self.recurring.changing
        first, *others = self._pieces
        values = (value.encode("latin-1") for _, value in self.changing)
        self.head = b"".join((first, *chain.from_iterable(zip(values, others, strict=True))))


def _split(head: bytes, changing: Sequence[tuple[str, str]]) -> Sequence[bytes] | None:
    """What stands around the values of these field lines; None where one is not there once."""
    pieces = []
    for name, value in changing:
        start = f"\r\n{name}: ".encode("latin-1")
        line = start + value.encode("latin-1") + _CRLF
        before, found, after = head.partition(line)
        head = _CRLF + after
        if not found or line in head:
            return None
        pieces.append(before + start)
    return [*pieces, head]
