"""Connections for requests with bodies and for upgrades: aiohttp's connector."""

import asyncio
import functools
import ssl
import weakref
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import BaseConnector, TCPConnector, UnixConnector
from yarl import URL

from proxy.origin.connection import Connection
from proxy.origin.dialling import connect_failure, connect_timeout
from proxy.origin.options import Endpoint, OriginOptions
from proxy.origin.protocol import ResponseProtocol
from proxy.origin.slots import Slots

if TYPE_CHECKING:
    from aiohttp.connector import Connection as PooledConnection

# All waiting for a connection is bounded in one place, Pool.acquire.
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None)


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
        self._connector._factory = functools.partial(ResponseProtocol, loop, options)  # type: ignore[assignment] # noqa: SLF001
        self._tunnels: weakref.WeakSet[ResponseProtocol] = weakref.WeakSet()

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
            if not isinstance(protocol, ResponseProtocol):
                pooled.close()
                raise TypeError("aiohttp's connector no longer uses its _factory")
            since = protocol.idle_since
            if since is None:
                return Connection(self, pooled, protocol)
            idle = asyncio.get_running_loop().time() - since
            if idle <= max_idle and protocol.quiet():
                return Connection(self, pooled, protocol)
            pooled.close()

    def detach(self, pooled: "PooledConnection", protocol: ResponseProtocol) -> None:
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
