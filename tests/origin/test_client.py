"""A request and its response over a real socket."""

import asyncio
import contextlib
import gc
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from multidict import CIMultiDict

from proxy.clock import wall
from proxy.origin import OriginError, Outbound
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason
from tests.certificates import Certify
from tests.origin.conftest import (
    Connect,
    Pieces,
    Serve,
    aborted,
    fetch,
    get,
    read,
)
from tests.scripted_origin import PATIENCE, HungUpError, Script, Wire, answering, once, reply
from tests.steady_loop import ON_A_STEADY_LOOP


@pytest.fixture(params=[True, False], ids=["lean", "aiohttp"])
def lean(request: pytest.FixtureRequest) -> bool:
    """Both paths keep the same promises."""
    is_lean: bool = request.param
    return is_lean


class Interim:
    """Collects what `on_interim` gets."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, str, list[tuple[str, str]]]] = []

    def __call__(self, status: int, reason: str, headers: Headers) -> None:
        self.seen.append((status, reason, list(headers.items())))

    @property
    def statuses(self) -> list[int]:
        return [status for status, _, _ in self.seen]


async def silence(wire: Wire) -> None:
    """Say nothing until the proxy hangs up."""
    await wire.rest()


async def failure(connect: Connect, serve: Serve, script: Script, **options: float) -> OriginError:
    client = connect(await serve(script), **options)
    with pytest.raises(OriginError) as raised:
        await client.fetch(get())
    return raised.value


# What goes out and what comes back.


async def test_the_request_reaches_the_origin_byte_for_byte(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(reply()))
    headers = CIMultiDict([("hOST", "Api"), ("x-ID", "\xe9\xff"), ("X-Id", "2")])
    outbound = Outbound("BREW", "//a/../%7e;b|c?\xe9&x=?", headers)
    await read(await connect(origin).fetch(outbound))
    assert origin.requests[0].head == (
        b"BREW //a/../%7e;b|c?\xe9&x=? HTTP/1.1\r\nhOST: Api\r\nx-ID: \xe9\xff\r\nX-Id: 2\r\n\r\n"
    )


@pytest.mark.parametrize("target", ["/a?", "/?", "*", "/a%", "//", "/a?b#c"])
async def test_the_target_is_not_normalised(connect: Connect, serve: Serve, target: str) -> None:
    origin = await serve(answering(reply()))
    await fetch(connect(origin), target, method="OPTIONS")
    assert origin.requests[0].line == f"OPTIONS {target} HTTP/1.1".encode()


async def test_nothing_is_added_to_a_request(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(reply()))
    await fetch(connect(origin))
    assert origin.requests[0].head == b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n"


async def test_the_response_arrives_as_sent(connect: Connect, serve: Serve) -> None:
    fields = [b'etag: "\xe9"', b"Set-Cookie: a", b"ETag:x", b"set-cookie: \t b \t", b"X-Empty:"]
    origin = await serve(answering(reply(b"body", *fields, status=b"299 Sch\xf6n \xff")))
    before = wall()
    response = await connect(origin).fetch(get())
    assert (response.status, response.reason) == (299, "Sch\xf6n \xff")
    assert list(response.headers.items()) == [
        ("etag", '"\xe9"'),
        ("Set-Cookie", "a"),
        ("ETag", "x"),
        ("set-cookie", "b"),
        ("X-Empty", ""),
        ("Content-Length", "4"),
    ]
    assert before <= response.request_time <= response.response_time <= wall()
    assert response.length == 4
    assert await read(response) == b"body"


@pytest.mark.parametrize("status", [b"200", b"200 "])
async def test_a_reason_may_be_missing(connect: Connect, serve: Serve, status: bytes) -> None:
    origin = await serve(answering(reply(status=status)))
    response = await connect(origin).fetch(get())
    assert (response.status, response.reason) == (200, "")


async def test_response_time_is_when_the_head_came(connect: Connect, serve: Serve) -> None:
    async def slow(wire: Wire) -> None:
        await wire.request()
        await asyncio.sleep(0.05)
        await wire.send(reply())

    response = await connect(await serve(slow)).fetch(get())
    assert response.response_time - response.request_time >= 0.04


async def test_content_is_not_decoded(connect: Connect, serve: Serve) -> None:
    packed = gzip.compress(b"hello")
    origin = await serve(answering(reply(packed, b"Content-Encoding: gzip")))
    response = await connect(origin).fetch(get())
    assert response.headers["Content-Encoding"] == "gzip"
    assert await read(response) == packed


@pytest.mark.parametrize("size", [8_191, 17_000, 100_000])
async def test_a_large_field_passes(connect: Connect, serve: Serve, size: int) -> None:
    origin = await serve(answering(reply(b"", b"Surrogate-Key: " + b"k" * size)))
    response = await connect(origin).fetch(get())
    assert len(response.headers["Surrogate-Key"]) == size


async def test_many_fields_pass(connect: Connect, serve: Serve) -> None:
    fields = [b"X-%d: %d" % (n, n) for n in range(500)]
    origin = await serve(answering(reply(b"", *fields)))
    response = await connect(origin).fetch(get())
    assert response.headers["x-499"] == "499"


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(reply(b"", b"X: " + b"x" * 5000), id="one large field"),
        pytest.param(reply(b"", *[b"X: 1"] * 200), id="many fields"),
        pytest.param(b"HTTP/1.1 200 " + b"x" * 5000, id="no end"),
    ],
)
async def test_a_head_beyond_the_limits_is_malformed(
    connect: Connect, serve: Serve, response: bytes
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(response)
        await wire.rest()

    error = await failure(connect, serve, script, header_size=4096, headers=100)
    assert error.reason is Reason.ORIGIN_MALFORMED


async def test_a_head_may_come_byte_by_byte(connect: Connect, serve: Serve) -> None:
    async def drip(wire: Wire) -> None:
        await wire.request()
        for byte in b"HTTP/1.1 103 A\r\nB: c\r\n\r\n" + reply(b"hello", b"X: y"):
            await wire.send(bytes([byte]))
            await asyncio.sleep(0)

    interim = Interim()
    response = await connect(await serve(drip)).fetch(get(on_interim=interim))
    assert interim.seen == [(103, "A", [("B", "c")])]
    assert await read(response) == b"hello"


# Malformed heads.

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(OK + b"X : y\r\n\r\n", id="5.1-space before colon"),
        pytest.param(OK + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="5.1-coding"),
        pytest.param(OK + b"X\r\n\r\n", id="5-no colon"),
        pytest.param(OK + b": y\r\n\r\n", id="5-no name"),
        pytest.param(OK + b"X\xe9: y\r\n\r\n", id="5-name not a token"),
        pytest.param(OK + b" X: y\r\n\r\n", id="2.2-space before the first field"),
        pytest.param(OK + b"X: a\x00b\r\n\r\n", id="5.5-NUL"),
        pytest.param(OK + b"X: a\x01b\r\n\r\n", id="5.5-control"),
        pytest.param(OK + b"X: a\x7fb\r\n\r\n", id="5.5-DEL"),
        pytest.param(OK + b"X: a\rb\r\n\r\n", id="2.2-bare CR"),
        pytest.param(OK + b"X: a\r\r\n\r\n", id="2.2-two CR"),
        pytest.param(OK + b"X: y\nContent-Length: 1\r\n\r\na", id="2.2-one bare LF"),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", id="2.2-LF only"),
        pytest.param(OK + b"X: a\r\n b\r\n\r\n", id="5.2-folded"),
        pytest.param(OK + b"X: a\r\n\tb\r\n\r\n", id="5.2-folded with a tab"),
        pytest.param(OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", id="5.2-coding"),
        pytest.param(b"HTTP/1.1  200 OK\r\n\r\n", id="4-two spaces"),
        pytest.param(b"HTTP/1.1\t200 OK\r\n\r\n", id="4-a tab"),
        pytest.param(b" HTTP/1.1 200 OK\r\n\r\n", id="4-space first"),
        pytest.param(b"http/1.1 200 OK\r\n\r\n", id="2.3-lower case"),
        pytest.param(b"HTTP/1.1 200\x00OK\r\n\r\n", id="4-NUL"),
        pytest.param(b"HTTP/1.1 200 O\x1bK\r\n\r\n", id="4-control in the reason"),
        pytest.param(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na", id="6.3-lengths"),
        pytest.param(OK + b"Content-Length: 1, 2\r\n\r\na", id="6.3-list of lengths"),
        pytest.param(OK + b"Content-Length: +1\r\n\r\na", id="6.3-sign"),
        pytest.param(OK + b"Content-Length: 1\r\n 0\r\n\r\na", id="6.3-folded length"),
        pytest.param(OK + b"Content-Length: 99999999999999999999\r\n\r\n", id="6.3-overflow"),
        pytest.param(
            OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="6.3-length and coding",
        ),
        pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="6.1-gzip"),
        pytest.param(OK + b"Transfer-Encoding: identity\r\n\r\nx", id="6.1-identity"),
        pytest.param(OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="6.1-xchunked"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="6.1-chunked twice",
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="6.1-HTTP/1.0"
        ),
        pytest.param(b"HTTP/2.0 200 OK\r\n\r\n", id="2.3-HTTP/2.0"),
        pytest.param(b"HTTP/0.9 200 OK\r\n\r\n", id="2.3-HTTP/0.9"),
        pytest.param(b"HTTP/1.1 099 OK\r\n\r\n", id="4-status 099"),
        pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", id="4-two digits"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="4-four digits"),
        pytest.param(b"HTTP/1.1 +20 OK\r\n\r\n", id="4-sign"),
        pytest.param(b"<html>hello</html>\n\n", id="4-HTTP/0.9 style"),
        pytest.param(b"\r\n\r\n" + reply(), id="4-empty lines first"),
        pytest.param(b"\x16\x03\x01\x00\x05\n\n", id="4-TLS"),
        pytest.param(b"HTTP/1.1 103 A\r\nContent-Length: 1\r\n\r\na" + reply(), id="103 with body"),
    ],
)
async def test_a_malformed_head_is_an_error_and_ends_the_connection(
    connect: Connect, serve: Serve, response: bytes
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(response)
        await wire.rest()

    origin = await serve(script)
    with pytest.raises(OriginError) as raised:
        await connect(origin).fetch(get())
    assert raised.value.reason is Reason.ORIGIN_MALFORMED
    assert raised.value.status == 502
    await origin.idle()


async def test_what_is_wrong_is_in_the_detail(
    connect: Connect, serve: Serve, *, lean: bool
) -> None:
    error = await failure(connect, serve, once(OK + b"X : y\r\n\r\n", silence))
    assert error.detail == "field line 'X '" if lean else "Invalid header token" in error.detail


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
@pytest.mark.parametrize("how", [Wire.close, Wire.reset])
async def test_a_head_cut_short(
    connect: Connect, serve: Serve, sent: bytes, how: Callable[[Wire], None]
) -> None:
    async def cut(wire: Wire) -> None:
        await wire.request()
        await wire.send(sent)
        how(wire)

    origin = await serve(cut)
    with pytest.raises(OriginError) as raised:
        await connect(origin).fetch(get())
    assert raised.value.reason is Reason.ORIGIN_BROKEN
    assert raised.value.status == 502
    assert origin.connections == 1  # a new connection is not worth a second try


# Interim responses.


async def test_interim_responses_are_passed_on_in_order(connect: Connect, serve: Serve) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\n"
    origin = await serve(answering(hints + b"HTTP/1.1 102 Wait\r\n\r\n" + hints + reply(b"ok")))
    interim = Interim()
    response = await connect(origin).fetch(get(on_interim=interim))
    links = [("Link", "</a>"), ("link", "</b>")]
    assert interim.seen == [
        (103, "Early Hints", links),
        (102, "Wait", []),
        (103, "Early Hints", links),
    ]
    assert await read(response) == b"ok"


async def test_interim_responses_come_before_the_final_one(connect: Connect, serve: Serve) -> None:
    passed_on = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.wait_for(passed_on.wait(), PATIENCE)
        await wire.send(reply())

    client = connect(await serve(script))
    await client.fetch(get(on_interim=lambda *_: passed_on.set()))


async def test_nobody_need_listen_to_interim_responses(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply(b"ok")))
    assert await fetch(connect(origin)) == b"ok"


async def test_an_unasked_100_is_not_passed_on(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"ok")))
    interim = Interim()
    assert await fetch(connect(origin), on_interim=interim) == b"ok"
    assert interim.seen == []


async def test_a_flood_of_interim_responses_is_malformed(connect: Connect, serve: Serve) -> None:
    async def flood(wire: Wire) -> None:
        await wire.request()
        with contextlib.suppress(HungUpError):
            while True:
                await wire.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)

    error = await failure(connect, serve, flood)
    assert error.reason is Reason.ORIGIN_MALFORMED


async def test_an_interim_response_does_not_stop_the_clock(connect: Connect, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        for _ in range(20):
            await wire.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.02)

    error = await failure(connect, serve, script, header_timeout=0.1)
    assert error.reason is Reason.ORIGIN_HEADER_TIMEOUT


async def test_a_client_that_is_gone_ends_the_exchange(connect: Connect, serve: Serve) -> None:
    def gone(*_: object) -> None:
        raise ConnectionResetError

    origin = await serve(once(b"HTTP/1.1 103 Early Hints\r\n\r\n", silence))
    with pytest.raises(ConnectionResetError):
        await connect(origin).fetch(get(on_interim=gone))
    await origin.idle()


# Upgrades.

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


async def test_an_upgrade_opens_a_tunnel(connect: Connect, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(SWITCH + b"first")
        await wire.send(b"<" + await wire.read(5) + b">")
        await wire.send(await wire.rest())

    origin = await serve(script)
    headers = CIMultiDict([("Host", "x"), ("Upgrade", "echo")])
    response = await connect(origin).fetch(Outbound("GET", "/", headers, upgrade=True))
    assert origin.requests[0].get(b"Connection") == b"upgrade"
    assert (response.status, response.headers["Upgrade"]) == (101, "echo")
    assert response.tunnel is not None
    pieces = aiter(response.tunnel)
    received = b""
    while len(received) < len(b"first"):
        received += await anext(pieces)
    assert received == b"first"
    await response.tunnel.write(b"\x00\xffabc")
    received = b""
    while len(received) < len(b"<xxxxx>"):
        received += await anext(pieces)
    assert received == b"<\x00\xffabc>"
    response.tunnel.close()
    assert [piece async for piece in pieces] == []
    with pytest.raises(ConnectionError):
        await response.tunnel.write(b"late")
    await origin.idle()


@pytest.mark.parametrize("how", [Wire.close, Wire.reset])
async def test_a_tunnel_ends_when_the_origin_does(
    connect: Connect, serve: Serve, how: Callable[[Wire], None]
) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(SWITCH)
        how(wire)

    response = await connect(await serve(script)).fetch(get(upgrade=True))
    assert response.tunnel is not None
    assert [piece async for piece in response.tunnel] == []


async def test_a_tunnel_waits_for_slow_readers(connect: Connect, serve: Serve) -> None:
    sent = 0

    async def pour(wire: Wire) -> None:
        nonlocal sent
        await wire.head()
        await wire.send(SWITCH)
        while True:
            await wire.send(b"x" * 65_536)
            sent += 65_536

    origin = await serve(pour)
    response = await connect(origin).fetch(get(upgrade=True))
    held = await settled(lambda: sent)
    assert held < 32 * 2**20
    assert response.tunnel is not None
    received = 0
    async for piece in response.tunnel:
        received += len(piece)
        if received > held:
            break
    await response.aclose()
    await origin.idle()


async def settled(measure: Callable[[], int]) -> int:
    """What `measure` says once it has stopped moving."""
    async with asyncio.timeout(PATIENCE):
        last = -1
        while (now := measure()) != last or not now:
            last = now
            await asyncio.sleep(0.1)
    return last


async def test_tunnels_take_no_slot_in_the_pool(connect: Connect, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        request = await wire.request()
        await wire.send(SWITCH if request.get(b"Connection") else reply(b"ok"))
        await wire.rest()

    origin = await serve(script)
    client = connect(origin, connections=1, connect_timeout=1.0)
    tunnels = [await client.fetch(get(upgrade=True)) for _ in range(3)]
    assert await fetch(client) == b"ok"
    for response in tunnels:
        await response.aclose()
    await client.close()
    await origin.idle()


async def test_close_closes_tunnels(connect: Connect, serve: Serve) -> None:
    origin = await serve(once(SWITCH, silence))
    client = connect(origin)
    response = await client.fetch(get(upgrade=True))
    await client.close()
    assert response.tunnel is not None
    assert [piece async for piece in response.tunnel] == []
    await origin.idle()


async def test_an_upgrade_may_be_declined(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(reply(b"no", status=b"200 OK")))
    response = await connect(origin).fetch(get(upgrade=True))
    assert response.tunnel is None
    assert await read(response) == b"no"


@pytest.mark.parametrize(
    ("outbound", "response"),
    [
        pytest.param(get, SWITCH, id="not asked for"),
        pytest.param(
            lambda: get(upgrade=True), b"HTTP/1.1 101 OK\r\n\r\n" + reply(), id="without Upgrade"
        ),
        pytest.param(
            lambda: get(body=Pieces(), upgrade=True), SWITCH, id="before the request ended"
        ),
    ],
)
async def test_an_impossible_101_is_malformed(
    connect: Connect, serve: Serve, outbound: Callable[[], Outbound], response: bytes
) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(response)
        await wire.rest()

    origin = await serve(script)
    with pytest.raises(OriginError) as raised:
        await connect(origin).fetch(outbound())
    assert raised.value.reason is Reason.ORIGIN_MALFORMED
    await origin.idle()


# Timeouts and failures to connect.


async def test_a_slow_head_is_a_timeout(connect: Connect, serve: Serve) -> None:
    error = await failure(connect, serve, once(b"HTTP/1.1 200 OK\r\n", silence), header_timeout=0.1)
    assert error.reason is Reason.ORIGIN_HEADER_TIMEOUT
    assert error.status == 504


async def test_a_refused_connection(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(reply()))
    await origin.stop()
    with pytest.raises(OriginError) as raised:
        await connect(origin).fetch(get())
    assert raised.value.reason is Reason.ORIGIN_REFUSED
    assert raised.value.status == 502


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://warmfront.invalid", id="no such name"),
        pytest.param("unix:///nonexistent/api.sock", id="no such socket"),
    ],
)
async def test_an_unreachable_origin(connect: Connect, url: str) -> None:
    with pytest.raises(OriginError) as raised:
        await connect(url).fetch(get())
    assert raised.value.reason is Reason.ORIGIN_UNREACHABLE
    assert raised.value.status == 502


async def test_an_address_is_looked_up_once_if_at_all(
    connect: Connect, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop would start threads for it."""
    origin = await serve(once(reply()))
    loop, asked = asyncio.get_running_loop(), []
    real = loop.getaddrinfo

    async def counted(host: str, port: int, **how: int) -> object:
        asked.append(host)
        return await real(host, port, **how)

    monkeypatch.setattr(loop, "getaddrinfo", counted)
    client = connect(origin)
    for _ in range(2):
        await fetch(client)
        await origin.idle()
    assert origin.connections == 2
    assert asked == ["127.0.0.1"]


