"""Requests at a given rate, each at its time, whether earlier ones have been answered or not.

python -m tests.bench.steady PORT REQUESTS RATE SECONDS

wrk sends the next request of a connection once the last one is answered: while a proxy pauses,
nobody asks, and nobody's waiting is counted. Here the times are fixed beforehand (exponential
gaps, the same for every proxy), and the time an answer took counts from when its request was due,
also if no connection was free to send it on. The loop never sleeps, so the kernel's timers play
no part; while it waits for its core, which other programs want too, its clock stands still. What
it adds itself is given as `lag`: how long one turn of it took, 99 of 100 times.
"""

import gc
import json
import math
import random
import select
import socket
import sys
import time
from collections import deque
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

CONNECTIONS = 128
_GRACE = 2.0
"""Seconds that outstanding answers get after the last request was due."""

_LONG = 200e-6
"""Seconds of a turn, most take a tenth of it; whoever takes the core away has it for longer."""

_END = b"\r\n\r\n"


def times(rate: float, seconds: float, seed: int = 1) -> list[float]:
    """When requests are due, in seconds from the start."""
    draw = random.Random(seed)  # noqa: S311 - load, not secrets
    return list(accumulate(draw.expovariate(rate) for _ in range(int(rate * seconds))))


def percentile(figures: list[float], share: float) -> float:
    """The smallest figure that so large a share of the sorted figures does not exceed."""
    return figures[math.ceil(len(figures) * share) - 1] if figures else 0.0


class Connection:
    """One request at a time; its answer has a Content-Length."""

    __slots__ = ("_received", "due", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._received = b""

    def begin(self, request: bytes) -> None:
        """Have the proxy accept and answer; later on, nothing is waited for."""
        self.send(request, due=0.0)
        while not self.answered():
            pass
        self.socket.settimeout(0)

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self.socket.send(request)  # one short request fits the empty buffer of an idle connection

    def answered(self) -> bool:
        """Read what has come; whether that was the rest of the answer.

        Raises:
            ConnectionError: the proxy closed, or answered with anything but 200.
        """
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed by the proxy")
        self._received += data
        end = self._received.find(_END)
        if end < 0 or len(self._received) < end + len(_END) + _content_length(self._received[:end]):
            return False
        if not self._received.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(self._received[:end].decode("latin-1"))
        self._received = b""
        return True


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.index(b"\r\ncontent-length:") + len(b"\r\ncontent-length:")
    end = lowered.find(b"\r\n", start)
    return int(lowered[start : end if end >= 0 else None])


def run(port: int, requests: list[bytes], due: list[float]) -> dict[str, float]:
    """Send every request at its time; the figures, times in microseconds."""
    with ExitStack() as stack:
        connections = [Connection(port) for _ in range(CONNECTIONS)]
        for each in connections:
            stack.enter_context(each.socket)
            each.begin(requests[0])
        return _keep_to(due, requests, connections)


def held_up() -> float:
    """Seconds that this thread has waited for its core; 0.0 if the kernel does not tell."""
    path = Path("/proc/thread-self/schedstat")
    return int(path.read_text().split()[1]) / 1e9 if path.exists() else 0.0


def _keep_to(
    due: list[float], requests: list[bytes], connections: list[Connection]
) -> dict[str, float]:
    by_descriptor = {each.socket.fileno(): each for each in connections}
    idle = deque(connections)
    poller = select.epoll()
    for descriptor in by_descriptor:
        poller.register(descriptor, select.EPOLLIN)
    latencies: list[float] = []
    turns: list[float] = []
    sent = 0
    clock = time.perf_counter
    start = now = clock()
    begun = start - held_up()
    while len(latencies) < len(due) and now - start < due[-1] + _GRACE:
        while sent < len(due) and idle and start + due[sent] <= now:
            idle.popleft().send(requests[sent % len(requests)], start + due[sent])
            sent += 1
        for descriptor, _ in poller.poll(0):
            connection = by_descriptor[descriptor]
            if connection.answered():
                latencies.append(clock() - connection.due)
                idle.append(connection)
        before, now = now, clock()
        if now - before > _LONG:
            start = begun + held_up()
        turns.append(now - before)
    answers = len(latencies)
    poller.close()
    latencies.extend(now - start - each for each in due[answers:])
    latencies.sort()
    turns.sort()
    return {
        "answers": answers,
        "microseconds": (now - start) * 1e6,
        "p50": percentile(latencies, 0.5) * 1e6,
        "p99": percentile(latencies, 0.99) * 1e6,
        "errors": len(due) - answers,
        "lag": percentile(turns, 0.99) * 1e6,
    }


def main() -> None:
    port, path, rate, seconds = sys.argv[1:]
    requests = [each + _END for each in Path(path).read_bytes().split(_END) if each]
    due = times(float(rate), float(seconds))
    gc.disable()
    print(json.dumps(run(int(port), requests, due)))  # noqa: T201 - it is a command


if __name__ == "__main__":
    main()
