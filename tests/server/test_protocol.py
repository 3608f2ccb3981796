"""Connections: order, refusals, clocks; and canaries for the private parts of aiohttp in use."""

import asyncio
import gc
import inspect
import itertools
import json
import re
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import base_protocol, web_protocol
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.exchange import Incoming, Outgoing
from proxy.server import Listener, ServerOptions
from proxy.server.acceptor import Acceptor
from proxy.server.heads import RequestHead
from proxy.server.protocol import Connection
from tests.server.wire import GET, Listen, Peer, always, echo, eventually, ok
from tests.steady_loop import ON_A_STEADY_LOOP

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"


def numbered(count: int) -> list[bytes]:
    return [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(count)]


class TestPipelining:
    async def test_answers_come_in_order(self, listen: Listen) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            if incoming.request.target.endswith("0"):
                await asyncio.sleep(0.01)
            return await echo(incoming)

        async with await Peer.connect(await listen(respond)) as peer:
            peer.send(b"".join(numbered(50)))
            for i in range(50):
                assert (await peer.reply()).body == b"GET /%d " % i

    async def test_one_request_at_a_time(self, listen: Listen) -> None:
        running = most = 0

        async def respond(incoming: Incoming) -> Outgoing:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
            return await echo(incoming)

        async with await Peer.connect(await listen(respond)) as peer:
            peer.send((POST + GET) * 10)
            for _ in range(20):
                assert (await peer.reply()).status == 200
        assert most == 1

    async def test_byte_by_byte(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo)) as peer:
            await peer.send_slowly(GET + POST + GET)
            for expected in (b"GET / ", b"POST / body", b"GET / "):
                assert (await peer.reply()).body == expected

    async def test_a_flood_waits_outside(self, listen: Listen) -> None:
        """What is behind the running request is neither parsed nor read without bound."""
        go = asyncio.Event()

        async def respond(incoming: Incoming) -> Outgoing:
            await go.wait()
            return await echo(incoming)

        listener = await listen(respond)
        with socket.create_connection(("127.0.0.1", listener.port)) as sock:
            sock.settimeout(0)
            sent, stuck = 0, 0
            while stuck < 20:
                try:
                    sent += sock.send(GET * 1000)
                    stuck = 0
                except BlockingIOError:
                    stuck += 1
                await asyncio.sleep(0.005)
            assert sent < 16 * 1024 * 1024
            go.set()

    async def test_a_flood_is_answered_all_the_same(self, listen: Listen) -> None:
        count = 6000
        async with await Peer.connect(await listen(echo)) as peer:
            peer.send(GET * count)
            for _ in range(count):
                assert (await peer.reply()).body == b"GET / "

    async def test_nothing_behind_the_last_request_is_answered(self, listen: Listen) -> None:
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        async with await Peer.connect(await listen(echo)) as peer:
            peer.send(last + GET)
            assert (await peer.reply()).get(b"Connection") == b"close"
            await peer.closed()


