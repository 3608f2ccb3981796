"""Connections to the origin: aiohttp's connector (pool, DNS, TLS) and response parser.

aiohttp's session, request and response objects are left out: they rewrite targets, cannot send
bytes from 0x80 up, and drop 103. Everything of aiohttp that is not public is touched in this
module only, and tests/origin/test_connection.py has a canary for each of it.

A protocol is in one of these phases:

    IDLE    in the pool; any byte that arrives closes it
    HEAD    a request is out; heads are read one at a time, 1xx included
    BODY    after the final head; what comes behind the body closes the connection
    TUNNEL  after 101; bytes are no longer HTTP

Heads are cut off the stream before the parser sees more, so that what is wrong behind a message
(surplus bytes, a second response) cannot spoil the message.
"""

import asyncio
import functools
import re
import select
import ssl
import weakref
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import BaseConnector, TCPConnector, UnixConnector
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from yarl import URL

from proxy.origin.dialling import connect_failure, connect_timeout
from proxy.origin.errors import OriginError, StaleConnectionError
from proxy.origin.heads import MAX_INTERIM, Head, check_head, check_raw_head, malformed
from proxy.origin.options import Endpoint, OriginOptions
from proxy.origin.slots import Slots
from proxy.rfc9111.reasons import Reason

if TYPE_CHECKING:
    from aiohttp.connector import Connection as PooledConnection

_HEAD_END = re.compile(rb"\n\r?\n")

# How the bytes of a chunked body end, with or without trailers; not so with surplus behind it.
_CHUNKED_END = re.compile(rb"[^\r\n]\r?\n\r?\n\Z")
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL = 200

# Body bytes held per exchange when the client is slow: twice this at most.
_BUFFER = 65_536

# All waiting for a connection is bounded in one place, Pool.acquire.
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None)


def parser_is_native() -> bool:
    """Whether aiohttp's compiled parser is in use; the pure Python one is slower and laxer."""
    return HttpResponseParser.__module__ == "aiohttp._http_parser"


