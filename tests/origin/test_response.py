"""Bodies: their framing, their end, their pace, and what becomes of the connection."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.exchange import BodyAborted
from proxy.rfc9111.reasons import Reason
from tests.origin.conftest import Connect, Serve, aborted, fetch, get, read
from tests.scripted_origin import PATIENCE, HungUpError, Wire, answering, once, reply
from tests.steady_loop import ON_A_STEADY_LOOP

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TEN = OK + b"Content-Length: 10\r\n\r\n"


@pytest.fixture(params=[True, False], ids=["lean", "aiohttp"])
def lean(request: pytest.FixtureRequest) -> bool:
    """Both paths keep the same promises."""
    is_lean: bool = request.param
    return is_lean


async def silence(wire: Wire) -> None:
    await wire.rest()


# Whole bodies.


@pytest.mark.parametrize(
    ("response", "body", "length"),
    [
        pytest.param(TEN + b"0123456789", b"0123456789", 10, id="6.3-6 length"),
        pytest.param(reply(), b"", 0, id="6.3-6 zero length"),
        pytest.param(
            CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", None, id="7.1 chunked"
        ),
        pytest.param(CHUNKED + b"0\r\n\r\n", b"", None, id="7.1 chunked, empty"),
        pytest.param(
            CHUNKED + b"3;a=b\r\nabc\r\n0\r\nX: trailer\r\n\r\n", b"abc", None, id="7.1.2 trailers"
        ),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"", 0, id="6.3-1 204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", b"", 0, id="6.3-1 304"),
    ],
)
async def test_a_whole_body_gives_its_connection_back(
    connect: Connect, serve: Serve, response: bytes, body: bytes, length: int | None
) -> None:
    origin = await serve(answering(response))
    client = connect(origin)
    for _ in range(3):
        received = await client.fetch(get())
        assert received.length == length
        assert await read(received) == body
    assert origin.connections == 1


async def test_head_has_the_length_of_get_and_no_body(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(OK + b"Content-Length: 1000\r\n\r\n"))
    client = connect(origin)
    for _ in range(2):
        response = await client.fetch(get(method="HEAD"))
        assert (response.headers["Content-Length"], response.length) == ("1000", 0)
        assert await read(response) == b""


async def test_head_of_a_chunked_resource(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(CHUNKED))
    client = connect(origin)
    assert await fetch(client, method="HEAD") == b""
    assert await fetch(client, method="HEAD") == b""


@pytest.mark.parametrize(
    "head", [OK + b"\r\n", OK + b"Connection: close\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"]
)
async def test_a_body_may_end_with_the_connection(
    connect: Connect, serve: Serve, head: bytes
) -> None:
    origin = await serve(once(head + b"all of it"))
    client = connect(origin)
    for connection in (1, 2):
        response = await client.fetch(get())
        assert response.length is None
        assert await read(response) == b"all of it"
        assert origin.connections == connection


@pytest.mark.parametrize(
    ("head", "connections"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close", 2, id="9.6-close"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: a, CLOSE", 2, id="9.6-close in a list"),
        pytest.param(b"HTTP/1.0 200 OK", 2, id="9.3-HTTP/1.0"),
        pytest.param(b"HTTP/1.0 200 OK\r\nConnection: keep-alive", 1, id="9.3-HTTP/1.0 persistent"),
    ],
)
async def test_persistence(connect: Connect, serve: Serve, head: bytes, connections: int) -> None:
    origin = await serve(answering(head + b"\r\nContent-Length: 2\r\n\r\nok"))
    client = connect(origin)
    assert await fetch(client) == b"ok"
    assert await fetch(client) == b"ok"
    assert origin.connections == connections


async def test_reading_on_after_the_end_is_harmless(connect: Connect, serve: Serve) -> None:
    client = connect(await serve(answering(reply(b"ok"))))
    response = await client.fetch(get())
    assert await read(response) == b"ok"
    assert await read(response) == b""
    await response.aclose()
    assert await fetch(client) == b"ok"


async def test_the_first_byte_passes_before_the_last_is_made(
    connect: Connect, serve: Serve
) -> None:
    seen = asyncio.Event()

    async def stream(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED + b"5\r\nfirst\r\n")
        await asyncio.wait_for(seen.wait(), PATIENCE)
        await wire.send(b"4\r\nlast\r\n0\r\n\r\n")

    response = await connect(await serve(stream)).fetch(get())
    pieces = aiter(response.body)
    assert await anext(pieces) == b"first"
    seen.set()
    assert [piece async for piece in pieces] == [b"last"]


async def test_the_last_byte_frees_the_connection_before_it_is_delivered(
    connect: Connect, serve: Serve
) -> None:
    origin = await serve(answering(reply(b"ok")))
    client = connect(origin, connections=1, connect_timeout=1.0)
    first = await client.fetch(get())
    async for _ in first.body:
        assert await fetch(client) == b"ok"
    assert origin.connections == 1


@pytest.mark.parametrize("framing", [b"Content-Length: %d\r\n", b"X: %d\r\n"])
async def test_a_slow_reader_slows_the_origin(
    connect: Connect, serve: Serve, framing: bytes
) -> None:
    size, sent = 64 * 2**20, 0

    async def pour(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(OK + framing % size + b"\r\n")
        while sent < size:
            await wire.send(b"x" * 65_536)
            sent += 65_536

    response = await connect(await serve(pour)).fetch(get())
    async with asyncio.timeout(PATIENCE):
        last = -1
        while sent != last or not sent:
            last = sent
            await asyncio.sleep(0.1)
    assert sent < size // 2
    received = 0
    async for piece in response.body:
        received += len(piece)
    assert received == size


async def test_many_small_chunks(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"))
    client = connect(origin)
    for _ in range(2):
        assert await fetch(client) == b"x" * 50_000
    assert origin.connections == 1


@pytest.mark.parametrize("cut", range(1, 24))
async def test_a_chunked_body_may_be_cut_up_anywhere(
    connect: Connect, serve: Serve, cut: int
) -> None:
    wire_body = b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED + wire_body[:cut])
        await asyncio.sleep(0.001)
        await wire.send(wire_body[cut:])
        await wire.rest()

    assert await fetch(connect(await serve(script))) == b"abc0123456789"


# Bodies cut short.


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(TEN + b"01234", id="6.3-6 shorter than its length"),
        pytest.param(CHUNKED + b"5\r\n01234\r\n", id="7.1 no last chunk"),
        pytest.param(CHUNKED + b"9\r\n01234", id="7.1 within a chunk"),
        pytest.param(CHUNKED + b"5\r\n01234\r\n0\r\n", id="7.1.2 no end of trailers"),
    ],
)
async def test_a_body_cut_by_the_origin_is_aborted(
    connect: Connect, serve: Serve, sent: bytes
) -> None:
    origin = await serve(once(sent))
    client = connect(origin)
    response = await client.fetch(get())
    part, how = await aborted(response)
    assert (part, how.reason) == (b"01234", Reason.ORIGIN_BROKEN)
    with pytest.raises(BodyAborted):  # a second look finds no end either
        await anext(response.body)
    await response.aclose()
    await origin.idle()


@pytest.mark.parametrize("head", [OK + b"\r\n", TEN, CHUNKED])
async def test_a_reset_is_never_an_end(connect: Connect, serve: Serve, head: bytes) -> None:
    seen = asyncio.Event()

    async def reset(wire: Wire) -> None:
        await wire.request()
        await wire.send(head)
        await asyncio.wait_for(seen.wait(), PATIENCE)
        wire.reset()

    response = await connect(await serve(reset)).fetch(get())
    seen.set()
    _, how = await aborted(response)
    assert how.reason is Reason.ORIGIN_BROKEN


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(b"zz\r\n", id="7.1 not hexadecimal"),
        pytest.param(b"+1\r\na\r\n", id="7.1 sign"),
        pytest.param(b"1_0\r\na\r\n", id="7.1 underscore"),
        pytest.param(b"-1\r\na\r\n", id="7.1 negative"),
        pytest.param(b"fffffffffffffffff\r\n", id="7.1 overflow"),
        pytest.param(b"1\r\nabc\r\n", id="7.1 longer than it says"),
        pytest.param(b"\r\n", id="7.1 no size"),
    ],
)
@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_a_malformed_chunk_aborts_the_body(
    connect: Connect, serve: Serve, chunk: bytes, pause: float
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED + b"2\r\nok\r\n")
        await asyncio.sleep(pause)
        await wire.send(chunk)
        await wire.rest()

    origin = await serve(script)
    response = await connect(origin).fetch(get())
    _, how = await aborted(response)
    assert how.reason is Reason.ORIGIN_MALFORMED
    await origin.idle()


@pytest.mark.parametrize("head", [OK + b"\r\n", TEN, CHUNKED])
async def test_a_stall_is_a_timeout(connect: Connect, serve: Serve, head: bytes) -> None:
    origin = await serve(once(head, silence))
    response = await connect(origin, idle_timeout=0.1).fetch(get())
    _, how = await aborted(response)
    assert how.reason is Reason.ORIGIN_IDLE_TIMEOUT
    await origin.idle()


@ON_A_STEADY_LOOP
async def test_the_idle_clock_starts_anew_with_each_piece(connect: Connect, serve: Serve) -> None:
    async def drip(wire: Wire) -> None:
        await wire.request()
        await wire.send(TEN)
        for _ in range(10):
            await asyncio.sleep(0.04)
            await wire.send(b"x")

    assert await fetch(connect(await serve(drip), idle_timeout=0.2)) == b"x" * 10


@ON_A_STEADY_LOOP
async def test_a_slow_reader_is_no_stall(connect: Connect, serve: Serve) -> None:
    body = b"x" * 2**20
    response = await connect(await serve(answering(reply(body))), idle_timeout=0.05).fetch(get())
    received = 0
    async for piece in response.body:
        received += len(piece)
        await asyncio.sleep(0.02)
    assert received == len(body)


# Readers that lose interest.


async def test_aclose_before_the_end_drops_the_connection(connect: Connect, serve: Serve) -> None:
    origin = await serve(once(TEN + b"01234", silence))
    client = connect(origin)
    response = await client.fetch(get())
    assert await anext(response.body) == b"01234"
    await response.aclose()
    await response.aclose()
    await origin.idle()
    with pytest.raises(BodyAborted):
        await anext(response.body)


async def test_a_cancelled_read_loses_nothing(connect: Connect, serve: Serve) -> None:
    go_on = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(TEN + b"01234")
        await asyncio.wait_for(go_on.wait(), PATIENCE)
        await wire.send(b"56789")

    response = await connect(await serve(script)).fetch(get())
    assert await anext(response.body) == b"01234"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(response.body), 0.05)
    go_on.set()
    assert await read(response) == b"56789"


async def test_an_endless_body_may_be_left(connect: Connect, serve: Serve) -> None:
    async def endless(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED)
        while True:
            await wire.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    origin = await serve(endless)
    client = connect(origin)
    response = await client.fetch(get())
    async for _ in response.body:
        break
    await response.aclose()
    await origin.idle()


# Bytes that belong to nobody.

POISON = reply(b"poison")


async def numbered(wire: Wire, tail: bytes, head: Callable[[bytes], bytes] = reply) -> None:
    """Answer each request with its own path, and put `tail` behind the first answer."""
    while True:
        request = await wire.request()
        await wire.send(head(request.line.split()[1]) + (tail if wire.number == 1 else b""))


def chunked(body: bytes) -> bytes:
    return CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("tail", [POISON, b"\r\n", b"garbage", b"HTTP/1.1 200 OK\r\n", b"\0"])
@pytest.mark.parametrize("framed", [reply, chunked])
async def test_surplus_bytes_poison_no_later_response(
    connect: Connect, serve: Serve, tail: bytes, framed: Callable[[bytes], bytes]
) -> None:
    origin = await serve(lambda wire: numbered(wire, tail, framed))
    client = connect(origin)
    for path in ("/1", "/2", "/3"):
        assert await fetch(client, path) == path.encode()
    assert origin.connections == 2


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_body_where_none_may_be_is_surplus(
    connect: Connect, serve: Serve, method: str
) -> None:
    status = b"200 OK" if method == "HEAD" else b"304 Not Modified"

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(reply(POISON, status=status) if wire.number == 1 else reply())

    origin = await serve(script)
    client = connect(origin)
    assert await fetch(client, method=method) == b""
    assert (await client.fetch(get())).headers["Content-Length"] == "0"
    assert origin.connections == 2


@pytest.mark.parametrize("seen", [True, False], ids=["before the next request", "in the socket"])
async def test_a_response_pushed_onto_an_idle_connection_answers_nobody(
    connect: Connect, serve: Serve, *, seen: bool
) -> None:
    """aiohttp#13656. In the second case the loop has not yet read what the origin pushed."""
    pushed = asyncio.Event()
    push = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(reply(b"1"))
        if wire.number == 1:
            await asyncio.wait_for(push.wait(), PATIENCE)
            wire.writer.write(POISON)
            pushed.set()
        await numbered(wire, b"")

    origin = await serve(script)
    client = connect(origin)
    assert await fetch(client, "/1") == b"1"
    push.set()
    await asyncio.wait_for(pushed.wait(), PATIENCE)
    if seen:
        await asyncio.sleep(0.02)
    assert await fetch(client, "/2") == b"1"
    assert await fetch(client, "/3") == b"/3"
    assert origin.connections == 2