class TestRefusals:
    @pytest.mark.parametrize(
        ("request_bytes", "status"),
        [
            (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\nHost: a\n\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
            (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X:\r\n" * 200 + b"\r\n", 431),
            (POST.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
        ],
    )
    async def test_a_refusal_ends_the_connection(
        self, listen: Listen, request_bytes: bytes, status: int
    ) -> None:
        asked = []

        async def respond(incoming: Incoming) -> Outgoing:
            asked.append(incoming.request.target)
            return ok()

        async with await Peer.connect(await listen(respond)) as peer:
            peer.send(GET + request_bytes + GET)
            assert (await peer.reply()).status == 200
            reply = await peer.reply()
            assert reply.status == status
            assert reply.get(b"Connection") == b"close"
            assert reply.get(b"Content-Type") == b"application/problem+json"
            assert json.loads(reply.body)["status"] == status
            peer.send(GET)
            await peer.closed()
        assert asked == ["/"]

    async def test_a_refused_head_request_gets_no_content(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo)) as peer:
            reply = await peer.ask(b"HEAD / HTTP/1.1\r\n\r\n", "HEAD")
            assert reply.status == 400
            assert await peer.rest() == b""

    async def test_headers_above_aiohttp_s_own_limits_pass(self, listen: Listen) -> None:
        lines = b"".join(b"X-%d: %b\r\n" % (i, b"y" * 100) for i in range(180))
        async with await Peer.connect(await listen(echo)) as peer:
            request = GET[:-2] + lines + b"Cookie: " + b"z" * 9000 + b"\r\n\r\n"
            assert (await peer.ask(request)).status == 200


class TestClocks:
    async def test_a_slow_head_is_a_408(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo, header_timeout=0.1)) as peer:
            peer.send(GET[:-1])
            reply = await peer.reply()
            assert reply.status == 408
            await peer.closed()

    async def test_dribbling_does_not_help(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo, header_timeout=0.2)) as peer:
            for byte in GET[:10]:
                peer.send(bytes([byte]))
                await asyncio.sleep(0.03)
            assert (await peer.reply()).status == 408

    @ON_A_STEADY_LOOP
    async def test_a_slow_second_head_is_a_408(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo, header_timeout=0.1)) as peer:
            await peer.ask()
            await asyncio.sleep(0.2)
            assert (await peer.ask()).status == 200
            peer.send(GET[:-1])
            assert (await peer.reply()).status == 408

    @ON_A_STEADY_LOOP
    async def test_a_head_that_waits_for_us_is_not_late(self, listen: Listen) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            await asyncio.sleep(0.3)
            return await echo(incoming)

        async with await Peer.connect(await listen(respond, header_timeout=0.1)) as peer:
            peer.send(GET + GET[:-1])
            assert (await peer.reply()).status == 200
            peer.send(GET[-1:])
            assert (await peer.reply()).status == 200

    async def test_a_client_that_says_nothing_is_dropped_in_silence(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo, header_timeout=0.1)) as peer:
            await peer.closed()

    async def test_an_idle_connection_is_closed_in_silence(self, listen: Listen) -> None:
        listener = await listen(echo, keepalive_timeout=0.1, header_timeout=5)
        async with await Peer.connect(listener) as peer:
            await peer.ask()
            await peer.closed()

    @ON_A_STEADY_LOOP
    async def test_keep_alive_does_not_cut_a_head_that_has_begun(self, listen: Listen) -> None:
        listener = await listen(echo, keepalive_timeout=0.1, header_timeout=5)
        async with await Peer.connect(listener) as peer:
            await peer.ask()
            peer.send(GET[:-1])
            await asyncio.sleep(0.3)
            peer.send(GET[-1:])
            assert (await peer.reply()).status == 200
            await peer.closed()

    async def test_keep_alive_does_not_cut_a_slow_answer(self, listen: Listen) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            await asyncio.sleep(0.3)
            return await echo(incoming)

        async with await Peer.connect(await listen(respond, keepalive_timeout=0.1)) as peer:
            assert (await peer.ask()).status == 200
            await peer.closed()


async def test_idle_is_exactly_at_message_boundaries() -> None:
    connections: list[Connection] = []
    idle_while_answering = []

    async def serve(
        connection: Connection, _head: RequestHead, _body: object, _respond: object
    ) -> bool:
        connections.append(connection)
        idle_while_answering.append(connection.idle)
        connection.write(b"done")
        return True

    acceptor = Acceptor(serve, ServerOptions(), lambda _: None)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(acceptor.accept, "127.0.0.1", 0)
    async with Peer(*await asyncio.open_connection(*server.sockets[0].getsockname())) as peer:
        for request in (GET, POST, GET):
            peer.send(request)
            assert await asyncio.wait_for(peer.reader.readexactly(4), 5) == b"done"
            await eventually(lambda: connections[0].idle)
        peer.send(GET[:1])
        await eventually(lambda: not connections[0].idle)
    assert idle_while_answering == [False] * 3
    server.close()
    await acceptor.drain(0)