@ON_A_STEADY_LOOP
async def test_a_full_pool_is_a_connect_timeout(connect: Connect, serve: Serve) -> None:
    origin = await serve(once(reply(b"x")[:-1], silence))
    client = connect(origin, connections=1, connect_timeout=0.1)
    response = await client.fetch(get())
    with pytest.raises(OriginError) as raised:
        await client.fetch(get())
    assert raised.value.reason is Reason.ORIGIN_CONNECT_TIMEOUT
    assert raised.value.status == 504
    await response.aclose()
    await origin.idle()


async def test_a_slot_that_becomes_free_is_taken(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(reply(b"ok")))
    client = connect(origin, connections=1)
    async with asyncio.TaskGroup() as group:
        bodies = [group.create_task(fetch(client)) for _ in range(20)]
    assert {body.result() for body in bodies} == {b"ok"}
    assert origin.connections == 1


async def test_a_silent_tls_handshake_is_a_connect_timeout(connect: Connect, serve: Serve) -> None:
    origin = await serve(silence)
    client = connect(f"https://127.0.0.1:{origin.port}", connect_timeout=0.2)
    with pytest.raises(OriginError) as raised:
        await client.fetch(get())
    assert raised.value.reason is Reason.ORIGIN_CONNECT_TIMEOUT
    await origin.idle()


