"""Request bodies: framing, pace, early answers, Expect."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.exchange import BodyAborted
from proxy.origin import OriginError, Outbound
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason
from tests.origin.conftest import Connect, Pieces, Serve, fetch, get, read
from tests.scripted_origin import PATIENCE, HungUpError, Wire, answering, once, reply
from tests.steady_loop import ON_A_STEADY_LOOP


def post(body: Pieces, **more: object) -> Outbound:
    return get("/upload", method="POST", body=body, **more)


async def silence(wire: Wire) -> None:
    await wire.rest()


async def echo(wire: Wire) -> None:
    while True:
        await wire.send(reply((await wire.request()).body))


async def test_a_body_of_known_length(connect: Connect, serve: Serve) -> None:
    origin = await serve(echo)
    client = connect(origin)
    for _ in range(2):
        body = Pieces(b"hello ", b"", b"world\0\xff", length=13)
        assert await fetch(client, method="POST", body=body) == b"hello world\0\xff"
        assert body.closed
    assert origin.requests[0].get(b"Content-Length") == b"13"
    assert origin.requests[0].get(b"Transfer-Encoding") is None
    assert origin.connections == 1


async def test_a_body_of_unknown_length_is_chunked(connect: Connect, serve: Serve) -> None:
    origin = await serve(echo)
    client = connect(origin)
    for _ in range(2):
        body = Pieces(b"hello ", b"", b"x" * 300)
        assert await fetch(client, method="POST", body=body) == b"hello " + b"x" * 300
    assert origin.requests[0].get(b"Content-Length") is None
    assert origin.requests[0].get(b"Transfer-Encoding") == b"chunked"
    assert origin.connections == 1


@pytest.mark.parametrize("length", [0, None])
async def test_an_empty_body(connect: Connect, serve: Serve, length: int | None) -> None:
    body = Pieces(b"", length=length)
    assert await fetch(connect(await serve(echo)), method="PUT", body=body) == b""


async def test_pieces_pass_as_they_come(connect: Connect, serve: Serve) -> None:
    seen = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        assert await wire.read(len(b"5\r\nfirst\r\n")) == b"5\r\nfirst\r\n"
        seen.set()
        assert await wire.read(len(b"4\r\nlast\r\n0\r\n\r\n")) == b"4\r\nlast\r\n0\r\n\r\n"
        await wire.send(reply(b"thanks"))

    body = Pieces()
    client = connect(await serve(script))
    fetching = asyncio.create_task(fetch(client, method="POST", body=body))
    body.put(b"first")
    await asyncio.wait_for(seen.wait(), PATIENCE)
    body.put(b"last")
    body.finish()
    assert await fetching == b"thanks"


async def test_a_slow_origin_slows_the_client(connect: Connect, serve: Serve) -> None:
    go_on = asyncio.Event()

    async def script(wire: Wire) -> None:
        request = await wire.head()
        await asyncio.wait_for(go_on.wait(), PATIENCE)
        await wire.body(request)
        await wire.send(reply(b"thanks"))

    body = Pieces(*[b"x" * 65_536] * 512, length=512 * 65_536)
    client = connect(await serve(script))
    fetching = asyncio.create_task(fetch(client, method="POST", body=body))
    async with asyncio.timeout(PATIENCE):
        last = -1
        while body.taken != last or not last:
            last = body.taken
            await asyncio.sleep(0.1)
    assert body.taken < 256 * 65_536
    go_on.set()
    assert await fetching == b"thanks"
    assert body.taken == 512 * 65_536


# The clock for the response head.


@ON_A_STEADY_LOOP
async def test_a_slow_client_is_not_the_origins_fault(connect: Connect, serve: Serve) -> None:
    body = Pieces()
    client = connect(await serve(echo), header_timeout=0.1)
    fetching = asyncio.create_task(fetch(client, method="POST", body=body))
    for _ in range(3):
        await asyncio.sleep(0.15)
        body.put(b"x")
    body.finish()
    assert await fetching == b"xxx"


async def test_the_clock_runs_once_the_body_is_sent(connect: Connect, serve: Serve) -> None:
    origin = await serve(once(silence))
    with pytest.raises(OriginError) as raised:
        await connect(origin, header_timeout=0.1).fetch(post(Pieces(b"x", length=1)))
    assert raised.value.reason is Reason.ORIGIN_HEADER_TIMEOUT
    await origin.idle()


async def test_an_origin_that_stops_reading_is_a_timeout(connect: Connect, serve: Serve) -> None:
    release = asyncio.Event()

    async def stall(wire: Wire) -> None:
        await wire.head()
        await asyncio.wait_for(release.wait(), PATIENCE)

    body = Pieces(*[b"x" * 65_536] * 512, length=512 * 65_536)
    client = connect(await serve(stall), header_timeout=0.3)
    with pytest.raises(OriginError) as raised:
        await client.fetch(post(body))
    release.set()
    assert raised.value.reason is Reason.ORIGIN_HEADER_TIMEOUT
    assert body.closed


# Early answers.


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
async def test_an_early_413_arrives_and_stops_the_upload(
    connect: Connect, serve: Serve, close: bytes
) -> None:
    async def refuse(wire: Wire) -> None:
        await wire.head()
        head = b"HTTP/1.1 413 Content Too Large\r\n" + close + b"Content-Length: 3\r\n\r\n"
        await wire.send(head + b"big")
        await wire.rest()

    origin = await serve(refuse)
    client = connect(origin)
    body = Pieces(length=10**9)
    body.put(b"x")
    response = await client.fetch(post(body))
    assert response.status == 413
    assert body.closed
    assert await read(response) == b"big"
    await origin.idle()  # not reused: the request was not whole


class AnsweredEarly:
    """A body in the middle of which the origin answers and hangs up, unseen by the loop."""

    length = 3

    def __init__(self) -> None:
        self.origin = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.origin.getsockname()[1]}"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"1"
        connection, _ = self.origin.accept()
        connection.sendall(reply(b"big", b"Connection: close", status=b"413 Too Large"))
        connection.close()  # with the request unread, so that it is a reset
        self.origin.close()
        yield b"2"
        yield b"3"


async def test_an_early_413_is_heard_before_the_reset(connect: Connect) -> None:
    body = AnsweredEarly()
    response = await connect(body.url).fetch(get(method="POST", body=body))
    assert response.status == 413
    assert await read(response) == b"big"


async def test_an_early_200_does_not_stop_the_upload(connect: Connect, serve: Serve) -> None:
    """An origin that answers while it reads: both directions stream."""

    async def mirror(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (size := await wire.line()) != b"0":
            data = await wire.read(int(size, 16) + 2)
            await wire.send(size + b"\r\n" + data)
        await wire.line()
        await wire.send(b"0\r\n\r\n")
        await echo(wire)

    origin = await serve(mirror)
    client = connect(origin)
    body = Pieces()
    response = await client.fetch(post(body))
    for piece in (b"one", b"two"):
        body.put(piece)
        assert await anext(response.body) == piece
    body.finish()
    assert await read(response) == b""
    assert await fetch(client, method="PUT", body=Pieces(b"again")) == b"again"
    assert origin.connections == 1


async def test_an_answer_that_ends_first_ends_the_upload(connect: Connect, serve: Serve) -> None:
    async def hasty(wire: Wire) -> None:
        await wire.head()
        await wire.send(reply(b"enough"))
        await wire.rest()

    origin = await serve(hasty)
    body = Pieces()
    body.put(b"x")
    assert await fetch(connect(origin), method="POST", body=body) == b"enough"
    assert body.closed
    await origin.idle()


async def test_aclose_ends_the_upload(connect: Connect, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        await wire.rest()

    origin = await serve(script)
    body = Pieces()
    body.put(b"x")
    response = await connect(origin).fetch(post(body))
    await response.aclose()
    assert body.closed
    await origin.idle()


# Clients that fail.


async def test_a_client_that_breaks_off_ends_the_request(connect: Connect, serve: Serve) -> None:
    received: list[bytes] = []

    async def script(wire: Wire) -> None:
        await wire.head()
        received.append(await wire.rest())

    origin = await serve(script)
    body = Pieces()
    body.put(b"part")
    body.put(BodyAborted(Reason.REQUEST_INCOMPLETE))
    with pytest.raises(BodyAborted) as raised:
        await connect(origin).fetch(post(body))
    assert raised.value.reason is Reason.REQUEST_INCOMPLETE
    await origin.idle()
    assert b"0\r\n\r\n" not in received[0]


async def test_a_client_that_breaks_off_late_aborts_the_response(
    connect: Connect, serve: Serve
) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await wire.rest()

    origin = await serve(script)
    body = Pieces()
    response = await connect(origin).fetch(post(body))
    body.put(BodyAborted(Reason.REQUEST_INCOMPLETE))
    with pytest.raises(BodyAborted) as raised:
        await anext(response.body)
    assert raised.value.reason is Reason.REQUEST_INCOMPLETE
    await origin.idle()


@pytest.mark.parametrize("pieces", [[b"four"], [b"four", b"more"]])
async def test_a_body_that_is_not_as_long_as_announced(
    connect: Connect, serve: Serve, pieces: list[bytes]
) -> None:
    received: list[bytes] = []

    async def script(wire: Wire) -> None:
        await wire.head()
        received.append(await wire.rest())

    origin = await serve(script)
    with pytest.raises(BodyAborted):
        await connect(origin).fetch(post(Pieces(*pieces, length=5)))
    await origin.idle()
    assert len(received[0]) < 5


async def test_cancelling_a_fetch_stops_reading_the_client(connect: Connect, serve: Serve) -> None:
    origin = await serve(silence)
    body = Pieces()
    body.put(b"x")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connect(origin).fetch(post(body)), 0.05)
    assert body.closed
    await origin.idle()


# Origins that fail.


async def test_a_request_with_a_body_is_never_sent_twice(connect: Connect, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(reply(b"ok"))
        await wire.head()
        raise HungUpError

    origin = await serve(script)
    client = connect(origin, lean=False)
    assert await fetch(client) == b"ok"
    with pytest.raises(OriginError) as raised:
        await client.fetch(post(Pieces(b"x", length=1)))
    assert raised.value.reason is Reason.ORIGIN_BROKEN
    assert [request.line.split()[0] for request in origin.requests] == [b"GET", b"POST"]


async def test_a_request_with_a_body_avoids_connections_idle_for_long(
    connect: Connect, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.origin.client._MAX_IDLE_ONE_SHOT", 0.01)
    origin = await serve(echo)
    client = connect(origin, lean=False)
    await fetch(client)
    await asyncio.sleep(0.02)
    assert await fetch(client, method="POST", body=Pieces(b"x", length=1)) == b"x"
    assert origin.connections == 2


async def test_an_origin_that_hangs_up_on_a_body(connect: Connect, serve: Serve) -> None:
    async def reset(wire: Wire) -> None:
        await wire.head()
        wire.reset()

    body = Pieces(*[b"x" * 65_536] * 256)
    client = connect(await serve(reset))
    with pytest.raises(OriginError) as raised:
        await client.fetch(post(body))
    assert raised.value.reason is Reason.ORIGIN_BROKEN
    assert body.closed


# Expect: 100-continue.


class Continues:
    def __init__(self) -> None:
        self.statuses: list[int] = []

    def __call__(self, status: int, _reason: str, _headers: Headers) -> None:
        self.statuses.append(status)


async def test_the_body_waits_for_100(connect: Connect, serve: Serve) -> None:
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        request = await wire.head()
        asked.set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.read(1), 0.1)
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await wire.send(reply(await wire.body(request)))
        await echo(wire)

    origin = await serve(script)
    client = connect(origin, lean=False)
    seen = Continues()
    body = Pieces(b"hello", length=5)
    response = await client.fetch(post(body, expects_continue=True, on_interim=seen))
    assert seen.statuses == [100]
    assert await read(response) == b"hello"
    assert await fetch(client) == b""
    assert origin.connections == 1


async def test_a_final_answer_in_place_of_100_spares_the_body(
    connect: Connect, serve: Serve
) -> None:
    rest: list[bytes] = []

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(reply(b"no", status=b"417 Expectation Failed"))
        rest.append(await wire.rest())

    origin = await serve(script)
    body = Pieces(b"hello", length=5)
    response = await connect(origin).fetch(post(body, expects_continue=True))
    assert response.status == 417
    assert await read(response) == b"no"
    await origin.idle()
    assert (rest, body.taken) == ([b""], 0)


async def test_even_a_200_in_place_of_100_spares_the_body(connect: Connect, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(reply(b"no need"))
        assert await wire.rest() == b""

    origin = await serve(script)
    body = Pieces(b"hello", length=5)
    assert (
        await fetch(connect(origin), method="PUT", body=body, expects_continue=True) == b"no need"
    )
    await origin.idle()


async def test_an_origin_that_ignores_expect_gets_the_body(
    connect: Connect, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.origin.upload.CONTINUE_TIMEOUT", 0.1)
    seen = Continues()
    body = Pieces(b"hello", length=5)
    client = connect(await serve(answering(reply(b"ok"))))
    response = await client.fetch(post(body, expects_continue=True, on_interim=seen))
    assert await read(response) == b"ok"
    assert (seen.statuses, body.taken) == ([], 5)
