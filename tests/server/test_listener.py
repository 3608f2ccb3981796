"""Addresses, TLS, the number of connections, and the orderly end."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.exchange import Incoming, Outgoing
from proxy.server import Listener, ServerOptions
from proxy.server.sockets import bind
from tests.server.conftest import Certified
from tests.server.wire import GET, Listen, Peer, always, echo, eventually, ok
from tests.steady_loop import ON_A_STEADY_LOOP


async def test_several_addresses(listen: Listen, tmp_path: Path) -> None:
    listener = await listen(echo)
    first = listener.port
    await listener.start("127.0.0.1:0")
    second = listener.port
    path = tmp_path / "warmfront.sock"
    await listener.start(f"unix:{path}")
    assert listener.port == 0
    assert first != second
    connections = [
        await asyncio.open_connection("127.0.0.1", first),
        await asyncio.open_connection("127.0.0.1", second),
        await asyncio.open_unix_connection(str(path)),
    ]
    for connection in connections:
        async with Peer(*connection) as peer:
            assert (await peer.ask()).status == 200
    await listener.close()
    assert not path.exists()
    assert listener.port == 0


async def test_a_unix_client_has_no_address(listen: Listen, tmp_path: Path) -> None:
    async def respond(incoming: Incoming) -> Outgoing:
        return ok(f"[{incoming.client.address}]".encode())

    listener = await listen(respond)
    path = tmp_path / "warmfront.sock"
    await listener.start(f"unix:{path}")
    async with Peer(*await asyncio.open_unix_connection(str(path))) as peer:
        assert (await peer.ask()).body == b"[]"


async def test_a_successor_keeps_its_unix_socket(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "warmfront.sock"
    old, new = await listen(echo), await listen(echo)
    await old.start(f"unix:{path}")
    await new.start(f"unix:{path}")
    await old.close()
    async with Peer(*await asyncio.open_unix_connection(str(path))) as peer:
        assert (await peer.ask()).status == 200


async def test_an_address_in_use(listen: Listen) -> None:
    listener = await listen(echo)
    other = Listener(echo, ServerOptions())
    with pytest.raises(OSError, match="in use"):
        await other.start(f"127.0.0.1:{listener.port}")
    await other.close()


async def test_a_listener_that_never_started() -> None:
    listener = Listener(echo, ServerOptions())
    assert listener.port == 0
    await listener.close()


async def test_sockets_that_are_handed_down(tmp_path: Path) -> None:
    path = tmp_path / "warmfront.sock"
    with ExitStack() as kept:
        tcp, unix = bind("127.0.0.1:0")[0], bind(f"unix:{path}")[0]
        listener = Listener(echo, ServerOptions())
        for sock in (tcp, unix):
            kept.enter_context(sock.dup())
            await listener.start("of no matter:0", handed_down=[sock])
        async with Peer(*await asyncio.open_unix_connection(str(path))) as peer:
            assert (await peer.ask()).status == 200
        await listener.close()
        waiting = await asyncio.open_unix_connection(str(path))  # the next one will let it in
        waiting[1].close()


class TestTls:
    async def test_requests_over_tls(self, listen: Listen, certified: Certified) -> None:
        async def respond(incoming: Incoming) -> Outgoing:
            body = b"".join([piece async for piece in incoming.body]) if incoming.body else b""
            return ok(incoming.request.uri.encode() + b" " + body)

        listener = await listen(respond, tls=certified.server)
        async with await Peer.connect(listener, ssl=certified.client) as peer:
            request = b"POST /a HTTP/1.1\r\nHost: a:443\r\nContent-Length: 4\r\n\r\nbody"
            for _ in range(2):
                assert (await peer.ask(request)).body == b"https://a/a body"

    async def test_http_1_1_is_agreed_on(self, listen: Listen, certified: Certified) -> None:
        certified.client.set_alpn_protocols(["h2", "http/1.1"])
        listener = await listen(echo, tls=certified.server)
        async with await Peer.connect(listener, ssl=certified.client) as peer:
            assert peer.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"

    async def test_a_stream_that_breaks_off(self, listen: Listen, certified: Certified) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x"
            raise RuntimeError("bug")

        listener = await listen(always(lambda: ok(broken())), tls=certified.server)
        async with await Peer.connect(listener, ssl=certified.client) as peer:
            peer.send(GET)
            await peer.head()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert b"0\r\n\r\n" not in await peer.rest()

    async def test_a_client_that_leaves_a_silent_stream(
        self, listen: Listen, certified: Certified
    ) -> None:
        closed = asyncio.Event()

        async def silent() -> AsyncIterator[bytes]:
            try:
                yield b"x"
                await asyncio.Event().wait()
            finally:
                closed.set()

        listener = await listen(always(lambda: ok(silent())), tls=certified.server)
        async with await Peer.connect(listener, ssl=certified.client) as peer:
            peer.send(GET)
            await peer.head()
            await peer.chunk()
        await asyncio.wait_for(closed.wait(), 5)

    async def test_refusals_and_plain_text(self, listen: Listen, certified: Certified) -> None:
        listener = await listen(echo, tls=certified.server)
        async with await Peer.connect(listener, ssl=certified.client) as peer:
            assert (await peer.ask(b"BAD\r\n\r\n")).status == 400
        async with await Peer.connect(listener) as peer:
            peer.send(GET)
            assert b"HTTP/1.1 200" not in await peer.rest()
        async with await Peer.connect(listener, ssl=certified.client) as peer:
            assert (await peer.ask()).status == 200

    async def test_a_handshake_that_never_comes(self, listen: Listen, certified: Certified) -> None:
        listener = await listen(echo, tls=certified.server, header_timeout=0.1)
        async with await Peer.connect(listener) as peer:
            await peer.closed()


class TestConnectionLimit:
    async def test_one_too_many(self, listen: Listen) -> None:
        listener = await listen(echo, connections=2)
        async with await Peer.connect(listener) as one, await Peer.connect(listener) as two:
            assert (await one.ask()).status == 200
            assert (await two.ask()).status == 200
            async with await Peer.connect(listener) as three:
                reply = await three.reply()
                assert reply.status == 503
                assert reply.get(b"Connection") == b"close"
                await three.closed()
            assert (await one.ask()).status == 200

    async def test_handshakes_count(self, listen: Listen, certified: Certified) -> None:
        listener = await listen(echo, tls=certified.server, connections=2)
        async with await Peer.connect(listener) as one, await Peer.connect(listener) as two:
            await asyncio.sleep(0.05)
            async with await Peer.connect(listener) as three:
                await three.closed()
            for peer in (one, two):
                peer.send(b"no handshake")
                await peer.rest()
        async with await Peer.connect(listener, ssl=certified.client) as peer:
            assert (await peer.ask()).status == 200

    async def test_a_place_that_is_free_again(self, listen: Listen) -> None:
        listener = await listen(echo, connections=1)
        async with await Peer.connect(listener) as one:
            await one.ask()
        async with asyncio.timeout(5):
            while not await _answers(listener):
                pass


async def _answers(listener: Listener) -> bool:
    try:
        async with await Peer.connect(listener) as peer:
            return (await peer.ask()).status == 200
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


class TestDrain:
    async def test_running_requests_are_answered_and_idle_connections_closed(
        self, listen: Listen
    ) -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def respond(incoming: Incoming) -> Outgoing:
            if incoming.request.target == "/slow":
                asked.set()
                await go.wait()
            return await echo(incoming)

        listener = await listen(respond)
        port = listener.port
        async with await Peer.connect(listener) as busy, await Peer.connect(listener) as idle:
            await idle.ask()
            busy.send(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo")
            await asked.wait()
            draining = asyncio.create_task(listener.drain(5))
            await idle.closed()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            assert not draining.done()
            busy.send(b"dy")
            go.set()
            reply = await busy.reply()
            assert reply.body == b"POST /slow body"
            assert reply.get(b"Connection") == b"close"
            await busy.closed()
            await asyncio.wait_for(draining, 5)

    async def test_an_idle_connection_gets_a_last_answer(self, listen: Listen) -> None:
        listener = await listen(echo, drain_idle=5.0)
        async with await Peer.connect(listener) as used, await Peer.connect(listener) as unused:
            assert (await used.ask()).get(b"Connection") is None
            await eventually(lambda: listener.connections == 2)
            draining = asyncio.create_task(listener.drain(5))
            await asyncio.sleep(0)
            for peer in (used, unused):
                assert (await peer.ask()).get(b"Connection") == b"close"
                await peer.closed()
            await asyncio.wait_for(draining, 5)

    async def test_who_waits_at_the_door_is_let_in(self, listen: Listen) -> None:
        listener = await listen(echo)
        clients = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(20)]
        draining = asyncio.create_task(listener.drain(5))  # before any has been accepted
        for client in clients:
            async with Peer(*await asyncio.open_connection(sock=client)) as peer:
                assert (await peer.ask()).get(b"Connection") == b"close"
        await asyncio.wait_for(draining, 5)

    async def test_a_request_that_has_arrived_unseen_is_answered(self, listen: Listen) -> None:
        listener = await listen(echo, drain_idle=0.0)
        with socket.create_connection(("127.0.0.1", listener.port), 5) as client:
            await eventually(lambda: listener.connections == 1)
            client.sendall(GET)
            draining = asyncio.create_task(listener.drain(5))
            await asyncio.wait_for(draining, 5)
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")

    async def test_connections_retire_while_new_ones_come(self, listen: Listen) -> None:
        listener = await listen(echo)
        async with await Peer.connect(listener) as peer:
            assert (await peer.ask()).get(b"Connection") is None
            listener.retire()
            assert (await peer.ask()).get(b"Connection") == b"close"
            await peer.closed()
        async with await Peer.connect(listener) as peer:
            assert (await peer.ask()).get(b"Connection") == b"close"

    async def test_a_handshake_that_does_not_end_is_cut(
        self, listen: Listen, certified: Certified
    ) -> None:
        listener = await listen(echo, tls=certified.server)
        async with await Peer.connect(listener) as peer:
            await asyncio.sleep(0.05)
            await asyncio.wait_for(listener.drain(0.05), 5)
            await peer.closed()

    async def test_a_head_that_has_begun_is_answered(self, listen: Listen) -> None:
        listener = await listen(echo)
        async with await Peer.connect(listener) as peer:
            await peer.ask()
            peer.send(GET[:-1])
            await peer.writer.drain()
            await asyncio.sleep(0.05)
            draining = asyncio.create_task(listener.drain(5))
            await asyncio.sleep(0.05)
            peer.send(GET[-1:])
            assert (await peer.reply()).get(b"Connection") == b"close"
            await asyncio.wait_for(draining, 5)

    @ON_A_STEADY_LOOP
    async def test_who_was_told_to_go_on_may(self, listen: Listen) -> None:
        go = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b"one"
            await go.wait()
            yield b"two"

        listener = await listen(always(lambda: ok(body())), drain_idle=0.2)
        async with await Peer.connect(listener) as peer, await Peer.connect(listener) as other:
            for client in (peer, other):
                client.send(GET)
                assert (await client.head()).get(b"Connection") is None
                assert await client.chunk() == b"one"
            draining = asyncio.create_task(listener.drain(5))
            await asyncio.sleep(0.3)
            go.set()
            for client in (peer, other):
                assert [await client.chunk(), await client.chunk()] == [b"two", b""]
            assert (await peer.ask()).get(b"Connection") == b"close"
            await peer.closed()
            await other.closed()  # after a moment
            await asyncio.wait_for(draining, 5)

    async def test_what_does_not_finish_in_time_is_cut(self, listen: Listen) -> None:
        cancelled = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            try:
                yield b"one"
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        listener = await listen(always(lambda: ok(body())))
        async with await Peer.connect(listener) as peer:
            peer.send(b"GET / HTTP/1.0\r\n\r\n")
            await peer.head()
            await asyncio.wait_for(listener.drain(0.1), 5)
            with pytest.raises(ConnectionResetError):  # an end would make it look complete
                await peer.rest()
        assert cancelled.is_set()

    async def test_a_gateway_at_work_for_a_lost_client_is_waited_for(self, listen: Listen) -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def respond(_: Incoming) -> Outgoing:
            asked.set()
            await go.wait()
            return ok()

        listener = await listen(respond)
        async with await Peer.connect(listener) as peer:
            peer.send(GET)
            await asked.wait()
        await asyncio.sleep(1.2)  # the time of grace for half-closed clients
        draining = asyncio.create_task(listener.drain(5))
        await asyncio.sleep(0.05)
        assert not draining.done()
        go.set()
        await asyncio.wait_for(draining, 5)

    async def test_close_cancels_a_gateway_at_work(self, listen: Listen) -> None:
        asked, cancelled = asyncio.Event(), asyncio.Event()

        async def respond(_: Incoming) -> Outgoing:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return ok()

        listener = await listen(respond)
        async with await Peer.connect(listener) as peer:
            peer.send(GET)
            await asked.wait()
            await asyncio.wait_for(listener.close(), 5)
            await peer.closed()
        await eventually(cancelled.is_set)


async def test_covering_for_another(listen: Listen) -> None:
    listener = await listen(echo)
    (other,) = bind("127.0.0.1:0")
    port = other.getsockname()[1]
    with other:
        listener.cover([other.dup()], tls=None)
        async with Peer(*await asyncio.open_connection("127.0.0.1", port)) as peer:
            assert (await peer.ask()).status == 200
            listener.cover([], tls=None)
            assert (await peer.ask()).status == 200  # who is in stays
            async with Peer(*await asyncio.open_connection("127.0.0.1", port)) as waiting:
                waiting.send(GET)
                listener.cover([other.dup()], tls=None)
                assert (await waiting.reply()).status == 200
        await listener.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