async def test_surplus_while_the_body_is_still_unread(connect: Connect, serve: Serve) -> None:
    body = b"x" * 300_000
    origin = await serve(once(reply(body) + POISON, silence))
    client = connect(origin)
    response = await client.fetch(get())
    await asyncio.sleep(0.02)
    assert await read(response) == body
    await origin.idle()


# Reuse.


async def test_a_connection_closed_while_idle_is_not_noticed(
    connect: Connect, serve: Serve
) -> None:
    origin = await serve(once(reply(b"ok")))
    client = connect(origin)
    for _ in range(5):
        assert await fetch(client) == b"ok"
        await asyncio.sleep(0.005)
    assert origin.connections == 5


async def test_idle_connections_are_closed_in_time(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(reply(b"ok")))
    client = connect(origin, keepalive=0.05)
    assert await fetch(client) == b"ok"
    await origin.idle()


async def hang_up_on_second(wire: Wire) -> None:
    """Serve one request per connection and close on reading the next: the keep-alive race."""
    await wire.request()
    await wire.send(reply(b"ok"))
    await wire.head()
    raise HungUpError


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
async def test_a_stale_connection_costs_an_idempotent_request_nothing(
    connect: Connect, serve: Serve, method: str
) -> None:
    origin = await serve(hang_up_on_second)
    client = connect(origin)
    for _ in range(3):
        response = await client.fetch(get(method=method))
        assert response.status == 200
        await response.aclose()
        async for _ in (await client.fetch(get())).body:
            pass
    assert origin.connections >= 3


async def test_where_one_is_stale_its_siblings_are_not_tried(
    connect: Connect, serve: Serve
) -> None:
    origin = await serve(hang_up_on_second)
    client = connect(origin)
    assert await asyncio.gather(*(fetch(client) for _ in range(4))) == [b"ok"] * 4
    assert origin.connections == 4
    assert await fetch(client) == b"ok"
    assert origin.connections == 5
    assert len(origin.requests) == 6
