"""What was decided of one answer is decided of the next that says the same, and of no other."""

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.exchange import Client, Incoming, no_interim
from proxy.gateway.forwarding import end_to_end
from proxy.gateway.landing import Landing
from proxy.gateway.precedents import Head, Precedents, Room
from proxy.gateway.steps import Exchange, Fetched
from proxy.origin import LeanBody, OriginResponse
from proxy.rfc9111 import keys, storing
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.freshness import age_value
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.policy import Policy, SetCookie
from proxy.rfc9111.stored import StoredResponse
from proxy.routes import Matched, Route
from proxy.stores import CacheKey

NOW: Final = 1_800_000_000.0
LARGEST: Final = 1000
NOBODY: Any = None

Field = tuple[str, str]
FRESH: Final = ("Cache-Control", "public, max-age=60")


class Side:
    """Answers on one route to requests that are alike, decided with precedents and without."""

    def __init__(self, route: Route, fields: list[Field], room: Room | None = None) -> None:
        self.route = route
        self.fields = fields
        self.precedents = Precedents(route.policy, room or Room(LARGEST))
        self.recalled = 0
        self._landing = Landing(NOBODY, LARGEST, NOBODY, lambda _: None)

    def decide(
        self,
        answer: list[Field],
        status: int = 200,
        *,
        target: str = "/a/1?id=2",
        more: list[Field] | None = None,
        at: float = NOW,
        length: int = 3,
    ) -> StoredResponse | storing.NotStorable:
        """The decision, which is the same in both ways if there is a precedent."""
        matched = Matched(self.route, {"id": target.rpartition("/")[2]})
        names = tuple(name for name, _ in answer)
        shape = self.precedents.of(names)
        fields = [*self.fields, *(more or [])] if status >= 400 or shape.varies else self.fields
        request = Request("GET", "http", "a.example", target, Headers(fields))
        key = CacheKey.of(keys.primary_key(request, self.route.policy.key))
        incoming = Incoming(request, Client("", (1, 1)), None, no_interim)
        exchange = Exchange(incoming, matched, key, at)
        head = Head(status, "OK", [value for _, value in answer], length, at, at + 0.5, 7)
        recalled = shape.recall(exchange, head)
        headers = end_to_end(Headers(answer))
        if "Date" not in headers:
            headers["Date"] = format_http_date(at + 0.5)
        origin = OriginResponse(status, "OK", headers, length, at, at + 0.5, LeanBody(b""))
        response = Response(status, "OK", headers)
        decided = self._landing.decide(exchange, Fetched(origin, response, at, at + 0.5, head.born))
        if recalled is not None:
            assert recalled == decided
            self.recalled += 1
        elif isinstance(decided, StoredResponse):
            shape.note(exchange, head, decided, age_value(headers))
        return decided


def dated(*fields: Field, at: float = NOW) -> list[Field]:
    return [("Date", format_http_date(at)), *fields]


def test_the_next_answer_that_says_the_same_is_taken_for_the_first() -> None:
    side = Side(Route(name="r"), [])
    for number in range(3):
        answer = dated(FRESH, ("ETag", f'"{number}"'), ("X", str(number)), at=NOW + number)
        stored = side.decide(answer, target=f"/{number}", at=NOW + 2 * number)
        assert isinstance(stored, StoredResponse)
        assert stored.headers["ETag"] == f'"{number}"'
        assert stored.freshness.initial_age == number + 0.5
    assert side.recalled == 2


