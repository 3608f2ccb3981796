"""How a hit and a pass-through compare with asking the origin directly.

Three processes on this machine: an origin that does nothing but answer, Warmfront in front of
it, and this one, which sends requests over keep-alive connections and counts answers. The cases
run in turns, several rounds each, so that what else the machine does hits all of them alike.
"""

import argparse
import asyncio
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

BODY = b"x" * 1024
HEAD = (
    "Host: bench.example\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
)
CASES = {"origin": "/hit", "pass-through": "/pass", "hit": "/hit"}


class _Origin(asyncio.Protocol):
    """Answers every head at once; /hit may be cached, the rest may not."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        *heads, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        for head in heads:
            control = b"max-age=3600" if head.startswith(b"GET /hit") else b"no-store"
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: %b\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (control, len(BODY), BODY)
            )


async def serve_origin(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Origin, "127.0.0.1", port)
    await server.serve_forever()


async def load(port: int, target: str, connections: int, seconds: float) -> float:
    """Answers per second."""
    deadline = time.perf_counter() + seconds
    counts = await asyncio.gather(
        *(_one_client(port, target, number, deadline) for number in range(connections))
    )
    return sum(counts) / seconds


async def _one_client(port: int, target: str, number: int, deadline: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = 0
    while time.perf_counter() < deadline:
        request = f"GET {target} HTTP/1.1\r\n{HEAD}X-Request-Id: {number}-{answers}\r\n\r\n"
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode("latin-1"))
        await reader.readexactly(len(BODY))
        answers += 1
    writer.close()
    return answers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*arguments: str, port: int) -> Iterator[None]:
    running = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await_port(port)
        yield
    finally:
        running.terminate()
        running.wait()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=2.0)
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--serve-origin", type=int, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.serve_origin:
        asyncio.run(serve_origin(options.serve_origin))
        return
    origin, proxy = free_port(), free_port()
    run = ("proxy", "run", "--origin", f"http://127.0.0.1:{origin}")
    with (
        process("tests.bench", "--serve-origin", str(origin), port=origin),
        process(*run, "--listen", f"127.0.0.1:{proxy}", "--log-level", "warning", port=proxy),
    ):
        rates: dict[str, list[float]] = {case: [] for case in CASES}
        for _ in range(options.rounds):
            for case, target in CASES.items():
                port = origin if case == "origin" else proxy
                rate = asyncio.run(load(port, target, options.connections, options.seconds))
                rates[case].append(rate)
    report(rates)


def report(rates: dict[str, list[float]]) -> None:
    medians = {case: statistics.median(measured) for case, measured in rates.items()}
    table = Table(title="1 KiB answers, Python client and origin: read the ratios, not the rates")
    for column in ("case", "answers/s", "spread", "ratio to the bare origin"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for case, median in medians.items():
        spread = (max(rates[case]) - min(rates[case])) / median
        ratio = median / medians["origin"]
        table.add_row(case, f"{median:,.0f}", f"{spread:.0%}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