# TLS, names, sockets.


async def test_https_with_a_ca_file(connect: Connect, serve: Serve, certify: Certify) -> None:
    certificate = certify("127.0.0.1")
    origin = await serve(answering(reply(b"safe")), tls=certificate.server())
    client = connect(origin, ca_file=certificate.ca_file)
    assert await fetch(client) == b"safe"
    assert await fetch(client) == b"safe"
    assert origin.connections == 1


async def test_https_verifies_by_default(connect: Connect, serve: Serve, certify: Certify) -> None:
    origin = await serve(answering(reply()), tls=certify("127.0.0.1").server())
    with pytest.raises(OriginError) as raised:
        await connect(origin).fetch(get())
    assert raised.value.reason is Reason.ORIGIN_TLS
    assert raised.value.status == 502


async def test_https_verifies_the_name(connect: Connect, serve: Serve, certify: Certify) -> None:
    certificate = certify("other.example")
    origin = await serve(answering(reply()), tls=certificate.server())
    with pytest.raises(OriginError) as raised:
        await connect(origin, ca_file=certificate.ca_file).fetch(get())
    assert raised.value.reason is Reason.ORIGIN_TLS


async def test_server_name_is_sent_and_verified(
    connect: Connect, serve: Serve, certify: Certify
) -> None:
    certificate = certify("api.internal")
    names: list[str | None] = []
    server = certificate.server()
    server.sni_callback = lambda _, name, __: names.append(name)
    origin = await serve(answering(reply(b"ok")), tls=server)
    client = connect(origin, ca_file=certificate.ca_file, server_name="api.internal")
    assert await fetch(client) == b"ok"
    assert names == ["api.internal"]


