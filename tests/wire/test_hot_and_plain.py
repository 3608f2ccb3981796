"""The hot path and the plain one: the same bytes out for the same bytes in.

Two proxies, one with the hot path and one without, each with an origin and a clock of its own, get
the same: requests that are cut anywhere, purges, writes, time. What their clients and their
origins see must not differ in a byte.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.events import Answered, Refused, Repeated
from proxy.exchange import Given, Passage
from proxy.exchange import Reply as Asked
from proxy.origin import OriginOptions
from proxy.purging import Mode
from proxy.rfc9111.policy import ClientDirectives, KeyPolicy, Policy
from proxy.routes import HeaderEdits, PathPattern, Route
from tests.apparatus import Clock, Front, Origin, Reply, Seen, fronted, tell_at_once, told
from tests.wire.conftest import RunAlone, until_eof

PATIENCE = 5.0
QUIET = 4
"""Rounds of the loop in which nothing may happen."""

ROUTES = (
    Route(
        name="negotiated",
        path=PathPattern("/a/{id}"),
        headers=(("X-Beta", "yes"),),
        policy=Policy(ttl=30.0),
    ),
    Route(
        name="edited",
        path=PathPattern("/edited/**"),
        response_headers=HeaderEdits(set=(("X-Edited", "%s"),), remove=("ETag",)),
        tags=("edited",),
    ),
    Route(
        name="honoring",
        path=PathPattern("/honoring/**"),
        policy=Policy(client_directives=ClientDirectives.HONOR),
    ),
    Route(
        name="keyed",
        path=PathPattern("/keyed/**"),
        policy=Policy(
            key=KeyPolicy(ignore_query=("utm_*",), headers=("X-Tenant",), cookies=("shop",))
        ),
    ),
    Route(name="aged", path=PathPattern("/aged/**"), response_headers=HeaderEdits(remove=("Age",))),
    Route(
        name="dressed",
        path=PathPattern("/dressed/**"),
        response_headers=HeaderEdits(
            set=(("age", "%d"), ("Date", "never")), add=(("Via", "x"), ("X-Twice", "3"))
        ),
        strip_tags=False,
    ),
    Route(name="off", path=PathPattern("/off/**"), policy=Policy(cache=False)),
)

FIELDS: dict[str, list[tuple[str, str]]] = {
    "a": [("Cache-Control", "max-age=60"), ("ETag", '"{n}"'), ("Cache-Tag", "t1,t2")],
    "short": [("Cache-Control", "max-age=2"), ("ETag", 'W/"{n}"')],
    "dated": [("Cache-Control", "max-age=60"), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")],
    "assumed": [("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")],
    "vary": [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language, X-Kind")],
    "cookies": [("Cache-Control", "public, max-age=60"), ("Vary", "Cookie")],
    "private": [("Cache-Control", "private")],
    "edited": [("Cache-Control", "max-age=60"), ("ETag", '"{n}"'), ("Surrogate-Key", "k")],
    "honoring": [("Cache-Control", "max-age=60"), ("Age", "7")],
    "keyed": [("Cache-Control", "max-age=60"), ("Cache-Status", "warmfront; hit")],
    "aged": [("Cache-Control", "max-age=60")],
    "off": [("Cache-Control", "max-age=60")],
    "dressed": [
        *(("Cache-Control", "max-age=60"), ("X-Twice", "1"), ("ETag", '"{n}"'), ("x-twice", "2")),
        *(("xkey", "k"), ("Age", "3, 4"), ("X-Empty", ""), ("X-Odd", "100% \xe9 \\1 {n}")),
    ],
    "moved": [("Cache-Control", "max-age=60"), ("Location", "/a/{n}"), ("ETag", '"{n}"')],
    "empty": [("Cache-Control", "max-age=60"), ("ETag", '"{n}"')],
    "gone": [("Cache-Control", "max-age=60"), ("ETag", '"{n}"')],
    "surrogate": [("Surrogate-Control", "max-age=9"), ("Cache-Control", "max-age=60")],
    "german": [
        *(("Cache-Control", "max-age=60"), ("Vary", "accept-language"), ("X-N", "{n}")),
        ("Content-Language", "de"),
    ],
    "swr": [("Cache-Control", "max-age=2, stale-while-revalidate=60"), ("ETag", '"{n}"')],
}


STATUSES = {"moved": 301, "empty": 204, "gone": 410}


@dataclass
class Side:
    """One of the two proxies."""

    origin: Origin
    clock: Clock
    front: Front
    version: int = 1
    answers: list[bytes] = field(default_factory=list)

    def reply(self, seen: Seen) -> Reply:
        kind = seen.target.lstrip("/").partition("/")[0].partition("?")[0]
        fields = FIELDS.get(kind, [("Cache-Control", "no-store")])
        lines = [(name, value.replace("{n}", str(self.version))) for name, value in fields]
        body = f"{seen.method} {seen.target} {self.version}".encode("latin-1")
        if seen.values("If-None-Match") and ("ETag", seen.values("If-None-Match")[0]) in lines:
            return Reply(304, lines)
        size = 40_000 if "big" in seen.target else 10
        if kind != "moved":  # it is left to the proxy
            lines.append(("Date", self.clock.date()))
        return Reply(STATUSES.get(kind, 200), lines, body + b"." * size)

    @property
    def asked(self) -> list[tuple[str, str, list[tuple[str, str]], bytes]]:
        """What the origin has seen; its port is the name of one that nobody else names."""
        port = f":{self.origin.port}"
        return [
            (
                seen.method,
                seen.target,
                [(name, value.replace(port, ":port")) for name, value in seen.headers.items()],
                seen.body,
            )
            for seen in self.origin.seen
        ]

    async def converse(self, pieces: Sequence[bytes], *, in_turn: bool) -> None:
        """Send these pieces on one connection, each as one read; end it when all is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.front.listener.port)
        received = asyncio.create_task(until_eof(reader))
        for piece in pieces:
            if writer.transport.is_closing():
                break
            writer.write(piece)
            await _turns(2)
            if in_turn:
                await self._quiet(received)
        await self._quiet(received)
        if not writer.transport.is_closing():
            with contextlib.suppress(OSError):
                writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            self.answers.append(await received)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _quiet(self, received: "asyncio.Task[bytes]") -> None:
        """Wait until the proxy has done all that it can with what it has been sent."""
        acceptor = self.front.listener._acceptor
        assert acceptor is not None
        async with asyncio.timeout(PATIENCE):
            calm = 0
            while calm < QUIET and not received.done():
                await asyncio.sleep(0)
                busy = any(one._feeder.request_complete for one in acceptor._open)
                calm = 0 if busy or len(self.front.background) else calm + 1


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def side(*, hot: bool) -> AsyncIterator[Side]:
    origin, clock = Origin(), Clock()
    await origin.start()
    try:
        options = OriginOptions(url=f"http://127.0.0.1:{origin.port}")
        async with fronted(options, routes=ROUTES, clock=clock, hot=hot) as front:
            one = Side(origin, clock, front)
            origin.always = one.reply
            yield one
    finally:
        await origin.stop()


