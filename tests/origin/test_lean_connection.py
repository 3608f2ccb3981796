"""What only the lean path does; what it shares with the other is in test_client, test_response."""

import asyncio
import os
import socket

import pytest

from proxy.exchange import BodyAborted
from proxy.origin import OriginError, OriginResponse
from proxy.rfc9111.reasons import Reason
from tests.certificates import Certify
from tests.origin.conftest import Connect, Serve, aborted, fetch, get, read
from tests.origin.in_memory import Network, Speech
from tests.scripted_origin import PATIENCE, Wire, answering, once, reply

OK = b"HTTP/1.1 200 OK\r\n"


async def silence(wire: Wire) -> None:
    await wire.rest()


def at_once(response: OriginResponse) -> bytes:
    """The next piece, which must be there without waiting."""
    step = anext(response.body)
    with pytest.raises(StopIteration) as stopped:
        step.__await__().send(None)
    piece: bytes = stopped.value.value
    return piece


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(reply(b"whole"), id="6.3-length"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n", id="7.1-chunked"
        ),
    ],
)
async def test_what_came_with_the_head_is_there_without_waiting(
    connect: Connect, serve: Serve, message: bytes
) -> None:
    origin = await serve(answering(message))
    response = await connect(origin).fetch(get())
    assert at_once(response) == b"whole"


@pytest.mark.parametrize(
    ("segments", "method", "content"),
    [
        pytest.param([reply(b"whole")], "GET", b"whole", id="with the head"),
        pytest.param([reply(b"")], "GET", b"", id="empty"),
        pytest.param([OK + b"Content-Length: 9\r\n\r\n"], "HEAD", b"", id="of HEAD"),
        pytest.param([reply(b"whole") + b"!"], "GET", b"whole", id="with surplus"),
        pytest.param([reply(b"whole")[:-1], b"e"], "GET", None, id="in two segments"),
    ],
)
async def test_content_is_all_of_a_body_that_came_with_its_head(
    segments: list[bytes], method: str, content: bytes | None
) -> None:
    network = Network(lambda _: Speech(segments))
    client = network.client(lean=True)
    response = await client.fetch(get(method=method))
    assert response.content == content
    assert await read(response) == (b"whole" if content is None else content)
    await client.close()
    network.close()


async def test_a_slow_reader_does_not_hold_a_connection(connect: Connect, serve: Serve) -> None:
    """Bodies that fit the buffer leave the wire at once; who reads them later is not the pool's."""
    origin = await serve(answering(reply(b"x" * 50_000)))
    client = connect(origin, connections=1, connect_timeout=PATIENCE)
    responses = [await client.fetch(get()) for _ in range(5)]
    assert origin.connections == 1
    for response in responses:
        assert len(await read(response)) == 50_000


async def test_who_is_too_slow_loses_its_connection_to_others(
    connect: Connect, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a few clients that do not read would keep the origin from everybody."""
    monkeypatch.setattr("proxy.origin.lean_pool.PATIENCE", 0.05)
    monkeypatch.setattr("proxy.origin.slots.PATIENCE", 0.06)

    async def script(wire: Wire) -> None:
        large = (await wire.request()).line.split()[1] == b"/large"
        await wire.send(reply(b"x" * (4 << 20 if large else 2)))

    client = connect(await serve(script), connections=2, connect_timeout=PATIENCE)
    slow = [await client.fetch(get("/large")) for _ in range(2)]
    assert await fetch(client) == b"xx"
    ends = await asyncio.gather(*map(read, slow), return_exceptions=True)
    (cut,) = (end for end in ends if isinstance(end, BodyAborted))
    assert cut.reason is Reason.TOO_SLOW
    assert sum(isinstance(end, bytes) and len(end) == 4 << 20 for end in ends) == 1


async def test_the_connection_used_last_is_used_next(connect: Connect, serve: Serve) -> None:
    """So that those which are not needed grow old, and are closed."""
    numbers: list[int] = []

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            numbers.append(wire.number)
            await wire.send(reply())

    client = connect(await serve(script))
    await asyncio.gather(*(fetch(client) for _ in range(3)))
    numbers.clear()
    for _ in range(4):
        await fetch(client)
    assert len(set(numbers)) == 1


async def test_tls_that_is_cut_is_no_end(connect: Connect, serve: Serve, certify: Certify) -> None:
    """RFC 9112 §9.8: without framing, only close_notify tells an end from an attacker's cut."""

    async def cut(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK + b"\r\nhalf")
        with socket.socket(fileno=os.dup(wire.writer.get_extra_info("socket").fileno())) as raw:
            raw.shutdown(socket.SHUT_WR)
        await wire.rest()

    certificate = certify("127.0.0.1")
    origin = await serve(cut, tls=certificate.server())
    response = await connect(origin, ca_file=certificate.ca_file).fetch(get())
    part, how = await aborted(response)
    assert (part, how.reason) == (b"half", Reason.ORIGIN_BROKEN)


async def test_tls_that_is_closed_is_an_end(
    connect: Connect, serve: Serve, certify: Certify
) -> None:
    certificate = certify("127.0.0.1")
    origin = await serve(once(OK + b"\r\nall of it"), tls=certificate.server())
    assert await fetch(connect(origin, ca_file=certificate.ca_file)) == b"all of it"


async def test_one_body_has_one_reader(connect: Connect, serve: Serve) -> None:
    client = connect(await serve(once(OK + b"\r\n", silence)))
    response = await client.fetch(get())
    reading = asyncio.create_task(read(response))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="two readers"):
        await read(response)
    reading.cancel()
    await asyncio.wait([reading])
    await response.aclose()


