"""Connections for requests with bodies and for upgrades: aiohttp's connector."""

import asyncio
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import BaseConnector

from proxy.origin.connection import Connection
from proxy.origin.dialling import Dialler, connect_failure, connect_timeout
from proxy.origin.options import OriginOptions
from proxy.origin.protocol import ResponseProtocol
from proxy.origin.slots import Slots

if TYPE_CHECKING:
    from aiohttp.connector import Connection as PooledConnection

# All waiting for a connection is bounded in one place, Pool.acquire.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None)


class _Peer:
    """What the connector asks of a request: by which key to keep its connection."""

    proxy = None
    connection_key = ConnectionKey(
        host="the origin",
        port=None,
        is_ssl=False,
        ssl=False,
        proxy=None,
        proxy_auth=None,
        proxy_headers_hash=None,
        server_hostname=None,
    )


_PEER: Final = cast("ClientRequest", _Peer())


class _Connector(BaseConnector):
    """Keeps connections as aiohttp does, and makes them as the lean path does."""

    def __init__(self, options: OriginOptions, dialler: Dialler) -> None:
        super().__init__(limit=0, keepalive_timeout=options.keepalive)  # the slots are the limit
        self._dialler = dialler
        self._protocol = partial(ResponseProtocol, asyncio.get_running_loop(), options)

    async def _create_connection(self, *_: Any, **__: Any) -> ResponseProtocol:
        return await self._dialler.dial(self._protocol)


class Pool:
    """Connections to one origin. Must be made while an event loop runs.

    Args:
        dialler: Makes them.
        slots: How many exchanges may run at a time, tunnels not counted.
    """

    def __init__(self, options: OriginOptions, dialler: Dialler, slots: Slots) -> None:
        self._options = options
        self.slots = slots
        self._secure = options.endpoint.scheme == "https"
        self._connector = _Connector(options, dialler)
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
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            raise connect_failure(error, secure=self._secure) from error

    async def _connect(self, max_idle: float) -> Connection:
        while True:
            pooled = await self._connector.connect(_PEER, [], _NO_TIMEOUT)
            protocol = cast("ResponseProtocol", pooled.protocol)
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
