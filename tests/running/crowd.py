"""Many connections at once, held by plain sockets: they cost the test next to nothing."""

import resource
import select
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

_PATIENCE = 60.0


def affordable(wanted: int) -> int:
    """How many sockets this process may hold of those that are wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - 500)


@contextmanager
def crowd(port: int, size: int, sends: bytes) -> Iterator[list[socket.socket]]:
    """So many connections, each of which has sent the same."""
    with ExitStack() as stack:
        clients = []
        for _ in range(size):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), _PATIENCE))
            client.sendall(sends)
            clients.append(client)
        yield clients


def first_bytes(clients: Iterable[socket.socket], size: int) -> list[bytes]:
    """What each gets first; waits for all."""
    found = []
    for client in clients:
        client.settimeout(_PATIENCE)
        try:
            found.append(client.recv(size))
        except ConnectionResetError:
            found.append(b"")
    return found


def silent(clients: Iterable[socket.socket]) -> bool:
    """Whether none of them has got anything."""
    poll = select.poll()
    for client in clients:
        poll.register(client, select.POLLIN)
    return not poll.poll(0)