async def test_verification_can_be_switched_off(
    connect: Connect, serve: Serve, certify: Certify
) -> None:
    origin = await serve(answering(reply(b"ok")), tls=certify("a.example").server())
    assert await fetch(connect(origin, verify=False)) == b"ok"


async def test_https_to_a_plain_server(connect: Connect, serve: Serve) -> None:
    async def plain(wire: Wire) -> None:
        await wire.read(1)
        await wire.send(reply())

    origin = await serve(plain)
    with pytest.raises(OriginError) as raised:
        await connect(f"https://127.0.0.1:{origin.port}").fetch(get())
    assert raised.value.reason is Reason.ORIGIN_TLS


async def test_a_hang_up_in_the_handshake_is_a_tls_failure(connect: Connect, serve: Serve) -> None:
    async def hang_up(wire: Wire) -> None:
        await wire.read(1)
        wire.reset()

    origin = await serve(hang_up)
    with pytest.raises(OriginError) as raised:
        await connect(f"https://127.0.0.1:{origin.port}").fetch(get())
    assert raised.value.reason is Reason.ORIGIN_TLS


async def test_a_large_body_over_tls(connect: Connect, serve: Serve, certify: Certify) -> None:
    certificate = certify("127.0.0.1")
    body = bytes(range(256)) * 16_384
    origin = await serve(answering(reply(body)), tls=certificate.server())
    assert await fetch(connect(origin, ca_file=certificate.ca_file)) == body


