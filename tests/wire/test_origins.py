"""Where the origin is, and what clients are told when it is not there or not well."""

import asyncio
import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.gateway import ForwardingOptions
from tests.certificates import Certify
from tests.scripted_origin import Script, Wire, answering, once, reply
from tests.server.wire import Reply
from tests.steady_loop import ON_A_STEADY_LOOP
from tests.wire.conftest import Chain, Through, request, until_cut

FRESH = b"Cache-Control: max-age=60"
CHUNKED_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


def told(chain: Chain, answer: Reply) -> tuple[int, str]:
    """Status and reason of a problem document that gives nothing away."""
    assert answer.get(b"Content-Type") == b"application/problem+json"
    assert answer.get(b"Cache-Control") == b"no-store"
    problem = json.loads(answer.body)
    assert set(problem) == {"type", "title", "status", "detail", "reason"}
    assert problem["status"] == answer.status
    assert b"detail=" + problem["reason"].encode() in (answer.get(b"Cache-Status") or b"")
    everything = b"\n".join([answer.line, *map(b": ".join, answer.fields), answer.body])
    for secret in (b"127.0.0.1", b"localhost", b"%d" % chain.origin.port, b".sock", b"rrno"):
        assert secret not in everything
    return answer.status, problem["reason"]


async def told_first(chain: Chain) -> tuple[int, str]:
    return told(chain, await chain.ask(request()))


class TestHttps:
    @pytest.fixture
    def script(self) -> Script:
        return answering(reply(b"secret"))

    async def test_a_ca_file(self, through: Through, certify: Certify, script: Script) -> None:
        trusted = certify("127.0.0.1")
        chain = await through(
            script, serve={"tls": trusted.server()}, origin={"ca_file": trusted.ca_file}
        )
        assert (await chain.ask(request())).body == b"secret"
        (received,) = chain.origin.requests
        assert received.get(b"X-Forwarded-Proto") == b"http"

    async def test_server_name(self, through: Through, certify: Certify, script: Script) -> None:
        trusted = certify("api.internal")
        asked_for: list[str | None] = []
        server = trusted.server()
        server.sni_callback = lambda _socket, name, _context: asked_for.append(name)
        chain = await through(
            script,
            serve={"tls": server},
            origin={"ca_file": trusted.ca_file, "server_name": "api.internal"},
        )
        assert (await chain.ask(request())).body == b"secret"
        assert asked_for == ["api.internal"]
        assert chain.origin.requests[0].get(b"Host") == b"api.example"

    async def test_a_host_name_is_its_own_server_name(
        self, through: Through, certify: Certify, script: Script
    ) -> None:
        trusted = certify("localhost")
        chain = await through(
            script,
            serve={"tls": trusted.server()},
            url=lambda origin: f"https://localhost:{origin.port}",
            origin={"ca_file": trusted.ca_file},
        )
        assert (await chain.ask(request())).body == b"secret"

    @pytest.mark.parametrize(
        ("shown", "trusts"),
        [
            pytest.param("127.0.0.1", "localhost", id="signed by nobody we trust"),
            pytest.param("127.0.0.1", None, id="signed by nobody the system trusts"),
            pytest.param("other.example", "other.example", id="for another name"),
        ],
    )
    async def test_a_certificate_that_proves_nothing(
        self, through: Through, certify: Certify, script: Script, shown: str, trusts: str | None
    ) -> None:
        chain = await through(
            script,
            serve={"tls": certify(shown).server()},
            origin={"ca_file": certify(trusts).ca_file if trusts else None},
        )
        assert await told_first(chain) == (502, "origin-tls")
        assert chain.origin.requests == []

    async def test_verification_switched_off(
        self, through: Through, certify: Certify, script: Script
    ) -> None:
        server = certify("other.example").server()
        chain = await through(script, serve={"tls": server}, origin={"verify": False})
        assert (await chain.ask(request())).body == b"secret"

    async def test_an_origin_without_tls(self, through: Through) -> None:
        async def script(wire: Wire) -> None:
            await wire.read(1)
            await wire.send(reply(status=b"400 Bad Request"))

        chain = await through(script, url=lambda origin: f"https://127.0.0.1:{origin.port}")
        assert await told_first(chain) == (502, "origin-tls")


async def test_a_unix_socket(through: Through, tmp_path: Path) -> None:
    chain = await through(
        answering(reply(b"ok")), serve={"path": str(tmp_path / "api.sock")}
    )  # fmt: skip
    for _ in range(2):
        assert (await chain.ask(request())).body == b"ok"
    assert chain.origin.connections == 1
    assert chain.origin.requests[0].get(b"Host") == b"api.example"


async def test_the_host_of_a_unix_socket(through: Through, tmp_path: Path) -> None:
    chain = await through(
        answering(reply()),
        serve={"path": str(tmp_path / "api.sock")},
        forwarding=ForwardingOptions(host="origin", origin_authority="localhost"),
    )
    await chain.ask(request())
    assert chain.origin.requests[0].get(b"Host") == b"localhost"