Step: TypeAlias = tuple[str, Any]


async def both(steps: Sequence[Step]) -> int:
    """Take these steps on both sides and compare; returns how many answers were hot."""
    async with side(hot=True) as one, side(hot=False) as other:
        answered = _count(one)
        tell_at_once(one.front)
        for step in steps:
            for this in (one, other):
                await take(this, step)
            assert one.answers == other.answers
        assert one.asked == other.asked
        assert _told(one) == _told(other)
        return len(answered)


def _count(one: Side) -> list[bytes]:
    """What the hot path answers from now on."""
    hot = one.front.listener._hot["http"]
    take, answered = hot.take, []

    def counting(data: bytes, address: str, reply: Asked) -> Given | Passage | None:
        found = take(data, address, reply)
        if found is not None:
            answered.append(data)
        return found

    hot.take = counting  # type: ignore[method-assign]
    return answered


def _told(one: Side) -> list[object]:
    """What was told, less what tells the paths apart on purpose."""
    found: list[object] = []
    for event in told(one.front):
        match event:
            case Refused():
                pass
            case Repeated(hits=hits):
                found += [hit.answered for hit in hits]
            case Answered():
                status = re.sub("(?<=; hit); ttl=[0-9]+", "", event.cache_status)
                found.append(replace(event, request_id="", cache_status=status))
            case _:
                found.append(event)
    return found


