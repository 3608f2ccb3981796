"""An origin client whose connections are made of memory: the loop delivers what a test lays out.

Nothing here depends on time, sockets or the order of threads, so thousands of conversations take
a second, and each can be had again.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proxy.origin import OriginClient, OriginOptions
from proxy.origin.dialling import Dialler

Says = Callable[[bytes], "Speech"]


@dataclass
class Speech:
    """What the origin says to one request: segments as the wire brings them, then `end`.

    Attributes:
        end: Called with the protocol behind the last segment; None leaves the connection open.
    """

    segments: list[bytes]
    end: Callable[[asyncio.Protocol], None] | None = None


def hang_up(protocol: asyncio.Protocol) -> None:
    """An orderly end."""
    protocol.eof_received()
    protocol.connection_lost(None)


def reset(protocol: asyncio.Protocol) -> None:
    """A connection torn down."""
    protocol.connection_lost(ConnectionResetError())


class Transport(asyncio.Transport):
    """Answers each write as `says` says, a segment per round of the loop."""

    def __init__(self, protocol: asyncio.Protocol, says: Says, sock: socket.socket) -> None:
        super().__init__({"socket": sock})
        self.requests: list[bytes] = []
        self.closing = False
        self.paused = False
        self._protocol = protocol
        self._says = says
        self._loop = asyncio.get_running_loop()
        self._left: list[bytes] = []
        self._end: Callable[[asyncio.Protocol], None] | None = None

    def write(self, data: Any) -> None:
        self.requests.append(bytes(data))
        speech = self._says(bytes(data))
        self._left, self._end = list(speech.segments), speech.end
        self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.closing or self.paused:
            return
        if self._left:
            self._protocol.data_received(self._left.pop(0))
            self._loop.call_soon(self._go_on)
        elif self._end is not None:
            self.closing = True
            self._end(self._protocol)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self._loop.call_soon(self._go_on)

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    close = abort


@dataclass
class Network:
    """Makes the connections of one client; must be made while an event loop runs."""

    says: Says
    transports: list[Transport] = field(default_factory=list)
    _ends: tuple[socket.socket, socket.socket] = field(default_factory=socket.socketpair)

    def client(self, *, lean: bool, **options: Any) -> OriginClient:
        """A client on either path; private parts of it are put in place of the network."""
        client = OriginClient(OriginOptions("http://origin", lean=lean, **options))
        client._dialler = client._lean._dialler = client._pool._connector._dialler = _Dialler(self)
        return client

    def connect(self, protocol: Any) -> Any:
        transport = Transport(protocol, self.says, self._ends[0])
        self.transports.append(transport)
        protocol.connection_made(transport)
        return protocol

    def close(self) -> None:
        for end in self._ends:
            end.close()


class _Dialler(Dialler):
    def __init__(self, network: Network) -> None:
        self._network = network

    async def dial(self, protocol: Callable[[], Any]) -> Any:
        return self._network.connect(protocol())

    def close(self) -> None:
        pass
