"""The request line: what the client wrote is what the origin reads."""

import pytest

from tests.scripted_origin import Wire, answering, once, reply
from tests.wire.conftest import Through, request

FRESH = b"Cache-Control: max-age=60"

TARGETS = [
    pytest.param(b"/%7Euser/%3a%2F%2e%2E/%zz/%", id="percent-encoding, valid or not"),
    pytest.param(b"//a//b///", id="empty segments"),
    pytest.param(b"/a/../b/./../..", id="dot segments"),
    pytest.param(b"/a;v=1;w/b;?;c", id="path parameters"),
    pytest.param(b"/a?", id="empty query"),
    pytest.param(b"/?", id="empty query of the root"),
    pytest.param(b"/a??b=c&&d=%26+x=y?", id="odd query"),
    pytest.param(b"/caf\xc3\xa9/\xe9\xff\x80?\xf0\x9f\x8d\xaa", id="bytes from 0x80 up"),
    pytest.param(b"/%0a%00%0d", id="encoded control bytes"),
    pytest.param(b"/|{}^`\"<>\\[]@:!$'()*,", id="what URLs should not hold"),
    pytest.param(b"/" + b"a" * 8000, id="long"),
    pytest.param(b"/http://b.example/x", id="a URL in the path"),
]


@pytest.mark.parametrize("target", TARGETS)
async def test_the_target_passes_byte_for_byte(through: Through, target: bytes) -> None:
    chain = await through(answering(reply(b"ok", FRESH)))
    answers = [await chain.ask(request(b"GET %b HTTP/1.1" % target)) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"ok", b"ok"]
    assert [received.line for received in chain.origin.requests] == [b"GET %b HTTP/1.1" % target]


async def test_what_differs_in_spelling_differs_in_the_store(through: Through) -> None:
    async def script(wire: Wire) -> None:
        while True:
            received = await wire.request()
            await wire.send(reply(received.line, FRESH))

    chain = await through(script)
    targets = [b"/a", b"/a?", b"/a/", b"//a", b"/%61", b"/./a", b"/A", b"/a;", b"/\xc3\xa4"]
    for _ in range(2):
        for target in targets:
            line = b"GET %b HTTP/1.1" % target
            assert (await chain.ask(request(line))).body == line
    assert len(chain.origin.requests) == len(targets)


@pytest.mark.parametrize(
    ("target", "sent", "host"),
    [
        (b"http://other.example/a//..?", b"/a//..?", b"other.example"),
        (b"http://other.example:8080?x", b"/?x", b"other.example:8080"),
        (b"HTTP://api.example", b"/", b"api.example"),
    ],
)
async def test_absolute_form_becomes_origin_form(
    through: Through, target: bytes, sent: bytes, host: bytes
) -> None:
    chain = await through(answering(reply()))
    await chain.ask(request(b"GET %b HTTP/1.1" % target))
    (received,) = chain.origin.requests
    assert received.line == b"GET %b HTTP/1.1" % sent
    assert [value for name, value in received.fields if name == b"Host"] == [host]


@pytest.mark.parametrize(
    "method",
    [
        b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND", b"QUERY",
        b"PURGE", b"BAN", b"get", b"M-SEARCH", b"X", b"!#$%&'*+-.^_`|~09az", b"LONG" * 100,
    ],
)  # fmt: skip
async def test_every_method_passes(through: Through, method: bytes) -> None:
    chain = await through(answering(reply(b"ok")))
    answer = await chain.ask(request(b"%b /a HTTP/1.1" % method))
    assert (answer.line, answer.body) == (b"HTTP/1.1 200 OK", b"ok")
    assert chain.origin.requests[0].line == b"%b /a HTTP/1.1" % method


@pytest.mark.parametrize("target", [b"*", b"http://api.example"])
async def test_options_asterisk(through: Through, target: bytes) -> None:
    chain = await through(answering(reply(b"", b"Allow: GET, BREW")))
    answer = await chain.ask(request(b"OPTIONS %b HTTP/1.1" % target))
    assert answer.get(b"Allow") == b"GET, BREW"
    assert chain.origin.requests[0].line == b"OPTIONS * HTTP/1.1"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(request(b"CONNECT b.example:443 HTTP/1.1"), 501, id="CONNECT"),
        pytest.param(request(b"CONNECT / HTTP/1.1"), 501, id="CONNECT in origin-form"),
        pytest.param(request(b"GET * HTTP/1.1"), 400, id="asterisk with GET"),
        pytest.param(request(b"GET a HTTP/1.1"), 400, id="no form at all"),
        pytest.param(request(b"GET /#a HTTP/1.1"), 400, id="fragment"),
        pytest.param(request(b"GET / HTTP/2.0"), 505, id="HTTP/2.0"),
        pytest.param(b"GET /\r\n\r\n", 400, id="HTTP/0.9"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, id="invalid Host"),
        pytest.param(request(b"GET / HTTP/1.1", b"Host: b"), 400, id="two Hosts"),
        pytest.param(request(b"GET /a b HTTP/1.1"), 400, id="space in the target"),
        pytest.param(request(b"POST / HTTP/1.1", b"Content-Length: +5"), 400, id="signed length"),
        pytest.param(request(b"POST / HTTP/1.1", b"Content-Length: 1_0"), 400, id="odd length"),
        pytest.param(
            request(b"POST / HTTP/1.1", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
            400,
            id="two framings",
        ),
        pytest.param(request(b"GET / HTTP/1.1", b"X : y"), 400, id="space before a colon"),
        pytest.param(request(b"GET /%b HTTP/1.1" % (b"a" * 9000)), 414, id="too long a target"),
        pytest.param(request(b"GET / HTTP/1.1", b"X: " + b"a" * 40_000), 431, id="too large"),
    ],
)
async def test_what_is_refused_never_reaches_the_origin(
    through: Through, raw: bytes, status: int
) -> None:
    chain = await through(once())
    async with await chain.connect() as client:
        answer = await client.ask(raw)
        assert answer.status == status
        assert answer.get(b"Content-Type") == b"application/problem+json"
        await client.closed()
    assert chain.origin.connections == 0