async def take(this: Side, step: Step) -> None:
    match step:
        case "ask", (pieces, in_turn):
            await this.converse(pieces, in_turn=in_turn)
        case "advance", seconds:
            this.clock.now += seconds
        case "purge", (scope, mode):
            await this.front.log.append([scope], mode)
        case "change", _:
            this.version += 1
        case unknown:
            raise AssertionError(unknown)


HOT_TARGETS = [
    *("/a/1", "/a/1?q=2", "/a/big", "/short/1", "/dated/1", "/assumed/1", "/vary/1", "/cookies/1"),
    *("/edited/1", "/honoring/1", "/keyed/1?utm_x=1&b=2", "/off/1"),
    *("/dressed/1", "/moved/1", "/empty/1", "/gone/1", "/surrogate/1", "/german/1"),
]
TARGETS = [
    *("/a/1", "/a/1?q=2", "/a/2", "/a/big", "/short/1", "/dated/1", "/assumed/1", "/vary/1"),
    *("/cookies/1", "/private/1", "/edited/1", "/honoring/1", "/keyed/1?utm_x=1&b=2", "/aged/1"),
    *("/off/1", "/swr/1", "/none", "//a/1", "/a/%31", "/a/\xe9"),
]
LINES = [
    *("Accept: */*", "User-Agent: Mozilla/5.0 (X11; Linux)", "Connection: keep-alive"),
    *('If-None-Match: "1"', "If-None-Match: *", 'If-None-Match: W/"1", "x"', "If-None-Match: 1"),
    "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT",
    "If-Modified-Since: Monday, 01-Jan-24 00:00:00 GMT",
    *("Cookie: shop=1; id=2", "Cookie: id=3", "Authorization: Basic eDp5", "X-Tenant: a"),
    *("Cache-Control: no-cache", "Cache-Control: max-age=1", "Pragma: no-cache", "X-Beta: yes"),
    *("Cache-Control: only-if-cached", "Accept-Language: de, en;q=0.5", "Accept-Language: en"),
    *("X-Kind: a", "X-Kind: b", "Range: bytes=0-3", 'If-Range: "1"', "Connection: close"),
    *("Content-Length: 0", "Expect: 100-continue", "Host: b.example", 'If-Match: "1"'),
    *("X-Scheme: https", "X-Host: b.example", "X-Original-URL: /private/1"),
    *("Upgrade: h2c", "TE: trailers", "Via: 1.1 other", "X-Odd: \xff"),
]
USUAL = [
    "Accept: */*",
    "User-Agent: Mozilla/5.0 (X11; Linux)",
    "Connection: keep-alive",
    "Cookie: id=3",
]
_CONDITIONS = [line for line in LINES if line.startswith("If-")]
TELLING: dict[str, list[str]] = {
    "a": [*_CONDITIONS, "X-Beta: yes", "X-Scheme: https", "Range: bytes=0-3"],
    "short": ['If-None-Match: "1"'],
    "dated": _CONDITIONS,
    "assumed": ["Authorization: Basic eDp5", "Cookie: id=4"],
    "vary": ["Accept-Language: de, en;q=0.5", "Accept-Language: en", "X-Kind: a", "X-Kind: b"],
    "cookies": ["Cookie: id=4", "Cookie: id=5"],
    "honoring": ["Cache-Control: max-age=1", "Cache-Control: no-cache", "Pragma: no-cache"],
    "keyed": ["X-Tenant: a", "X-Tenant: b", "Cookie: shop=1; id=2", "X-Host: b.example"],
    "dressed": _CONDITIONS,
    "moved": _CONDITIONS,
    "empty": _CONDITIONS,
    "gone": _CONDITIONS,
    "german": ["Accept-Language: de, en;q=0.5", "Accept-Language: de", "Accept-Language: en"],
}


@st.composite
def requests(draw: st.DrawFn, *, targets: Sequence[str] = TARGETS) -> bytes:
    method = draw(st.sampled_from(["GET"] * 8 + ["HEAD", "HEAD", "POST"]))
    host = draw(st.sampled_from(["a.example"] * 8 + ["A.EXAMPLE:80", "[::1]:8080", "b!ad/"]))
    version = draw(st.sampled_from(["1.1"] * 12 + ["1.0"]))
    fields = draw(st.lists(st.sampled_from(LINES), max_size=4))
    unique = f"X-Request-Id: {draw(st.integers(0, 10**6))}"
    head = [f"{method} {draw(st.sampled_from(targets))} HTTP/{version}", f"Host: {host}", unique]
    if method == "POST":
        fields = [*fields, "Content-Length: 3"]
    body = "abc" if method == "POST" else ""
    return "\r\n".join([*head, *fields, "", body]).encode("latin-1")


