"""Streams: what is made is on its way before the rest is made, and no faster than it is read."""

import asyncio

import pytest

from tests.scripted_origin import PATIENCE, HungUpError, Wire, reply, reset
from tests.server.wire import Peer, eventually
from tests.wire.conftest import AHEAD, MIB, Through, request, write_until_stalled

CHUNKED_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
FRESH = b"Cache-Control: max-age=60\r\n"
EVENTS = CHUNKED_OK + b"Content-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n"
LAST = b"0\r\n\r\n"

BLOCK = b"x" * (MIB // 4)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class TestFirstByteFirst:
    async def test_events_pass_one_by_one(self, through: Through) -> None:
        said: asyncio.Queue[bytes] = asyncio.Queue()

        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(EVENTS)
            while event := await said.get():
                await wire.send(chunk(event))
            await wire.send(LAST)

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request(b"GET /events HTTP/1.1", b"Accept: text/event-stream"))
            head = await client.head()
            assert head.get(b"Content-Type") == b"text/event-stream"
            for number in range(20):
                event = b"data: %d\n\n" % number
                said.put_nowait(event)
                assert await client.chunk() == event
            said.put_nowait(b"")
            assert await client.chunk() == b""

    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(b"HTTP/1.1 200 OK\r\n%bContent-Length: 9\r\n\r\n" % FRESH, id="storable"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", id="not storable"),
            pytest.param(b"HTTP/1.0 200 OK\r\n\r\n", id="until close"),
        ],
    )
    async def test_a_body_of_any_framing(self, through: Through, head: bytes) -> None:
        seen = asyncio.Event()

        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(head + b"first")
            await seen.wait()
            await wire.send(b"last")

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request())
            answer = await client.head()
            sized = answer.get(b"Content-Length") is not None
            read = client.reader.readexactly(5) if sized else client.chunk()
            assert await asyncio.wait_for(read, PATIENCE) == b"first"
            seen.set()
            read = client.reader.readexactly(4) if sized else client.chunk()
            assert await asyncio.wait_for(read, PATIENCE) == b"last"

    async def test_a_long_poll(self, through: Through) -> None:
        """The head comes at once, the body when there is news; other requests pass meanwhile."""
        news = asyncio.Event()

        async def script(wire: Wire) -> None:
            while True:
                received = await wire.request()
                if b"/poll" in received.line:
                    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
                    await news.wait()
                    await wire.send(b"news")
                else:
                    await wire.send(reply(b"quick"))

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request(b"GET /poll HTTP/1.1"))
            assert (await client.head()).get(b"Content-Length") == b"4"
            assert (await chain.ask(request())).body == b"quick"
            news.set()
            assert await asyncio.wait_for(client.reader.readexactly(4), PATIENCE) == b"news"

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_uploads(self, through: Through, *, chunked: bool) -> None:
        seen: asyncio.Queue[bytes] = asyncio.Queue()

        async def script(wire: Wire) -> None:
            await wire.head()
            for _ in range(2):
                size = int(await wire.line(), 16) if chunked else 5
                seen.put_nowait(await wire.read(size))
                if chunked:
                    await wire.line()
            if chunked:
                assert await wire.read(5) == LAST
            await wire.send(reply(b"thanks"))

        chain = await through(script)
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 10"
        async with await chain.connect() as client:
            client.send(request(b"POST / HTTP/1.1", framing))
            await chain.asked(1)
            for piece in (b"first", b"later"):
                client.send(chunk(piece) if chunked else piece)
                assert await asyncio.wait_for(seen.get(), PATIENCE) == piece
            if chunked:
                client.send(LAST)
            assert (await client.reply()).body == b"thanks"

    async def test_both_ways_at_once(self, through: Through) -> None:
        """A conversation: the answer begins before the request has ended."""

        async def script(wire: Wire) -> None:
            await wire.head()
            await wire.send(CHUNKED_OK + b"\r\n")
            while size := int(await wire.line(), 16):
                await wire.send(chunk((await wire.read(size)).upper()))
                await wire.line()
            await wire.line()
            await wire.send(LAST)

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked"))
            await client.head()
            for word in (b"one", b"two", b"three"):
                client.send(chunk(word))
                assert await client.chunk() == word.upper()
            client.send(LAST)
            assert await client.chunk() == b""


