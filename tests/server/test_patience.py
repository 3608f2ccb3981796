"""When a client that does not take what it is sent is given up; time is made up."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from proxy.server.patience import Patience


@dataclass
class Handle:
    loop: "Loop"
    due: float
    call: tuple[Any, ...]

    def cancel(self) -> None:
        self.loop.handles.remove(self)


@dataclass
class Loop:
    now: float = 0.0
    handles: list[Handle] = field(default_factory=list)

    def call_later(self, delay: float, *call: Any) -> Handle:
        handle = Handle(self, self.now + delay, call)
        self.handles.append(handle)
        return handle

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for handle in [one for one in self.handles if one.due <= self.now]:
            self.handles.remove(handle)
            callback, *arguments = handle.call
            callback(*arguments)


@dataclass
class Client:
    """With a buffer in front of it that it empties, or does not."""

    waiting: int = 0
    cuts: int = 0
    loop: Loop = field(default_factory=Loop)

    def __post_init__(self) -> None:
        self.patience = Patience(cast("asyncio.AbstractEventLoop", self.loop), self.cut)
        self.patience.begin(cast("asyncio.Transport", self))

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def cut(self) -> None:
        self.cuts += 1

    def send(self, size: int) -> None:
        self.patience.written += size
        self.waiting += size


@pytest.fixture
def client() -> Client:
    return Client()


def test_who_takes_nothing_is_cut_after_the_time(client: Client) -> None:
    client.send(10)
    client.patience.watch(5)
    client.loop.wait(4)
    assert client.cuts == 0
    client.loop.wait(1)
    assert client.cuts == 1


def test_whoever_takes_a_byte_gets_as_much_time_again(client: Client) -> None:
    client.send(10)
    client.patience.watch(5)
    for _ in range(9):
        client.waiting -= 1
        client.loop.wait(5)
    assert client.cuts == 0
    client.loop.wait(5)
    assert client.cuts == 1


def test_more_that_is_sent_is_nothing_taken(client: Client) -> None:
    client.send(10)
    client.patience.watch(5)
    client.send(10)
    client.patience.watch(5)
    client.loop.wait(5)
    assert client.cuts == 1


def test_who_has_taken_all_is_not_watched(client: Client) -> None:
    client.send(10)
    client.patience.watch(5)
    client.waiting = 0
    client.loop.wait(5)
    client.patience.watch(5)
    assert (client.cuts, client.loop.handles) == (0, [])


def test_who_has_closed_its_side_gets_more_time_only_while_it_is_sent_more(client: Client) -> None:
    client.patience.grant(1)
    client.send(10)
    client.loop.wait(1)
    assert client.cuts == 0
    client.loop.wait(1)
    assert client.cuts == 1


def test_who_is_gone_is_not_cut(client: Client) -> None:
    client.send(10)
    client.patience.watch(5)
    client.patience.grant(1)
    client.patience.end()
    client.loop.wait(9)
    assert (client.cuts, client.loop.handles) == (0, [])
    client.patience.watch(5)
    assert client.loop.handles == []
