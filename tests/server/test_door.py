"""Accepting when descriptors run out, and until nobody waits."""

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from proxy.server.door import Door, Shortage, refuse
from tests.server.wire import eventually


class Scarce(socket.socket):
    """A listening socket that knows how many descriptors are left.

    Attributes:
        door: Gives one more when it gives up its reserve.
        left: Others.
        failure: Raised instead, once.
    """

    door: Door | None = None
    left = 1000
    failure: int | None = None
    tries = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.tries += 1
        if self.failure is not None:
            number, self.failure = self.failure, None
            raise OSError(number, "not now")
        kept_back = self.door is not None and self.door._reserve is not None
        if self.left <= 0 and kept_back:
            raise OSError(errno.EMFILE, "Too many open files")
        connection, address = super().accept()
        if kept_back or self.door is None:
            self.left -= 1
        return connection, address


@contextmanager
def opened(*, plain: bool = True) -> Iterator[tuple[Door, Scarce, list[socket.socket]]]:
    sock = Scarce()
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    welcomed: list[socket.socket] = []
    shortage = Shortage("Out of file descriptors")
    door = Door(sock, welcomed.append, plain=plain, shortage=shortage)
    sock.door = door
    door.open()
    try:
        yield door, sock, welcomed
    finally:
        door.close()
        shortage.close()
        for connection in welcomed:
            connection.close()


def knock(sock: socket.socket) -> socket.socket:
    return socket.create_connection(sock.getsockname(), timeout=5)


async def test_who_comes_is_welcome() -> None:
    with opened() as (_, sock, welcomed), knock(sock), knock(sock):
        await eventually(lambda: len(welcomed) == 2)


async def test_who_waits_when_it_closes_is_let_in() -> None:
    with opened() as (door, sock, welcomed), ExitStack() as stack:
        clients = [stack.enter_context(knock(sock)) for _ in range(200)]
        door.close()
        assert {peer.getpeername() for peer in welcomed} == {one.getsockname() for one in clients}
        assert sock.fileno() < 0


async def test_without_a_descriptor_all_who_wait_are_let_go(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.server.door._OVER", 0.05)
    caplog.set_level(logging.INFO, "proxy.server.door")
    with opened() as (_, sock, welcomed), ExitStack() as stack:
        sock.left = 1
        clients = [stack.enter_context(knock(sock)) for _ in range(5)]
        loop = asyncio.get_running_loop()
        refused = 0
        for client in clients:
            client.settimeout(0)
            await eventually(lambda: len(welcomed) == 1)
            if client.getsockname() != welcomed[0].getpeername():
                assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 503 ")
                refused += 1
        assert refused == 4
        tries = sock.tries
        await eventually(lambda: "No longer" in caplog.text)
        assert sock.tries == tries  # nothing spins
        sock.left = 1
        stack.enter_context(knock(sock))
        await eventually(lambda: len(welcomed) == 2)
    told = [record.message for record in caplog.records]
    assert told == [
        "Out of file descriptors: further ones are refused",
        "No longer: Out of file descriptors; 4 were refused",
    ]


async def test_with_nothing_kept_back_it_waits_a_moment() -> None:
    with opened() as (door, sock, welcomed):
        door._give_up()
        sock.door = None
        sock.failure = errno.EMFILE
        with knock(sock):
            await eventually(lambda: len(welcomed) == 1)
            assert sock.tries <= 4


async def test_an_error_of_another_kind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with opened() as (_, sock, welcomed):
        sock.failure = errno.EPERM
        with knock(sock):
            await eventually(lambda: len(welcomed) == 1)
    assert "Cannot accept connections" in caplog.text


async def test_who_has_gone_already_is_nobody() -> None:
    with opened() as (_, sock, welcomed):
        sock.failure = errno.ECONNABORTED
        with knock(sock):
            await eventually(lambda: len(welcomed) == 1)


async def test_closing_while_it_waits_ends_it() -> None:
    with opened() as (door, sock, welcomed), knock(sock):
        door._give_up()
        sock.failure = errno.EMFILE
        door._accept()
        assert door._pause is not None
        sock.failure = errno.EMFILE
        door.close()
        assert welcomed == []


def test_who_expects_a_handshake_is_refused_without_a_word() -> None:
    here, there = socket.socketpair()
    with there:
        refuse(here, "Too many.", plain=False)
        assert there.recv(100) == b""
