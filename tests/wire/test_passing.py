"""Passing on at once, and the longer way: the same bytes at both ends, whatever the origin does.

Two proxies, one that passes requests on as soon as they are read and one that does not, get the
same requests and have origins that say the same, byte for byte and piece by piece.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.events import Answered
from proxy.gateway import Decisions, ForwardingOptions
from proxy.origin import GroupOptions, MemberOptions, OriginOptions
from proxy.rfc9111.policy import Policy
from proxy.routes import HeaderEdits, PathPattern, Route
from proxy.server import writing
from tests.apparatus import START, Clock, Front, fronted, tell_at_once, told
from tests.scripted_origin import PATIENCE, ScriptedOrigin, Wire
from tests.server.wire import eventually
from tests.wire.conftest import RunAlone, until_eof

DATE: Final = b"Date: Fri, 15 Jan 2027 08:00:00 GMT\r\n"
OK: Final = b"HTTP/1.1 200 OK\r\n"
END: Final = b"\r\n\r\n"

ROUTES = (
    Route(
        name="edited",
        path=PathPattern("/edited/**"),
        response_headers=HeaderEdits(
            set=(("X-Set", "%s"),), add=(("Vary", "X"),), remove=("ETag", "X-Gone")
        ),
        policy=Policy(cache=False),
    ),
    Route(
        name="told",
        path=PathPattern("/told/**"),
        policy=Policy(cache=False, surrogate_control=False),
        strip_tags=False,
    ),
    Route(
        name="beta",
        path=PathPattern("/beta/**"),
        headers=(("X-Beta", "yes"),),
        policy=Policy(cache=False),
    ),
    Route(
        name="timed", path=PathPattern("/timed/**"), server_timing=True, policy=Policy(cache=False)
    ),
    Route(
        name="dated",
        path=PathPattern("/dated/**"),
        response_headers=HeaderEdits(set=(("Date", "never"),), remove=("Via",)),
        policy=Policy(cache=False),
    ),
    Route(name="off", policy=Policy(cache=False)),
)


@dataclass(frozen=True)
class Says:
    """What an origin says to one request: pieces, each a read of its own, and then.

    Attributes:
        then: `stay` (the connection is kept), `close`, or `reset`.
    """

    pieces: tuple[bytes, ...]
    then: str = "stay"

    def to(self, method: bytes) -> list[bytes]:
        """To HEAD no more than the heads: what comes behind would be in time or too late."""
        data, start = b"".join(self.pieces), 0
        while data.startswith(b"HTTP/1.1 10", start):
            start = data.index(END, start) + len(END)
        if method != b"HEAD" or END not in data[start:]:
            return list(self.pieces)
        left, pieces = data.index(END, start) + len(END), []
        for piece in self.pieces:
            pieces.append(piece[:left])
            left = max(0, left - len(piece))
        return [piece for piece in pieces if piece]


def whole(head: bytes, body: bytes = b"", *, then: str = "stay") -> Says:
    return Says((head + b"Content-Length: %d\r\n\r\n" % len(body) + body,), then)


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

SAYINGS: dict[str, Says] = {
    "whole": whole(OK + DATE, b"abc"),
    "empty": whole(OK + DATE),
    "undated": whole(OK, b"abc"),
    "odd spelling": whole(
        b"HTTP/1.1 200\r\ndate:now \r\nX-Empty:\r\nX-Tab:\t a\t\r\nX-High: \xff\r\n", b"abc"
    ),
    "no reason": whole(b"HTTP/1.1 299 \r\n" + DATE, b"abc"),
    "repeats": whole(OK + DATE + b"X: 1\r\nx: 2\r\nVia: 1.0 other\r\nCache-Status: other\r\n"),
    "hop by hop": whole(
        OK + DATE + b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nTE: a\r\nTrailer: b\r\n"
        b"Proxy-Connection: c\r\nUpgrade: d\r\nX-Kept: e\r\n",
        b"abc",
    ),
    "listed": whole(OK + DATE + b"Connection: keep-alive, X-Gone\r\nX-Gone: 1\r\n", b"abc"),
    "tags": whole(
        OK
        + DATE
        + b"Surrogate-Key: a b\r\nCache-Tag: a\r\nxkey: b\r\nSurrogate-Control: max-age=1\r\n"
        b'ETag: "1"\r\nX-Set: theirs\r\nX-Gone: 1\r\n',
        b"abc",
    ),
    "our names": whole(OK + DATE + b"Warmfront-Request-Id: theirs\r\n", b"abc"),
    "404": whole(b"HTTP/1.1 404 Not Found\r\n" + DATE, b"gone"),
    "500": whole(b"HTTP/1.1 500 Oh No\r\n" + DATE, b"broken"),
    "204": Says((b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n",)),
    "204 with length": Says((b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",)),
    "304": Says((b"HTTP/1.1 304 Not Modified\r\n" + DATE + b'ETag: "1"\r\n\r\n',)),
    "304 with length": Says((b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",)),
    "padded length": Says((OK + DATE + b"Content-Length: 003\r\n\r\nabc",)),
    "close told": whole(OK + DATE + b"Connection: close\r\n", b"abc", then="close"),
    "close untold": whole(OK + DATE, b"abc", then="close"),
    "1.0": Says((b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",), "close"),
    "chunked": Says((OK + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",)),
    "chunked slowly": Says((OK + CHUNKED[:-2], CHUNKED[-2:], b"3\r\nabc\r\n0\r\n", b"\r\n")),
    "chunked badly": Says((OK + CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",)),
    "until close": Says((OK + DATE + b"\r\nabc",), "close"),
    "dribble": Says((b"HT", b"TP/1.1 200 OK\r\n", DATE, b"Content-Length: 3\r\n\r", b"\na", b"bc")),
    "body later": Says((OK + DATE + b"Content-Length: 3\r\n\r\n", b"abc")),
    "big": whole(OK + DATE, b"x" * 40_000),
    "surplus": Says((OK + DATE + b"Content-Length: 3\r\n\r\nabc!",)),
    "two answers": Says((OK + DATE + b"Content-Length: 0\r\n\r\n" + OK + b"\r\n",)),
    "hints": Says(
        (
            b"HTTP/1.1 103 Hints\r\nLink: </a>\r\nConnection: X-A\r\nX-A: 1\r\n\r\n"
            + OK
            + DATE
            + b"Content-Length: 3\r\n\r\nabc",
        )
    ),
    "hints first": Says(
        (b"HTTP/1.1 102 Processing\r\n\r\n", OK + DATE + b"Content-Length: 3\r\n\r\nabc")
    ),
    "continue": Says(
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + DATE + b"Content-Length: 0\r\n\r\n",)
    ),
    "switch": Says((b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",)),
    "nothing": Says((), "close"),
    "refused": Says((), "reset"),
    "half a head": Says((OK + DATE,), "close"),
    "half a body": Says((OK + DATE + b"Content-Length: 9\r\n\r\nabc",), "close"),
    "no HTTP": Says((b"SSH-2.0-OpenSSH\r\n\r\n",)),
    "bare LF": Says((b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",)),
    "folded": Says((OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",)),
    "blank before colon": Says((OK + b"Content-Length : 0\r\n\r\n",)),
    "two lengths": Says((OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",)),
    "length and chunked": Says((OK + b"Content-Length: 3\r\n" + CHUNKED + b"0\r\n\r\n",)),
    "signed length": Says((OK + b"Content-Length: +3\r\n\r\nabc",)),
    "many fields": whole(OK + DATE + b"X-Many: 1\r\n" * 200, b"abc"),
    "long head": whole(OK + DATE + b"X-Long: " + b"x" * 9000 + b"\r\n", b"abc"),
}
"""By what is special about it; most are what no usual origin says."""


@dataclass
class Side:
    """One of the two proxies, with its origin."""

    origin: ScriptedOrigin
    front: Front
    says: dict[bytes, Says]
    answers: list[bytes] = field(default_factory=list)
    hot: int = 0

    async def script(self, wire: Wire) -> None:
        while True:
            request = await wire.request()
            said = self.says[request.get(b"X-Say") or b"whole"]
            for number, piece in enumerate(said.to(request.line.split()[0])):
                if number:
                    await asyncio.sleep(0.002)
                await wire.send(piece)
            if said.then == "reset":
                wire.reset()
            if said.then != "stay":
                return

    async def converse(self, pieces: Sequence[bytes]) -> bytes:
        """Send these, each once the one before is answered; returns all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.front.listener.port)
        received = asyncio.create_task(until_eof(reader))
        with contextlib.suppress(OSError):
            for piece in pieces:
                if received.done():
                    break
                writer.write(piece)
                await asyncio.sleep(0)
                await self._quiet(received)
            if not received.done():
                writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            answer = await received
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return answer

    async def _quiet(self, received: "asyncio.Task[bytes]") -> None:
        acceptor = self.front.listener._acceptor
        assert acceptor is not None
        calm = 0
        async with asyncio.timeout(PATIENCE):
            while calm < 4 and not received.done():
                await asyncio.sleep(0)
                busy = any(one._feeder.request_complete for one in acceptor._open)
                calm = 0 if busy else calm + 1

    @property
    def asked(self) -> list[bytes]:
        port = b"127.0.0.1:%d" % self.origin.port
        return [request.head.replace(port, b"the-origin") for request in self.origin.requests]

    def members(self) -> list[tuple[int, int, int]]:
        origins = self.front.gateway._contact.upstreams[""].origin
        return [(one.in_flight, one.requests, one.failures) for one in origins.members]  # type: ignore[attr-defined]


