"""Request bodies: read, left unread, waited for, broken."""

import asyncio

import pytest

from proxy.exchange import BodyAborted, Incoming, Outgoing
from proxy.rfc9111.messages import Headers
from tests.server.wire import GET, Listen, Peer, always, echo, ok
from tests.steady_loop import ON_A_STEADY_LOOP

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECT = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"


def sized(length: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


async def _read(incoming: Incoming) -> bytes:
    assert incoming.body is not None
    return b"".join([piece async for piece in incoming.body])


@pytest.mark.parametrize(
    "request_bytes",
    [sized(4) + b"body", CHUNKED + b"1\r\nb\r\n3\r\nody\r\n0\r\n\r\n"],
    ids=["sized", "chunked"],
)
async def test_a_body_and_the_request_behind_it(listen: Listen, request_bytes: bytes) -> None:
    async with await Peer.connect(await listen(echo)) as peer:
        peer.send(request_bytes + GET)
        assert (await peer.reply()).body == b"POST / body"
        assert (await peer.reply()).body == b"GET / "
        await peer.send_slowly(request_bytes + GET)
        assert (await peer.reply()).body == b"POST / body"
        assert (await peer.reply()).body == b"GET / "


async def test_announced_lengths(listen: Listen) -> None:
    lengths: list[int | None] = []

    async def respond(incoming: Incoming) -> Outgoing:
        lengths.append(incoming.body.length if incoming.body else -1)
        return ok()

    async with await Peer.connect(await listen(respond)) as peer:
        await peer.ask(sized(2) + b"ab")
        await peer.ask(CHUNKED + b"0\r\n\r\n")
        await peer.ask(sized(0))
    assert lengths == [2, None, -1]


async def test_a_body_is_not_inflated(listen: Listen) -> None:
    request = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n"
    async with await Peer.connect(await listen(echo)) as peer:
        assert (await peer.ask(request + b"\x1f\x8b\x00")).body == b"PUT / \x1f\x8b\x00"


async def test_a_body_streams_while_it_is_sent(listen: Listen) -> None:
    """The answer repeats each piece before the client sends the next."""

    async def respond(incoming: Incoming) -> Outgoing:
        assert incoming.body is not None
        return ok(aiter(incoming.body))

    async with await Peer.connect(await listen(respond)) as peer:
        peer.send(CHUNKED)
        await peer.head()
        for piece in (b"one", b"two"):
            peer.send(b"3\r\n" + piece + b"\r\n")
            assert await peer.chunk() == piece
        peer.send(b"0\r\n\r\n")
        assert await peer.chunk() == b""
        assert (await peer.ask(sized(1) + b"x")).status == 200


class TestLeftUnread:
    async def test_a_small_body_is_read_away(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(always(ok))) as peer:
            for _ in range(2):
                peer.send(sized(1000))
                assert (await peer.reply()).get(b"Connection") is None
                peer.send(GET * 18 + bytes(1000 - 18 * len(GET)))
                assert (await peer.ask()).body == b"ok"

    async def test_a_chunked_body_is_read_away(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(always(ok))) as peer:
            peer.send(CHUNKED)
            assert (await peer.reply()).status == 200
            peer.send(b"3\r\nabc\r\n0\r\n\r\n" + GET)
            assert (await peer.reply()).status == 200

    async def test_a_large_body_ends_the_connection(self, listen: Listen) -> None:
        """And what stands in it is never taken for a request."""
        async with await Peer.connect(await listen(always(ok))) as peer:
            peer.send(sized(100_000_000) + GET * 1000)
            assert (await peer.reply()).get(b"Connection") == b"close"
            peer.send(GET * 1000)
            await peer.closed()

    async def test_an_endless_chunked_body_ends_the_connection(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(always(ok))) as peer:
            peer.send(CHUNKED)
            assert (await peer.reply()).status == 200
            peer.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            peer.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await peer.closed()

    async def test_the_answer_survives_a_client_that_is_still_sending(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(always(ok))) as peer:
            peer.send(sized(100_000_000))
            for _ in range(50):
                peer.send(bytes(65536))
            reply = await peer.reply()
            assert (reply.status, reply.body) == (200, b"ok")


class TestExpectContinue:
    async def test_100_is_sent_when_the_body_is_read(self, listen: Listen) -> None:
        reading = asyncio.Event()

        async def respond(incoming: Incoming) -> Outgoing:
            assert incoming.expects_continue
            await reading.wait()
            return ok(await _read(incoming))

        async with await Peer.connect(await listen(respond)) as peer:
            peer.send(EXPECT)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(peer.reader.read(1), 0.05)
            reading.set()
            assert (await peer.reply()).line == b"HTTP/1.1 100 Continue"
            assert (await peer.ask(b"body")).body == b"body"

    async def test_the_gateway_may_pass_it_on_itself_and_it_comes_once(
        self, listen: Listen
    ) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            incoming.send_interim(100, "Go on", Headers([("X", "1")]))
            incoming.send_interim(100, "Go on", Headers())
            return ok(await _read(incoming))

        async with await Peer.connect(await listen(respond)) as peer:
            reply = await peer.ask(EXPECT)
            assert (reply.line, reply.fields) == (b"HTTP/1.1 100 Go on", [(b"X", b"1")])
            assert (await peer.ask(b"body")).body == b"body"
            assert (await peer.ask(EXPECT)).status == 100

    async def test_nobody_gets_it_who_did_not_ask(self, listen: Listen) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            incoming.send_interim(100, "Continue", Headers())
            return await echo(incoming)

        async with await Peer.connect(await listen(respond)) as peer:
            assert (await peer.ask()).status == 200
            assert (await peer.ask(sized(1) + b"x")).status == 200

    async def test_an_answer_without_reading_ends_the_connection(self, listen: Listen) -> None:
        """Whether the body will come is unknown, and it must not be taken for a request."""
        async with await Peer.connect(await listen(always(ok))) as peer:
            assert (await peer.ask(EXPECT)).get(b"Connection") == b"close"
            peer.send(GET)
            await peer.closed()

    async def test_a_client_that_does_not_wait(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(always(ok))) as peer:
            peer.send(EXPECT + b"body" + GET)
            assert (await peer.reply()).get(b"Connection") is None
            assert (await peer.reply()).status == 200

    async def test_another_expectation_is_refused(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo)) as peer:
            reply = await peer.ask(b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n")
            assert reply.status == 417


class TestBroken:
    async def test_a_malformed_chunk_is_a_400(self, listen: Listen) -> None:
        aborted: list[BodyAborted] = []

        async def respond(incoming: Incoming) -> Outgoing:
            try:
                return ok(await _read(incoming))
            except BodyAborted as error:
                aborted.append(error)
                raise

        async with await Peer.connect(await listen(respond)) as peer:
            reply = await peer.ask(CHUNKED + b"3\r\nabc\r\n0x0\r\n\r\n" + GET)
            assert reply.status == 400
            assert reply.get(b"Connection") == b"close"
            await peer.closed()
        assert aborted

    async def test_a_malformed_chunk_that_nobody_reads(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(always(ok))) as peer:
            peer.send(CHUNKED)
            assert (await peer.reply()).status == 200
            peer.send(b"x\r\n\r\n" + GET)
            await peer.closed()

    async def test_a_stalled_body_is_a_408(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo, body_idle=0.1)) as peer:
            reply = await peer.ask(sized(4) + b"bo")
            assert reply.status == 408
            await peer.closed()

    @ON_A_STEADY_LOOP
    async def test_a_slow_but_steady_body_is_not_stalled(self, listen: Listen) -> None:
        async with await Peer.connect(await listen(echo, body_idle=0.2, body_rate=5)) as peer:
            peer.send(sized(4))
            for byte in (b"b", b"o", b"d", b"y"):
                await asyncio.sleep(0.08)
                peer.send(byte)
            assert (await peer.reply()).body == b"POST / body"

    @pytest.mark.parametrize("reset", [False, True])
    @ON_A_STEADY_LOOP
    async def test_a_client_that_leaves(self, listen: Listen, *, reset: bool) -> None:
        aborted = asyncio.Event()
        reading = asyncio.Event()

        async def respond(incoming: Incoming) -> Outgoing:
            assert incoming.body is not None
            try:
                async for _ in incoming.body:
                    reading.set()
            except BodyAborted:
                aborted.set()
                raise
            return ok()

        async with await Peer.connect(await listen(respond)) as peer:
            peer.send(sized(4) + b"bo")
            await asyncio.wait_for(reading.wait(), 5)
            if reset:
                peer.writer.transport.abort()
            else:
                peer.writer.close()
            await asyncio.wait_for(aborted.wait(), 0.9)

    async def test_a_body_that_somebody_still_reads_ends_the_connection(
        self, listen: Listen
    ) -> None:
        readers: list[asyncio.Task[bytes]] = []

        async def respond(incoming: Incoming) -> Outgoing:
            readers.append(asyncio.create_task(_read(incoming)))
            await asyncio.sleep(0)
            return ok()

        async with await Peer.connect(await listen(respond)) as peer:
            assert (await peer.ask(sized(4) + b"bo")).status == 200
            peer.send(b"dy" + GET)
            await peer.closed()
        with pytest.raises(BodyAborted):
            await readers[0]

    async def test_a_body_that_is_read_too_late(self, listen: Listen) -> None:
        bodies: list[Incoming] = []

        async def respond(incoming: Incoming) -> Outgoing:
            bodies.append(incoming)
            return ok()

        async with await Peer.connect(await listen(respond)) as peer:
            peer.send(sized(4))
            await peer.reply()
            peer.send(b"body")
            await peer.ask()
            with pytest.raises(BodyAborted):
                await _read(bodies[0])
