"""Where clients come in: TCP, TLS and Unix sockets, in front of a real origin."""

import asyncio
import ssl
from pathlib import Path

from proxy.server import ServerOptions
from tests.certificates import Certify
from tests.scripted_origin import Wire, answering, once, reply, reset
from tests.server.wire import Peer, eventually
from tests.wire.conftest import AHEAD, MIB, Through, request, until_cut, write_until_stalled

FRESH = b"Cache-Control: max-age=60"


class TestTls:
    async def test_the_origin_is_told(self, through: Through, certify: Certify) -> None:
        shown = certify("127.0.0.1")
        chain = await through(answering(reply(b"ok", FRESH)), tls=shown.server())
        async with await Peer.connect(chain.front.listener, ssl=shown.client()) as client:
            for _ in range(2):
                assert (await client.ask(request())).body == b"ok"
            agreed: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
            assert agreed.version() in {"TLSv1.2", "TLSv1.3"}
        (received,) = chain.origin.requests
        assert received.get(b"X-Forwarded-Proto") == b"https"
        assert received.get(b"Forwarded") == b"for=127.0.0.1;host=api.example;proto=https"

    async def test_the_scheme_is_part_of_the_key(self, through: Through, certify: Certify) -> None:
        chain = await through(answering(reply(b"http", FRESH), reply(b"https", FRESH)))
        secure = certify("127.0.0.1")
        assert (await chain.ask(request())).body == b"http"
        await chain.front.listener.start("127.0.0.1:0", tls=secure.server())
        async with await Peer.connect(chain.front.listener, ssl=secure.client()) as client:
            assert (await client.ask(request())).body == b"https"

    async def test_large_bodies_both_ways(self, through: Through, certify: Certify) -> None:
        shown = certify("127.0.0.1")

        async def echo(wire: Wire) -> None:
            received = await wire.request()
            await wire.send(reply(received.body))

        chain = await through(echo, tls=shown.server())
        body = bytes(range(256)) * (16 * MIB // 256)
        length = b"Content-Length: %d" % len(body)
        async with await Peer.connect(chain.front.listener, ssl=shown.client()) as client:
            client.send(request(b"POST / HTTP/1.1", length, body=body))
            assert (await client.reply()).body == body

    async def test_a_cut_body_is_cut(self, through: Through, certify: Certify) -> None:
        shown = certify("127.0.0.1")
        chain = await through(
            once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
            tls=shown.server(),
        )
        async with await Peer.connect(chain.front.listener, ssl=shown.client()) as client:
            client.send(request())
            assert (await client.head()).status == 200
            assert b"4\r\nhalf\r\n".startswith(await until_cut(client))


async def test_a_unix_socket(through: Through, tmp_path: Path) -> None:
    path = tmp_path / "warmfront.sock"
    chain = await through(answering(reply(b"ok", FRESH)), listen=f"unix:{path}")
    async with Peer(*await asyncio.open_unix_connection(path)) as client:
        for _ in range(2):
            assert (await client.ask(request())).body == b"ok"
    (received,) = chain.origin.requests
    assert received.get(b"X-Forwarded-For") is None
    assert received.get(b"Forwarded") == b"for=unknown;host=api.example;proto=http"
    await chain.front.listener.close()
    assert not path.exists()


class TestUnhurried:
    """Clients that take their time, by accident or on purpose."""

    async def test_a_head_byte_by_byte(self, through: Through) -> None:
        chain = await through(answering(reply(b"ok")))
        async with await chain.connect() as client:
            await client.send_slowly(request(b"GET /slow HTTP/1.1", b"X-A: 1"))
            assert (await client.reply()).body == b"ok"
        assert chain.origin.requests[0].line == b"GET /slow HTTP/1.1"

    async def test_a_head_that_never_ends(self, through: Through) -> None:
        chain = await through(once(), server=ServerOptions(header_timeout=0.1))
        async with await chain.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nX-A: ")
            assert (await client.reply()).status == 408
            await client.closed()
        assert chain.origin.connections == 0

    async def test_a_body_that_never_ends(self, through: Through) -> None:
        async def script(wire: Wire) -> None:
            await wire.request()

        chain = await through(script, server=ServerOptions(body_idle=0.1))
        async with await chain.connect() as client:
            client.send(request(b"POST / HTTP/1.1", b"Content-Length: 10", body=b"half"))
            assert (await client.reply()).status == 408
            await client.closed()
        await chain.origin.idle()

    async def test_a_flood_of_pipelined_requests(self, through: Through) -> None:
        """All of them are answered in turn."""
        count = 1_000

        async def script(wire: Wire) -> None:
            while True:
                received = await wire.request()
                await wire.send(reply(received.line.split(b" ")[1]))

        chain = await through(script)
        async with await chain.connect() as client:
            for number in range(count):
                client.send(request(b"GET /%d HTTP/1.1" % number))
            for number in range(count):
                assert (await client.reply()).body == b"/%d" % number
        assert chain.origin.connections == 1

    async def test_a_flood_behind_a_request_that_waits(self, through: Through) -> None:
        """It stays in the client's socket."""

        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.rest()

        chain = await through(script)
        async with await chain.connect() as client:
            flood = request() * 5_000
            assert await write_until_stalled(client.writer, flood, 64 * MIB) < AHEAD
            reset(client.writer)  # what is left of the flood need not arrive
        assert len(chain.origin.requests) == 1


async def test_a_drain_lets_a_download_end(through: Through) -> None:
    go_on = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await go_on.wait()
        await wire.send(b"half")

    chain = await through(script)
    async with await chain.connect() as client, await chain.connect() as idle:
        client.send(request())
        await client.head()
        draining = asyncio.create_task(chain.front.listener.drain(5))
        await idle.closed()
        go_on.set()
        assert await client.rest() == b"halfhalf"
        await eventually(draining.done)
