"""A body on its way to the client and the store, read from a stand-in for an origin response."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from proxy.exchange import BodyAborted
from proxy.gateway.filling import Filling, Land
from proxy.origin import OriginResponse
from proxy.rfc9111.reasons import Reason


class Arriving:
    """A body that arrives in pieces; an exception among them is raised in its turn."""

    def __init__(self, pieces: Sequence[bytes | Exception], length: int | None) -> None:
        self.length = length
        self.closed = False
        self._pieces = iter(pieces)

    @property
    def body(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            raise StopAsyncIteration
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def aclose(self) -> None:
        self.closed = True


class Endless(Arriving):
    """A stream of events: a little now and then, and no end."""

    def __init__(self) -> None:
        super().__init__([], None)

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0.001)
        return b""


@dataclass
class Outcome:
    landed: list[bytes] = field(default_factory=list)
    not_landed: list[Reason] = field(default_factory=list)
    later: list[Coroutine[Any, Any, None]] = field(default_factory=list)
    busy: bool = False


def filling(
    arriving: Arriving, outcome: Outcome, limit: int = 100, land: Land | None = None
) -> Filling:
    async def landed(body: bytes) -> None:
        outcome.landed.append(body)

    def finish_later(work: Coroutine[Any, Any, None]) -> bool:
        if outcome.busy:
            work.close()
        else:
            outcome.later.append(work)
        return not outcome.busy

    return Filling(
        cast("OriginResponse", arriving),
        limit,
        land=land or landed,
        not_landed=outcome.not_landed.append,
        finish_later=finish_later,
    )


async def test_a_body_of_known_length_lands_before_its_last_piece_is_handed_out() -> None:
    outcome = Outcome()
    stream = filling(Arriving([b"ab", b"cd"], 4), outcome)
    assert await anext(stream) == b"ab"
    assert outcome.landed == []
    assert await anext(stream) == b"cd"
    assert outcome.landed == [b"abcd"]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert outcome.landed == [b"abcd"]


async def test_a_body_of_unknown_length_lands_at_its_end() -> None:
    outcome = Outcome()
    stream = filling(Arriving([b"ab", b"cd"], None), outcome)
    assert [piece async for piece in stream] == [b"ab", b"cd"]
    assert outcome == Outcome(landed=[b"abcd"])


async def test_an_empty_body_lands_too() -> None:
    outcome = Outcome()
    assert [piece async for piece in filling(Arriving([], None), outcome)] == []
    assert outcome.landed == [b""]


async def test_a_body_that_is_cut_short_never_lands() -> None:
    outcome = Outcome()
    stream = filling(Arriving([b"ab", BodyAborted(Reason.ORIGIN_BROKEN)], 4), outcome)
    assert await anext(stream) == b"ab"
    with pytest.raises(BodyAborted):
        await anext(stream)
    assert outcome == Outcome(not_landed=[Reason.ORIGIN_BROKEN])


async def test_a_body_that_grows_too_large_streams_on_unstored() -> None:
    outcome = Outcome()
    stream = filling(Arriving([b"abc", b"def", b"ghi"], None), outcome, limit=5)
    assert [piece async for piece in stream] == [b"abc", b"def", b"ghi"]
    assert outcome == Outcome(not_landed=[Reason.TOO_LARGE])


async def test_the_rest_is_read_later_when_the_client_leaves() -> None:
    outcome = Outcome()
    arriving = Arriving([b"ab", b"cd"], 4)
    stream = filling(arriving, outcome)
    await anext(stream)
    await stream.aclose()
    assert not arriving.closed
    assert outcome.landed == []
    await outcome.later.pop()
    assert outcome.landed == [b"abcd"]
    assert arriving.closed


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([b"ab", b"cd", b"ef"], Reason.TOO_LARGE),
        ([b"ab", BodyAborted(Reason.ORIGIN_IDLE_TIMEOUT)], Reason.ORIGIN_IDLE_TIMEOUT),
    ],
)
async def test_reading_later_gives_up_like_reading_now(
    pieces: list[bytes | Exception], reason: Reason
) -> None:
    outcome = Outcome()
    arriving = Arriving(pieces, None)
    stream = filling(arriving, outcome, limit=3)
    await stream.aclose()
    await outcome.later.pop()
    assert (outcome.landed, outcome.not_landed) == ([], [reason])
    assert arriving.closed


async def test_nothing_is_read_later_when_nothing_will_be_stored() -> None:
    outcome = Outcome()
    arriving = Arriving([b"abc", b"def"], None)
    stream = filling(arriving, outcome, limit=2)
    await anext(stream)
    await stream.aclose()
    assert arriving.closed
    assert outcome.later == []


async def test_where_nobody_can_read_on_the_origin_is_let_go() -> None:
    outcome = Outcome(busy=True)
    arriving = Arriving([b"ab", b"cd"], 4)
    await filling(arriving, outcome).aclose()
    assert arriving.closed
    assert outcome.not_landed == [Reason.ABANDONED]


async def test_reading_on_has_an_end_though_the_stream_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proxy.gateway.filling.FINISH_WITHIN", 0.01)
    outcome = Outcome()
    arriving = Endless()
    async with asyncio.timeout(5):
        await filling(arriving, outcome).finish()
    assert arriving.closed
    assert outcome.not_landed == [Reason.ABANDONED]


async def test_a_fill_that_is_cancelled_at_the_end_of_the_process_says_so() -> None:
    outcome = Outcome()
    task = asyncio.create_task(filling(Endless(), outcome).finish())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert outcome.not_landed == [Reason.ABANDONED]


async def test_a_body_that_is_cancelled_while_it_lands_says_so() -> None:
    outcome = Outcome()
    landing = asyncio.Event()

    async def land(_body: bytes) -> None:
        landing.set()
        await asyncio.Event().wait()

    stream = filling(Arriving([b"ab"], 2), outcome, land=land)
    task = asyncio.ensure_future(anext(stream))
    await landing.wait()
    task.cancel()
    await asyncio.wait([task])
    assert outcome.not_landed == [Reason.ABANDONED]