class _Phase(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    TUNNEL = auto()


class _Protocol(ResponseHandler):
    """aiohttp's response protocol, made to distrust the origin."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: OriginOptions) -> None:
        super().__init__(loop)
        self.touched = False  # a byte arrived since `begin`
        self.idle_since: float | None = None
        self.body: StreamReader | None = None
        self._limits = limits
        self._phase = _Phase.IDLE
        self._partial_head = bytearray()
        self._to_come: int | None = None
        self._chunked_tail: bytes | None = None
        self._interim = 0

    def begin(self, *, head_only: bool) -> None:
        """A request goes out: read heads from here on."""
        self.touched = False
        self.body = None
        self._phase = _Phase.HEAD
        self._to_come = None
        self._chunked_tail = None
        self._interim = 0
        self._partial_head.clear()
        self.set_response_params(
            skip_payload=head_only,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=_BUFFER,
            max_line_size=self._limits.header_size,
            max_field_size=self._limits.header_size,
            max_headers=self._limits.headers,
        )

    def end(self) -> None:
        """The exchange is over: whatever arrives from here on is nobody's answer."""
        tail = self._chunked_tail
        if tail and _CHUNKED_END.search(tail) is None:
            # The parser swallowed something behind the body, such as half a head.
            self.force_close()
        self._phase = _Phase.IDLE
        self.body = None
        self.idle_since = self._loop.time()

    def quiet(self) -> bool:
        """Nothing is waiting to be read: no pushed bytes, no close by the origin."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def data_received(self, data: bytes) -> None:
        """Take bytes off the wire; no bytes at all mean that parsing goes on after a pause."""
        if not data:
            super().data_received(data)
            return
        self.touched = True
        if self._phase is _Phase.HEAD:
            data = self._take_heads(data)
        if data:
            self._take_rest(data)

    def _take_heads(self, data: bytes) -> bytes:
        """Feed whole heads to the parser, one by one, up to the final one; return the rest."""
        partial, window, start, taken = self._partial_head, data, 0, 0
        if partial:
            # An end can begin in what came before: "\n\r" + "\n".
            start = len(partial) - 2
            partial += data
            window = bytes(partial)
        while self._phase is _Phase.HEAD and self.exception() is None:
            end = _HEAD_END.search(window, max(start, taken))
            size = (len(window) if end is None else end.end()) - taken
            if size > self._limits.header_size:
                self.fail(malformed(f"head of more than {self._limits.header_size} bytes"))
                return b""
            if end is None:
                partial[:] = window[taken:]
                return b""
            self._take_head(window[taken : taken + size])
            taken += size
        partial.clear()
        return window[taken:]

    def _take_head(self, head: bytes) -> None:
        try:
            check_raw_head(head)
        except OriginError as error:
            self.fail(error)
            return
        messages = len(self)
        super().data_received(head)
        if len(self) == messages and self.exception() is None:
            self.fail(malformed("no status line"))

    def _take_rest(self, data: bytes) -> None:
        if self._phase is _Phase.TUNNEL and self.body is not None:
            self.body.feed_data(data)
        elif self._phase is not _Phase.BODY or self.body is None or self.body.is_eof():
            self._drop_surplus()
        elif self._to_come is None:
            if self._chunked_tail is not None:
                self._chunked_tail = (self._chunked_tail + data[-5:])[-5:]
            super().data_received(data)
        else:
            taken, self._to_come = data[: self._to_come], max(0, self._to_come - len(data))
            if taken:
                super().data_received(taken)
            if len(taken) < len(data):
                self._drop_surplus()

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """The parser found a head. A second response behind the first is surplus."""
        message, body = data
        if self._phase is not _Phase.HEAD:
            self._drop_surplus()
            return
        if message.code == _SWITCHING_PROTOCOLS:
            if not self._upgraded:
                self.fail(malformed("101 without Upgrade"))
                return
            self._phase = _Phase.TUNNEL
            body = StreamReader(self, _BUFFER, loop=self._loop)
        elif message.code >= _FIRST_FINAL:
            self._phase = _Phase.BODY
            self._to_come = _announced(message)
            self._chunked_tail = b"" if message.chunked else None
        elif (count := self._interim + 1) > MAX_INTERIM:
            self.fail(malformed(f"more than {MAX_INTERIM} interim responses"))
            return
        else:
            self._interim = count
        self.body = body
        super().feed_data((message, body), size)

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _EXC_SENTINEL) -> None:
        """Fail what is being read, head or body: a body that is not whole never just ends."""
        self._fail_body(exc)
        super().set_exception(exc, exc_cause)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone. Only an orderly close can end a close-delimited body."""
        if self._phase is _Phase.TUNNEL and self.body is not None:
            self.body.feed_eof()
        elif exc is not None:
            self._fail_body(exc)
        super().connection_lost(exc)

    def close(self) -> None:
        """Close; a body that is not whole by now is cut short."""
        self._fail_body(ConnectionAbortedError("closed by this end"))
        super().close()

    def abort(self) -> None:
        """Close without sending what is buffered."""
        self._fail_body(ConnectionAbortedError("closed by this end"))
        super().abort()

    def _fail_body(self, error: BaseException) -> None:
        if self.body is not None and not self.body.is_eof() and self.body.exception() is None:
            self.body.set_exception(error)

    def fail(self, error: Exception) -> None:
        """Make whoever reads get `error`, and close."""
        self.set_exception(error)
        self._drop_surplus()

    def _drop_surplus(self) -> None:
        """Bytes that nobody asked for: the next response on this connection could be a lie."""
        self.force_close()
        if self.transport is not None:
            self.transport.abort()


def _announced(message: RawResponseMessage) -> int | None:
    """Content-Length as the parser read it; None if the body is framed in another way."""
    for name, value in message.raw_headers:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None


class Connection:
    """One exchange with the origin on a connection from the pool; ends in `release` or `drop`.

    Everything that reads raises OriginError (ORIGIN_BROKEN, ORIGIN_MALFORMED), or whatever was
    passed to `fail`.
    """

    def __init__(self, pool: "Pool", pooled: "PooledConnection", protocol: _Protocol) -> None:
        self._pool = pool
        self._pooled = pooled
        self._protocol = protocol
        self._reused = protocol.idle_since is not None
        self._head_only = False
        # Also of an exchange that nobody ends.
        self._give_back_slot = weakref.finalize(self, pool.slots.give_back)
        self._give_back_slot.atexit = False

    def begin(self, head: bytes, *, head_only: bool) -> None:
        """Send a request head. `head_only`: the method is HEAD."""
        self._head_only = head_only
        self._protocol.begin(head_only=head_only)
        self.send(head)

    def send(self, data: bytes) -> None:
        """Send, or buffer for sending; does nothing when the connection is lost."""
        transport = self._protocol.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    async def hear(self) -> None:
        """Take in what the origin has said by now.

        To be called before sending more of a body: a send that hits a closed connection loses an
        early answer, such as 413, that lies unread in the socket.
        """
        if not self._protocol.quiet():
            # One round of the loop notices the bytes, the next one has read them.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def drain(self) -> None:
        """Wait while the origin is slow to read. Raises ConnectionError when it is gone."""
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the origin closed the connection")
        await self._protocol._drain_helper()  # noqa: SLF001

    async def head(self) -> Head:
        """The next response head, interim or final; StaleConnectionError where none can come."""
        try:
            message, _ = await self._protocol.read()
        except Exception as error:
            failure = _read_error(error)
            untouched = self._reused and not self._protocol.touched
            if untouched and _is_broken(failure):
                raise StaleConnectionError(str(error)) from error
            raise failure from error
        return self._checked(message)

    def _checked(self, message: RawResponseMessage) -> Head:
        head = check_head(
            version=(message.version.major, message.version.minor),
            status=message.code,
            reason=message.reason.encode("utf-8", "surrogateescape").decode("latin-1"),
            fields=message.raw_headers,
            persistent=not message.should_close,
            head_only=self._head_only,
        )
        if bool(message.chunked) != ("Transfer-Encoding" in head.headers):
            raise malformed("parser and fields disagree on Transfer-Encoding")
        return head

    def buffered(self) -> bytes:
        """Body bytes that have arrived, even if the rest never will; b"" for none."""
        body = self._protocol.body
        # `read_nowait` would hold back what came before a failure.
        return body._read_nowait(-1) if body is not None and body._buffer else b""  # noqa: SLF001

    @property
    def body_ended(self) -> bool:
        """The body is whole, and `buffered` has given it all."""
        body = self._protocol.body
        return body is None or (body.exception() is None and body.at_eof())

    async def chunk(self) -> bytes:
        """The next bytes of the body or tunnel; b"" at its end."""
        body = self._protocol.body
        if body is None:
            return b""
        try:
            return await body.readany()
        except Exception as error:
            raise _read_error(error) from error

    def fail(self, error: Exception) -> None:
        """Make whoever reads from this connection get `error`, and close it."""
        self._protocol.fail(error)

    def spoil(self) -> None:
        """The connection must not be used again after this exchange."""
        self._protocol.force_close()

    def release(self) -> None:
        """Back to the pool after a whole exchange; closed instead where it cannot be reused."""
        self._protocol.end()
        self._pooled.release()
        self._give_back_slot()

    def drop(self) -> None:
        """Close at once; what was not sent is not sent. May be called again."""
        if self._pooled.protocol is not None:
            self._protocol.abort()
            self._pooled.close()
            self._give_back_slot()

    def detach(self) -> None:
        """Leave the pool: a tunnel lives long and takes no slot from ordinary exchanges."""
        self._pool.detach(self._pooled, self._protocol)
        self._give_back_slot()

    def close_write(self) -> None:
        """Close this end's side of a detached connection; the origin may still send."""
        transport = self._protocol.transport
        if transport is not None and transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()

    def close_tunnel(self) -> None:
        """Close a detached connection after what was written is sent."""
        self._protocol.close()


def _read_error(error: Exception) -> Exception:
    """What a failed read means."""
    if isinstance(error, HttpProcessingError):
        return malformed(str(error.__cause__ or error))
    if isinstance(error, (aiohttp.ClientError, OSError)):
        return OriginError(Reason.ORIGIN_BROKEN, repr(error))
    return error


def _is_broken(error: Exception) -> bool:
    return isinstance(error, OriginError) and error.reason is Reason.ORIGIN_BROKEN


class _Peer:
    """What the connector asks of a request: where to connect."""

    proxy = None
    ssl = True  # as the connector says

    def __init__(self, endpoint: Endpoint, server_name: str | None) -> None:
        secure = endpoint.scheme == "https"
        host, port = endpoint.host or "localhost", endpoint.port or 80
        self.url = URL.build(scheme="https" if secure else "http", host=host, port=port)
        self.host = self.url.raw_host
        self.port = port
        self.server_hostname = server_name
        self.connection_key = ConnectionKey(
            host=host,
            port=port,
            is_ssl=secure,
            ssl=True,
            proxy=None,
            proxy_auth=None,
            proxy_headers_hash=None,
            server_hostname=server_name,
        )

    def is_ssl(self) -> bool:
        return self.connection_key.is_ssl


class Pool:
    """Connections to one origin. Must be made while an event loop runs.

    Args:
        tls: For `https`.
        slots: How many exchanges may run at a time, tunnels not counted.
    """

    def __init__(self, options: OriginOptions, tls: ssl.SSLContext | None, slots: Slots) -> None:
        endpoint = options.endpoint
        self._options = options
        self.slots = slots
        self._secure = endpoint.scheme == "https"
        self._peer = cast("ClientRequest", _Peer(endpoint, options.server_name))
        self._connector = _connector(endpoint, options, tls)
        loop = asyncio.get_running_loop()
        self._connector._factory = functools.partial(_Protocol, loop, options)  # type: ignore[assignment] # noqa: SLF001
        self._tunnels: weakref.WeakSet[_Protocol] = weakref.WeakSet()

    async def acquire(self, max_idle: float) -> Connection:
        """A connection that was idle for at most `max_idle` seconds, or a new one.

        Raises OriginError: ORIGIN_REFUSED, _UNREACHABLE, _TLS or _CONNECT_TIMEOUT.
        """
        seconds = self._options.connect_timeout
        try:
            async with asyncio.timeout(seconds):
                await self.slots.take()
                try:
                    return await self._connect(max_idle)
                except BaseException:
                    self.slots.give_back()
                    raise
        except TimeoutError:
            raise connect_timeout(seconds) from None
        except (aiohttp.ClientError, OSError) as error:
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            raise connect_failure(cause, secure=self._secure) from error

    async def _connect(self, max_idle: float) -> Connection:
        while True:
            pooled = await self._connector.connect(self._peer, [], _NO_TIMEOUT)
            protocol = pooled.protocol
            if not isinstance(protocol, _Protocol):
                pooled.close()
                raise TypeError("aiohttp's connector no longer uses its _factory")
            since = protocol.idle_since
            if since is None:
                return Connection(self, pooled, protocol)
            idle = asyncio.get_running_loop().time() - since
            if idle <= max_idle and protocol.quiet():
                return Connection(self, pooled, protocol)
            pooled.close()

    def detach(self, pooled: "PooledConnection", protocol: _Protocol) -> None:
        """Take a connection out of the pool's books; it is closed with the pool all the same."""
        self._connector._release_acquired(pooled._key, protocol)  # noqa: SLF001
        pooled._protocol = None  # noqa: SLF001
        self._tunnels.add(protocol)

    async def close(self) -> None:
        """Close every connection, also those in use."""
        for protocol in list(self._tunnels):
            protocol.abort()
        await self._connector.close()


def _connector(
    endpoint: Endpoint, options: OriginOptions, tls: ssl.SSLContext | None
) -> BaseConnector:
    # The slots are the limit.
    common: dict[str, Any] = {"limit": 0, "keepalive_timeout": options.keepalive}
    if endpoint.scheme == "unix":
        return UnixConnector(endpoint.path, **common)
    return TCPConnector(ssl=tls or True, **common)
