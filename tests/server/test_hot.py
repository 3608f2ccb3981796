"""The hot path: what is remembered of answers, and what connections do with it."""

import asyncio
import contextlib
import socket
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_protocol import RequestHandler

from proxy.exchange import (
    Alike,
    Asked,
    Given,
    Incoming,
    Outgoing,
    Passing,
    Recurring,
    Reply,
    Watched,
    WriteHead,
)
from proxy.rfc9111.messages import Headers, Request
from proxy.server import Listener, ServerOptions
from proxy.server.hot import HotPath
from tests.server.wire import Listen, Peer, eventually, ok
from tests.steady_loop import ON_A_STEADY_LOOP

HEAD = b"HTTP/1.1 200 OK\r\nX: y\r\nAge: %d\r\nVia: v\r\nCache-Status: hit; ttl=%d\r\n%b\r\n"
LENGTH = b"Content-Length: %d\r\n"
NOBODY: Any = None
"""Where no answer goes, since nobody is asked."""


class Again(Recurring):
    """An answer that counts how often it is given."""

    def __init__(self, answers: "FakeAnswers", request: Request, write: WriteHead) -> None:
        self.answers = answers
        self.request = request
        self.write = write
        self.depends_on = answers.depends_on

    def again(self, name: bytes | None) -> Given | None:
        if self.answers.over:
            return None
        ending = b"\r\n"
        if self.answers.watched.name is not None:
            ending = b"Name: %b\r\n\r\n" % (name or b"none")
        self.answers.given += 1
        outgoing = self.answers.outgoing(self.request)
        self.head = self.write(outgoing, self.request.method)
        assert isinstance(outgoing.body, bytes)
        return self.head, ending, outgoing.body


@dataclass
class Kind:
    """Requests that are alike."""

    answers: "FakeAnswers"
    request: Request
    write: WriteHead

    def take(self, asked: Asked, reply: Reply) -> tuple[Recurring, Given] | None:  # noqa: ARG002
        answers = self.answers
        answers.asked.append(asked)
        if answers.refuses:
            return None
        again = Again(answers, replace(self.request, target=asked.target), self.write)
        answers.made.append(weakref.ref(again))
        given = again.again(asked.name)
        return None if given is None else (again, given)


@dataclass
class FakeAnswers:
    """Answers everything with its target, or not at all."""

    watched: Watched = field(
        default_factory=lambda: Watched(
            frozenset({"x-has", "x-wanted"}),
            frozenset({"cookie"}),
            conditions=frozenset({"x-has"}),
        )
    )
    depends_on: frozenset[str] = frozenset({"x-has", "x-wanted"})
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = None
    age: int = 5
    over: bool = False
    refuses: bool = False
    simple: bool = True
    given: int = 0
    kinds: list[Request] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    passed: list[Request] = field(default_factory=list)
    made: list[weakref.ref[Again]] = field(default_factory=list)
    largest: int = 0

    def outgoing(self, request: Request) -> Outgoing:
        body = request.target.encode("latin-1") if self.body is None else self.body
        age, status = ("Age", str(self.age)), ("Cache-Status", f"hit; ttl={60 - self.age}")
        headers = Headers([("X", "y"), age, ("Via", "v"), status, *self.headers])
        return Outgoing(200, "OK", headers, body, len(body))

    def alike(self, request: Request, largest: int, write: WriteHead) -> Alike | None:
        self.kinds.append(request)
        self.largest = largest
        return Kind(self, request, write) if self.simple else None

    def passing(self, request: Request) -> Passing | None:
        self.passed.append(request)
        return None


def get(*lines: str, target: str = "/", host: str = "a.example") -> bytes:
    head = [f"GET {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1")


def take(hot: HotPath, data: bytes) -> tuple[bytes, bytes] | None:
    """The whole head, and the body."""
    answer = hot.take(data, "192.0.2.1", NOBODY)
    if answer is None:
        return None
    assert isinstance(answer, tuple)
    head, ending, body = answer
    return head + ending, body


@contextlib.contextmanager
def path(answers: FakeAnswers, scheme: str = "http", **options: Any) -> Iterator[HotPath]:
    with asyncio.Runner() as runner:

        async def make() -> HotPath:
            hot = HotPath(scheme, ServerOptions(**options))
            hot.answer_from(answers)
            return hot

        yield runner.run(make())


