"""Upgrades: bytes both ways after a 101, and HTTP as before without one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.exchange import Incoming, Outgoing
from proxy.rfc9111.messages import Headers
from proxy.server import Respond
from tests.server.wire import GET, LONG, PATIENCE, Listen, Peer, echo, eventually, ok
from tests.steady_loop import ON_A_STEADY_LOOP

UPGRADE = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
MIB = 1024 * 1024


class Tunnel:
    """The origin's side: echoes what it gets until told otherwise."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.got = b""
        self.ended = False
        self.closed = False
        self.slow = asyncio.Event()
        self.slow.set()
        self.echoing = True
        self.broken: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.queue.get():
            yield data

    async def write(self, data: bytes) -> None:
        await self.slow.wait()
        if self.broken is not None:
            raise self.broken
        self.got += data
        if self.echoing:
            self.queue.put_nowait(data)

    def close_write(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True


def switching(tunnel: Tunnel) -> Respond:
    async def respond(incoming: Incoming) -> Outgoing:
        if not incoming.upgrade:
            return await echo(incoming)
        headers = Headers([("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "x")])
        return Outgoing(101, "Switching Protocols", headers, tunnel=tunnel)

    return respond


async def open_tunnel(peer: Peer, behind: bytes = b"") -> None:
    peer.send(UPGRADE + behind)
    reply = await peer.head()
    assert reply.line == b"HTTP/1.1 101 Switching Protocols"
    assert reply.fields == [
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Accept", b"x"),
        (b"Connection", b"upgrade"),
    ]


async def read(peer: Peer, size: int) -> bytes:
    return await asyncio.wait_for(peer.reader.readexactly(size), PATIENCE)


async def test_bytes_pass_both_ways(listen: Listen) -> None:
    tunnel = Tunnel()
    async with await Peer.connect(await listen(switching(tunnel))) as peer:
        await open_tunnel(peer)
        for frame in (b"\x81\x00", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 1000):
            peer.send(frame)
            assert await read(peer, len(frame)) == frame
        tunnel.queue.put_nowait(b"unasked")
        assert await read(peer, 7) == b"unasked"
    await eventually(lambda: tunnel.closed)


async def test_bytes_right_behind_the_request_belong_to_the_tunnel(listen: Listen) -> None:
    tunnel = Tunnel()
    async with await Peer.connect(await listen(switching(tunnel))) as peer:
        await open_tunnel(peer, b"early" + GET)
        assert await read(peer, 5 + len(GET)) == b"early" + GET


async def test_the_body_of_the_request_comes_first(listen: Listen) -> None:
    tunnel = Tunnel()
    request = UPGRADE.replace(b"Host: a\r\n", b"Host: a\r\nContent-Length: 4\r\n")
    async with await Peer.connect(await listen(switching(tunnel))) as peer:
        peer.send(request + b"bo")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.reader.read(1), 0.05)
        peer.send(b"dyearly")
        assert (await peer.head()).status == 101
        assert await read(peer, 5) == b"early"
    assert tunnel.got == b"early"


@pytest.mark.parametrize("content", [b"", b"body"])
async def test_a_declined_upgrade_leaves_http(listen: Listen, content: bytes) -> None:
    framing = b"Content-Length: %d\r\n" % len(content)
    request = UPGRADE.replace(b"Host: a\r\n", b"Host: a\r\n" + framing) + content
    async with await Peer.connect(await listen(echo)) as peer:
        peer.send(request + GET + request)
        assert (await peer.reply()).body == b"GET /chat " + content
        assert (await peer.reply()).body == b"GET / "
        assert (await peer.reply()).body == b"GET /chat " + content
        assert (await peer.ask()).body == b"GET / "
        await peer.send_slowly(request + GET)
        assert (await peer.reply()).body == b"GET /chat " + content
        assert (await peer.reply()).body == b"GET / "


async def test_what_follows_a_declined_upgrade_is_judged_like_anything_else(
    listen: Listen,
) -> None:
    async with await Peer.connect(await listen(echo)) as peer:
        peer.send(UPGRADE + b"BAD\r\n\r\n" + GET)
        assert (await peer.reply()).status == 200
        assert (await peer.reply()).status == 400
        await peer.closed()


async def test_a_declined_upgrade_with_much_behind_it(listen: Listen) -> None:
    count = 5000
    async with await Peer.connect(await listen(echo)) as peer:
        peer.send(UPGRADE + GET * count)
        assert (await peer.reply()).body == b"GET /chat "
        for _ in range(count):
            assert (await peer.reply()).body == b"GET / "


async def test_a_tunnel_nobody_asked_for_is_refused(listen: Listen) -> None:
    tunnel = Tunnel()

    async def respond(_: Incoming) -> Outgoing:
        return Outgoing(101, "Switching Protocols", Headers(), tunnel=tunnel)

    async with await Peer.connect(await listen(respond)) as peer:
        assert (await peer.ask()).status == 502
    assert tunnel.closed


async def test_a_101_without_a_tunnel_is_refused(listen: Listen) -> None:
    async def respond(_: Incoming) -> Outgoing:
        return Outgoing(101, "Switching Protocols", Headers())

    async with await Peer.connect(await listen(respond)) as peer:
        assert (await peer.ask(UPGRADE)).status == 500


async def test_a_tunnel_for_a_client_that_left(listen: Listen) -> None:
    tunnel, asked, answer = Tunnel(), asyncio.Event(), asyncio.Event()

    async def respond(_: Incoming) -> Outgoing:
        asked.set()
        await answer.wait()
        return Outgoing(101, "Switching Protocols", Headers(), tunnel=tunnel)

    async with await Peer.connect(await listen(respond)) as peer:
        peer.send(UPGRADE)
        await asked.wait()
        peer.writer.transport.abort()
    await asyncio.sleep(0.05)
    answer.set()
    await eventually(lambda: tunnel.closed)


async def test_the_origin_closes_first(listen: Listen) -> None:
    """The client sees the end, and may still send."""
    tunnel = Tunnel()
    tunnel.echoing = False
    async with await Peer.connect(await listen(switching(tunnel))) as peer:
        await open_tunnel(peer)
        tunnel.queue.put_nowait(b"bye")
        tunnel.queue.put_nowait(b"")
        assert await peer.rest() == b"bye"
        peer.send(b"last words")
        await eventually(lambda: tunnel.got == b"last words")
    await eventually(lambda: tunnel.closed)


async def test_the_client_closes_its_side_first(listen: Listen) -> None:
    """The origin may still answer."""
    tunnel = Tunnel()
    async with await Peer.connect(await listen(switching(tunnel))) as peer:
        await open_tunnel(peer)
        peer.writer.write(b"last words")
        peer.writer.write_eof()
        assert await read(peer, 10) == b"last words"
        await eventually(lambda: tunnel.ended)
        assert not tunnel.closed
        tunnel.queue.put_nowait(b"bye")
        tunnel.queue.put_nowait(b"")
        assert await peer.rest() == b"bye"
    await eventually(lambda: tunnel.closed)


async def test_a_client_that_is_gone_while_the_origin_is_stuck(listen: Listen) -> None:
    tunnel = Tunnel()
    async with await Peer.connect(await listen(switching(tunnel))) as peer:
        await open_tunnel(peer)
        tunnel.slow.clear()
        peer.send(b"x")
    await eventually(lambda: tunnel.closed)


@pytest.mark.parametrize("error", [ConnectionResetError(), BrokenPipeError()])
async def test_the_origin_breaks(listen: Listen, error: Exception) -> None:
    tunnel = Tunnel()
    tunnel.broken = error
    async with await Peer.connect(await listen(switching(tunnel))) as peer:
        await open_tunnel(peer)
        peer.send(b"x")
        tunnel.queue.put_nowait(b"")
        assert await peer.rest() == b""
    await eventually(lambda: tunnel.closed)


async def test_a_slow_origin_slows_the_client(listen: Listen) -> None:
    tunnel = Tunnel()
    tunnel.echoing = False
    tunnel.slow.clear()
    async with await Peer.connect(await listen(switching(tunnel))) as peer:
        await open_tunnel(peer)
        sending = asyncio.create_task(_send_much(peer, 32 * MIB))
        done, _ = await asyncio.wait([sending], timeout=0.3)
        assert not done
        tunnel.slow.set()
        await asyncio.wait_for(sending, LONG)
        await eventually(lambda: len(tunnel.got) == 32 * MIB)


async def test_a_slow_client_slows_the_origin(listen: Listen) -> None:
    made = 0

    class Fountain(Tunnel):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal made
            while made < 32 * MIB:
                made += 65536
                yield bytes(65536)

    async with await Peer.connect(await listen(switching(Fountain())), limit=1024) as peer:
        await open_tunnel(peer)
        await asyncio.sleep(0.3)
        assert made < 16 * MIB
        got = 0
        while got < 32 * MIB:
            got += len(await asyncio.wait_for(peer.reader.read(MIB), PATIENCE))


@ON_A_STEADY_LOOP
async def test_a_tunnel_outlives_every_timeout(listen: Listen) -> None:
    listener = await listen(
        switching(Tunnel()), header_timeout=0.05, keepalive_timeout=0.05, body_idle=0.05
    )
    async with await Peer.connect(listener) as peer:
        await open_tunnel(peer)
        await asyncio.sleep(0.2)
        peer.send(b"still")
        assert await read(peer, 5) == b"still"


async def _send_much(peer: Peer, size: int) -> None:
    for _ in range(size // 65536):
        peer.send(bytes(65536))
        await peer.writer.drain()


async def test_http_1_0_cannot_upgrade(listen: Listen) -> None:
    async def respond(incoming: Incoming) -> Outgoing:
        assert not incoming.upgrade
        return ok()

    async with await Peer.connect(await listen(respond)) as peer:
        assert (await peer.ask(UPGRADE.replace(b"1.1", b"1.0"))).status == 200