@st.composite
def alike(draw: st.DrawFn, target: str) -> Step:
    """One target again and again, with what may matter for it: what the hot path is for."""
    kind = target.lstrip("/").partition("/")[0]
    fields = st.lists(st.sampled_from([*USUAL, *TELLING.get(kind, ()) * 3]), max_size=2)
    ways = draw(st.lists(fields, min_size=1, max_size=2))
    pieces = []
    for number in range(draw(st.integers(4, 9))):
        method = draw(st.sampled_from(["GET"] * 5 + ["HEAD"]))
        lines = [f"{method} {target} HTTP/1.1", "Host: a.example", f"X-Request-Id: {number}"]
        own = ways[number % len(ways)]
        pieces.append("\r\n".join([*lines, *own, "", ""]).encode("latin-1"))
    return "ask", (pieces, True)


@st.composite
def scattered(draw: st.DrawFn, target: str) -> Step:
    """Many targets, each of them twice: nothing is known of the second but what it is like."""
    kind = target.lstrip("/").partition("/")[0]
    lines = draw(st.lists(st.sampled_from([*USUAL, *TELLING.get(kind, ())]), max_size=2))
    method = draw(st.sampled_from(["GET", "GET", "HEAD"]))
    about = "\r\n".join(["Host: a.example", *lines, "", ""])
    pieces = []
    for asks in ("GET", method):
        pieces += [f"{asks} /{kind}/n{number} HTTP/1.1\r\n{about}" for number in range(4)]
    return "ask", ([piece.encode("latin-1") for piece in pieces], True)


@st.composite
def torn(draw: st.DrawFn) -> Step:
    """Requests in a row, a byte changed now and then, cut anywhere.

    Not for what is refreshed in the background: which of two comes first is not ours to say.
    """
    targets = [target for target in TARGETS if "swr" not in target]
    stream = b"".join(draw(st.lists(requests(targets=targets), min_size=1, max_size=4)))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(stream)))
        stream = stream[:at] + draw(st.binary(max_size=2)) + stream[at + draw(st.integers(0, 1)) :]
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=4)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    return "ask", ([piece for piece in pieces if piece], draw(st.booleans()))


def renewed(target: str) -> Step:
    """A write, and then a GET that is not plain: another entry is there when the next one comes."""
    about = f"{target} HTTP/1.1\r\nHost: a.example\r\n"
    lines = "Accept-Language: en\r\nX-Kind: a\r\nConnection: close\r\n\r\n"
    return "ask", ([f"POST {about}\r\nGET {about}{lines}".encode("latin-1")], True)


@st.composite
def stories(draw: st.DrawFn, target: str) -> list[Step]:
    """What happens around one target, and now and then elsewhere."""
    scopes = ["*", "tag:t1", "tag:edited", f"url:http://a.example{target}", "url:http://b/"]
    purge = st.tuples(st.sampled_from(scopes), st.sampled_from(Mode))
    whole = st.lists(requests(), min_size=1, max_size=5)
    between = st.one_of(
        st.sampled_from([0.4, 1.0, 3.0, 61.0]).map(lambda seconds: ("advance", seconds)),
        purge.map(lambda one: ("purge", one)),
        st.just(renewed(target)),
        torn(),
        scattered(target),
        whole.map(lambda pieces: ("ask", (pieces, True))),
    )
    story = [draw(alike(target))]
    for _ in range(draw(st.integers(1, 3))):
        story.append(("change", None))
        story += draw(st.lists(between, min_size=1, max_size=2))
        story.append(draw(alike(target)))
    return story


@pytest.mark.timeout(300)  # as many stories as are needed to meet what is rare
def test_no_byte_tells_which_path_a_request_took(run_alone: RunAlone) -> None:
    hot = 0

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def run(target: str, data: st.DataObject) -> None:
        nonlocal hot
        hot += run_alone(both(data.draw(stories(target))))

    for target in HOT_TARGETS:
        run(target)
    assert hot > 200, "the hot path was hardly taken: nothing was compared"
