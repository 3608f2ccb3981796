"""Fetching at once what is not stored, and the longer way: nobody can tell them apart.

Two proxies, one that asks as soon as it has read a request and one that does not, get the same
requests and have origins that say the same. What clients and origins see, what is told, and what
is stored must not differ.
"""

import asyncio
import contextlib
import gc
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.events import Answered, NotStored, OriginAnswered, Repeated
from proxy.exchange import Incoming
from proxy.gateway import Decisions, ForwardingOptions
from proxy.gateway.flights import Flight
from proxy.gateway.missing import Fetching
from proxy.gateway.passing import Passage
from proxy.gateway.steps import Exchange
from proxy.origin import Begun, GroupOptions, MemberOptions, OriginOptions, OriginResponse
from proxy.purging import Mode
from proxy.rfc9111.cache_status import Outcome
from proxy.rfc9111.policy import KeyPolicy, Policy
from proxy.routes import HeaderEdits, PathPattern, Route
from proxy.server import writing
from tests import apparatus
from tests.apparatus import START, Clock, fronted, tell_at_once
from tests.scripted_origin import ScriptedOrigin, Wire
from tests.server.wire import Peer, eventually
from tests.wire.conftest import RunAlone
from tests.wire.test_passing import DATE, OK, SAYINGS, Says, Side, get, whole

FRESH: Final = OK + DATE + b"Cache-Control: max-age=60\r\n"

ROUTES = (
    Route(
        name="edited",
        path=PathPattern("/edited/**"),
        response_headers=HeaderEdits(
            set=(("X-Set", "%s"),), add=(("X-Added", "X"),), remove=("ETag", "X-Gone")
        ),
        tags=("edited", "item:{query.id}"),
    ),
    Route(name="told", path=PathPattern("/told/**"), strip_tags=False),
    Route(name="timed", path=PathPattern("/timed/**"), server_timing=True),
    Route(
        name="beta",
        path=PathPattern("/beta/**"),
        headers=(("X-Beta", "yes"),),
        policy=Policy(ttl=30.0, negative_ttl={404: 5.0, 403: 7.0}),
    ),
    Route(
        name="keyed",
        path=PathPattern("/keyed/**"),
        policy=Policy(
            key=KeyPolicy(ignore_query=("utm_*",), headers=("X-Tenant",), cookies=("shop",))
        ),
    ),
)