@pytest.mark.parametrize(
    "other",
    [
        dated(("Cache-Control", "max-age=9"), ("ETag", '"1"')),
        dated(FRESH),
        dated(FRESH, ("ETag", '"1"'), ("Set-Cookie", "a=1")),
        dated(FRESH, ("ETag", '"1"'), ("Age", "5")),
        [FRESH, ("ETag", '"1"')],
        [("ETag", '"1"'), *dated(FRESH)],
    ],
    ids=["lifetime", "no validator", "a cookie", "age", "no date", "order"],
)
def test_what_says_something_else_is_decided_by_itself(other: list[Field]) -> None:
    side = Side(Route(name="r"), [])
    side.decide(dated(FRESH, ("ETag", '"1"')))
    side.decide(other)
    assert side.recalled == 0


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (dated(("Expires", format_http_date(NOW + 60))), 200),
        (dated(("Last-Modified", format_http_date(NOW - 6000))), 200),
        (dated(FRESH), 404),
        (dated(FRESH, ("Content-Range", "bytes 0-2/9")), 206),
        ([FRESH], 200),
        (dated(("Cache-Control", "no-store")), 200),
    ],
    ids=["Expires", "Last-Modified", "an error", "a part", "no Date", "not stored"],
)
def test_some_set_no_precedent(answer: list[Field], status: int) -> None:
    side = Side(Route(name="r"), [])
    for _ in range(3):
        side.decide(answer, status)
    assert side.recalled == 0


def test_what_is_too_large_is_looked_at_closely() -> None:
    side = Side(Route(name="r"), [])
    varying = dated(FRESH, ("Vary", "X-A"))
    for target, more, length in (
        ("/a", [("X-A", "a")], 3),
        ("/b", [("X-A", "a" * 20_000)], 3),
        ("/" + "c" * 20_000, [("X-A", "a")], 3),
        ("/d", [("X-A", "a")], LARGEST + 1),
    ):
        stored = side.decide(varying, target=target, more=more, length=length)
        assert isinstance(stored, StoredResponse) == (target == "/a")
    assert side.recalled == 0
    assert isinstance(side.decide(varying, more=[("X-A", "b")]), StoredResponse)
    assert side.recalled == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.gateway.precedents._MOST", 8)
    side = Side(Route(name="r"), [])
    for number in range(20):
        side.decide(dated(("Cache-Control", f"max-age={number + 1}")))
        side.decide(dated(FRESH, (f"X-{number}", "a")))
        shapes = side.precedents._shapes
        assert sum(1 + len(shape._precedents) for shape in shapes.values()) <= 9
    side.decide(dated(FRESH))
    side.decide(dated(FRESH))
    assert side.recalled > 0


def test_those_that_nobody_follows_any_more_start_over_with_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proxy.gateway.precedents._MOST", 8)
    room = Room(LARGEST)
    sides = [Side(Route(name="r"), [], room) for _ in range(20)]
    for side in sides:
        for number in range(3):
            side.decide(dated(("Cache-Control", f"max-age={number + 1}")))
    assert sum(bool(side.precedents._shapes) for side in sides) <= 3


def test_what_is_each_ones_own_is_not_kept() -> None:
    side = Side(Route(name="r"), [("X-A", "secret")])
    for number in range(2):
        side.decide(dated(FRESH, ("Vary", "X-A"), ("X-B", "b" * 5000)), target=f"/{number}")
    (shape,) = side.precedents._shapes.values()
    (precedent,) = shape._precedents.values()
    assert (precedent._stored.values, precedent._stored.variant) == ("", ())
    assert side.recalled == 1


def test_each_answer_has_its_own_tags_and_groups() -> None:
    side = Side(Route(name="r", tags=("item:{id}",)), [])
    for number in "123":
        answer = dated(FRESH, ("Cache-Tag", number), ("Cache-Groups", f'"{number}"'))
        stored = side.decide(answer, target=f"/{number}")
        assert isinstance(stored, StoredResponse)
        assert (stored.tags, stored.groups) == ((f"item:{number}", number), (number,))
    assert side.recalled == 2
    assert isinstance(
        side.decide(dated(FRESH, ("Cache-Tag", "\xff"), ("Cache-Groups", ""))), storing.NotStorable
    )


