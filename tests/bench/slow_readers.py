"""Clients on poor connections: each takes a few KiB a second of an answer of 1 MiB.

python -m tests.bench.slow_readers PORT COUNT

Says `ready` once every one of them is being answered, and goes on until it is ended.
"""

import random
import socket
import sys
import time

from tests.bench import traffic

TARGET = traffic.Target("/stored/1m/slow")
_TURNS = 10
"""In a second; each of them serves its share of the clients."""

_BITE = 4 << 10
_BUFFER = 16 << 10


def client(port: int, draw: random.Random) -> socket.socket:
    """A client that has asked; what it does not read soon stops the proxy from writing more."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    connection.connect(("127.0.0.1", port))
    connection.sendall(traffic.request(TARGET, draw))
    return connection


def main() -> None:
    port, count = map(int, sys.argv[1:])
    draw = random.Random(1)  # noqa: S311 - load, not secrets
    clients = [client(port, draw) for _ in range(count)]
    for each in clients:
        each.recv(1)
    print("ready", flush=True)  # noqa: T201 - it is a command
    while True:
        for turn in range(_TURNS):
            for each in clients[turn::_TURNS]:
                each.recv(_BITE, socket.MSG_DONTWAIT)
            time.sleep(1 / _TURNS)


if __name__ == "__main__":
    main()