async def test_a_body_closed_before_it_was_read_never_looks_whole(
    connect: Connect, serve: Serve
) -> None:
    client = connect(await serve(answering(reply(b"all here"))))
    response = await client.fetch(get())
    await response.aclose()
    part, how = await aborted(response)
    assert (part, how.reason) == (b"", Reason.ORIGIN_BROKEN)
    assert await fetch(client) == b"all here"


async def test_an_interim_head_cannot_end_the_connection(connect: Connect, serve: Serve) -> None:
    response = b"HTTP/1.1 103 Hints\r\nConnection: close\r\n\r\n" + reply()
    with pytest.raises(OriginError) as raised:
        await connect(await serve(answering(response))).fetch(get())
    assert raised.value.reason is Reason.ORIGIN_MALFORMED


async def test_an_origin_that_hangs_up_at_once_is_broken(connect: Connect, serve: Serve) -> None:
    async def hang_up(wire: Wire) -> None:
        wire.reset()

    with pytest.raises(OriginError) as raised:
        await connect(await serve(hang_up)).fetch(get())
    assert raised.value.reason in {Reason.ORIGIN_BROKEN, Reason.ORIGIN_REFUSED}


async def test_many_that_are_cancelled_while_they_connect_leave_nothing(
    connect: Connect, serve: Serve
) -> None:
    origin = await serve(answering(reply(b"ok")))
    client = connect(origin, connections=3, keepalive=0.0)
    for rounds in range(12):
        tasks = [asyncio.create_task(client.fetch(get())) for _ in range(6)]
        for _ in range(rounds):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                await (await task).aclose()
    assert await asyncio.gather(*(fetch(client) for _ in range(6))) == [b"ok"] * 6
    assert client._lean._slots.free == 3


@pytest.mark.parametrize("rounds", range(8))
@pytest.mark.parametrize(
    "segments",
    [
        pytest.param([reply(b"whole")], id="in one"),
        pytest.param([reply(b"in two")[:-2], b"wo"], id="in two"),
        pytest.param([b"HTTP/1.1 102 P\r\n\r\n", reply(b"x")], id="with an interim head"),
    ],
)
async def test_cancelling_in_any_round_of_the_loop_costs_nothing_but_the_answer(
    segments: list[bytes], rounds: int
) -> None:
    network = Network(lambda sent: Speech(segments if b"/first" in sent else [reply(b"next")]))
    client = network.client(lean=True, connections=1)
    task = asyncio.create_task(client.fetch(get("/first")))
    for _ in range(rounds):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        await task.result().aclose()
    assert await fetch(client) == b"next"
    await client.close()
    network.close()


async def test_reading_goes_on_where_it_paused() -> None:
    pieces = [b"x" * 60_000] * 10
    head = OK + b"Content-Length: 600000\r\n\r\n"
    network = Network(lambda _: Speech([head, *pieces]))
    client = network.client(lean=True)
    response = await client.fetch(get())
    for _ in range(30):
        await asyncio.sleep(0)
    assert [transport.paused for transport in network.transports] == [True]
    assert len(await anext(response.body)) == 180_000
    assert len(await read(response)) == 420_000
    assert [transport.paused for transport in network.transports] == [False]
    assert await read(await client.fetch(get())) == b"".join(pieces)
    assert len(network.transports) == 1
    await client.close()
    network.close()


async def test_nothing_is_asked_of_a_client_that_is_closed(connect: Connect, serve: Serve) -> None:
    origin = await serve(once(reply(b"x")[:-1], silence))
    client = connect(origin, connections=1)
    response = await client.fetch(get())
    waiting = asyncio.create_task(client.fetch(get()))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(OriginError) as raised:
        await waiting
    assert raised.value.reason is Reason.ORIGIN_UNREACHABLE
    await aborted(response)
    assert origin.connections == 1