def test_a_tag_may_come_from_a_field_that_is_not_kept() -> None:
    side = Side(Route(name="r", tags=("of:{header.X-A}",)), [])
    for value in ("1", "2"):
        answer = dated(("Cache-Control", 'max-age=60, private="x-a"'), ("X-A", value))
        stored = side.decide(answer)
        assert isinstance(stored, StoredResponse)
        assert (stored.tags, stored.headers.get("X-A")) == ((f"of:{value}",), None)
    assert side.recalled == 1


DATES: Final = st.sampled_from([NOW - 9, NOW, NOW + 3]).map(format_http_date)
ANSWERS: Final = st.lists(
    st.one_of(
        st.tuples(
            st.just("Cache-Control"),
            st.sampled_from(
                [
                    *("max-age=60", "public, s-maxage=9", "no-store", "no-cache", "private"),
                    *('private="x-a"', "max-age=0, stale-while-revalidate=9", "must-revalidate"),
                    *("max-age=9, must-understand", "stale-if-error=5", 'no-cache="x-a"', "public"),
                ]
            ),
        ),
        st.tuples(st.sampled_from(["Date", "Expires", "Last-Modified"]), DATES),
        st.tuples(st.just("Vary"), st.sampled_from(["X-A", "*", "x-a, Accept", "Via"])),
        st.tuples(st.just("Age"), st.sampled_from(["0", "7", "x"])),
        st.tuples(st.sampled_from(["Surrogate-Key", "xkey"]), st.sampled_from(["a b", "\xff"])),
        st.tuples(st.just("Cache-Groups"), st.sampled_from(['"a"', '"a", "b"', "a"])),
        st.tuples(st.just("Surrogate-Control"), st.sampled_from(["max-age=5", "no-store"])),
        st.tuples(st.just("CDN-Cache-Control"), st.sampled_from(["max-age=8", "private", "?"])),
        st.tuples(
            st.sampled_from(["ETag", "Set-Cookie", "X-A", "Content-Type", "Date", "TE"]),
            st.sampled_from(["1", "2", ""]),
        ),
    ),
    max_size=5,
)
ROUTES: Final = st.sampled_from(
    [
        Route(name="plain"),
        Route(name="ttl", policy=Policy(ttl=30.0, negative_ttl={301: 3.0}, grace=5.0)),
        Route(name="default", policy=Policy(default_ttl=30.0, stale_if_error=4.0)),
        Route(name="strip", policy=Policy(set_cookie=SetCookie.STRIP, surrogate_control=False)),
        Route(name="tags", tags=("item:{id}", "of:{header.X-A}", "to:{query.id}")),
    ]
)
REQUESTS: Final = st.sampled_from(
    [[], [("Cookie", "")], [("Authorization", "")], [("X-Host", "b.example")]]
)
ASKED: Final = st.lists(
    st.tuples(
        ANSWERS,
        st.sampled_from([200, 200, 203, 299, 301, 204, 206, 404, 500]),
        st.sampled_from(["/a/1", "/a/2?id=3", "//a", "/a/%31", "/b;c"]),
        st.lists(
            st.tuples(st.sampled_from(["X-A", "Accept"]), st.sampled_from(["", "a;q=1", "b"]))
        ),
        st.sampled_from([NOW, NOW + 0.75, NOW + 61]),
    ),
    min_size=1,
    max_size=3,
)


def test_with_and_without_precedents_the_same_is_decided() -> None:
    recalled = 0

    @settings(max_examples=400, deadline=None)
    @given(ROUTES, REQUESTS, ASKED, st.data())
    def compare(route: Route, fields: list[Field], asked: list[Any], data: st.DataObject) -> None:
        nonlocal recalled
        side = Side(route, fields)
        for answer, status, target, more, at in asked:
            side.decide([*dated(FRESH), *answer], status, target=target, more=more, at=at)
            side.decide(answer, status, target=target, more=more, at=at)
            again = data.draw(st.permutations(answer))
            side.decide([*dated(FRESH, at=at), *again], status, target=target, more=more, at=at)
            side.decide([*dated(FRESH), *answer], status, target="/c", more=more, at=at + 1)
        recalled += side.recalled

    compare()
    assert recalled > 100
