"""One client's bytes are never another's: not in answers, not in cookies, not in the store."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from tests.scripted_origin import PATIENCE, Script, Wire, answering, reply
from tests.server.wire import LONG, Peer, Reply
from tests.wire.conftest import Chain, Through, lines, request

FRESH = b"Cache-Control: max-age=60"
CHUNKED_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CLIENTS = 200


async def name_the_target(wire: Wire) -> None:
    """Answer each request with its own target."""
    while True:
        received = await wire.request()
        await wire.send(reply(received.line))


POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


class TestSurplus:
    """Bytes that the origin sends unasked, on a connection that is used again (aiohttp#13656)."""

    @pytest.mark.parametrize(
        "whole",
        [
            pytest.param(reply(b"mine"), id="behind a sized body"),
            pytest.param(CHUNKED_OK + b"4\r\nmine\r\n0\r\n\r\n", id="behind a chunked body"),
            pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="behind a 204"),
            pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", id="behind a 304"),
        ],
    )
    @pytest.mark.parametrize("surplus", [POISON, b"x", b"\r\n", POISON[:20]])
    async def test_at_once(self, through: Through, whole: bytes, surplus: bytes) -> None:
        chain = await through(poisoned(whole + surplus))
        first = await chain.ask(request(b"GET /first HTTP/1.1"))
        assert first.status == int(whole.split(b" ")[1])
        assert first.body in {b"mine", b""}
        await self.others_are_unharmed(chain)

    async def test_behind_the_head_of_a_head(self, through: Through) -> None:
        chain = await through(poisoned(reply(b"a body that HEAD has not") + POISON))
        answer = await chain.ask(request(b"HEAD / HTTP/1.1"), "HEAD")
        assert answer.status == 200
        await self.others_are_unharmed(chain)

    async def test_while_the_connection_lies_idle(self, through: Through) -> None:
        pushed = asyncio.Event()

        async def script(wire: Wire) -> None:
            if wire.number > 1:
                await name_the_target(wire)
            await wire.request()
            await wire.send(reply(b"mine"))
            await pushed.wait()
            await wire.send(POISON)
            await wire.rest()

        chain = await through(script)
        assert (await chain.ask(request())).body == b"mine"
        pushed.set()
        await self.others_are_unharmed(chain)

    async def test_the_same_moment_as_the_next_request(self, through: Through) -> None:
        """The kernel has the bytes, the proxy has not read them yet."""

        async def script(wire: Wire) -> None:
            received = await wire.request()
            await wire.send(reply(received.line))
            await asyncio.sleep(0)
            await wire.send(POISON)
            await wire.rest()

        chain = await through(script)
        for _ in range(20):
            async with await chain.connect() as one, await chain.connect() as other:
                for client, line in ((one, b"GET /x HTTP/1.1"), (other, b"GET /y HTTP/1.1")):
                    assert (await client.ask(request(line))).body == line

    @staticmethod
    async def others_are_unharmed(chain: Chain) -> None:
        for target in (b"/second", b"/third"):
            line = b"GET %b HTTP/1.1" % target
            assert (await chain.ask(request(line))).body == line


def poisoned(first: bytes) -> Script:
    """Let bytes loose on the first connection; on all others, name the target."""

    async def script(wire: Wire) -> None:
        if wire.number == 1:
            await wire.request()
            await wire.send(first)
        await name_the_target(wire)

    return script


class TestSmuggling:
    """A body that contains a request is a body."""

    async def test_inside_a_body(self, through: Through) -> None:
        chain = await through(name_the_target)
        hidden = request(b"GET /hidden HTTP/1.1")
        length = b"Content-Length: %d" % len(hidden)
        async with await chain.connect() as client:
            client.send(request(b"POST /open HTTP/1.1", length, body=hidden))
            client.send(request(b"GET /next HTTP/1.1"))
            answers = [(await client.reply()).body for _ in range(2)]
        assert answers == [b"POST /open HTTP/1.1", b"GET /next HTTP/1.1"]
        assert chain.origin.requests[0].body == hidden

    async def test_behind_a_get_with_a_body(self, through: Through) -> None:
        """A GET may have one; it is passed on, not left in the way."""
        chain = await through(name_the_target)
        hidden = request(b"GET /hidden HTTP/1.1")
        length = b"Content-Length: %d" % len(hidden)
        for _ in range(2):
            await chain.ask(request(b"GET /open HTTP/1.1", length, body=hidden))
        assert [received.body for received in chain.origin.requests] == [hidden, hidden]