async def test_unix_socket(connect: Connect, serve: Serve, tmp_path: Path) -> None:
    origin = await serve(answering(reply(b"local")), path=str(tmp_path / "api.sock"))
    client = connect(origin)
    assert await fetch(client) == b"local"
    assert await fetch(client) == b"local"
    assert origin.connections == 1
    assert client.endpoint.authority == "localhost"


async def test_cookies_of_one_user_never_reach_the_next(connect: Connect, serve: Serve) -> None:
    """Through a host name: cookie jars ignore addresses."""
    origin = await serve(answering(reply(b"", b"Set-Cookie: session=1; Path=/")))
    client = connect(f"http://localhost:{origin.port}")
    await fetch(client)
    await fetch(client)
    assert [request.get(b"Cookie") for request in origin.requests] == [None, None]


async def test_redirects_are_not_followed(connect: Connect, serve: Serve) -> None:
    origin = await serve(answering(reply(b"", b"Location: /b", status=b"302 Found")))
    response = await connect(origin).fetch(get())
    assert response.status == 302
    assert len(origin.requests) == 1


# Cancellation and closing.


async def test_cancelling_a_fetch_drops_the_connection(connect: Connect, serve: Serve) -> None:
    origin = await serve(silence)
    client = connect(origin, connections=1)
    task = asyncio.create_task(client.fetch(get()))
    await settled(lambda: origin.connections)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await origin.idle()