class TestLeaving:
    @pytest.mark.parametrize("silent", [False, True])
    @pytest.mark.parametrize("how", ["close", "reset"])
    async def test_a_client_that_leaves_a_stream_frees_the_origin(
        self, through: Through, *, silent: bool, how: str
    ) -> None:
        hung_up = asyncio.Event()

        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(EVENTS + chunk(b"data: 1\n\n"))
            try:
                if silent:
                    await wire.line()
                while True:
                    await wire.send(chunk(b"data: more\n\n"))
                    await asyncio.sleep(0.01)
            except HungUpError:
                hung_up.set()

        chain = await through(script)
        client = await chain.connect()
        client.send(request(b"GET /events HTTP/1.1"))
        await client.head()
        await client.chunk()
        if how == "close":
            client.writer.close()
        else:
            reset(client.writer)
        await asyncio.wait_for(hung_up.wait(), PATIENCE)

    async def test_a_client_that_leaves_before_the_head(self, through: Through) -> None:
        """It may be an order: it is carried out, and its answer goes nowhere."""
        left = asyncio.Event()

        async def script(wire: Wire) -> None:
            while True:
                received = await wire.request()
                await left.wait()
                await wire.send(reply(received.line))

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request(b"POST /order HTTP/1.1", b"Content-Length: 0"))
            await chain.asked(1)
        left.set()
        assert (await chain.ask(request())).body == b"GET / HTTP/1.1"

    async def test_a_storable_body_is_read_on_and_stored(self, through: Through) -> None:
        left = asyncio.Event()

        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(CHUNKED_OK + FRESH + b"\r\n" + chunk(b"one"))
            await left.wait()
            await wire.send(chunk(b"two") + LAST)

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request())
            await client.head()
        await eventually(lambda: len(chain.front.background) == 1)
        left.set()
        await asyncio.wait_for(chain.front.background.drain(), PATIENCE)
        assert (await chain.ask(request())).body == b"onetwo"
        assert len(chain.origin.requests) == 1


class TestBackpressure:
    """A fast end waits for a slow one; nothing in between takes in what cannot go out."""

    @pytest.mark.parametrize("head", [FRESH, b"Cache-Control: no-store\r\n"])
    async def test_a_slow_reader_slows_the_origin(self, through: Through, head: bytes) -> None:
        total = 64 * MIB
        stalled: asyncio.Queue[int] = asyncio.Queue()

        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (head, total))
            written = await write_until_stalled(wire.writer, BLOCK, total)
            stalled.put_nowait(written)
            await wire.send(b"x" * (total - written))

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request())
            await client.head()
            assert await asyncio.wait_for(stalled.get(), PATIENCE) < AHEAD
            assert await self.count(client, total) == total

    async def test_a_slow_origin_slows_the_uploader(self, through: Through) -> None:
        total = 64 * MIB
        wanted = asyncio.Event()

        async def script(wire: Wire) -> None:
            await wire.head()
            await wanted.wait()
            taken = 0
            while taken < total:
                taken += len(await wire.reader.read(MIB))
            await wire.send(reply(b"%d" % taken))

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request(b"POST / HTTP/1.1", b"Content-Length: %d" % total))
            written = await write_until_stalled(client.writer, BLOCK, total)
            assert written < AHEAD
            wanted.set()
            client.send(b"x" * (total - written))
            assert (await client.reply()).body == b"%d" % total

    @staticmethod
    async def count(client: Peer, total: int) -> int:
        taken = 0
        async with asyncio.timeout(2 * PATIENCE):
            while taken < total and (piece := await client.reader.read(MIB)):
                taken += len(piece)
        return taken
