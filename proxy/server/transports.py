"""What the loop's transport to a client tells of it, and what can be done to it besides writing."""

import asyncio
import select
import socket
import struct
from contextlib import suppress
from typing import Final

_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""Of SO_LINGER: a close that waits for nothing, and says so."""


def address_of(transport: asyncio.Transport) -> str:
    """The client's IP address; "" on a Unix socket."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def has_unread(transport: asyncio.Transport) -> bool:
    """Whether something has arrived that the loop has not read yet."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def close_write(transport: asyncio.Transport) -> None:
    """Tell a client that nothing more comes, where the transport can (TLS cannot)."""
    if transport.can_write_eof() and not transport.is_closing():
        with suppress(OSError):  # it has reset the connection, and the loop has not seen it yet
            transport.write_eof()


def abort(transport: asyncio.Transport, *, reset: bool) -> None:
    """Cut the connection; with `reset` so that what was sent cannot pass for complete."""
    sock = transport.get_extra_info("socket") if reset else None
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
