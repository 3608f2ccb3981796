import asyncio
import errno
import socket
import ssl

import pytest

from proxy.origin import OriginOptions
from proxy.origin.dialling import Dialler, connect_failure, tls_context
from proxy.rfc9111.reasons import Reason
from tests.certificates import Certify
from tests.origin.conftest import Serve
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


async def test_uvloop_need_not_look_up_an_address_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = await serve(answering(reply()))
    loop, asked = asyncio.get_running_loop(), []
    real = loop.getaddrinfo

    async def counted(host: str, port: int, **how: int) -> object:
        asked.append(host)
        return await real(host, port, **how)

    monkeypatch.setattr(loop, "getaddrinfo", counted)
    dialler = Dialler(OriginOptions(f"http://127.0.0.1:{origin.port}"), None)
    await dialler.dial(asyncio.Protocol)
    await dialler.dial(asyncio.Protocol)
    assert asked == ["127.0.0.1"]
    dialler.close()


async def test_a_port_where_nobody_listens_is_refused_by_its_name() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dialler = Dialler(OriginOptions(f"http://127.0.0.1:{taken.getsockname()[1]}"), None)
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            await dialler.dial(asyncio.Protocol)
