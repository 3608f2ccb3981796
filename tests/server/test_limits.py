"""What one client may take: sizes, times, connections, requests; and what is told of a refusal."""

import asyncio
import json
import socket
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from proxy.events import Event, Refused
from proxy.exchange import Incoming, Outgoing
from proxy.routes import HostPattern
from proxy.server import Listener, ServerOptions
from tests.server.conftest import Certified
from tests.server.wire import GET, PATIENCE, Listen, Peer, echo, eventually, ok
from tests.steady_loop import ON_A_STEADY_LOOP

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def sized(length: int, *fields: bytes) -> bytes:
    lines = [b"POST / HTTP/1.1", b"Host: a", b"Content-Length: %d" % length, *fields]
    return b"\r\n".join([*lines, b"", b""])


class TestBodySize:
    async def test_no_limit_by_default(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo)) as peer:
            assert (await peer.ask(sized(200_000) + b"x" * 200_000)).status == 200

    @pytest.mark.parametrize(
        "request_bytes",
        [
            sized(10) + b"0123456789",
            CHUNKED + b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n",
        ],
        ids=["sized", "chunked"],
    )
    async def test_up_to_the_limit(self, listen: Listen, request_bytes: bytes) -> None:
        async with await Peer.connect(await listen(echo, body_size=10)) as peer:
            for _ in range(2):
                assert (await peer.ask(request_bytes)).body == b"POST / 0123456789"

    async def test_a_length_is_refused_before_anybody_is_asked(self, listen: Listen) -> None:
        asked: list[Incoming] = []

        async def respond(incoming: Incoming) -> Outgoing:
            asked.append(incoming)
            return ok()

        async with await Peer.connect(await listen(respond, body_size=10)) as peer:
            refusal = await peer.ask(sized(11, b"Expect: 100-continue"))
            assert refusal.status == 413  # and no 100 before it
            assert refusal.get(b"Connection") == b"close"
            await peer.closed()
        assert not asked

    @pytest.mark.parametrize(
        "request_bytes",
        [CHUNKED + b"b\r\n012345", CHUNKED + b"6\r\n012345\r\n5\r\n"],
        ids=["the first chunk", "a later one"],
    )
    async def test_a_chunked_body_is_refused_as_soon_as_it_shows(
        self, listen: Listen, request_bytes: bytes
    ) -> None:
        async with await Peer.connect(await listen(echo, body_size=10)) as peer:
            peer.send(request_bytes)
            await asyncio.sleep(0)
            assert (await peer.ask(b"67890")).status == 413
            await peer.closed()


class TestBodyRate:
    async def trickle(self, listener: Listener) -> tuple[int, int]:
        """Send a byte now and then, of many; the status, and how many were sent."""
        async with await Peer.connect(listener) as peer:
            peer.send(sized(1000))
            for sent in range(1000):
                peer.send(b"x")
                try:
                    async with asyncio.timeout(0.02):
                        reply = await peer.reader.readuntil(b"\r\n")
                except TimeoutError:
                    continue
                return int(reply.split(b" ")[1]), sent
        raise AssertionError("never ended")

    async def test_a_trickle_ends(self, listen: Listen) -> None:
        """No pause is as long as body_idle, and yet it would last for ever."""
        status, sent = await self.trickle(await listen(echo, body_idle=0.3))
        assert status == 408
        assert sent < 100

    @ON_A_STEADY_LOOP
    async def test_any_rate(self, listen: Listen) -> None:
        status, _ = await self.trickle(await listen(self.forty, body_idle=2.0, body_rate=0))
        assert status == 200

    @staticmethod
    async def forty(incoming: Incoming) -> Outgoing:
        taken = b""
        assert incoming.body is not None
        async for piece in incoming.body:
            taken += piece
            if len(taken) >= 40:
                break
        return ok()

    @ON_A_STEADY_LOOP
    async def test_what_others_wait_for_is_not_the_clients_time(self, listen: Listen) -> None:
        async def slow(incoming: Incoming) -> Outgoing:
            body = b""
            assert incoming.body is not None
            async for piece in incoming.body:
                body += piece
                await asyncio.sleep(0.3)
            return ok(body)

        async with await Peer.connect(await listen(slow, body_idle=0.6)) as peer:
            peer.send(sized(4))
            for byte in b"body":
                peer.send(bytes([byte]))
                await asyncio.sleep(0.05)
            assert (await peer.reply()).body == b"body"


