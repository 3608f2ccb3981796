"""One request and its answer, byte for byte over real sockets."""

import asyncio
import gc
import json
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.exchange import BodyAborted, Incoming, Outgoing
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason
from tests.server.wire import GET, Listen, Peer, always, echo, eventually, ok
from tests.steady_loop import ON_A_STEADY_LOOP

MIB = 1024 * 1024


class Stream:
    """A response body under a test's control, that notes when it is closed."""

    def __init__(self, *pieces: bytes, then: BaseException | None = None) -> None:
        self.pieces = list(pieces)
        self.then = then
        self.more = asyncio.Event()
        self.closed = asyncio.Event()
        self.waiting = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.pieces:
            return self.pieces.pop(0)
        if self.then is not None:
            raise self.then
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed.set()


class Silent(Stream):
    """Never ends by itself once its pieces are given."""

    async def __anext__(self) -> bytes:
        if not self.pieces:
            self.waiting = True
            await asyncio.Event().wait()
        return await super().__anext__()


async def test_the_request_reaches_the_gateway_byte_for_byte(listen: Listen) -> None:
    seen: list[Incoming] = []

    async def respond(incoming: Incoming) -> Outgoing:
        seen.append(incoming)
        return ok()

    async with await Peer.connect(await listen(respond)) as peer:
        await peer.ask(
            b"PURGE-it //a/../%7e%2F%zz;\xe9? HTTP/1.1\r\nhOST: A.Example:80\r\nx: \xff\xfe\r\n"
            b"ETag: 1\r\nX:2\r\n\r\n"
        )
    (incoming,) = seen
    request = incoming.request
    assert (request.method, request.target) == ("PURGE-it", "//a/../%7e%2F%zz;\xe9?")
    assert (request.scheme, request.authority) == ("http", "a.example")
    assert list(request.headers.items()) == [
        ("hOST", "A.Example:80"),
        ("x", "\xff\xfe"),
        ("ETag", "1"),
        ("X", "2"),
    ]
    assert incoming.body is None
    assert incoming.client.address == "127.0.0.1"
    assert incoming.client.http_version == (1, 1)
    assert not incoming.upgrade
    assert not incoming.expects_continue


async def test_the_answer_reaches_the_client_byte_for_byte(listen: Listen) -> None:
    headers = Headers([("eTag", "1"), ("Set-Cookie", "a"), ("X", "\xff"), ("set-cookie", "b")])
    answer = Outgoing(299, "Tr\xe8s bien", headers, b"\x00\xff")
    async with await Peer.connect(await listen(always(lambda: answer))) as peer:
        reply = await peer.ask()
    assert reply.line == b"HTTP/1.1 299 Tr\xe8s bien"
    assert reply.fields == [
        (b"eTag", b"1"),
        (b"Set-Cookie", b"a"),
        (b"X", b"\xff"),
        (b"set-cookie", b"b"),
        (b"Content-Length", b"2"),
    ]
    assert reply.body == b"\x00\xff"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"OPTIONS * HTTP/1.1", b"OPTIONS * "),
        (b"BAN /a? HTTP/1.1", b"BAN /a? "),
        (b"GET http://b.example/x?y HTTP/1.1", b"GET /x?y "),
        (b"TRACE /\x80%0a HTTP/1.1", b"TRACE /\x80%0a "),
    ],
)
async def test_targets_and_methods(listen: Listen, line: bytes, expected: bytes) -> None:
    async with await Peer.connect(await listen(echo)) as peer:
        reply = await peer.ask(line + b"\r\nHost: a.example\r\n\r\n")
    assert reply.body == expected


