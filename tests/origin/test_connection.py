"""Canaries: the private parts of aiohttp that proxy.origin's protocol, connection and pool use.

When one of these fails after an upgrade of aiohttp, read those modules with aiohttp's new source
beside them; the tests on the wire then say whether what they promise still holds.
"""

import asyncio
import contextlib
import inspect

import pytest
from aiohttp import ClientError
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import BaseConnector, Connection
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import DataQueue, StreamReader
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.origin import OriginError, OriginOptions, parser_is_native
from proxy.origin.protocol import ResponseProtocol


def test_the_native_parser_is_installed() -> None:
    assert parser_is_native()


def test_the_fallback_parser_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.origin.protocol.HttpResponseParser", ResponseHandler)
    assert not parser_is_native()


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (
            ResponseHandler.set_response_params,
            """skip_payload read_until_eof auto_decompress read_bufsize max_line_size
            max_field_size max_headers""",
        ),
        (DataQueue.feed_data, "data size"),
        (DataQueue.set_exception, "exc exc_cause"),
        (BaseConnector.connect, "req traces timeout"),
        (BaseConnector._release_acquired, "key proto"),
        (BaseConnector.__init__, "limit keepalive_timeout"),
        (StreamReader.__init__, "protocol limit loop"),
        (StreamReader._read_nowait, "n"),
        (BaseProtocol._drain_helper, "self"),
    ],
)
def test_functions_take_what_they_took(function: object, names: str) -> None:
    assert callable(function)
    assert set(names.split()) <= set(inspect.signature(function).parameters)


def test_the_parser_hands_messages_to_feed_data() -> None:
    source = inspect.getsource(ResponseHandler.data_received)
    assert "self.feed_data((message," in source
    assert "self._upgraded = upgraded" in source


def test_the_connector_asks_of_a_request_what_it_asked() -> None:
    asked = _attributes(inspect.getsource(BaseConnector.connect))
    assert {word.split("req.", 1)[1] for word in asked} <= {"connection_key", "proxy"}


def test_it_has_connections_made_where_it_had() -> None:
    assert "await self._create_connection(" in inspect.getsource(BaseConnector.connect)


def _attributes(code: str) -> list[str]:
    words = "".join(c if c.isalnum() or c in "._" else " " for c in code).split()
    return [".".join(word.split(".")[:2]) for word in words if word.startswith("req.")]


def test_a_connection_key_has_the_fields_it_had() -> None:
    assert ConnectionKey._fields == (
        "host",
        "port",
        "is_ssl",
        "ssl",
        "proxy",
        "proxy_auth",
        "proxy_headers_hash",
        "server_hostname",
    )


async def test_objects_have_the_attributes_they_had() -> None:
    loop = asyncio.get_running_loop()
    protocol = ResponseHandler(loop)
    reader = StreamReader(protocol, 1, loop=loop)
    key = ConnectionKey("a", 1, False, True, None, None, None)  # noqa: FBT003
    connection = Connection(BaseConnector(), key, protocol, loop)
    assert (connection._key, connection._protocol) == (key, protocol)
    connection._protocol = None
    assert protocol._upgraded is False
    assert not reader._buffer
    assert isinstance(_EXC_SENTINEL, BaseException)


class Transport(asyncio.Transport):
    """As much of a transport as the protocol touches."""

    closing = False

    def abort(self) -> None:
        self.closing = True

    close = abort

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


FRAGMENTS = (
    *(b"HTTP/1.1 ", b"HTTP/1.0 ", b"200 OK", b"103 Early", b"204 ", b"101 S", b"\r\n", b"\n"),
    *(b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y", b"Upgrade: a", b": ", b" "),
    *(b"Connection: upgrade", b"Connection: close", b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello"),
    *(b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n", b"\0", b"\x80", b"\r", b"ff", b"-1"),
)


@settings(deadline=None)
@given(
    segments=st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join), max_size=8),
    reset=st.booleans(),
    head_only=st.booleans(),
)
def test_whatever_an_origin_says_ends_well(
    segments: list[bytes], *, reset: bool, head_only: bool
) -> None:
    """No exception escapes into the loop, and whoever reads comes to an end."""

    async def converse() -> None:
        protocol = ResponseProtocol(asyncio.get_running_loop(), OriginOptions("http://x"))
        transport = Transport()
        protocol.connection_made(transport)
        protocol.begin(head_only=head_only)
        for segment in segments:
            if not transport.closing:
                protocol.data_received(segment)
        protocol.connection_lost(ConnectionResetError() if reset else None)
        with contextlib.suppress(ClientError, OSError, HttpProcessingError, OriginError):
            async with asyncio.timeout(1):
                while (await protocol.read())[0].code < 200:
                    pass
                assert protocol.body is not None
                while await protocol.body.readany():
                    assert not head_only

    asyncio.run(converse())
