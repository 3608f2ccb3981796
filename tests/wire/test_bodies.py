"""Bodies and their framing: every byte passes, none is invented, and all agree where it ends."""

import asyncio
import gzip
import random

import pytest

from tests.scripted_origin import HungUpError, Wire, answering, once, reply
from tests.server.wire import Peer
from tests.wire.conftest import Chain, Through, lines, request, until_cut

FRESH = b"Cache-Control: max-age=60"
ZIPPED = gzip.compress(b"compressible " * 1000, mtime=0)
EVERY_BYTE = bytes(range(256)) * 17

CHUNKED = b"Transfer-Encoding: chunked"
CHUNKED_OK = b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n"


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


async def echo(wire: Wire) -> None:
    """Send each body back in the framing that it came in."""
    while True:
        received = await wire.request()
        if received.get(b"Transfer-Encoding") is None:
            await wire.send(reply(received.body, b"X-Framing: length"))
        else:
            head = CHUNKED_OK + b"X-Framing: chunked\r\n\r\n"
            await wire.send(head + chunks(received.body))


@pytest.mark.parametrize("body", [b"", b"x", EVERY_BYTE, ZIPPED, b"z" * 3_000_000])
class TestEcho:
    async def test_content_length_both_ways(self, through: Through, body: bytes) -> None:
        chain = await through(echo)
        length = b"Content-Length: %d" % len(body)
        answer = await chain.ask(request(b"POST / HTTP/1.1", length, body=body))
        assert answer.get(b"X-Framing") == b"length"
        assert lines(answer, b"content-length", b"transfer-encoding") == [
            (b"Content-Length", b"%d" % len(body))
        ]
        assert answer.body == body

    async def test_chunked_both_ways(self, through: Through, body: bytes) -> None:
        chain = await through(echo)
        raw = chunks(body) if body else b"0\r\n\r\n"
        answer = await chain.ask(request(b"POST / HTTP/1.1", CHUNKED, body=raw))
        assert answer.get(b"X-Framing") == b"chunked"
        assert lines(answer, b"content-length", b"transfer-encoding") == [
            (b"Transfer-Encoding", b"chunked")
        ]
        assert answer.body == body


class TestCodings:
    """No inflating, no recoding."""

    @pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd", b"x-own", b"gzip, br"])
    async def test_content_codings_pass_both_ways(self, through: Through, coding: bytes) -> None:
        fields = [b"Content-Encoding: " + coding, b"Vary: Accept-Encoding", FRESH]
        chain = await through(answering(reply(ZIPPED, *fields)))
        length = b"Content-Length: %d" % len(ZIPPED)
        sent = request(b"PUT / HTTP/1.1", b"Content-Encoding: " + coding, length, body=ZIPPED)
        assert (await chain.ask(sent)).body == ZIPPED
        (received,) = chain.origin.requests
        assert (received.body, received.get(b"Content-Encoding")) == (ZIPPED, coding)

    async def test_they_come_from_the_store_as_they_went_in(self, through: Through) -> None:
        chain = await through(
            answering(CHUNKED_OK + b"Content-Encoding: gzip\r\n%b\r\n\r\n" % FRESH + chunks(ZIPPED))
        )
        for _ in range(2):
            answer = await chain.ask(request(b"GET / HTTP/1.1", b"Accept-Encoding: gzip"))
            assert (answer.body, answer.get(b"Content-Encoding")) == (ZIPPED, b"gzip")
        assert len(chain.origin.requests) == 1

    async def test_what_a_client_does_not_accept_is_not_asked_for(self, through: Through) -> None:
        chain = await through(answering(reply()))
        await chain.ask(request(b"GET / HTTP/1.1"))
        assert chain.origin.requests[0].get(b"Accept-Encoding") is None

    async def test_a_body_that_is_not_what_it_says(self, through: Through) -> None:
        chain = await through(answering(reply(b"no gzip at all", b"Content-Encoding: gzip")))
        assert (await chain.ask(request())).body == b"no gzip at all"


async def test_a_body_in_the_smallest_pieces(through: Through) -> None:
    chain = await through(echo)
    body = EVERY_BYTE[:700]
    async with await chain.connect() as client:
        await client.send_slowly(
            request(b"POST / HTTP/1.1", CHUNKED, body=chunks(*(bytes([byte]) for byte in body)))
        )
        assert (await client.reply()).body == body


async def test_pieces_of_every_size(through: Through) -> None:
    chain = await through(echo)
    sizes = random.Random(1).choices(range(1, 20_000), k=200)  # noqa: S311
    body = b"".join(bytes([size % 256]) * size for size in sizes)
    pieces, start = [], 0
    for size in sizes:
        pieces.append(body[start : start + size])
        start += size
    answer = await chain.ask(request(b"POST / HTTP/1.1", CHUNKED, body=chunks(*pieces)))
    assert answer.body == body