class TestUnreachable:
    async def test_refused(self, through: Through) -> None:
        chain = await through(once(), url=lambda _: f"http://127.0.0.1:{closed_port()}")
        assert await told_first(chain) == (502, "origin-refused")

    async def test_no_such_socket(self, through: Through, tmp_path: Path) -> None:
        chain = await through(once(), url=lambda _: f"unix://{tmp_path}/none.sock")
        assert await told_first(chain) == (502, "origin-unreachable")

    async def test_a_handshake_that_never_ends(self, through: Through) -> None:
        async def silent(wire: Wire) -> None:
            await wire.rest()

        chain = await through(
            silent,
            url=lambda origin: f"https://127.0.0.1:{origin.port}",
            origin={"connect_timeout": 0.1},
        )
        assert await told_first(chain) == (504, "origin-connect-timeout")

    async def test_a_connect_that_never_ends(self, through: Through) -> None:
        """A full backlog: the kernel drops the handshake."""
        with ExitStack() as stack:
            full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            address = full.getsockname()
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.settimeout(0)
                filler.connect_ex(address)
            chain = await through(
                once(),
                url=lambda _: f"http://127.0.0.1:{address[1]}",
                origin={"connect_timeout": 0.2},
            )
            assert await told_first(chain) == (504, "origin-connect-timeout")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


async def silence(wire: Wire) -> None:
    await wire.request()
    await wire.rest()


class TestSilent:
    async def test_no_head(self, through: Through) -> None:
        chain = await through(silence, origin={"header_timeout": 0.1})
        assert await told_first(chain) == (504, "origin-header-timeout")
        await chain.origin.idle()

    async def test_half_a_head(self, through: Through) -> None:
        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(b"HTTP/1.1 200 OK\r\nX-")
            await wire.rest()

        chain = await through(script, origin={"header_timeout": 0.1})
        assert await told_first(chain) == (504, "origin-header-timeout")

    @pytest.mark.parametrize("head", [b"Content-Length: 10\r\n\r\nhalf", b"\r\nhalf"])
    async def test_a_body_that_stops(self, through: Through, head: bytes) -> None:
        """Too late for a 504: the message is cut, and never stored."""

        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.send(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (FRESH, head))
            await wire.rest()

        chain = await through(script, origin={"idle_timeout": 0.1})
        async with await chain.connect() as client:
            client.send(request())
            assert (await client.head()).status == 200
            rest = await until_cut(client)
            assert not rest.endswith(b"0\r\n\r\n")
            assert len(rest) < 10
        await chain.origin.idle()
        chain.origin.script = answering(reply(b"whole"))
        assert (await chain.ask(request())).body == b"whole"

    @ON_A_STEADY_LOOP
    async def test_the_clock_does_not_run_for_a_slow_uploader(self, through: Through) -> None:
        chain = await through(answering(reply(b"ok")), origin={"header_timeout": 0.3})
        async with await chain.connect() as client:
            client.send(request(b"POST / HTTP/1.1", b"Content-Length: 4"))
            client.send(b"bo")
            await asyncio.sleep(0.5)
            client.send(b"dy")
            assert (await client.reply()).body == b"ok"


SURPRISES = [
    pytest.param(b"", "origin-broken", id="nothing"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: ", "origin-broken", id="half a head"),
    pytest.param(b"hello\r\n\r\n", "origin-malformed", id="no HTTP"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "origin-malformed", id="space before colon"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", "origin-malformed", id="NUL"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\x7fb\r\n\r\n", "origin-malformed", id="control byte"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "origin-malformed", id="bare CR"),
    pytest.param(b"HTTP/2.0 200 OK\r\n\r\n", "origin-malformed", id="HTTP/2.0"),
    pytest.param(
        CHUNKED_OK + b"Content-Length: 2\r\n\r\nok", "origin-malformed", id="two framings"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        "origin-malformed",
        id="two lengths",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", "origin-malformed", id="signed length"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\nok", "origin-malformed", id="odd length"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "origin-malformed",
        id="a coding we do not undo",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", "origin-malformed", id="too large"
    ),
]


@pytest.mark.parametrize(("surprise", "reason"), SURPRISES)
async def test_answers_that_are_none(through: Through, surprise: bytes, reason: str) -> None:
    """One client gets 502, the next one what the origin says then."""
    chain = await through(once(surprise))
    async with await chain.connect() as client:
        answer = await client.ask(request())
        assert told(chain, answer) == (502, reason)
        await chain.origin.idle()
        chain.origin.script = answering(reply(b"well again"))
        assert (await client.ask(request())).body == b"well again"


async def test_head_gets_no_body_even_then(through: Through) -> None:
    chain = await through(once(b""))
    async with await chain.connect() as client:
        answer = await client.ask(request(b"HEAD / HTTP/1.1"), "HEAD")
        assert answer.status == 502
        chain.origin.script = answering(reply(b"ok"))
        assert (await client.ask(request())).body == b"ok"


async def test_a_reset_in_the_middle_of_an_upload(through: Through) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        wire.reset()

    chain = await through(script)
    async with await chain.connect() as client:
        client.send(request(b"PUT / HTTP/1.1", b"Content-Length: 1000000", body=b"x" * 300_000))
        assert told(chain, await client.reply()) == (502, "origin-broken")
        await client.closed()


async def test_an_early_error_answers_a_large_upload(through: Through) -> None:
    """It is passed on though the origin reads no further; the rest is no request."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(reply(b"too large", b"Connection: close", status=b"413 Too Large"))

    chain = await through(script)
    async with await chain.connect() as client:
        client.send(request(b"PUT / HTTP/1.1", b"Content-Length: 1000000", body=b"x" * 300_000))
        answer = await client.reply()
        assert (answer.status, answer.body) == (413, b"too large")
        await client.closed()