@asynccontextmanager
async def side(*, hot: bool, decisions: bool = False, **options: Any) -> AsyncIterator[Side]:
    async with AsyncExitStack() as stack:
        sides: list[Side] = []

        async def script(wire: Wire) -> None:
            await sides[0].script(wire)

        origin = await ScriptedOrigin(script).start()
        stack.push_async_callback(origin.stop)
        forwarding = ForwardingOptions(
            origin_authority=f"127.0.0.1:{origin.port}", **options.pop("forwarding", {})
        )
        member = MemberOptions(origin=OriginOptions(url=origin.url, **options.pop("origin", {})))
        front = await stack.enter_async_context(
            fronted(
                GroupOptions(members=(member,), **options),
                routes=ROUTES,
                clock=Clock(),
                hot=hot,
                forwarding=forwarding,
                decisions=Decisions(100, 1.0) if decisions else None,
            )
        )
        one = Side(origin, front, {name.encode(): said for name, said in SAYINGS.items()})
        sides.append(one)
        if hot:
            _count(one)
            tell_at_once(front)
        yield one


def _told(one: Side) -> list[object]:
    """What was told, less names that nobody wants to know."""
    events: list[object] = [*told(one.front)]
    if one.front.gateway._decisions is not None:
        return events
    return [
        replace(event, request_id="") if isinstance(event, Answered) else event for event in events
    ]


