"""Opening connections: names to addresses, addresses to sockets, TLS, and what failures mean."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar, cast

from aiohappyeyeballs import start_connection

from proxy.origin.errors import OriginError
from proxy.origin.options import OriginOptions
from proxy.rfc9111.reasons import Reason

P = TypeVar("P", bound=asyncio.Protocol)

_Address: TypeAlias = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

ADDRESSES_LAST: Final = 15.0
"""Seconds for which a name's addresses are used: an origin that moves is found within them."""

_HEAD_START: Final = 0.25
"""Seconds by which one address is tried before the next (RFC 8305 §5)."""

_UNDER_WAY: Final = frozenset({errno.EINPROGRESS, errno.EINTR})
"""What a connect that has begun says; a signal does not end one (POSIX)."""


class Dialler:
    """Opens connections to one endpoint. Must be made while an event loop runs.

    Args:
        tls: For `https`; see `tls_context`.
    """

    def __init__(self, options: OriginOptions, tls: ssl.SSLContext | None) -> None:
        self._endpoint = options.endpoint
        self._tls = tls
        self._server_name = (options.server_name or self._endpoint.host) if tls else None
        # The caller's clock is the one that counts, and it must be able to run out first.
        self._handshake_timeout = options.connect_timeout + 1.0 if tls else None
        self._names = _Names(self._endpoint.host, self._endpoint.port)

    async def dial(self, protocol: Callable[[], P]) -> P:
        """Connect, without a bound on the time; raises what `connect_failure` understands."""
        loop = asyncio.get_running_loop()
        if self._endpoint.scheme == "unix":
            _, connected = await loop.create_unix_connection(protocol, self._endpoint.path)
            return connected
        # The loop closes the socket, whatever happens. Closed here while a transport has it, its
        # number would be the next connection's, which what ends this one would hit.
        _, connected = await loop.create_connection(
            protocol,
            sock=await self._connect(),
            ssl=self._tls,
            server_hostname=self._server_name,
            ssl_handshake_timeout=self._handshake_timeout,
        )
        return connected

    async def _connect(self) -> socket.socket:
        addresses = await self._names.addresses()
        try:
            if len(addresses) == 1:
                return await _connect_to(addresses[0])
            return await start_connection(addresses, happy_eyeballs_delay=_HEAD_START)
        except (OSError, asyncio.CancelledError):
            # Refused, or not answered in time: the origin may have moved.
            self._names.forget()
            raise

    def close(self) -> None:
        """Give up looking for addresses."""
        self._names.close()


class _Names:
    """The addresses of a host, looked up by one request for all that ask at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._found: list[_Address] | None = None
        self._fresh_until = 0.0
        self._lookup: asyncio.Task[list[_Address]] | None = None

    async def addresses(self) -> list[_Address]:
        """All of them; only success is remembered. Raises OSError or UnicodeError.

        Those of the preferred family take turns in being the first, so that all are used.
        """
        loop = asyncio.get_running_loop()
        if self._found is not None and loop.time() < self._fresh_until:
            self._found = _turned(self._found)
            return self._found
        if self._lookup is None:
            self._lookup = loop.create_task(self._look_up())
        # Shielded: others may be waiting for it.
        return await asyncio.shield(self._lookup)

    async def _look_up(self) -> list[_Address]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
            self._found = cast("list[_Address]", found)
            self._fresh_until = loop.time() + ADDRESSES_LAST
            return self._found
        finally:
            self._lookup = None

    def forget(self) -> None:
        """Look anew next time."""
        self._found = None

    def close(self) -> None:
        if self._lookup is not None:
            self._lookup.cancel()


async def _connect_to(address: _Address) -> socket.socket:
    """A socket that is connected there; raises OSError.

    uvloop's sock_connect looks even an address up, in a pool of threads. In a process that has but
    one, every read, write and allocation is cheaper: a hit costs 7 % less.
    """
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    sock.settimeout(0)
    try:
        failure = sock.connect_ex(where)
        if failure in _UNDER_WAY:
            await _writable(sock)
            failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        sock.close()
        raise
    if failure:
        sock.close()
        raise OSError(failure, f"{os.strerror(failure)}: {where[0]} port {where[1]}")
    return sock


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(sock)


def _turned(addresses: list[_Address]) -> list[_Address]:
    """The first behind the others of its family; which family comes first is the system's word."""
    first, *rest = addresses
    others = sum(address[0] == first[0] for address in rest)
    return [*rest[:others], first, *rest[others:]]


def tls_context(options: OriginOptions) -> ssl.SSLContext | None:
    """TLS as the operator wants it; None for http. Raises OSError for an unreadable CA file."""
    if options.endpoint.scheme != "https":
        return None
    context = ssl.create_default_context(cafile=options.ca_file)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(NotImplementedError):
        context.set_alpn_protocols(["http/1.1"])
    return context


def connect_failure(error: Exception, *, secure: bool) -> OriginError:
    """What a failed attempt to connect means. `secure`: TLS was to be spoken."""
    if isinstance(error, ssl.SSLError):
        reason = Reason.ORIGIN_TLS
    elif isinstance(error, ConnectionRefusedError):
        reason = Reason.ORIGIN_REFUSED
    elif isinstance(error, TimeoutError):
        reason = Reason.ORIGIN_CONNECT_TIMEOUT
    elif isinstance(error, ConnectionError):
        # The peer hung up: with TLS in the middle of the handshake.
        reason = Reason.ORIGIN_TLS if secure else Reason.ORIGIN_REFUSED
    else:
        reason = Reason.ORIGIN_UNREACHABLE
    return OriginError(reason, str(error))


def connect_timeout(seconds: float) -> OriginError:
    """The error where waiting for a slot, or connecting, took too long."""
    return OriginError(Reason.ORIGIN_CONNECT_TIMEOUT, f"no connection in {seconds:g} s")