class TestNaming:
    def test_a_name_is_handed_on_and_no_answer_depends_on_it(self) -> None:
        watched = Watched(frozenset({"x-name", "x-wanted"}), frozenset(), "x-name")
        answers = FakeAnswers(watched=watched)
        with path(answers) as hot:
            given = [take(hot, get(*lines)) for lines in ((), ("X-Name: a",), ("x-name:b",), ())]
        heads = [answer[0] for answer in given if answer is not None]
        stem = (HEAD % (5, 55, LENGTH % 1)).removesuffix(b"\r\n")
        names = (b"none", b" a", b"b", b"none")
        assert heads == [stem + b"Name: %b\r\n\r\n" % one for one in names]
        assert len(answers.asked) == 1
        assert "X-Name" not in answers.kinds[0].headers

    def test_a_name_is_known_the_first_time(self) -> None:
        watched = Watched(frozenset({"x-name"}), frozenset(), "x-name")
        answers = FakeAnswers(watched=watched)
        with path(answers) as hot:
            answer = take(hot, get("X-Name: a"))
        assert answer is not None
        assert answer[0].endswith(b"Name:  a\r\n\r\n")
        assert answers.asked[0].name == b" a"


class TestRemembering:
    def test_what_was_asked_for_once_is_known(self) -> None:
        answers = FakeAnswers()
        with path(answers) as hot:
            given = [take(hot, get(f"X-Id: {number}")) for number in range(3)]
        assert given == 3 * [(HEAD % (5, 55, LENGTH % 1), b"/")]
        assert (len(answers.asked), answers.given) == (1, 3)

    def test_requests_are_reduced_to_what_is_watched(self) -> None:
        answers = FakeAnswers()
        lines = ("X-Wanted: \t a\xe9 ", "Cookie: secret", "User-Agent: x", "X-Has:\t b\xe9 ")
        with path(answers, scheme="https") as hot:
            take(hot, get(*lines, target="/\xe9?q", host="A.example:443"))
        (request,), (asked,) = answers.kinds, answers.asked
        assert (request.method, request.scheme, request.authority) == ("GET", "https", "a.example")
        assert sorted(request.headers.items()) == [
            ("Host", "A.example:443"),
            ("cookie", ""),
            ("x-wanted", "a\xe9"),
        ]
        assert (asked.target, asked.conditions) == ("/\xe9?q", [("x-has", "b\xe9")])
        assert asked.address == "192.0.2.1"

    def test_what_is_alike_is_known_whatever_the_target(self) -> None:
        answers = FakeAnswers()
        with path(answers) as hot:
            for number in range(10):
                take(hot, get(f"X-Has: {number}", target=f"/{number}"))
                take(hot, get("X-Wanted: a", target=f"/{number}"))
        assert (len(answers.kinds), len(answers.asked)) == (2, 20)

    def test_kinds_without_end_fill_no_memory(self) -> None:
        answers = FakeAnswers()
        with path(answers) as hot:
            for number in range(3000):
                take(hot, get(f"X-Wanted: {number}"))
            assert len(hot._alikes) <= 1024

    def test_answers_are_told_apart_by_what_they_depend_on(self) -> None:
        answers = FakeAnswers()
        with path(answers) as hot:
            for value in ("a", "a", "b", "a", "b"):
                take(hot, get(f"X-Wanted: {value}", "Cookie: x"))
                take(hot, get(f"X-Wanted: {value}"))
            assert len(answers.asked) == 2
            answers.depends_on = frozenset({"cookie", "range"})
            for value in ("c", "a", "a", "b", "b"):
                take(hot, get(f"X-Wanted: {value}"))
            assert len(answers.asked) == 5
            take(hot, get("X-Wanted: a", "Cookie: x"))
            assert len(answers.asked) == 6

    def test_the_head_is_that_of_the_last_time(self) -> None:
        answers = FakeAnswers()
        with path(answers) as hot:
            for age in (5, 5, 6, 4):
                answers.age = age
                answer = take(hot, get())
                assert answer == (HEAD % (age, 60 - age, LENGTH % 1), b"/")
        assert len(answers.asked) == 1

    def test_one_place_fills_no_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Anybody can make up ETags to ask with, and each has an answer of its own."""
        monkeypatch.setattr("proxy.server.hot._REMEMBERED", 20)
        answers = FakeAnswers()
        with path(answers) as hot:
            for number in range(200):
                take(hot, get("X-Wanted: often"))
                take(hot, get(f"X-Wanted: {number}"))
            assert sum(one() is not None for one in answers.made) <= 2 * 21
            assert answers.given > 180  # what is in demand outlives the others
            for number in range(200):  # nor do those that are asked for again
                for again in range(number):
                    take(hot, get(f"X-Wanted: {again}"))
            assert sum(one() is not None for one in answers.made) <= 2 * 21

    def test_large_heads_fill_no_memory_either(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("proxy.server.hot._REMEMBERED", 20)
        answers = FakeAnswers(headers=[("X-Large", "x" * 19 * 1024)])
        with path(answers) as hot:
            for number in range(50):
                take(hot, get(f"X-Wanted: {number}"))
            assert sum(one() is not None for one in answers.made) <= 4

    def test_nor_do_long_values(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("proxy.server.hot._REMEMBERED", 40)
        answers = FakeAnswers()
        with path(answers) as hot:
            for _ in range(3):  # nor if they are asked for again
                for number in range(50):
                    take(hot, get(f"X-Has: {number:01000}"))
                    assert sum(one() is not None for one in answers.made) <= 2 * 6

    def test_an_end_is_not_the_end(self) -> None:
        answers = FakeAnswers()
        with path(answers) as hot:
            assert take(hot, get()) is not None
            answers.over = True
            assert take(hot, get()) is None
            answers.over = False
            assert take(hot, get()) is not None
        assert len(answers.asked) == 3

    def test_what_passing_is_tried_for_in_vain_is_tried_less_and_less_often(self) -> None:
        answers = FakeAnswers(simple=False)
        with path(answers) as hot:
            for _ in range(1000):
                assert take(hot, get()) is None
            assert len(answers.passed) < 25

    def test_what_was_not_answered_may_be_the_next_time(self) -> None:
        answers = FakeAnswers(refuses=True)
        with path(answers) as hot:
            assert take(hot, get()) is None
            answers.refuses = False
            assert take(hot, get()) is not None

    def test_fields_that_become_watched_count_from_then_on(self) -> None:
        answers = FakeAnswers(refuses=True)
        with path(answers) as hot:
            take(hot, get("X-New: 1"))
            answers.watched = Watched(answers.watched.values | {"x-new"})
            answers.refuses = False
            take(hot, get("X-New: 1"))
            take(hot, get("X-New: 1"))
        assert [request.headers.get("X-New") for request in answers.kinds] == [None, "1"]

    @pytest.mark.parametrize("host", ["", "a b", "a,b", "[::x]", "a:65536"])
    def test_a_host_that_is_none_is_left_to_the_parser(self, host: str) -> None:
        answers = FakeAnswers()
        with path(answers) as hot:
            assert [take(hot, get(host=host)) for _ in range(3)] == [None] * 3
            assert not hot._alikes
        assert not answers.kinds

    def test_long_targets_and_values_are_not_remembered(self) -> None:
        answers = FakeAnswers()
        with path(answers) as hot:
            for _ in range(3):
                assert take(hot, get(target="/" + "x" * 2100)) is not None
                assert take(hot, get("X-Has: " + "x" * 2100)) is not None
                assert take(hot, get("X-Wanted: " + "x" * 2100)) is None
            assert not any(place.known for place in hot._places.values())
            assert len(hot._places) == 1
            assert len(hot._alikes) == 1

    def test_memory_is_bounded_and_what_is_in_use_stays(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("proxy.server.hot._REMEMBERED", 500)
        answers = FakeAnswers()
        with path(answers) as hot:
            for number in range(3000):
                take(hot, get(target=f"/{number}"))
                assert take(hot, get()) is not None
            assert len(hot._places) + len(hot._older) <= 502
        assert [asked.target for asked in answers.asked].count("/") == 1

    def test_limits_of_the_door_hold(self) -> None:
        answers = FakeAnswers()
        with path(answers, headers=3, header_size=100, request_line=200) as hot:
            for _ in range(2):
                assert take(hot, get("a: b", "a: b", "a: b")) is None
                assert take(hot, get("a: " + "x" * 70)) is None
            assert not answers.kinds
            assert take(hot, get("a: b", "a: b")) is not None


async def never(_: Incoming) -> Outgoing:
    raise AssertionError("the gateway was asked")


async def plain(incoming: Incoming) -> Outgoing:
    return ok(f"plain {incoming.request.target}".encode("latin-1"))


@dataclass
class Warm:
    """A listener whose hot path knows `/`."""

    listener: Listener
    answers: FakeAnswers

    async def connect(self, **options: Any) -> Peer:
        return await Peer.connect(self.listener, **options)


@pytest.fixture
async def warm(listen: Listen) -> Callable[..., Any]:
    async def start(answers: FakeAnswers | None = None, **options: Any) -> Warm:
        answers = answers or FakeAnswers()
        listener = await listen(plain, **options)
        listener.answer_from(answers)
        async with await Peer.connect(listener) as peer:
            assert (await peer.ask(get())).body != b"plain /"
        answers.given = 0
        return Warm(listener, answers)

    return start


class TestConnections:
    async def test_a_hit_asks_nobody(self, warm: Any) -> None:
        server = await warm()
        async with await server.connect() as peer:
            for number in range(3):
                reply = await peer.ask(get(f"X-Id: {number}"))
                assert reply.body == b"/"
            assert server.answers.given == 3

    @pytest.mark.parametrize(
        "pieces",
        [
            [b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"],
            [b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", b"abc"],
            [b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
            [b"GET /p HTTP/1.1\r\nHo", b"st: a\r\n\r\n"],
            [b"GET /p HTTP/1.1\r\nHost: a\r\n\r", b"\n"],
            [b"\r\n", b"GET /p HTTP/1.1\r\nHost: a\r\n\r\n"],
            [b"\r\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n"],
            [b"GET /p HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
        ],
    )
    async def test_it_comes_back_after_what_is_not_plain(
        self, warm: Any, pieces: list[bytes]
    ) -> None:
        server = await warm()
        async with await server.connect() as peer:
            for count in (1, 2):
                assert (await peer.ask(get())).body == b"/"
                for piece in pieces:
                    peer.send(piece)
                    await asyncio.sleep(0.01)
                assert (await peer.reply()).body == b"plain /p"
                assert server.answers.given == count

    async def test_it_comes_back_after_pipelining(self, warm: Any) -> None:
        server = await warm()
        async with await server.connect() as peer:
            peer.send(get() + get(target="/p") + get())
            assert [(await peer.reply()).body for _ in range(3)] == [
                b"plain /",
                b"plain /p",
                b"plain /",
            ]
            assert (await peer.ask(get())).body == b"/"

    async def test_empty_lines_between_requests_are_counted_as_ever(self, warm: Any) -> None:
        server = await warm()
        async with await server.connect() as peer:
            for _ in range(8):
                assert (await peer.ask(get())).body == b"/"
                peer.send(b"\r\n")
                await asyncio.sleep(0.005)
                assert (await peer.ask(get())).body == b"plain /"

    async def test_while_an_answer_is_on_its_way_the_next_waits(self, listen: Listen) -> None:
        go = asyncio.Event()

        async def slow(_: Incoming) -> Outgoing:
            await go.wait()
            return ok(b"slow")

        listener = await listen(slow)
        answers = FakeAnswers(refuses=True)
        listener.answer_from(answers)
        async with await Peer.connect(listener) as peer:
            peer.send(get(target="/p"))
            await asyncio.sleep(0.01)
            answers.refuses = False
            for _ in range(3):
                peer.send(get())
                await asyncio.sleep(0.01)
            go.set()
            replies = [(await peer.reply()).body for _ in range(4)]
            assert replies == [b"slow"] * 4

    async def test_the_last_request_of_a_connection_is_told_so(self, warm: Any) -> None:
        server = await warm(requests_per_connection=3)
        async with await server.connect() as peer:
            replies = [await peer.ask(get()) for _ in range(3)]
            assert [reply.body for reply in replies] == [b"/", b"/", b"plain /"]
            assert replies[-1].get(b"Connection") == b"close"
            await peer.closed()

    async def test_a_draining_server_says_so(self, warm: Any) -> None:
        server = await warm()
        async with await server.connect() as peer:
            assert (await peer.ask(get())).body == b"/"
            server.listener.retire()
            reply = await peer.ask(get())
            assert (reply.body, reply.get(b"Connection")) == (b"plain /", b"close")
            await peer.closed()

    async def test_a_reload_does_not_call_it_back(self, warm: Any) -> None:
        server = await warm()
        server.listener.retire()
        server.listener.answer_from(FakeAnswers())
        for _ in range(3):
            async with await server.connect() as peer:
                reply = await peer.ask(get())
                assert (reply.body, reply.get(b"Connection")) == (b"plain /", b"close")
                await peer.closed()

    @ON_A_STEADY_LOOP
    async def test_every_hit_extends_the_life_of_an_idle_connection(self, warm: Any) -> None:
        server = await warm(keepalive_timeout=0.5)
        loop = asyncio.get_running_loop()
        async with await server.connect() as peer:
            start = loop.time()
            while loop.time() < start + 1.2:
                assert (await peer.ask(get())).body == b"/"
                await asyncio.sleep(0.05)
            last = loop.time()
            await peer.closed()
            assert loop.time() - last > 0.4

    @ON_A_STEADY_LOOP
    async def test_the_first_hit_ends_the_wait_for_the_first_head(self, warm: Any) -> None:
        server = await warm(header_timeout=0.2)
        async with await server.connect() as peer:
            assert (await peer.ask(get())).body == b"/"
            await asyncio.sleep(0.4)
            assert (await peer.ask(get())).body == b"/"

    async def test_a_client_that_closes_its_side_still_gets_all(self, warm: Any) -> None:
        server = await warm(FakeAnswers(body=b"x" * 200_000))
        async with await server.connect(limit=1 << 10) as peer:
            peer.send(get())
            peer.writer.write_eof()
            assert (await peer.rest()).endswith(b"x" * 200_000)
            assert server.answers.given == 1

    async def test_tls_has_a_hot_path_of_its_own(self, listen: Listen, certified: Any) -> None:
        answers = FakeAnswers()
        listener = await listen(plain, tls=certified.server)
        listener.answer_from(answers)
        async with await Peer.connect(listener, ssl=certified.client) as peer:
            bodies = [(await peer.ask(get())).body for _ in range(3)]
        assert bodies == [b"/", b"/", b"/"]
        assert [request.scheme for request in answers.kinds] == ["https"]
        assert answers.largest == 256 * 1024


@dataclass
class Stalled:
    """A client that asks and does not read."""

    server: Warm
    sock: socket.socket

    @property
    def connection(self) -> Any:
        acceptor = self.server.listener._acceptor
        assert acceptor is not None
        (connection,) = acceptor._open
        return connection

    async def ask(self) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, get())
        await asyncio.sleep(0.01)

    async def ask_until_paused(self) -> int:
        """How many were answered until the system's buffers were full."""
        for _ in range(200):
            await self.ask()
            if self.connection._paused:
                return self.server.answers.given
        raise AssertionError("it is never full")

    async def read_away(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.2):
                    await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20)