class TestConnections:
    async def test_of_one_client(self, listen: Listen) -> None:
        listener = await listen(echo, connections_per_client=2)
        async with await Peer.connect(listener) as one, await Peer.connect(listener) as two:
            assert (await one.ask()).status == (await two.ask()).status == 200
            async with await Peer.connect(listener) as three:
                refusal = await three.reply()
                assert refusal.status == 429
                assert refusal.get(b"Connection") == b"close"
                await three.closed()
            assert (await one.ask()).status == 200
            one.writer.close()
            await one.writer.wait_closed()
            async with await Peer.connect(listener) as four:
                for _ in range(2):
                    assert (await four.ask()).status == 200

    async def test_of_one_client_over_tls(self, listen: Listen, certified: Certified) -> None:
        listener = await listen(echo, tls=certified.server, connections_per_client=1)
        async with await Peer.connect(listener, ssl=certified.client) as one:
            assert (await one.ask()).status == 200
            async with await Peer.connect(listener, ssl=certified.client) as two:
                assert (await two.reply()).status == 429
            assert (await one.ask()).status == 200

    @pytest.mark.parametrize(
        ("limit", "status"), [("connections_per_client", 429), ("connections", 503)]
    )
    async def test_the_answer_is_not_lost_with_the_request(
        self, listen: Listen, limit: str, status: int
    ) -> None:
        """Closed with the request unread, the connection would be reset, and the answer with it."""
        limits: dict[str, Any] = {limit: 1}
        listener = await listen(echo, **limits)
        async with await Peer.connect(listener) as one:
            assert (await one.ask()).status == 200
            with socket.create_connection(("127.0.0.1", listener.port)) as two:
                two.sendall(GET)  # before anybody can have looked at the connection
                two.settimeout(0)
                loop, answer = asyncio.get_running_loop(), b""
                while piece := await asyncio.wait_for(loop.sock_recv(two, 4096), PATIENCE):
                    answer += piece
                two.sendall(GET)  # nor is what comes a moment later answered by a reset
                await asyncio.sleep(0)
                assert two.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert answer.startswith(b"HTTP/1.1 %d " % status)

    async def test_who_does_not_leave_is_cut(
        self, listen: Listen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("proxy.server.acceptor._FAREWELL", 0.05)
        listener = await listen(echo, connections=0)
        async with await Peer.connect(listener) as peer:
            assert (await peer.reply()).status == 503
            acceptor = listener._acceptor
            assert acceptor is not None
            await eventually(lambda: not acceptor._leaving)

    async def test_requests_of_one_connection(self, listen: Listen) -> None:
        listener = await listen(echo, requests_per_connection=3)
        async with await Peer.connect(listener) as peer:
            peer.send(GET * 4)
            closing = [(await peer.reply()).get(b"Connection") for _ in range(3)]
            assert closing == [None, None, b"close"]
            await peer.closed()


class TestHosts:
    HOSTS = (HostPattern("api.example"), HostPattern("*.shop.example"))

    @pytest.mark.parametrize(
        ("request_bytes", "status"),
        [
            (b"GET / HTTP/1.1\r\nHost: API.example:8080\r\n\r\n", 200),
            (b"GET / HTTP/1.1\r\nHost: a.b.shop.example\r\n\r\n", 200),
            (b"GET http://api.example/ HTTP/1.1\r\nHost: evil\r\n\r\n", 200),
            (b"GET http://evil/ HTTP/1.1\r\nHost: api.example\r\n\r\n", 421),
            (b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 421),
            (b"GET / HTTP/1.1\r\nHost: api.example.\r\n\r\n", 421),
            (b"GET / HTTP/1.1\r\nHost: api.example.evil\r\n\r\n", 421),
            (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421),
            (b"GET / HTTP/1.0\r\n\r\n", 421),
        ],
    )
    async def test_allowed(self, listen: Listen, request_bytes: bytes, status: int) -> None:
        listener = await listen(echo, allowed_hosts=self.HOSTS)
        async with await Peer.connect(listener) as peer:
            assert (await peer.ask(request_bytes)).status == status


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "request_bytes", "told"),
        [
            ({}, b"GET /\r\n\r\n", Refused(400, "The request line is malformed.", "127.0.0.1")),
            (
                {"request_line": 20},
                b"GET /" + b"a" * 20,
                Refused(414, "The request line is too long.", "127.0.0.1"),
            ),
            (
                {"body_size": 3},
                CHUNKED + b"4\r\nbody\r\n",
                Refused(413, "The request body is too large.", "127.0.0.1"),
            ),
            (
                {"header_timeout": 0.05},
                b"GET",
                Refused(408, "The request head did not arrive in time.", "127.0.0.1"),
            ),
            (
                {"body_idle": 0.05},
                sized(4),
                Refused(408, "The request body did not arrive in time.", "127.0.0.1"),
            ),
            ({"connections": 0}, b"", Refused(503, "Too many connections are open.", "127.0.0.1")),
        ],
    )
    async def test_each_is_dated_and_told(
        self, options: dict[str, float], request_bytes: bytes, told: Refused
    ) -> None:
        events: list[Event] = []
        listener = Listener(echo, ServerOptions(**options), events.append)  # type: ignore[arg-type]
        await listener.start("127.0.0.1:0")
        try:
            async with await Peer.connect(listener) as peer:
                refusal = await peer.ask(request_bytes)
        finally:
            await listener.close()
        assert refusal.status == json.loads(refusal.body)["status"] == told.status
        assert parsedate_to_datetime((refusal.get(b"Date") or b"").decode()).year > 2000
        assert events == [told]