def _is_idle(one: Side) -> bool:
    return all(in_flight == 0 for in_flight, _, _ in one.members())


def _count(one: Side) -> None:
    path = one.front.listener._hot["http"]
    take = path.take

    def counting(*arguments: Any) -> Any:
        found = take(*arguments)
        one.hot += found is not None
        return found

    path.take = counting  # type: ignore[assignment, method-assign]


def get(say: str = "whole", *lines: str, target: str = "/off", method: str = "GET") -> bytes:
    fields = ["Host: a.example", f"X-Say: {say}", "X-Request-Id: mine", *lines, "", ""]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *fields]).encode("latin-1")


async def both(conversations: Sequence[Sequence[bytes]], **options: Any) -> int:
    """Have these on both sides and compare; returns how many requests were passed on at once."""
    async with side(hot=True, **options) as one, side(hot=False, **options) as other:
        for pieces in conversations:
            answers = [await this.converse(pieces) for this in (one, other)]
            assert answers[0] == answers[1], pieces
        assert one.asked == other.asked
        assert _told(one) == _told(other)
        for this in (one, other):
            await eventually(partial(_is_idle, this))
        assert one.members() == other.members()
        return one.hot


WARM: Final = [get()] * 3
"""From the third on such requests are passed on at once."""


@pytest.mark.parametrize("say", SAYINGS)
async def test_whatever_an_origin_says(say: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "wall", lambda: START)
    heads = [get(method="HEAD")] * 3
    hot = await both(
        [
            [*WARM, get(say), get(say), get()],
            [*heads, get(say, method="HEAD"), get(method="HEAD")],
            [get(say) + get(), get()],
        ],
        decisions=True,
    )
    assert hot > 4


