"""The queue of writes: bounded, in order for each key, and nobody's business but its own."""

import asyncio

import pytest

from proxy.redis_link import LinkDown
from proxy.stores import CacheKey, Entry
from proxy.stores.write_behind import WriteBehind
from tests.stores.conftest import make_entry

KEY = CacheKey("http://api/a")
GERMAN = (("accept-language", "de"),)


class Sink:
    """Takes writes, one at a time when told to wait."""

    def __init__(self) -> None:
        self.done: list[tuple[str, CacheKey, bytes]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fails = False

    async def put(self, key: CacheKey, entry: Entry) -> None:
        await self._take("put", key, entry)

    async def remove(self, key: CacheKey, entry: Entry) -> None:
        await self._take("remove", key, entry)

    async def _take(self, what: str, key: CacheKey, entry: Entry) -> None:
        await self.open.wait()
        if self.fails:
            raise LinkDown("away")
        self.done.append((what, key, entry.body))


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def queue(sink: Sink) -> WriteBehind:
    return WriteBehind(sink.put, sink.remove, max_keys=3, max_size=20_000, workers=2)


def key(number: int) -> CacheKey:
    return CacheKey(f"http://api/{number}")


async def test_writes_are_done_in_order_for_each_key(sink: Sink, queue: WriteBehind) -> None:
    one, two, other = make_entry(b"1"), make_entry(b"2"), make_entry(b"de", variant=GERMAN)
    sink.open.clear()
    queue.put(KEY, one)
    await asyncio.sleep(0)
    queue.remove(KEY, one)
    queue.put(KEY, two)
    queue.put(KEY, other)
    assert [entry.body for entry in queue.pending(KEY)] == [b"1", b"2", b"de"]
    ended = asyncio.Event()

    async def end() -> None:
        ended.set()

    queue.afterwards(KEY, end)
    sink.open.set()
    await asyncio.wait_for(ended.wait(), 1.0)
    assert [(what, body) for what, _, body in sink.done] == [
        ("put", b"1"),
        ("remove", b"1"),
        ("put", b"2"),
        ("put", b"de"),
    ]
    await queue.drain(1.0)
    assert (len(queue), queue.pending(KEY), queue.counts.written) == (0, [], 4)


async def test_a_renewal_takes_the_place_of_what_still_waits(
    sink: Sink, queue: WriteBehind
) -> None:
    queue.put(KEY, make_entry(b"1"))
    queue.put(KEY, make_entry(b"2"))
    await queue.drain(1.0)
    assert [body for _, _, body in sink.done] == [b"2"]


async def test_what_still_waits_is_dropped_by_its_removal(sink: Sink, queue: WriteBehind) -> None:
    entry = make_entry(b"1")
    queue.put(KEY, entry)
    queue.remove(KEY, entry)
    assert queue.pending(KEY) == []
    await queue.drain(1.0)
    assert [what for what, _, _ in sink.done] == ["remove"]


async def test_what_there_is_no_room_for_is_dropped_and_counted(
    sink: Sink, queue: WriteBehind
) -> None:
    sink.open.clear()
    assert [queue.put(key(number), make_entry()) for number in range(5)] == [True] * 3 + [False] * 2
    assert not queue.remove(key(9), make_entry())
    assert queue.counts.dropped == 3
    sink.open.set()
    await queue.drain(1.0)
    assert queue.put(key(0), make_entry(bytes(10_000)))
    assert not queue.put(key(1), make_entry(bytes(10_000)))
    await queue.drain(1.0)
    assert queue.put(key(1), make_entry(bytes(10_000)))
    await queue.drain(1.0)


async def test_failures_are_counted_and_hold_nothing_up(sink: Sink, queue: WriteBehind) -> None:
    sink.fails = True
    ended = asyncio.Event()

    async def end() -> None:
        ended.set()

    queue.put(KEY, make_entry())
    queue.afterwards(KEY, end)
    await asyncio.wait_for(ended.wait(), 1.0)
    await queue.drain(1.0)
    assert (queue.counts.failed, queue.counts.written) == (1, 0)
    sink.fails = False
    queue.put(KEY, make_entry())
    await queue.drain(1.0)
    assert queue.counts.written == 1


async def test_closing_leaves_the_rest_and_counts_it(sink: Sink, queue: WriteBehind) -> None:
    sink.open.clear()
    for number in range(3):
        queue.put(key(number), make_entry())
    await queue.drain(0.05)
    await queue.close()
    assert sink.done == []
    assert queue.counts.dropped == 1
    assert len(queue) == 0