async def test_a_client_that_leaves_before_its_body_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is no failure of the server's, and nobody is told of the request."""
    heads = []

    async def serve(
        connection: Connection, head: RequestHead, _body: object, _respond: object
    ) -> bool:
        heads.append(head.method)
        connection.abort()  # the loop learns of the loss just after it has read what is behind
        return True

    acceptor = Acceptor(serve, ServerOptions(), lambda _: None)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(acceptor.accept, "127.0.0.1", 0)
    async with Peer(*await asyncio.open_connection(*server.sockets[0].getsockname())) as peer:
        peer.send(GET + POST)
        await peer.closed()
    server.close()
    await acceptor.drain(1)
    gc.collect()
    assert heads == ["GET"]
    assert not caplog.records


@pytest.mark.parametrize("end", ["close", "eof", "reset"])
async def test_clients_that_leave_in_the_middle_of_a_head(listen: Listen, end: str) -> None:
    listener = await listen(echo)
    async with await Peer.connect(listener) as peer:
        peer.send(GET[:-1])
        await peer.writer.drain()
        if end == "eof":
            peer.writer.write_eof()
            await peer.closed()
        elif end == "reset":
            sock = peer.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.writer.transport.abort()
    async with await Peer.connect(listener) as peer:
        assert (await peer.ask()).status == 200


async def test_a_client_that_leaves_as_its_answer_ends(
    listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    """What it does is not the server's failure, and no line in its log."""
    client = socket.socket()

    async def reset_at_its_end() -> AsyncIterator[bytes]:
        yield b"ok"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    listener = await listen(always(lambda: ok(reset_at_its_end(), 2)))
    client.connect(("127.0.0.1", listener.port))
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    await eventually(lambda: client.fileno() < 0)
    await eventually(lambda: not listener.connections)
    assert not caplog.records


async def test_a_failure_of_the_server_itself_cuts_the_connection(
    listen: Listen, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("our own bug")

    monkeypatch.setattr("proxy.server.writing.response_head", fail)
    async with await Peer.connect(await listen(always(ok))) as peer:
        peer.send(GET)
        await peer.closed()
    assert "our own bug" in caplog.text


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 400), max_size=12))
def test_where_the_stream_is_cut_changes_no_answer(cuts: list[int]) -> None:
    stream = GET + POST + numbered(1)[0] + b"\r\n" + POST + b"BAD\r\n\r\n" + GET
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})

    async def answers(pieces: list[bytes]) -> bytes:
        listener = Listener(echo, ServerOptions())
        await listener.start("127.0.0.1:0")
        try:
            async with await Peer.connect(listener) as peer:
                for piece in pieces:
                    peer.send(piece)
                    await asyncio.sleep(0)
                return re.sub(rb"Date: [^\r]*", b"Date: now", await peer.rest())
        finally:
            await listener.close()

    pieces = [stream[first:last] for first, last in itertools.pairwise(edges)]
    assert asyncio.run(answers(pieces)) == asyncio.run(answers([stream]))


class TestCanary:
    """If one of these fails, aiohttp has changed under `proxy.server.protocol`: look there."""

    source = inspect.getsource(web_protocol) + inspect.getsource(base_protocol)

    def test_attributes_in_use_exist(self) -> None:
        slots = {
            name
            for part in web_protocol.RequestHandler.__mro__
            for name in getattr(part, "__slots__", ())
        }
        assert slots >= {
            "_buffer_paused",
            "_close",
            "_force_close",
            "_keepalive_handle",
            "_loop",
            "_messages",
            "_parser",
            "_paused",
            "_task_handler",
            "transport",
        }

    @pytest.mark.parametrize(
        "name",
        [
            "_drain_helper",
            "_pause_reading_for_buffer",
            "_process_keepalive",
            "_resume_reading_if_drained",
            "_resume_transport_reading",
            "close",
            "finish_response",
            "force_close",
            "handle_error",
            "set_parser",
        ],
    )
    def test_methods_in_use_are_still_called_or_defined(self, name: str) -> None:
        assert callable(getattr(web_protocol.RequestHandler, name))
        assert f".{name}" in self.source or f"def {name}" in self.source