SAYS: Final[dict[str, Says]] = {
    **SAYINGS,
    "fresh": whole(FRESH + b'ETag: "1"\r\n', b"abc"),
    "fresh undated": whole(OK + b"Cache-Control: max-age=60\r\n", b"abc"),
    "shared": whole(OK + DATE + b"Cache-Control: public, s-maxage=9\r\nAge: 4\r\n", b"abc"),
    "assumed": whole(OK + DATE + b"Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n", b"abc"),
    "expires": whole(OK + DATE + b"Expires: Fri, 15 Jan 2027 08:01:00 GMT\r\n", b"abc"),
    "stale": whole(OK + DATE + b'Cache-Control: max-age=0\r\nETag: "1"\r\n', b"abc"),
    "no-store": whole(OK + DATE + b"Cache-Control: no-store\r\n", b"abc"),
    "private": whole(OK + DATE + b"Cache-Control: private, max-age=9\r\n", b"abc"),
    "cookie": whole(FRESH + b"Set-Cookie: a=1\r\n", b"abc"),
    "some private": whole(
        OK + DATE + b'Cache-Control: max-age=60, private="x-gone", no-cache=x-odd\r\n'
        b"X-Gone: 1\r\nX-Odd: 2\r\n",
        b"abc",
    ),
    "vary": whole(FRESH + b"Vary: Accept-Language, X-Kind\r\n", b"abc"),
    "vary any": whole(FRESH + b"Vary: *\r\n", b"abc"),
    "tagged": whole(FRESH + b"Surrogate-Key: a b\r\nCache-Tag: c\r\nX-Set: theirs\r\n", b"abc"),
    "badly tagged": whole(FRESH + b"Surrogate-Key: a\xff\r\n", b"abc"),
    "grouped": whole(FRESH + b'Cache-Groups: "a", "b"\r\n', b"abc"),
    "surrogate": whole(OK + DATE + b"Surrogate-Control: max-age=9\r\n", b"abc"),
    "targeted": whole(FRESH + b"CDN-Cache-Control: max-age=5\r\n", b"abc"),
    "must understand": whole(
        b"HTTP/1.1 299 ?\r\n" + DATE + b"Cache-Control: max-age=9, must-understand\r\n", b"abc"
    ),
    "fresh 404": whole(b"HTTP/1.1 404 Not Found\r\nCache-Control: max-age=9\r\n" + DATE, b"gone"),
    "403": whole(b"HTTP/1.1 403 No\r\n" + DATE, b"no"),
    "301": whole(b"HTTP/1.1 301 There\r\nLocation: /there\r\n" + DATE),
    "fresh 503": whole(b"HTTP/1.1 503 Busy\r\nCache-Control: max-age=9\r\n" + DATE, b"busy"),
    "fresh 204": Says((b"HTTP/1.1 204 None\r\nCache-Control: max-age=9\r\n\r\n",)),
    "206": whole(
        b"HTTP/1.1 206 Part\r\nCache-Control: max-age=9\r\nContent-Range: bytes 0-2/9\r\n", b"abc"
    ),
    "listed fresh": whole(FRESH + b"Connection: X-Gone\r\nX-Gone: 1\r\n", b"abc"),
    "hops": whole(FRESH + b"Connection: keep-alive\r\nKeep-Alive: a\r\nTE: b\r\n", b"abc"),
    "too large": whole(FRESH, b"x" * 30_000),
    "chunked fresh": Says((FRESH + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",)),
    "fresh in two": Says((FRESH + b"Content-Length: 3\r\n\r\na", b"bc")),
    "fresh and hints": Says(
        (
            b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n",
            FRESH + b"Content-Length: 3\r\n\r\nabc",
        )
    ),
}
"""By what is special about it."""

Step: TypeAlias = tuple[str, Any]


@asynccontextmanager
async def side(
    *, hot: bool, decisions: bool = False, go_on: asyncio.Event | None = None, **options: Any
) -> AsyncIterator[Side]:
    async with AsyncExitStack() as stack:
        sides: list[Side] = []

        async def script(wire: Wire) -> None:
            if go_on is None:
                await sides[0].script(wire)
                return
            while True:
                request = await wire.request()
                if request.get(b"X-Wait"):
                    await go_on.wait()
                says = sides[0].says[request.get(b"X-Say") or b""]
                for piece in says.pieces:
                    await wire.send(piece)
                    await asyncio.sleep(0.002)
                if says.then != "stay":
                    return

        origin = await ScriptedOrigin(script).start()
        stack.push_async_callback(origin.stop)
        member = MemberOptions(origin=OriginOptions(url=origin.url))
        front = await stack.enter_async_context(
            fronted(
                GroupOptions(members=(member,)),
                routes=ROUTES,
                clock=Clock(),
                hot=hot,
                forwarding=ForwardingOptions(
                    origin_authority=f"127.0.0.1:{origin.port}", **options
                ),
                decisions=Decisions(100, 1.0) if decisions else None,
                max_object_size=20_000,
            )
        )
        one = Side(origin, front, {name.encode(): said for name, said in SAYS.items()})
        sides.append(one)
        if hot:
            tell_at_once(one.front)
        yield one


@contextmanager
def fetched() -> Iterator[list[Fetching | Passage]]:
    """Whose answers were given at once meanwhile."""
    given: list[Fetching | Passage] = []

    def noting(give: Callable[..., None]) -> Callable[..., None]:
        def noted(self: Fetching | Passage, *arguments: Any) -> None:
            given.append(self)
            give(self, *arguments)

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for each in (Fetching, Passage):
            patch.setattr(each, "_give", noting(each._give))
        yield given


def stored(one: Side) -> list[object]:
    """All that is stored, as far as it can be compared."""
    store = one.front.store
    return [(url, [held.entry for held in store.held(url)]) for url in sorted(store.urls())]


def told(one: Side) -> tuple[list[object], list[object]]:
    """What origins answered, and all else that was told.

    Less names where nobody wants to know them, and less what tells hits apart.
    """
    found: list[object] = []
    named = one.front.gateway._decisions is not None
    events = apparatus.told(one.front)
    for event in events:
        match event:
            case Repeated(hits=hits):
                found += [hit.answered for hit in hits]
            case Answered(outcome=Outcome.HIT):
                status = re.sub("; ttl=[0-9]+", "", event.cache_status)
                found.append(replace(event, request_id="", cache_status=status))
            case Answered() if not named:
                found.append(replace(event, request_id=""))
            case OriginAnswered():
                pass
            case _:
                found.append(event)
    return [event for event in events if isinstance(event, OriginAnswered)], found


def decided(one: Side) -> list[object]:
    """What was decided but for fresh hits, of which there may be one object for several."""
    decisions = one.front.gateway._decisions
    return [] if decisions is None else list(reversed(decisions._others))


async def take(one: Side, step: Step) -> None:
    match step:
        case "ask", pieces:
            one.answers.append(await one.converse(pieces))
        case "advance", seconds:
            one.front.gateway._clock.now += seconds  # type: ignore[attr-defined]
        case "purge", (scope, mode):
            await one.front.log.append([scope], mode)
        case unknown:
            raise AssertionError(unknown)


async def both(steps: Sequence[Step], **options: Any) -> int:
    """Take these on both sides and compare; returns how many were fetched at once."""
    with fetched() as given:
        async with side(hot=True, **options) as one, side(hot=False, **options) as other:
            for step in steps:
                for this in (one, other):
                    await take(this, step)
                assert one.answers == other.answers, step
            assert one.asked == other.asked
            assert told(one) == told(other)
            for this in (one, other):
                await eventually(partial(_is_quiet, this))
            assert stored(one) == stored(other)
            assert decided(one) == decided(other)
            assert one.members() == other.members()
            assert one.front.store.size == other.front.store.size
            return len(given)


def _is_quiet(one: Side) -> bool:
    idle = all(in_flight == 0 for in_flight, _, _ in one.members())
    return idle and not len(one.front.gateway._flights)


WARM: Final[Step] = ("ask", [get("cookie", target="/warm")] * 2)
"""From now on a connection to the origin is idle."""


@pytest.mark.parametrize("say", SAYS)
async def test_whatever_an_origin_says(say: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "wall", lambda: START)
    asked = [
        ("ask", [get(say, target=f"{path}/{number}?id=7")] * 5)
        for path in ("/a", "/edited", "/told", "/beta")
        for number in range(2)
    ]
    given = await both([WARM, *asked, WARM], decisions=True)
    assert given > 1


LINES: Final = (
    *("Accept: */*", "User-Agent: Mozilla/5.0 (X11; Linux)", "Connection: keep-alive"),
    *("Accept-Language: de", "Accept-Language: en", "X-Kind: \xff", "X-Kind: a"),
    *("X-Tenant: b", "Cookie: shop=1", "Cookie: shop=2; id=3", "Authorization: Basic eDp5"),
    *('If-None-Match: "1"', "Cache-Control: no-cache", "Cache-Control: no-store"),
    *("Cache-Control: only-if-cached", "Pragma: no-cache", "Range: bytes=0-1", "X-Beta: yes"),
    *("X-Host: b.example", "X-Forwarded-For: 192.0.2.1", "X_Odd: 1", "Connection: close"),
    *("Via: 1.1 other", "TE: trailers", "Content-Length: 0", "X-Long: " + 5000 * "x"),
    *("If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT", 'If-Match: "1"', "Max-Forwards: 3"),
)
TARGETS: Final = (
    *("/a/1", "/a/1?id=2", "/b", "/edited/1?id=a&id=b", "/told/1", "/timed/1", "/beta/1"),
    *("/keyed/1?utm_x=1&b=2", "/keyed/1?b=2", "//a", "/a/%31", "/a/\xe9", "/a;b"),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    say = draw(st.sampled_from(["fresh", "no-store", "vary", *SAYS]))
    fields = draw(st.lists(st.sampled_from(LINES), max_size=2))
    method = draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "PURGE"]))
    return get(say, *fields, target=draw(st.sampled_from(TARGETS)), method=method)