async def test_cancelling_frees_the_slot(connect: Connect, serve: Serve) -> None:
    first = True

    async def script(wire: Wire) -> None:
        nonlocal first
        if first:
            first = False
            await wire.rest()
        else:
            await answering(reply(b"ok"))(wire)

    origin = await serve(script)
    client = connect(origin, connections=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.fetch(get()), 0.05)
    assert await fetch(client) == b"ok"


@pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.01])
async def test_cancelling_at_any_moment_mixes_nothing_up(
    connect: Connect, serve: Serve, delay: float
) -> None:
    async def echo(wire: Wire) -> None:
        while True:
            request = await wire.request()
            await asyncio.sleep(0.002)
            await wire.send(reply(request.line.split()[1]))

    origin = await serve(echo)
    client = connect(origin, connections=4)

    async def one(number: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay * (number % 7)):
                assert await fetch(client, f"/{number}") == b"/%d" % number

    for base in range(0, 60, 20):
        await asyncio.gather(*(one(base + n) for n in range(20)))
    assert await fetch(client, "/last") == b"/last"


async def test_close_cuts_what_is_still_read(connect: Connect, serve: Serve) -> None:
    origin = await serve(once(OK + b"\r\npart", silence))
    client = connect(origin)
    response = await client.fetch(get())
    await client.close()
    part, how = await aborted(response)
    assert part in {b"", b"part"}
    assert how.reason is Reason.ORIGIN_BROKEN
    with pytest.raises(OriginError):
        await client.fetch(get())
    await origin.idle()


async def test_a_response_that_is_forgotten_is_reported(connect: Connect, serve: Serve) -> None:
    client = connect(await serve(once(OK + b"\r\npart", silence)))
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    async def forget() -> None:
        await client.fetch(get())
        await asyncio.sleep(0)  # the loop's last step holds it, too
        gc.collect()

    with pytest.warns(ResourceWarning, match="Unclosed connection"):
        await forget()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_what_a_stale_connection_may_have_carried_does_not_count_as_unsent(
    connect: Connect, serve: Serve, method: str
) -> None:
    """The origin may have acted on it before it went, and refused the second try."""

    async def dying(wire: Wire) -> None:
        await wire.request()
        wire.writer.write(reply(b"first"))
        await wire.request()
        wire.origin.refuse()
        wire.writer.close()

    client = connect(await serve(dying))
    assert await fetch(client) == b"first"
    with pytest.raises(OriginError) as raised:
        await client.fetch(get(method=method))
    assert raised.value.reason is Reason.ORIGIN_REFUSED
    assert not raised.value.unsent
