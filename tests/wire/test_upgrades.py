"""Leaving HTTP: WebSocket between two libraries, and any other bytes."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from proxy.origin import OriginOptions
from tests.apparatus import fronted
from tests.scripted_origin import PATIENCE, Wire, answering, reply, reset
from tests.server.wire import LONG, eventually
from tests.wire.conftest import Through, lines, request

MIB = 1 << 20
UPGRADE = [b"Connection: keep-alive, Upgrade", b"Upgrade: echo/1"]
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo/1\r\nConnection: upgrade\r\n"


async def echo(wire: Wire) -> None:
    """Switch, then send back what comes."""
    await wire.request()
    await wire.send(SWITCHING + b"X-Own: \xff\r\n\r\n")
    while data := await wire.reader.read(MIB):
        await wire.send(data)


class TestRawBytes:
    async def test_the_handshake_and_all_that_follows(self, through: Through) -> None:
        chain = await through(echo)
        async with await chain.connect() as client:
            switched = await client.ask(request(b"GET /chat? HTTP/1.1", *UPGRADE, b"X-Key: \xfe"))
            assert switched.line == b"HTTP/1.1 101 Switching Protocols"
            assert lines(switched, b"upgrade", b"connection", b"x-own") == [
                (b"X-Own", b"\xff"),
                (b"Upgrade", b"echo/1"),
                (b"Connection", b"upgrade"),
            ]
            assert lines(switched, b"content-length", b"transfer-encoding") == []
            for data in (b"\x00", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 1000):
                client.send(data)
                received = await asyncio.wait_for(client.reader.readexactly(len(data)), PATIENCE)
                assert received == data
        (seen,) = chain.origin.requests
        assert seen.line == b"GET /chat? HTTP/1.1"
        assert lines(seen, b"upgrade", b"connection", b"x-key") == [
            (b"X-Key", b"\xfe"),
            (b"Upgrade", b"echo/1"),
            (b"Connection", b"upgrade"),
        ]

    async def test_http_in_other_clothes_is_not_relayed(self, through: Through) -> None:
        """Else anybody could speak to the origin past all that is checked and forgotten here."""
        chain = await through(answering(reply(b"plain")))
        asked = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMA"]
        async with await chain.connect() as client:
            assert (await client.ask(request(b"GET / HTTP/1.1", *asked))).body == b"plain"
        (seen,) = chain.origin.requests
        assert lines(seen, b"upgrade", b"http2-settings", b"connection") == []

    async def test_bytes_right_behind_either_head(self, through: Through) -> None:
        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(SWITCHING + b"\r\nfrom the origin")
            assert await wire.read(15) == b"from the client"

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request(b"GET / HTTP/1.1", *UPGRADE, body=b"from the client"))
            await client.head()
            assert await client.rest() == b"from the origin"

    async def test_a_post_may_upgrade_too(self, through: Through) -> None:
        chain = await through(echo)
        async with await chain.connect() as client:
            client.send(request(b"POST / HTTP/1.1", *UPGRADE, b"Content-Length: 2", body=b"hi"))
            assert (await client.head()).status == 101
            client.send(b"ping")
            assert await asyncio.wait_for(client.reader.readexactly(4), PATIENCE) == b"ping"
        assert chain.origin.requests[0].body == b"hi"

    async def test_it_never_touches_the_cache(self, through: Through) -> None:
        chain = await through(answering(reply(b"plain", b"Cache-Control: max-age=60")))
        assert (await chain.ask(request())).body == b"plain"
        assert (await chain.ask(request(b"GET / HTTP/1.1", *UPGRADE))).body == b"plain"
        assert len(chain.origin.requests) == 2

    async def test_declined(self, through: Through) -> None:
        """The answer is an ordinary one, and both connections live on."""
        chain = await through(answering(reply(b"no", status=b"426 Upgrade Required"), reply()))
        async with await chain.connect() as client:
            declined = await client.ask(request(b"GET / HTTP/1.1", *UPGRADE))
            assert (declined.status, declined.body) == (426, b"no")
            assert (await client.ask(request(b"GET / HTTP/1.1", *UPGRADE))).status == 200
        assert chain.origin.connections == 1

    @pytest.mark.parametrize("how", ["close", "reset"])
    async def test_the_origin_ends_it(self, through: Through, how: str) -> None:
        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(SWITCHING + b"\r\nlast words")
            await wire.read(1)
            wire.close() if how == "close" else wire.reset()

        chain = await through(script)
        async with await chain.connect() as client:
            await client.ask(request(b"GET / HTTP/1.1", *UPGRADE))
            assert await asyncio.wait_for(client.reader.readexactly(10), PATIENCE) == b"last words"
            client.send(b"!")
            await client.closed()

    @pytest.mark.parametrize("how", ["close", "reset"])
    async def test_the_client_ends_it(self, through: Through, how: str) -> None:
        chain = await through(echo)
        async with await chain.connect() as client:
            await client.ask(request(b"GET / HTTP/1.1", *UPGRADE))
            if how == "reset":
                reset(client.writer)
        await chain.origin.idle()

    async def test_half_closed_it_still_brings_the_answer(self, through: Through) -> None:
        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(SWITCHING + b"\r\n")
            await wire.send(b"you said " + await wire.rest())  # up to the client's end

        chain = await through(script)
        async with await chain.connect() as client:
            await client.ask(request(b"GET / HTTP/1.1", *UPGRADE))
            client.send(b"hello")
            client.writer.write_eof()
            assert await client.rest() == b"you said hello"


CLOSE_CODES: web.AppKey[list[int | None]] = web.AppKey("close codes")


@dataclass
class Chat:
    """A WebSocket server behind Warmfront, and a client in front of it."""

    url: str
    session: aiohttp.ClientSession
    close_codes: list[int | None]

    def connect(
        self, **options: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse[bool]]:
        return self.session.ws_connect(self.url, max_msg_size=0, **options)


async def answer_websocket(request: web.Request) -> web.WebSocketResponse:
    """Echo; leave when told to."""
    socket = web.WebSocketResponse(max_msg_size=0, protocols=["chat"])
    await socket.prepare(request)
    async for message in socket:
        if message.data == "leave":
            await socket.close(code=4001, message=b"as you wish")
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    request.app[CLOSE_CODES].append(socket.close_code)
    return socket


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    app = web.Application()
    app[CLOSE_CODES] = []
    app.router.add_get("/chat", answer_websocket)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        origin = OriginOptions("http://127.0.0.1:{1}".format(*runner.addresses[0]))
        async with fronted(origin) as front, aiohttp.ClientSession() as session:
            yield Chat(f"ws://127.0.0.1:{front.listener.port}/chat", session, app[CLOSE_CODES])
    finally:
        await runner.cleanup()


class TestWebSocket:
    @pytest.mark.parametrize("compress", [0, 15])
    async def test_text_and_binary(self, chat: Chat, compress: int) -> None:
        async with chat.connect(compress=compress) as socket:
            await socket.send_str("Grüße 🍪")
            assert await socket.receive_str(timeout=PATIENCE) == "Grüße 🍪"
            await socket.send_bytes(bytes(range(256)))
            assert await socket.receive_bytes(timeout=PATIENCE) == bytes(range(256))
            await socket.send_str("")
            assert await socket.receive_str(timeout=PATIENCE) == ""

    async def test_the_subprotocol_is_agreed_end_to_end(self, chat: Chat) -> None:
        async with chat.connect(protocols=("other", "chat")) as socket:
            assert socket.protocol == "chat"

    async def test_ping_and_pong_are_the_ends_own(self, chat: Chat) -> None:
        async with chat.connect(autoping=False) as socket:
            await socket.ping(b"are you there?")
            pong = await socket.receive(timeout=PATIENCE)
            assert (pong.type, pong.data) == (WSMsgType.PONG, b"are you there?")

    @pytest.mark.parametrize("compress", [0, 15])
    async def test_a_message_of_8_mib(self, chat: Chat, compress: int) -> None:
        message = random.Random(0).randbytes(8 * MIB)  # noqa: S311
        async with chat.connect(compress=compress) as socket:
            await socket.send_bytes(message)
            assert await socket.receive_bytes(timeout=LONG) == message

    async def test_many_messages_keep_their_order(self, chat: Chat) -> None:
        async with chat.connect() as socket:
            for number in range(500):
                await socket.send_str(str(number))
            answers = [await socket.receive_str(timeout=PATIENCE) for _ in range(500)]
        assert answers == [str(number) for number in range(500)]

    async def test_the_client_closes(self, chat: Chat) -> None:
        async with chat.connect() as socket:
            assert await socket.close(code=4000)
        await eventually(lambda: chat.close_codes == [4000])

    async def test_the_server_closes(self, chat: Chat) -> None:
        async with chat.connect() as socket:
            await socket.send_str("leave")
            closing = await socket.receive(timeout=PATIENCE)
            assert (closing.type, closing.data, closing.extra) == (
                WSMsgType.CLOSE,
                4001,
                "as you wish",
            )

    async def test_many_at_a_time(self, chat: Chat) -> None:
        async def talk(name: str) -> None:
            async with chat.connect() as socket:
                for number in range(10):
                    await socket.send_str(f"{name} {number}")
                    assert await socket.receive_str(timeout=PATIENCE) == f"{name} {number}"

        await asyncio.gather(*(talk(f"client {number}") for number in range(30)))

    async def test_a_plain_request_to_it_is_refused_by_the_server(self, chat: Chat) -> None:
        async with chat.session.get(chat.url.replace("ws:", "http:")) as response:
            assert response.status == 400