class TestCookies:
    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    async def test_they_never_reach_another_user(self, through: Through, name: str) -> None:
        """By host name, too: a cookie jar would not take any for an address."""
        chain = await through(
            answering(reply(b"", b"Set-Cookie: session=alice; Path=/")),
            url=lambda origin: f"http://{name}:{origin.port}",
        )
        async with await chain.connect() as alice, await chain.connect() as bob:
            host = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
            assert (await alice.ask(host % 1)).get(b"Set-Cookie") is not None
            await bob.ask(host % 2)
            await alice.ask(host % 3)
        assert [lines(received, b"cookie") for received in chain.origin.requests] == [[], [], []]

    async def test_a_response_that_sets_one_is_for_one(self, through: Through) -> None:
        chain = await through(
            answering(
                reply(b"alice", FRESH, b"Set-Cookie: s=alice"),
                reply(b"bob", FRESH, b"Set-Cookie: s=bob"),
            )
        )
        answers = [await chain.ask(request()) for _ in range(2)]
        assert [answer.get(b"Set-Cookie") for answer in answers] == [b"s=alice", b"s=bob"]
        assert [answer.body for answer in answers] == [b"alice", b"bob"]

    async def test_credentials_keep_a_response_out_of_the_store(self, through: Through) -> None:
        chain = await through(answering(reply(b"alice", FRESH), reply(b"bob", FRESH)))
        bodies = [
            (await chain.ask(request(b"GET / HTTP/1.1", b"Authorization: Bearer " + user))).body
            for user in (b"alice", b"bob")
        ]
        assert bodies == [b"alice", b"bob"]


def bodies(seed: int) -> Iterator[bytes]:
    """Contents that no two requests share, of all sizes around the buffers' own."""
    draw = random.Random(seed)  # noqa: S311
    for number in range(10):
        size = draw.choice([0, 1, 100, 5_000, 70_000])
        yield b"%d/%d;" % (seed, number) + bytes([seed % 256]) * size


async def echo_at_random(wire: Wire) -> None:
    """Echo in one of many framings and paces; now and then end the connection."""
    draw = random.Random(wire.number)  # noqa: S311
    while True:
        received = await wire.request()
        mark = b"X-Target: " + received.line.split(b" ")[1]
        storable = FRESH if draw.random() < 0.5 else b"Cache-Control: no-store"
        await asyncio.sleep(draw.choice([0, 0, 0.001, 0.01]))
        match draw.randrange(4):
            case 0:
                head = b"HTTP/1.1 200 OK\r\n%b\r\n%b\r\n" % (mark, storable)
                await wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
                middle = len(received.body) // 2
                for piece in (received.body[:middle], received.body[middle:]):
                    if piece:
                        await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                        await asyncio.sleep(0)
                await wire.send(b"0\r\n\r\n")
            case 1:
                await wire.send(reply(received.body, mark, storable, b"Connection: close"))
                return
            case 2:
                await wire.send(b"HTTP/1.1 103 Early Hints\r\n%b\r\n\r\n" % mark)
                await wire.send(reply(received.body, mark, storable))
            case _:
                await wire.send(reply(received.body, mark, storable))


class TestManyAtATime:
    async def test_uploads_never_mix(self, through: Through) -> None:
        chain = await through(echo_at_random)

        async def user(seed: int) -> None:
            async with await chain.connect() as client:
                client.patience = 4 * LONG
                for number, body in enumerate(bodies(seed)):
                    target = b"/%d/%d" % (seed, number)
                    length = b"Content-Length: %d" % len(body)
                    client.send(request(b"PUT %b HTTP/1.1" % target, length, body=body))
                    answer = await final(client)
                    assert answer.get(b"X-Target") == target
                    assert answer.body == body

        async with asyncio.timeout(4 * LONG):
            await asyncio.gather(*(user(seed) for seed in range(CLIENTS)))
        assert len(chain.origin.requests) == CLIENTS * 10

    async def test_hits_and_misses_never_mix(self, through: Through) -> None:
        """Each URL has one answer, whoever asks, from wherever it comes; some leave early."""

        async def script(wire: Wire) -> None:
            while True:
                received = await wire.request()
                target = received.line.split(b" ")[1]
                await asyncio.sleep(0.001)
                await wire.send(reply(target * 500, b"X-Target: " + target, FRESH))

        chain = await through(script)

        async def user(seed: int) -> None:
            draw = random.Random(seed)  # noqa: S311
            for _ in range(5):
                async with await chain.connect() as client:
                    client.patience = 4 * LONG
                    for _ in range(3):
                        target = b"/%d" % draw.randrange(40)
                        client.send(request(b"GET %b HTTP/1.1" % target))
                        if draw.random() < 0.2:
                            break  # leave without the answer
                        answer = await client.reply()
                        assert answer.get(b"X-Target") == target
                        assert answer.body == target * 500

        async with asyncio.timeout(LONG):
            await asyncio.gather(*(user(seed) for seed in range(CLIENTS // 2)))
        await asyncio.wait_for(chain.front.background.drain(), PATIENCE)


async def final(client: Peer) -> Reply:
    """The next final answer."""
    while (answer := await client.reply()).status < 200:
        pass
    return answer