@contextlib.contextmanager
def stalled(server: Warm) -> Iterator[Stalled]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.listener.port))
        sock.settimeout(0)
        yield Stalled(server, sock)


class TestSlowReaders:
    BODY = b"x" * (256 * 1024)

    @ON_A_STEADY_LOOP
    async def test_one_that_does_not_read_is_not_answered_at_once(self, warm: Any) -> None:
        """Else its answers would pile up in memory as fast as it can ask."""
        server = await warm(FakeAnswers(body=self.BODY))
        with stalled(server) as peer:
            given = await peer.ask_until_paused()
            waiting = peer.connection._wire.get_write_buffer_size()
            assert waiting < len(self.BODY)
            for _ in range(5):
                await peer.ask()
            assert server.answers.given == given
            await peer.read_away()
            await eventually(lambda: peer.connection.idle)
            await peer.ask()
            assert server.answers.given == given + 1

    async def test_one_that_stops_reading_is_cut(self, warm: Any) -> None:
        server = await warm(FakeAnswers(body=self.BODY), send_timeout=0.1)
        with stalled(server) as peer:
            await peer.ask_until_paused()
            await eventually(lambda: server.listener.connections == 0)

    async def test_large_bodies_go_where_no_copy_of_them_waits(self, warm: Any) -> None:
        server = await warm(FakeAnswers(body=b"x"))
        loop = asyncio.get_running_loop()
        copies = isinstance(loop, asyncio.BaseEventLoop) and sys.version_info < (3, 12)
        assert server.answers.largest == (256 * 1024 if copies else sys.maxsize)


def test_aiohttp_still_has_what_the_hot_path_touches() -> None:
    """The canary: the keep-alive timer reads a time that every hit moves."""
    slots = {*RequestHandler.__slots__, *BaseProtocol.__slots__}
    assert {"_next_keepalive_close_time", "_keepalive_timeout", "_close", "_paused"} <= slots
    assert "_next_keepalive_close_time" in RequestHandler._process_keepalive.__code__.co_names
