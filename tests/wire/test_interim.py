"""Interim responses: 100 (Continue) on demand, 102 and 103 as they come."""

import asyncio

import pytest

from proxy.origin import upload
from tests.scripted_origin import PATIENCE, Wire, answering, once, reply
from tests.wire.conftest import Through, request

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = b"Expect: 100-continue"
LENGTH = b"Content-Length: 4"
PUT = request(b"PUT / HTTP/1.1", EXPECT, LENGTH)
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nLink: </\xe9.js>\r\n\r\n"


async def continuing(wire: Wire) -> None:
    """An origin that looks at the head before it asks for the body."""
    while True:
        received = await wire.head()
        if received.get(b"Expect") == b"100-continue":
            await wire.send(CONTINUE)
        body = await wire.body(received)
        await wire.send(reply(b"got " + body))


class TestExpect:
    async def test_the_origin_asks_for_the_body(self, through: Through) -> None:
        chain = await through(continuing)
        async with await chain.connect() as client:
            for _ in range(2):
                client.send(PUT)
                interim = await client.head()
                assert (interim.line, interim.fields) == (b"HTTP/1.1 100 Continue", [])
                answer = await client.ask(b"body")
                assert (answer.status, answer.body) == (200, b"got body")
        assert chain.origin.connections == 1

    async def test_a_chunked_body(self, through: Through) -> None:
        chain = await through(continuing)
        async with await chain.connect() as client:
            client.send(request(b"PUT / HTTP/1.1", EXPECT, b"Transfer-Encoding: chunked"))
            assert (await client.head()).status == 100
            assert (await client.ask(b"4\r\nbody\r\n0\r\n\r\n")).body == b"got body"

    @pytest.mark.parametrize(
        "refusal",
        [b"417 Expectation Failed", b"401 Unauthorized", b"413 Too Large", b"302 Found", b"200 OK"],
    )
    async def test_the_origin_does_not_want_it(self, through: Through, refusal: bytes) -> None:
        """The client is spared the body, and nothing that it sends becomes another request."""
        rest: list[bytes] = []

        async def script(wire: Wire) -> None:
            received = await wire.head()
            assert received.get(b"Content-Length") == b"4"
            await wire.send(reply(b"no", status=refusal))
            rest.append(await wire.rest())

        chain = await through(script)
        async with await chain.connect() as client:
            answer = await client.ask(PUT)
            assert answer.line == b"HTTP/1.1 " + refusal
            assert (answer.body, answer.get(b"Connection")) == (b"no", b"close")
            client.send(request(b"GET /smuggled HTTP/1.1"))
            await client.closed()
        await chain.origin.idle()
        assert rest == [b""]
        assert len(chain.origin.requests) == 1

    async def test_a_client_that_does_not_wait(self, through: Through) -> None:
        chain = await through(continuing)
        async with await chain.connect() as client:
            client.send(PUT + b"body" + request(b"GET /next HTTP/1.1"))
            answers = [await client.reply() for _ in range(3)]
        assert [answer.body for answer in answers[-2:]] == [b"got body", b"got "]
        assert answers[0].status == 100

    async def test_an_origin_that_says_nothing(
        self, through: Through, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It gets the body after a while, and the client is asked for it (RFC 9110 §10.1.1)."""
        monkeypatch.setattr(upload, "CONTINUE_TIMEOUT", 0.05)
        chain = await through(answering(reply(b"thanks")))
        async with await chain.connect() as client:
            client.send(PUT)
            assert (await client.head()).status == 100
            assert (await client.ask(b"body")).body == b"thanks"
        assert chain.origin.requests[0].body == b"body"

    async def test_without_a_body_there_is_nothing_to_wait_for(self, through: Through) -> None:
        chain = await through(continuing)
        answer = await chain.ask(request(b"GET / HTTP/1.1", EXPECT))
        assert answer.body == b"got "
        assert chain.origin.requests[0].get(b"Expect") is None

    async def test_http_1_0_expects_nothing(self, through: Through) -> None:
        chain = await through(continuing)
        answer = await chain.ask(request(b"PUT / HTTP/1.0", EXPECT, LENGTH, body=b"body"))
        assert (answer.status, answer.body) == (200, b"got body")

    async def test_other_expectations_are_refused(self, through: Through) -> None:
        chain = await through(once())
        answer = await chain.ask(request(b"PUT / HTTP/1.1", b"Expect: miracles", LENGTH))
        assert answer.status == 417
        assert chain.origin.connections == 0

    async def test_an_unasked_100_stays_here(self, through: Through) -> None:
        chain = await through(answering(CONTINUE + reply(b"ok")))
        answer = await chain.ask(request())
        assert (answer.status, answer.body) == (200, b"ok")


class TestHints:
    async def test_they_pass_at_once_with_their_fields(self, through: Through) -> None:
        seen = asyncio.Event()

        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(b"HTTP/1.1 102 Processing\r\n\r\n" + EARLY_HINTS)
            await seen.wait()
            await wire.send(reply(b"ok", b"Cache-Control: max-age=60"))

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request())
            processing, hints = await client.head(), await client.head()
            seen.set()
            answer = await client.reply()
            stored = await client.ask(request())
        assert (processing.line, processing.fields) == (b"HTTP/1.1 102 Processing", [])
        assert hints.line == b"HTTP/1.1 103 Early Hints"
        assert hints.fields == [
            (b"link", b"</a.css>; rel=preload"),
            (b"Link", b"</\xe9.js>"),
        ]
        assert (answer.status, stored.status, stored.body) == (200, 200, b"ok")
        assert len(chain.origin.requests) == 1

    async def test_their_hop_by_hop_fields_stay_here(self, through: Through) -> None:
        hints = b"HTTP/1.1 103 Early Hints\r\nConnection: X-A\r\nX-A: 1\r\nKeep-Alive: 5\r\nX-B: 2"
        chain = await through(answering(hints + b"\r\n\r\n" + reply(b"ok")))
        async with await chain.connect() as client:
            client.send(request())
            assert (await client.head()).fields == [(b"X-B", b"2")]

    async def test_before_a_304_and_a_204(self, through: Through) -> None:
        chain = await through(answering(EARLY_HINTS + b"HTTP/1.1 204 No\r\n\r\n"))
        async with await chain.connect() as client:
            client.send(request())
            assert [(await client.head()).status for _ in range(2)] == [103, 204]

    async def test_http_1_0_knows_none(self, through: Through) -> None:
        chain = await through(answering(EARLY_HINTS + reply(b"ok")))
        assert (await chain.ask(request(b"GET / HTTP/1.0"))).status == 200

    async def test_an_endless_row_of_them_is_broken_off(self, through: Through) -> None:
        async def script(wire: Wire) -> None:
            await wire.request()
            while True:  # until the proxy hangs up
                await wire.send(EARLY_HINTS)

        chain = await through(script)
        async with await chain.connect() as client:
            client.send(request())
            async with asyncio.timeout(PATIENCE):
                while (head := await client.head()).status == 103:
                    pass
            assert head.status == 502
        await chain.origin.idle()

    async def test_a_101_must_have_been_asked_for(self, through: Through) -> None:
        switching = [b"HTTP/1.1 101 Switching", b"Connection: Upgrade", b"Upgrade: x", b"", b""]
        chain = await through(once(b"\r\n".join(switching)))
        answer = await chain.ask(request())
        assert answer.status == 502