STEPS: Final = st.one_of(
    st.lists(requests(), min_size=1, max_size=4).map(lambda pieces: ("ask", pieces)),
    st.lists(requests(), min_size=2, max_size=3).map(lambda pieces: ("ask", [b"".join(pieces)])),
    st.sampled_from([0.5, 6.0, 70.0]).map(lambda seconds: ("advance", seconds)),
    st.tuples(
        st.sampled_from(["*", "tag:a", "tag:edited", "url:http://a.example/a/1"]),
        st.sampled_from(list(Mode)),
    ).map(lambda purge: ("purge", purge)),
)


def test_nothing_tells_which_way_a_request_took(run_alone: RunAlone) -> None:
    given = 0

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given_steps
    def run(
        steps: list[Step],
        forwarding: dict[str, Any],
        decisions: bool,  # noqa: FBT001 - drawn
    ) -> None:
        nonlocal given
        given += run_alone(both([WARM, *steps], decisions=decisions, **forwarding))

    run()
    assert given > 20, "the fast way was hardly taken: nothing was compared"


given_steps = given(
    st.lists(STEPS, min_size=1, max_size=6),
    st.sampled_from([{}, {"host": "origin"}, {"x_forwarded": False, "via": False}]),
    st.booleans(),
)


class TestFlights:
    """Others want the same while it is on its way."""

    @asynccontextmanager
    async def waiting(
        self, says: Says, count: int = 3
    ) -> AsyncIterator[tuple[Side, list[Peer], asyncio.Event]]:
        """So many clients that ask for the same, which the origin answers when it is told to."""
        go_on = asyncio.Event()
        async with side(hot=True, go_on=go_on) as one, AsyncExitStack() as stack:
            one.says[b"this"] = says
            listener = one.front.listener
            peers = [await stack.enter_async_context(await Peer.connect(listener)) for _ in "abc"]
            for peer in peers:
                peer.send(get("no-store", target="/warm"))
            for peer in peers:
                await peer.reply()
            one.origin.requests.clear()
            for peer in peers[:count]:
                peer.send(get("this", "X-Wait: 1", target="/a"))
                await eventually(lambda: bool(one.origin.requests))

            await eventually(lambda: one.front.gateway.coalescing[1] == count - 1)
            try:
                yield one, peers, go_on
            finally:
                go_on.set()

    async def test_they_have_the_answer_to_one_question(self) -> None:
        with fetched() as given:
            async with self.waiting(SAYS["fresh"]) as (one, peers, go_on):
                assert one.front.gateway.coalescing[0] == 1
                go_on.set()
                told = [(await peer.reply()).get(b"Cache-Status") or b"" for peer in peers]
                assert [b"collapsed" in one for one in told] == [False, True, True]
                assert len(one.origin.requests) == 1
                assert one.front.gateway.coalescing == (0, 0)
        assert isinstance(given[-1], Fetching)
        assert given[-1].flight is not None

    async def test_they_ask_for_themselves_where_it_may_not_be_shared(self) -> None:
        async with self.waiting(SAYS["no-store"]) as (one, peers, go_on):
            go_on.set()
            for peer in peers:
                assert (await peer.reply()).body == b"abc"
            assert len(one.origin.requests) == 3
            assert one.front.gateway.coalescing == (0, 0)

    async def test_it_goes_on_in_the_same_flight_where_the_answer_comes_in_pieces(self) -> None:
        with fetched() as given:
            async with self.waiting(SAYS["fresh in two"]) as (one, peers, go_on):
                before = len(given)
                go_on.set()
                assert [(await peer.reply()).body for peer in peers] == [b"abc"] * 3
                assert len(one.origin.requests) == 1
                assert len(given) == before
                assert one.front.gateway.coalescing == (0, 0)

    async def test_they_do_not_wait_for_ever_where_the_origin_breaks_off(self) -> None:
        async with self.waiting(SAYS["nothing"]) as (one, peers, go_on):
            go_on.set()
            for peer in peers:
                assert (await peer.reply()).status == 502
            assert one.front.gateway.coalescing == (0, 0)

    async def test_one_whose_client_left_goes_on(self) -> None:
        async with self.waiting(SAYS["fresh"]) as (one, peers, go_on):
            peers[0].writer.close()
            await eventually(lambda: one.front.listener.connections == 2)
            go_on.set()
            for peer in peers[1:]:
                assert (await peer.reply()).body == b"abc"
            assert len(one.origin.requests) == 1
            assert one.front.gateway.coalescing == (0, 0)

    async def test_what_was_purged_meanwhile_is_neither_shared_nor_stored(self) -> None:
        async with self.waiting(SAYS["tagged"], 2) as (one, peers, go_on):
            await one.front.log.append(["tag:a"], Mode.HARD)
            peers[2].send(get("this", target="/a"))
            assert (await peers[2].reply()).status == 200
            assert len(one.origin.requests) == 2, "it came after the purge"
            go_on.set()
            for peer in peers[:2]:
                assert (await peer.reply()).status == 200
            assert len(one.origin.requests) == 3, "who came before it has not been told of it"
            refused = [event for event in one.front.events if isinstance(event, NotStored)]
            assert [event.reason.value for event in refused] == ["outdated"]
            assert one.front.gateway.coalescing == (0, 0)

    async def test_a_connection_that_is_cut_leaves_nobody_waiting(self) -> None:
        async with self.waiting(SAYS["fresh"], 1) as (one, peers, _):
            (flight,) = one.front.gateway._flights._flights.values()
            acceptor = one.front.listener._acceptor
            assert acceptor is not None
            for connection in list(acceptor._open):
                connection.cut()
            with contextlib.suppress(ConnectionError):
                await peers[0].rest()
            assert flight.known is not None
            assert one.front.gateway.coalescing == (0, 0)
            await eventually(partial(_is_quiet, one))

    async def test_a_bug_cuts_the_client_and_nobody_else(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with self.waiting(SAYS["fresh"], 2) as (one, peers, go_on):
            with monkeypatch.context() as patched:
                patched.setattr("proxy.gateway.fetched.Kinds.of", None)
                go_on.set()
                await peers[0].closed()
            assert (await peers[1].reply()).body == b"abc"
            assert "could not be passed on" in caplog.text
            assert one.front.gateway.coalescing == (0, 0)


async def test_without_an_idle_connection_one_is_opened_and_the_flight_goes_on() -> None:
    async with side(hot=True) as one, await Peer.connect(one.front.listener) as peer:
        for number in range(2):
            peer.send(get("fresh", target=f"/{number}"))
            assert (await peer.reply()).body == b"abc"
            assert one.front.gateway.coalescing == (0, 0)
        assert one.origin.connections == 1
        assert len(one.front.store) == 2


async def test_nothing_waits_for_the_garbage_collector() -> None:
    """What is collected makes the collector walk over all that is stored, again and again."""
    kinds = (Incoming, Exchange, Fetching, Flight, Begun, OriginResponse)
    async with side(hot=True) as one, await Peer.connect(one.front.listener) as peer:

        async def ask(say: str, target: str) -> None:
            peer.send(get(say, target=target))
            await peer.reply()

        await ask("fresh", "/warm")
        await ask("fresh", "/warmer")
        gc.collect()
        before = {id(thing) for thing in gc.get_objects() if isinstance(thing, kinds)}
        gc.disable()
        try:
            for number, say in enumerate(["fresh", "vary", "no-store", "fresh 404", "dribble"]):
                await ask(say, f"/{number}")
            one.front.gateway.tell()
            one.front.events.clear()
            left = [thing for thing in gc.get_objects() if isinstance(thing, kinds)]
            assert [thing for thing in left if id(thing) not in before] == []
        finally:
            gc.enable()
