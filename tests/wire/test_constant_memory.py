"""Bodies of any size in constant memory: a real `warmfront run`, its peak read from the kernel."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

MIB = 1 << 20
BODY = 1024 * MIB
BLOCK = memoryview(bytes(range(256)) * (MIB // 1024))
GROWTH = 32 * MIB
"""What the peak may rise by, whatever the size of the body."""

PATIENCE = 50.0
STALL = 1.0
"""Seconds without progress after which an end counts as held up."""

Record: TypeAlias = Callable[[str, object], None]

FRESH = b"Cache-Control: max-age=60\r\n"


@dataclass
class Warmfront:
    """A running proxy and the socket that its origin listens on."""

    process: subprocess.Popen[str]
    address: tuple[str, int]
    origin: socket.socket

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE)

    def accept(self) -> socket.socket:
        """The next connection to the origin."""
        connection, _ = self.origin.accept()
        connection.settimeout(PATIENCE)
        return connection

    def peak(self) -> int:
        """The most memory that it ever had resident, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024


@pytest.fixture
def warmfront() -> Iterator[Warmfront]:
    with socket.create_server(("127.0.0.1", 0)) as origin:
        origin.settimeout(PATIENCE)
        url = "http://{}:{}".format(*origin.getsockname())
        flags = ["--origin", url, "--listen", "127.0.0.1:0", "--log-level", "warning"]
        command = [sys.executable, "-m", "proxy", "run", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                announced = process.stdout.readline()
                found = re.search(r" on http://([^ ,]+):(\d+)", announced)
                assert found, f"it announced {announced!r}"
                running = Warmfront(process, (found[1], int(found[2])), origin)
                warm_up(running)
                yield running
            finally:
                process.kill()


def warm_up(warmfront: Warmfront) -> None:
    """What is loaded with the first request is no cost of a large one."""
    with warmfront.connect() as client:
        client.sendall(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
        with closing(warmfront.accept()) as origin:
            read_head(origin)
            origin.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            read_head(client)


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, f"the connection ended in the head {head!r}"
        head += byte
    return head


class Transfer:
    """A body on its way from one socket to another, each with a thread of its own."""

    def __init__(self, source: socket.socket, target: socket.socket, *, chunked: bool) -> None:
        self.source = source
        self.target = target
        self.chunked = chunked

    @staticmethod
    def framing_of(*, chunked: bool = False) -> bytes:
        return b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % BODY

    def run(self) -> float:
        """Send all of it; the rate in bytes a second. Checks that all of it arrives."""
        sender = threading.Thread(target=self.send, daemon=True)
        started = time.perf_counter()
        sender.start()
        self.receive()
        seconds = time.perf_counter() - started
        sender.join(PATIENCE)
        return BODY / seconds

    def send(self) -> None:
        prefix = b"%x\r\n" % len(BLOCK)
        for _ in range(BODY // len(BLOCK)):
            if self.chunked:
                self.source.sendall(prefix)
            self.source.sendall(BLOCK)
            if self.chunked:
                self.source.sendall(b"\r\n")
        if self.chunked:
            self.source.sendall(b"0\r\n\r\n")

    def receive(self) -> None:
        if not self.chunked:
            self.receive_exactly(BODY)
            return
        total = 0
        with self.target.makefile("rb") as stream:
            while size := int(stream.readline(), 16):
                total += len(stream.read(size))
                assert stream.read(2) == b"\r\n"
            assert stream.read(2) == b"\r\n"
        assert total == BODY

    def receive_exactly(self, left: int) -> None:
        buffer = bytearray(MIB)
        view = memoryview(buffer)
        offset = 0
        while left:
            size = self.target.recv_into(view[: min(left, MIB)])
            assert size, f"the connection ended {left} bytes early"
            assert view[:1] == BLOCK[offset % 256 : offset % 256 + 1]
            offset += size
            left -= size


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_download(
    warmfront: Warmfront, record_testsuite_property: Record, *, chunked: bool
) -> None:
    """The store wants it, too, until it turns out too large."""
    framing = Transfer.framing_of(chunked=chunked)
    before = warmfront.peak()
    with warmfront.connect() as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        with closing(warmfront.accept()) as origin:
            read_head(origin)
            origin.sendall(b"HTTP/1.1 200 OK\r\n%b%b\r\n\r\n" % (FRESH, framing))
            assert framing in read_head(client)
            rate = Transfer(origin, client, chunked=chunked).run()
    grown = warmfront.peak() - before
    record_testsuite_property(
        f"download {framing.decode()}", f"{rate / MIB:.0f} MiB/s, {grown / MIB:.1f} MiB more"
    )
    assert grown < GROWTH


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_upload(warmfront: Warmfront, record_testsuite_property: Record, *, chunked: bool) -> None:
    framing = Transfer.framing_of(chunked=chunked)
    before = warmfront.peak()
    with warmfront.connect() as client:
        client.sendall(b"PUT /large HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % framing)
        with closing(warmfront.accept()) as origin:
            assert framing in read_head(origin)
            rate = Transfer(client, origin, chunked=chunked).run()
            origin.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            assert read_head(client).startswith(b"HTTP/1.1 204 ")
    grown = warmfront.peak() - before
    record_testsuite_property(
        f"upload {framing.decode()}", f"{rate / MIB:.0f} MiB/s, {grown / MIB:.1f} MiB more"
    )
    assert grown < GROWTH


class TestHeldUp:
    """Where one end stops reading, the other is stopped, and memory does not grow meanwhile."""

    def test_download(self, warmfront: Warmfront) -> None:
        before = warmfront.peak()
        with warmfront.connect() as client:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            with closing(warmfront.accept()) as origin:
                read_head(origin)
                origin.sendall(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % Transfer.framing_of())
                assert send_until_stopped(origin) < BODY
                assert warmfront.peak() - before < GROWTH

    def test_upload(self, warmfront: Warmfront) -> None:
        before = warmfront.peak()
        with warmfront.connect() as client:
            client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % Transfer.framing_of())
            with closing(warmfront.accept()) as origin:
                read_head(origin)
                assert send_until_stopped(client) < BODY
                assert warmfront.peak() - before < GROWTH


def send_until_stopped(connection: socket.socket) -> int:
    """Send until nothing more is taken; how many bytes were."""
    connection.settimeout(STALL)
    sent = 0
    try:
        while sent < BODY:
            sent += connection.send(BLOCK)
    except TimeoutError:
        pass
    return sent