async def test_a_body_that_ends_with_the_connection(through: Through) -> None:
    """It is whole for the origin's protocol, so it is chunked for the client's."""
    chain = await through(once(b"HTTP/1.0 200 OK\r\n%b\r\n\r\nwhole" % FRESH))
    for _ in range(2):
        assert (await chain.ask(request())).body == b"whole"
    assert len(chain.origin.requests) == 1


async def test_an_http_1_0_client(through: Through) -> None:
    chain = await through(answering(CHUNKED_OK + b"\r\n" + chunks(b"one", b"two")))
    async with await chain.connect() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"onetwo"


class TestBodiless:
    """HEAD, 204 and 304: the head's end is the message's end, on both connections."""

    @staticmethod
    async def reused(chain: Chain, client: Peer, connections: int = 1) -> None:
        """Both connections are good for another exchange."""
        assert (await client.ask(request(b"GET /next HTTP/1.1"))).body == b"next"
        assert chain.origin.connections == connections

    @pytest.mark.parametrize(
        ("method", "answer", "length"),
        [
            (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", b"1234"),
            (b"HEAD", CHUNKED_OK + b"\r\n", None),
            (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"0"),
            (b"HEAD", b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n", b"9"),
            (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
            (b"DELETE", b"HTTP/1.1 204 No Content\r\nETag: x\r\n\r\n", None),
            (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', None),
            (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 55\r\n\r\n", b"55"),
        ],
    )
    async def test_framing_and_reuse(
        self,
        through: Through,
        method: bytes,
        answer: bytes,
        length: bytes | None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("proxy.origin.lean_pool._REST", 0.0)
        chain = await through(answering(answer, reply(b"next")))
        async with await chain.connect() as client:
            got = await client.ask(
                request(method + b" / HTTP/1.1", b'If-None-Match: "a"'), method.decode()
            )
            assert got.line == answer.partition(b"\r\n")[0]
            assert got.get(b"Content-Length") == length
            assert got.get(b"Transfer-Encoding") is None
            await self.reused(chain, client)

    @pytest.mark.parametrize("method", [b"HEAD", b"GET"])
    async def test_a_body_that_should_not_come_is_nobody_s_answer(
        self, through: Through, method: bytes
    ) -> None:
        """Many origins send head and body apart, and some the body to HEAD, or with a 304, too."""
        status = b"200 OK" if method == b"HEAD" else b"304 Not Modified"
        poison = reply(b"poison", FRESH)
        head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(poison))

        async def script(wire: Wire) -> None:
            await wire.request()
            if len(wire.origin.requests) > 1:
                await wire.send(reply(b"next"))
                return
            await wire.send(head)
            await asyncio.sleep(0.05)
            await wire.send(poison)

        chain = await through(script)
        async with await chain.connect() as client:
            line = request(method + b" / HTTP/1.1", b'If-None-Match: "a"')
            await client.ask(line, method.decode())
            await self.reused(chain, client, connections=2)

    async def test_from_the_store(self, through: Through) -> None:
        chain = await through(
            answering(reply(b"stored", FRESH, b'ETag: "a"'), reply(b"next"))
        )  # fmt: skip
        async with await chain.connect() as client:
            await client.ask(request())
            head = await client.ask(request(b"HEAD / HTTP/1.1"), "HEAD")
            assert (head.status, head.get(b"Content-Length")) == (200, b"6")
            condition = request(b"GET / HTTP/1.1", b'If-None-Match: W/"a"')
            not_modified = await client.ask(condition)
            assert (not_modified.status, not_modified.get(b"ETag")) == (304, b'"a"')
            await self.reused(chain, client)

    async def test_an_empty_200(self, through: Through) -> None:
        chain = await through(answering(reply(b""), reply(b"next")))
        async with await chain.connect() as client:
            answer = await client.ask(request())
            assert (answer.get(b"Content-Length"), answer.body) == (b"0", b"")
            await self.reused(chain, client)

    @pytest.mark.parametrize("at_once", [b"bad", b""], ids=["with it", "yet to come"])
    async def test_a_body_behind_a_204_is_nobodys_answer(
        self, through: Through, at_once: bytes
    ) -> None:
        chain = await through(
            answering(b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n" + at_once, reply(b"next"))
        )
        async with await chain.connect() as client:
            answer = await client.ask(request())
            assert (answer.status, answer.get(b"Content-Length")) == (204, None)
            await self.reused(chain, client, connections=2)


class TestPersistence:
    async def test_many_requests_on_one_connection_each(self, through: Through) -> None:
        chain = await through(echo)
        async with await chain.connect() as client:
            for number in range(50):
                body = b"%d" % number
                length = b"Content-Length: %d" % len(body)
                sent = request(b"POST / HTTP/1.1", length, body=body)
                assert (await client.ask(sent)).body == body
        assert chain.origin.connections == 1

    async def test_pipelined_requests_are_answered_in_order(self, through: Through) -> None:
        chain = await through(echo)
        bodies = [b"%d" % number * (number + 1) for number in range(50)]
        raw = b"".join(
            request(b"POST / HTTP/1.1", b"Content-Length: %d" % len(body), body=body)
            for body in bodies
        )
        async with await chain.connect() as client:
            client.send(raw)
            assert [(await client.reply()).body for _ in bodies] == bodies

    @pytest.mark.parametrize("method", [b"GET", b"POST"])
    async def test_an_origin_that_closes_when_idle(self, through: Through, method: bytes) -> None:
        chain = await through(once(reply(b"ok")))
        async with await chain.connect() as client:
            for number in range(3):
                answer = await client.ask(request(method + b" / HTTP/1.1"))
                assert (answer.status, answer.body) == (200, b"ok")
                await chain.origin.idle()
                assert len(chain.origin.requests) == number + 1

    async def test_an_origin_that_closes_instead_of_answering(self, through: Through) -> None:
        """A reused connection that dies silently: GET is sent again, POST must not be."""

        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(reply(b"ok"))
            await wire.request()

        chain = await through(script)
        async with await chain.connect() as client:
            for expected in (200, 200):
                assert (await client.ask(request())).status == expected
            assert len(chain.origin.requests) == 3
            posted = await client.ask(request(b"POST / HTTP/1.1", b"Content-Length: 0"))
            assert posted.status == 502
            assert [received.line[:4] for received in chain.origin.requests].count(b"POST") == 1

    async def test_the_origins_close_is_not_the_clients(self, through: Through) -> None:
        chain = await through(once(reply(b"ok", b"Connection: close")))
        async with await chain.connect() as client:
            for _ in range(2):
                answer = await client.ask(request())
                assert (answer.body, answer.get(b"Connection")) == (b"ok", None)

    async def test_the_clients_close_is_not_the_origins(self, through: Through) -> None:
        chain = await through(answering(reply(b"ok")))
        for _ in range(2):
            async with await chain.connect() as client:
                answer = await client.ask(request(b"GET / HTTP/1.1", b"Connection: close"))
                assert answer.get(b"Connection") == b"close"
                await client.closed()
        assert chain.origin.connections == 1


class TestCutShort:
    @pytest.mark.parametrize(
        ("cut", "received"),
        [
            pytest.param(
                b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n%b\r\n\r\n12345" % FRESH,
                b"12345",
                id="length",
            ),
            pytest.param(
                CHUNKED_OK + FRESH + b"\r\n\r\n5\r\n12345\r\n",
                b"5\r\n12345\r\n",
                id="chunked, no last chunk",
            ),
            pytest.param(
                CHUNKED_OK + FRESH + b"\r\n\r\n5\r\n123", b"3\r\n123\r\n", id="chunked, in a chunk"
            ),
            pytest.param(
                CHUNKED_OK + FRESH + b"\r\n\r\n5\r\n12345\r\nzz\r\n",
                b"5\r\n12345\r\n",
                id="no size",
            ),
        ],
    )
    async def test_it_reaches_the_client_as_cut_and_is_not_stored(
        self, through: Through, cut: bytes, received: bytes
    ) -> None:
        chain = await through(once(cut))
        async with await chain.connect() as client:
            client.send(request() + request(b"GET /behind HTTP/1.1"))
            await client.head()
            assert received.startswith(
                await until_cut(client)
            )  # and nothing of another message behind it
        assert len(chain.origin.requests) == 1
        chain.origin.script = answering(reply(b"whole"))
        assert (await chain.ask(request())).body == b"whole"

    async def test_an_http_1_0_client_sees_a_reset(self, through: Through) -> None:
        """Its message would end with the connection: an orderly close would make it whole."""
        chain = await through(once(CHUNKED_OK + b"\r\n5\r\n12345\r\n"))
        async with await chain.connect() as client:
            client.send(request(b"GET / HTTP/1.0"))
            with pytest.raises(ConnectionError):
                await client.rest()

    async def test_an_upload_cut_short_never_looks_whole(self, through: Through) -> None:
        ends: list[bytes] = []

        async def script(wire: Wire) -> None:
            await wire.head()
            ends.append(await wire.rest())

        chain = await through(script)
        for fields, body in (
            ([b"Content-Length: 10"], b"12345"),
            ([CHUNKED], b"5\r\n12345\r\n"),
        ):
            async with await chain.connect() as client:
                client.send(request(b"POST / HTTP/1.1", *fields, body=body))
                await chain.asked(len(chain.origin.requests) + 1)
        await chain.origin.idle()
        assert all(b"0\r\n\r\n" not in end and len(end) < 15 for end in ends)
        assert len(ends) == 2

    async def test_a_malformed_chunk_of_the_client(self, through: Through) -> None:
        async def script(wire: Wire) -> None:
            with pytest.raises(HungUpError):
                await wire.request()

        chain = await through(script)
        async with await chain.connect() as client:
            answer = await client.ask(
                request(b"POST / HTTP/1.1", CHUNKED, body=b"5\r\n12345\r\n+5\r\n12345\r\n")
            )
            assert answer.status == 400
            await client.closed()
        await chain.origin.idle()