async def test_absolute_form_wins_over_host(listen: Listen) -> None:
    async def respond(incoming: Incoming) -> Outgoing:
        return ok(incoming.request.uri.encode())

    async with await Peer.connect(await listen(respond)) as peer:
        reply = await peer.ask(b"GET http://B.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert reply.body == b"http://b.example/"


class TestFraming:
    async def test_a_stream_of_unknown_length_is_chunked(self, listen: Listen) -> None:
        listener = await listen(always(lambda: ok(Stream(b"one", b"", b"two"))))
        async with await Peer.connect(listener) as peer:
            peer.send(GET)
            reply = await peer.head()
            assert reply.get(b"Transfer-Encoding") == b"chunked"
            assert [await peer.chunk() for _ in range(3)] == [b"one", b"two", b""]
            assert (await peer.ask()).status == 200

    async def test_a_stream_of_known_length_is_not(self, listen: Listen) -> None:
        listener = await listen(always(lambda: ok(Stream(b"one", b"two"), 6)))
        async with await Peer.connect(listener) as peer:
            for _ in range(2):
                reply = await peer.ask()
                assert reply.fields == [(b"Content-Length", b"6")]
                assert reply.body == b"onetwo"

    @pytest.mark.parametrize("status", [204, 304])
    async def test_no_body_where_none_may_be(self, listen: Listen, status: int) -> None:
        streams: list[Stream] = []

        def answer() -> Outgoing:
            streams.append(Stream(b"surplus"))
            return Outgoing(status, "", Headers(), streams[-1], length=7)

        async with await Peer.connect(await listen(always(answer))) as peer:
            for _ in range(2):
                assert (await peer.ask()).fields == []
        assert all(stream.closed.is_set() for stream in streams)

    async def test_head_has_the_length_and_no_body(self, listen: Listen) -> None:
        headers = Headers([("Content-Length", "1000")])
        listener = await listen(always(lambda: Outgoing(200, "OK", headers, b"surplus")))
        async with await Peer.connect(listener) as peer:
            for _ in range(2):
                reply = await peer.ask(GET.replace(b"GET", b"HEAD"), "HEAD")
                assert reply.fields == [(b"Content-Length", b"1000")]

    async def test_http_1_0_gets_a_body_that_ends_with_the_connection(self, listen: Listen) -> None:
        listener = await listen(always(lambda: ok(Stream(b"one", b"two"))))
        async with await Peer.connect(listener) as peer:
            reply = await peer.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert reply.line.startswith(b"HTTP/1.1 200")
            assert reply.fields == [(b"Connection", b"close")]
            assert reply.body == b"onetwo"

    async def test_http_1_0_persists_when_it_asks(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo)) as peer:
            for _ in range(2):
                reply = await peer.ask(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
                assert reply.get(b"Connection") == b"keep-alive"
            reply = await peer.ask(b"GET / HTTP/1.0\r\n\r\n")
            assert reply.get(b"Connection") == b"close"
            await peer.closed()

    async def test_a_client_or_the_gateway_may_end_the_connection(self, listen: Listen) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            return Outgoing(200, "OK", Headers(), close=incoming.request.target == "/close")

        listener = await listen(respond)
        for request in (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
        ):
            async with await Peer.connect(listener) as peer:
                assert (await peer.ask(request)).get(b"Connection") == b"close"
                await peer.closed()

    async def test_a_large_stored_body(self, listen: Listen) -> None:
        body = os.urandom(3 * MIB + 17)
        async with await Peer.connect(await listen(always(lambda: ok(body)))) as peer:
            assert (await peer.ask()).body == body


class TestBrokenBodies:
    @pytest.mark.parametrize(
        ("pieces", "then", "length", "sent"),
        [
            pytest.param([b"abc"], None, 4, b"abc", id="too short"),
            pytest.param([b"ab", b"cde"], None, 4, b"ab", id="too long"),
            pytest.param([b"ab"], BodyAborted(Reason.ORIGIN_BROKEN), 4, b"ab", id="aborted"),
            pytest.param(
                [b"ab"],
                BodyAborted(Reason.ORIGIN_BROKEN),
                None,
                b"2\r\nab\r\n",
                id="aborted in chunks",
            ),
            pytest.param([b"ab"], RuntimeError("bug"), None, b"2\r\nab\r\n", id="bug"),
            pytest.param([b"ab"], ConnectionError(), None, b"2\r\nab\r\n", id="connection"),
        ],
    )
    async def test_no_message_looks_complete_that_is_not(
        self,
        listen: Listen,
        pieces: list[bytes],
        then: BaseException | None,
        length: int | None,
        sent: bytes,
    ) -> None:
        stream = Stream(*pieces, then=then)
        async with await Peer.connect(await listen(always(lambda: ok(stream, length)))) as peer:
            peer.send(GET + GET)
            await peer.head()
            assert await peer.rest() == sent
        await asyncio.wait_for(stream.closed.wait(), 5)

    async def test_a_body_that_ends_with_the_connection_ends_in_a_reset(
        self, listen: Listen
    ) -> None:
        stream = Stream(b"ab", then=BodyAborted(Reason.ORIGIN_BROKEN))
        async with await Peer.connect(await listen(always(lambda: ok(stream)))) as peer:
            peer.send(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                await peer.rest()

    async def test_an_answer_that_cannot_be_written(
        self, listen: Listen, caplog: pytest.LogCaptureFixture
    ) -> None:
        headers = Headers([("X", "a\r\nSet-Cookie: stolen")])
        stream = Stream(b"abc")
        listener = await listen(always(lambda: Outgoing(200, "OK", headers, stream)))
        async with await Peer.connect(listener) as peer:
            reply = await peer.ask()
        assert reply.status == 500
        assert reply.get(b"Set-Cookie") is None
        assert stream.closed.is_set()
        assert "cannot be written" in caplog.text


class TestStreaming:
    async def test_the_first_byte_leaves_before_the_second_is_made(self, listen: Listen) -> None:
        stream = Silent(b"data: 1\n\n")
        async with await Peer.connect(await listen(always(lambda: ok(stream)))) as peer:
            peer.send(GET)
            await peer.head()
            assert await peer.chunk() == b"data: 1\n\n"

    async def test_the_head_leaves_before_the_first_byte(self, listen: Listen) -> None:
        stream = Silent()
        async with await Peer.connect(await listen(always(lambda: ok(stream)))) as peer:
            peer.send(GET)
            assert (await peer.head()).status == 200

    async def test_a_silent_stream_is_closed_when_its_client_leaves(self, listen: Listen) -> None:
        stream = Silent(b"data: 1\n\n")
        async with await Peer.connect(await listen(always(lambda: ok(stream)))) as peer:
            peer.send(GET)
            await peer.head()
            await peer.chunk()
            await eventually(lambda: stream.waiting)
        await asyncio.wait_for(stream.closed.wait(), 3)

    async def test_a_generator_is_finished_when_its_client_resets(self, listen: Listen) -> None:
        finished = asyncio.Event()

        async def events() -> AsyncIterator[bytes]:
            try:
                yield b"data: 1\n\n"
                await asyncio.Event().wait()
            finally:
                finished.set()

        async with await Peer.connect(await listen(always(lambda: ok(events())))) as peer:
            peer.send(GET)
            await peer.head()
            await peer.chunk()
            peer.writer.transport.abort()
        await asyncio.wait_for(finished.wait(), 3)

    async def test_a_client_that_left_before_the_answer(self, listen: Listen) -> None:
        """The gateway is not disturbed (it may have to invalidate); its stream is closed."""
        asked, answer = asyncio.Event(), asyncio.Event()
        stream = Stream(b"late")

        async def respond(_: Incoming) -> Outgoing:
            asked.set()
            await answer.wait()
            return ok(stream)

        async with await Peer.connect(await listen(respond)) as peer:
            peer.send(GET)
            await asked.wait()
            peer.writer.transport.abort()
        await asyncio.sleep(0.05)
        assert not stream.closed.is_set()
        answer.set()
        await asyncio.wait_for(stream.closed.wait(), 3)

    async def test_a_client_that_has_closed_its_side_gets_its_answer(self, listen: Listen) -> None:
        async def respond(_: Incoming) -> Outgoing:
            await asyncio.sleep(0.05)
            return ok(Stream(b"one", b"two"))

        async with await Peer.connect(await listen(respond)) as peer:
            peer.send(GET)
            peer.writer.write_eof()
            reply = await peer.reply()
            assert reply.get(b"Connection") == b"close"
            assert reply.body == b"onetwo"
            await peer.closed()

    @ON_A_STEADY_LOOP
    async def test_a_client_that_has_closed_its_side_may_take_its_time(
        self, listen: Listen
    ) -> None:
        async def ticks() -> AsyncIterator[bytes]:
            for _ in range(8):
                yield b"tick"
                await asyncio.sleep(0.2)

        async with await Peer.connect(await listen(always(lambda: ok(ticks())))) as peer:
            peer.send(GET)
            peer.writer.write_eof()
            assert (await peer.reply()).body == b"tick" * 8

    async def test_a_slow_reader_slows_the_stream(self, listen: Listen) -> None:
        made = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal made
            while True:
                made += 65536
                yield bytes(65536)

        sock = _small_receive_buffer((await listen(always(lambda: ok(endless())))).port)
        with sock:
            sock.sendall(GET)
            await _stands_still(lambda: made)
            assert made < 16 * MIB

    async def test_a_client_that_stops_reading_is_cut(self, listen: Listen) -> None:
        stream = Stream(*[bytes(65536)] * 1000)
        listener = await listen(always(lambda: ok(stream)), send_timeout=0.1)
        with _small_receive_buffer(listener.port) as sock:
            sock.sendall(GET)
            await asyncio.wait_for(stream.closed.wait(), 5)

    @ON_A_STEADY_LOOP
    async def test_a_slow_but_steady_reader_is_not_cut(self, listen: Listen) -> None:
        listener = await listen(always(lambda: ok(bytes(4 * MIB))), send_timeout=0.2)
        async with await Peer.connect(listener, limit=65536) as peer:
            peer.send(GET)
            await peer.head()
            got = 0
            while got < 4 * MIB:
                got += len(await peer.reader.read(MIB // 4))
                await asyncio.sleep(0.03)

    async def test_a_stored_body_is_not_copied_for_a_slow_reader(self, listen: Listen) -> None:
        body = bytes(64 * MIB)
        listener = await listen(always(lambda: ok(body)))
        with _small_receive_buffer(listener.port) as sock:
            before = _resident()
            sock.sendall(GET)
            await asyncio.sleep(0.3)
            assert _resident() - before < 16 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestConstantMemory:
    """256 MiB stand for 1 GiB: what would grow would have grown by then."""

    size = 256 * MIB
    slack = 32 * MIB

    async def test_download(self, listen: Listen) -> None:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(self.size // MIB):
                yield bytes(MIB)

        async with await Peer.connect(await listen(always(lambda: ok(body())))) as peer:
            before = _resident()
            peer.send(GET)
            await peer.head()
            got = peak = 0
            while data := await peer.chunk():
                got += len(data)
                peak = max(peak, _resident())
        assert got == self.size
        assert peak - before < self.slack

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_upload(self, listen: Listen, *, chunked: bool) -> None:
        peak = 0

        async def respond(incoming: Incoming) -> Outgoing:
            nonlocal peak
            assert incoming.body is not None
            got = 0
            async for piece in incoming.body:
                got += len(piece)
                peak = max(peak, _resident())
            return ok(str(got).encode())

        async with await Peer.connect(await listen(respond)) as peer:
            before = _resident()
            framing = (
                b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % self.size
            )
            peer.send(b"PUT / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
            piece = bytes(MIB)
            wire = b"%x\r\n%b\r\n" % (MIB, piece) if chunked else piece
            for _ in range(self.size // MIB):
                peer.send(wire)
                await peer.writer.drain()
            if chunked:
                peer.send(b"0\r\n\r\n")
            assert (await peer.reply()).body == str(self.size).encode()
        assert peak - before < self.slack

    async def test_an_upload_that_nobody_reads_is_not_taken_in(self, listen: Listen) -> None:
        reading = asyncio.Event()

        async def respond(_: Incoming) -> Outgoing:
            await reading.wait()
            return ok()

        listener = await listen(respond)
        with socket.create_connection(("127.0.0.1", listener.port)) as sock:
            sock.settimeout(0)
            sock.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
            sent = 0
            stuck = 0
            while stuck < 20:
                try:
                    sent += sock.send(bytes(65536))
                    stuck = 0
                except BlockingIOError:
                    stuck += 1
                await asyncio.sleep(0.005)
            assert sent < 16 * MIB
        reading.set()


class TestInterim:
    async def test_interim_responses_come_first(self, listen: Listen) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            incoming.send_interim(103, "Early Hints", Headers([("Link", "</a>")]))
            incoming.send_interim(102, "Processing", Headers())
            return ok()

        async with await Peer.connect(await listen(respond)) as peer:
            early = await peer.ask()
            assert (early.line, early.fields) == (b"HTTP/1.1 103 Early Hints", [(b"Link", b"</a>")])
            assert (await peer.reply()).status == 102
            assert (await peer.reply()).status == 200

    async def test_http_1_0_gets_none(self, listen: Listen) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            incoming.send_interim(103, "Early Hints", Headers())
            return ok()

        async with await Peer.connect(await listen(respond)) as peer:
            assert (await peer.ask(b"GET / HTTP/1.0\r\n\r\n")).status == 200

    async def test_none_after_the_final_answer(self, listen: Listen) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            async def body() -> AsyncIterator[bytes]:
                incoming.send_interim(103, "Early Hints", Headers())
                yield b"x"

            return ok(body())

        async with await Peer.connect(await listen(respond)) as peer:
            assert (await peer.ask()).body == b"x"

    @pytest.mark.parametrize("status", [99, 101, 200])
    async def test_other_statuses_are_a_bug(self, listen: Listen, status: int) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            incoming.send_interim(status, "", Headers())
            return ok()

        async with await Peer.connect(await listen(respond)) as peer:
            assert (await peer.ask()).status == 500


async def test_a_bug_in_the_gateway_is_a_500_that_tells_nothing(
    listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    async def respond(_: Incoming) -> Outgoing:
        raise RuntimeError("secret")

    async with await Peer.connect(await listen(respond)) as peer:
        reply = await peer.ask()
        assert reply.status == 500
        assert reply.get(b"Content-Type") == b"application/problem+json"
        assert json.loads(reply.body)["status"] == 500
        assert b"secret" not in reply.body
        await peer.closed()
    assert "secret" in caplog.text


async def test_a_cancellation_from_elsewhere_is_a_500_too(
    listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    async def respond(_: Incoming) -> Outgoing:
        other = asyncio.create_task(asyncio.Event().wait())
        other.cancel()
        await other
        return ok()

    async with await Peer.connect(await listen(respond)) as peer:
        assert (await peer.ask()).status == 500
    assert "cancelled" in caplog.text


async def test_a_bug_while_a_body_is_closed_is_logged(
    listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Stream):
        async def aclose(self) -> None:
            raise RuntimeError("cannot close")

    async with await Peer.connect(await listen(always(lambda: ok(Bad(b"x"))))) as peer:
        assert (await peer.ask()).body == b"x"
        assert (await peer.ask()).body == b"x"
    assert "cannot close" in caplog.text


async def test_an_abort_that_is_not_the_client_s_fault(
    listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    async def respond(_: Incoming) -> Outgoing:
        raise BodyAborted(Reason.ORIGIN_BROKEN)

    caplog.set_level(logging.INFO)
    async with await Peer.connect(await listen(respond)) as peer:
        assert (await peer.ask()).status == 500


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _small_receive_buffer(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    return sock


async def _stands_still(count: Callable[[], int]) -> None:
    """Wait until the count has begun and no longer grows."""
    async with asyncio.timeout(5):
        last, same = 0, 0
        while same < 10:
            await asyncio.sleep(0.02)
            last, same = count(), same + 1 if count() == last and last else 0


async def test_nothing_of_a_request_waits_for_the_garbage_collector(listen: Listen) -> None:
    """What is collected makes the collector walk over all that is stored, again and again."""
    async with await Peer.connect(await listen(echo)) as peer:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert (await peer.ask(GET)).status == 200
            assert not [one for one in gc.get_objects() if isinstance(one, Incoming)]
        finally:
            gc.enable()
