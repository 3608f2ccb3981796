"""What answers that slow clients do not take may hold of memory."""

import asyncio
import socket
from dataclasses import dataclass, field

import pytest

from proxy.exchange import Incoming, Outgoing
from proxy.server.unsent import Unsent
from tests.server.wire import Listen, Peer, eventually, ok

MIB = 1 << 20


@dataclass(eq=False)
class Client:
    unsent: Unsent
    cut: bool = False

    def abort(self) -> None:
        self.cut = True


@dataclass
class Shared:
    """A body of which so much is here."""

    held: tuple[object, int] = field(default_factory=lambda: (object(), 5))


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.server.unsent._GRACE", 0.0)


def made(limit: int | None, count: int) -> tuple[Unsent, list[Client]]:
    unsent = Unsent(limit)
    return unsent, [Client(unsent) for _ in range(count)]


@pytest.mark.usefixtures("_impatient")
class TestBooks:
    async def test_who_has_been_waited_for_longest_is_cut(self) -> None:
        unsent, clients = made(10, 4)
        first, second, third, last = clients
        unsent.begin(first, b"1234")
        unsent.begin(second, b"12345")
        unsent.end(first)
        unsent.begin(first, b"1234")  # it has taken some: it is not the longest any more
        unsent.begin(third, Shared())
        assert [one.cut for one in clients] == [False, True, False, False]
        unsent.begin(last, b"12")
        assert [one.cut for one in clients] == [True, True, False, False]
        for one in clients:
            unsent.end(one)
        assert unsent.size == 0

    async def test_what_many_take_counts_once(self) -> None:
        unsent, clients = made(10, 3)
        body, shared = b"12345", Shared()
        for one in clients:
            unsent.begin(one, body)
            unsent.begin(one, shared if one is clients[0] else body)
        assert unsent.size == 10
        assert not any(one.cut for one in clients)
        unsent.end(clients[1])
        assert unsent.size == 10
        unsent.end(clients[2])
        assert unsent.size == 5

    async def test_what_holds_nothing_does_not_count(self) -> None:
        unsent, (client, other) = made(0, 2)
        unsent.begin(client, b"")
        unsent.begin(other, object())
        unsent.end(client)
        assert (unsent.size, client.cut, other.cut) == (0, False, False)

    async def test_without_a_limit(self) -> None:
        unsent, (client,) = made(None, 1)
        unsent.begin(client, b"12345")
        assert not client.cut


async def test_nobody_is_cut_for_a_burst() -> None:
    unsent, clients = made(1, 3)
    for number, one in enumerate(clients):
        unsent.begin(one, b"%d body" % number)
    assert not any(one.cut for one in clients)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_crowd_that_does_not_read(listen: Listen, *, streamed: bool) -> None:
    """Each client has another body, which nobody else holds any more."""

    class Body:
        def __init__(self, content: bytes) -> None:
            self.held = (content, len(content))
            self._left = [content]

        def __aiter__(self) -> "Body":
            return self

        async def __anext__(self) -> bytes:
            if not self._left:
                raise StopAsyncIteration
            return self._left.pop()

    async def respond(_: Incoming) -> Outgoing:
        content = bytes(8 * MIB)  # more than the kernel takes
        return ok(Body(content) if streamed else content, len(content))

    listener = await listen(respond, unsent=20 * MIB)
    loop = asyncio.get_running_loop()
    clients = [socket.socket() for _ in range(6)]
    try:
        for number, client in enumerate(clients, 1):
            client.setblocking(False)  # noqa: FBT003 - its only argument
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(client, ("127.0.0.1", listener.port))
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await eventually(lambda number=number: waits(listener) == min(2, number))  # type: ignore[misc]
        await eventually(lambda: listener.connections == 2)
        async with await Peer.connect(listener) as peer:
            assert len((await peer.ask()).body) == 8 * MIB
    finally:
        for client in clients:
            client.close()


def waits(listener: object) -> int:
    acceptor = getattr(listener, "_acceptor", None)
    return 0 if acceptor is None else len(acceptor.unsent._waits)