LINES: Final = (
    *("Accept: */*", "User-Agent: Mozilla/5.0 (X11; Linux)", "Connection: keep-alive"),
    *("Accept:none", "X-Trailing: a \t", "X-Empty:", "X-Odd: \xff", "X-Host: b.example"),
    *('If-None-Match: "1"', "Cookie: id=3", "Authorization: Basic eDp5", "Cache-Control: no-cache"),
    *("Keep-Alive: 300", "TE: trailers", "Trailer: X", "Proxy-Connection: keep-alive"),
    *("Via: 1.1 other", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"),
    *("X-Forwarded-Host: b.example", "X-Forwarded-Port: 81", "Forwarded: for=a", "Max-Forwards: 3"),
    *("Range: bytes=0-3", 'If-Match: "1"', "Connection: close", "Connection: X-A, keep-alive"),
    *(
        "Upgrade: h2c",
        "Content-Length: 0",
        "Expect: 100-continue",
        "X-Beta: yes",
        "Host: b.example",
    ),
    *(
        "X-Original-URL: /private",
        "X_Forwarded_For: 192.0.2.9",
        "Date: now",
        "Warmfront-Request-Id: x",
    ),
)
TARGETS: Final = (
    "/off",
    "/off?q=1",
    "/edited/1",
    "/told/1",
    "/beta/1",
    "/timed/1",
    "/dated/1",
    "//x",
)


@st.composite
def streams(draw: st.DrawFn, target: str, method: str) -> list[bytes]:
    """Requests for one target, most of which are plain, now and then cut anywhere."""
    pieces = []
    for _ in range(draw(st.integers(2, 6))):
        say = draw(st.sampled_from(["whole", "undated", *SAYINGS]))
        fields = draw(st.lists(st.sampled_from(LINES), max_size=2))
        lines = draw(st.sampled_from([("X-Beta: yes",), fields]))
        pieces.append(get(say, *lines, target=target, method=method))
    if draw(st.integers(0, 3)):
        return pieces
    stream = b"".join(pieces)
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=4)))
    torn = [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]
    return [piece for piece in torn if piece]


@st.composite
def stories(draw: st.DrawFn) -> list[list[bytes]]:
    """Conversations about one target, which is passed on at once if that can be."""
    target = draw(st.sampled_from(TARGETS))
    method = draw(st.sampled_from(["GET", "GET", "HEAD"]))
    usual = [get("whole", "X-Beta: yes", target=target, method=method)] * 3
    return [usual, *draw(st.lists(streams(target, method), min_size=1, max_size=3))]


FORWARDING: Final[Sequence[dict[str, Any]]] = (
    {},
    {"host": "origin"},
    {"host": "c.example:8080", "via": False},
    {"x_forwarded": False},
    {"forwarded": False, "via": False},
)


def test_no_byte_tells_which_way_a_request_took(run_alone: RunAlone) -> None:
    hot = 0

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(stories(), st.sampled_from(FORWARDING), st.booleans())
    def run(
        conversations: list[list[bytes]],
        forwarding: dict[str, Any],
        decisions: bool,  # noqa: FBT001 - drawn
    ) -> None:
        nonlocal hot
        hot += run_alone(both(conversations, forwarding=forwarding, decisions=decisions))

    run()
    assert hot > 10, "the hot path was hardly taken: nothing was compared"
