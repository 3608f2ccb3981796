import asyncio
import errno
import socket
import ssl
from pathlib import Path
from typing import cast

import pytest

from proxy.origin import OriginOptions
from proxy.origin.dialling import Dialler, connect_failure, tls_context
from proxy.rfc9111.reasons import Reason
from tests.certificates import Certify
from tests.origin.conftest import Serve, deaf
from tests.scripted_origin import Wire, answering, reply


async def silence(wire: Wire) -> None:
    await wire.rest()


@pytest.mark.parametrize(
    ("error", "secure", "reason"),
    [
        (TimeoutError(errno.ETIMEDOUT, "timed out"), False, Reason.ORIGIN_CONNECT_TIMEOUT),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False, Reason.ORIGIN_REFUSED),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), True, Reason.ORIGIN_REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "reset"), False, Reason.ORIGIN_REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "reset"), True, Reason.ORIGIN_TLS),
        (ConnectionAbortedError("SSL handshake is taking longer"), True, Reason.ORIGIN_TLS),
        (ssl.SSLCertVerificationError("for another name"), True, Reason.ORIGIN_TLS),
        (OSError(errno.EHOSTUNREACH, "no route"), False, Reason.ORIGIN_UNREACHABLE),
        (OSError(errno.EMFILE, "too many files"), False, Reason.ORIGIN_UNREACHABLE),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), True, Reason.ORIGIN_UNREACHABLE),
        (UnicodeError("label empty or too long"), False, Reason.ORIGIN_UNREACHABLE),
    ],
)
def test_what_a_failed_connect_means(error: Exception, *, secure: bool, reason: Reason) -> None:
    failure = connect_failure(error, secure=secure)
    assert failure.reason is reason
    assert failure.unsent


def test_no_tls_without_https() -> None:
    assert tls_context(OriginOptions("http://api")) is None
    assert tls_context(OriginOptions("unix:///run/api.sock")) is None


def test_certificates_count_unless_the_operator_says_so(certify: Certify) -> None:
    ca_file = certify("api").ca_file
    strict = tls_context(OriginOptions("https://api", ca_file=ca_file))
    lax = tls_context(OriginOptions("https://api", verify=False))
    assert strict is not None
    assert strict.verify_mode is ssl.CERT_REQUIRED
    assert strict.check_hostname
    assert len(strict.get_ca_certs()) == 1
    assert lax is not None
    assert lax.verify_mode is ssl.CERT_NONE


def test_a_ca_file_that_cannot_be_read_is_told_at_once() -> None:
    with pytest.raises(OSError, match="No such file"):
        tls_context(OriginOptions("https://api", ca_file="/nonexistent.pem"))


async def test_many_that_ask_at_once_ask_the_resolver_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = await serve(answering(reply()))
    loop, asked = asyncio.get_running_loop(), 0
    answered = asyncio.Event()
    real = loop.getaddrinfo

    async def slow(host: str, port: int, **how: int) -> object:
        nonlocal asked
        if host != "localhost":  # uvloop asks for addresses too
            return await real(host, port, **how)
        asked += 1
        await answered.wait()
        return await real("127.0.0.1", port, **how)

    monkeypatch.setattr(loop, "getaddrinfo", slow)
    dialler = Dialler(OriginOptions(f"http://localhost:{origin.port}"), None)
    dials = [asyncio.create_task(dialler.dial(asyncio.Protocol)) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    dials[0].cancel()  # the others do not depend on who asked first
    answered.set()
    results = await asyncio.gather(*dials, return_exceptions=True)
    assert [isinstance(result, BaseException) for result in results] == [True] + [False] * 4
    assert asked == 1
    dialler.close()


async def test_an_end_does_not_wait_for_the_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> list[object]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    dialler = Dialler(OriginOptions("http://api.example"), None)
    dial = asyncio.create_task(dialler.dial(asyncio.Protocol))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    dialler.close()
    with pytest.raises(asyncio.CancelledError):
        await dial


async def test_cancelling_a_handshake_leaves_nothing_open(serve: Serve) -> None:
    origin = await serve(silence)
    options = OriginOptions(f"https://127.0.0.1:{origin.port}")
    dialler = Dialler(options, tls_context(options))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(dialler.dial(asyncio.Protocol), 0.1)
    await origin.idle()


async def test_a_refusal_tells_who_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        dialler = Dialler(OriginOptions(f"http://127.0.0.1:{port}"), None)
        words = f"Connection refused: 127.0.0.1 port {port}"
        with pytest.raises(ConnectionRefusedError, match=words):
            await dialler.dial(asyncio.Protocol)


async def test_an_address_of_version_6(serve: Serve) -> None:
    try:
        origin = await serve(silence, host="::1")
    except OSError:
        pytest.skip("this machine has none")
    dialler = Dialler(OriginOptions(f"http://[::1]:{origin.port}"), None)
    connected = await dialler.dial(_Noted)
    assert connected.transport.get_extra_info("peername")[:2] == ("::1", origin.port)
    connected.transport.abort()


async def test_a_signal_does_not_end_a_connect(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = await serve(silence)
    connect = socket.socket.connect_ex

    def interrupted(sock: socket.socket, where: tuple[str, int]) -> int:
        assert connect(sock, where) in {0, errno.EINPROGRESS}
        return errno.EINTR

    monkeypatch.setattr(socket.socket, "connect_ex", interrupted)
    dialler = Dialler(OriginOptions(f"http://127.0.0.1:{origin.port}"), None)
    connected = await dialler.dial(_Noted)
    connected.transport.abort()


async def test_giving_up_on_who_does_not_answer_leaves_nothing_open() -> None:
    with deaf("127.0.0.1") as (address, port):
        dialler = Dialler(OriginOptions(f"http://{address}:{port}"), None)
        before = descriptors()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(dialler.dial(asyncio.Protocol), 0.05)
        assert descriptors() == before


@pytest.mark.parametrize("scheme", ["http", "https", "unix"])
async def test_giving_up_at_whatever_step_leaves_nothing_open(
    serve: Serve, certify: Certify, tmp_path: Path, scheme: str
) -> None:
    loop, wrong = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: wrong.append(context))
    certificate = certify("127.0.0.1") if scheme == "https" else None
    origin = await serve(
        silence,
        tls=certificate.server() if certificate else None,
        path=str(tmp_path / "socket") if scheme == "unix" else None,
    )
    options = OriginOptions(origin.url, ca_file=certificate.ca_file if certificate else None)
    dialler = Dialler(options, tls_context(options))
    for steps in range(30):
        dial = loop.create_task(dialler.dial(_Noted))
        for _ in range(steps):
            await asyncio.sleep(0)
        dial.cancel()
        await asyncio.wait([dial])
        if not dial.cancelled():
            dial.result().transport.abort()
    await origin.idle()
    assert not wrong


async def test_giving_up_as_a_handshake_ends_hits_no_other_connection(
    serve: Serve, certify: Certify
) -> None:
    certificate = certify("127.0.0.1")
    origin = await serve(silence, tls=certificate.server())
    options = OriginOptions(origin.url, ca_file=certificate.ca_file)
    dialler = Dialler(options, tls_context(options))

    class GivesUp(asyncio.Protocol):
        def connection_made(self, _: asyncio.BaseTransport) -> None:
            dial.cancel()

    dial = asyncio.create_task(dialler.dial(GivesUp))
    with pytest.raises(asyncio.CancelledError):
        await dial
    connected = await dialler.dial(_Noted)
    connected.transport.abort()
    await origin.idle()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class _Noted(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
