"""A body on its way to the client and the store, read from a stand-in for an origin response."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from proxy.exchange import BodyAborted
from proxy.gateway.filling import Filling, Land, Reader
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


def reading(
    arriving: Arriving, outcome: Outcome, limit: int = 100, land: Land | None = None
) -> Reader:
    """One reader of a filling of its own."""
    return filling(arriving, outcome, limit, land).reader()


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
    stream = reading(Arriving([b"ab", b"cd"], 4), outcome)
    assert await anext(stream) == b"ab"
    assert outcome.landed == []
    assert await anext(stream) == b"cd"
    assert outcome.landed == [b"abcd"]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert outcome.landed == [b"abcd"]


async def test_a_body_of_unknown_length_lands_at_its_end() -> None:
    outcome = Outcome()
    stream = reading(Arriving([b"ab", b"cd"], None), outcome)
    assert [piece async for piece in stream] == [b"ab", b"cd"]
    assert outcome == Outcome(landed=[b"abcd"])


async def test_an_empty_body_lands_too() -> None:
    outcome = Outcome()
    assert [piece async for piece in reading(Arriving([], None), outcome)] == []
    assert outcome.landed == [b""]


async def test_a_body_that_is_cut_short_never_lands() -> None:
    outcome = Outcome()
    stream = reading(Arriving([b"ab", BodyAborted(Reason.ORIGIN_BROKEN)], 4), outcome)
    assert await anext(stream) == b"ab"
    with pytest.raises(BodyAborted):
        await anext(stream)
    assert outcome == Outcome(not_landed=[Reason.ORIGIN_BROKEN])


async def test_a_body_that_grows_too_large_streams_on_unstored() -> None:
    outcome = Outcome()
    stream = reading(Arriving([b"abc", b"def", b"ghi"], None), outcome, limit=5)
    assert [piece async for piece in stream] == [b"abc", b"def", b"ghi"]
    assert outcome == Outcome(not_landed=[Reason.TOO_LARGE])


async def test_the_rest_is_read_later_when_the_client_leaves() -> None:
    outcome = Outcome()
    arriving = Arriving([b"ab", b"cd"], 4)
    stream = reading(arriving, outcome)
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
    stream = reading(arriving, outcome, limit=3)
    await stream.aclose()
    await outcome.later.pop()
    assert (outcome.landed, outcome.not_landed) == ([], [reason])
    assert arriving.closed


async def test_nothing_is_read_later_when_nothing_will_be_stored() -> None:
    outcome = Outcome()
    arriving = Arriving([b"abc", b"def"], None)
    stream = reading(arriving, outcome, limit=2)
    await anext(stream)
    await stream.aclose()
    assert arriving.closed
    assert outcome.later == []


async def test_where_nobody_can_read_on_the_origin_is_let_go() -> None:
    outcome = Outcome(busy=True)
    arriving = Arriving([b"ab", b"cd"], 4)
    await reading(arriving, outcome).aclose()
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

    stream = reading(Arriving([b"ab"], 2), outcome, land=land)
    task = asyncio.ensure_future(anext(stream))
    await landing.wait()
    task.cancel()
    await asyncio.wait([task])
    assert outcome.not_landed == [Reason.ABANDONED]


class Gated(Arriving):
    """Each piece waits to be let through."""

    def __init__(self, pieces: Sequence[bytes | Exception], length: int | None = None) -> None:
        super().__init__(pieces, length)
        self.gate = asyncio.Semaphore(0)
        self.asked = 0

    async def __anext__(self) -> bytes:
        self.asked += 1
        await self.gate.acquire()
        return await super().__anext__()


async def everything(reader: Reader) -> bytes:
    return b"".join([piece async for piece in reader])


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class TestSeveralReaders:
    async def test_all_get_every_byte_which_is_asked_for_once(self) -> None:
        outcome = Outcome()
        arriving = Gated([b"ab", b"cd", b"ef"], 6)
        shared = filling(arriving, outcome)
        tasks = [asyncio.create_task(everything(shared.reader())) for _ in range(5)]
        for _ in range(3):
            arriving.gate.release()
            await settled()
        async with asyncio.timeout(5):
            assert await asyncio.gather(*tasks) == [b"abcdef"] * 5
        assert (arriving.asked, outcome.landed) == (3, [b"abcdef"])

    async def test_who_comes_later_gets_what_was_before(self) -> None:
        arriving = Gated([b"ab", b"cd"])
        shared = filling(arriving, Outcome())
        first = shared.reader()
        arriving.gate.release()
        assert await anext(first) == b"ab"
        late = asyncio.create_task(everything(shared.reader()))
        await settled()
        arriving.gate.release()
        arriving.gate.release()
        assert await everything(first) == b"cd"
        assert await late == b"abcd"

    async def test_the_fastest_does_not_wait_for_others(self) -> None:
        shared = filling(Arriving([b"ab", b"cd"], 4), Outcome())
        slow, fast = shared.reader(), shared.reader()
        assert await anext(slow) == b"ab"
        assert await everything(fast) == b"abcd"
        assert await everything(slow) == b"cd"

    async def test_one_that_is_cancelled_while_it_reads_for_all_loses_nothing(self) -> None:
        outcome = Outcome()
        arriving = Gated([b"ab", b"cd"], 4)
        shared = filling(arriving, outcome)
        leader = asyncio.create_task(everything(shared.reader()))
        await settled()
        follower = asyncio.create_task(everything(shared.reader()))
        await settled()
        leader.cancel()
        await asyncio.wait([leader])
        arriving.gate.release()
        arriving.gate.release()
        async with asyncio.timeout(5):
            assert await follower == b"abcd"
        assert outcome.landed == [b"abcd"]

    async def test_when_one_leaves_the_others_read_on(self) -> None:
        outcome = Outcome()
        arriving = Arriving([b"ab", b"cd"], 4)
        shared = filling(arriving, outcome)
        leader, follower = shared.reader(), shared.reader()
        assert await anext(leader) == b"ab"
        await leader.aclose()
        assert (arriving.closed, outcome.later) == (False, [])
        assert await everything(follower) == b"abcd"

    async def test_all_learn_of_a_body_cut_short_in_their_turn(self) -> None:
        shared = filling(Arriving([b"ab", BodyAborted(Reason.ORIGIN_BROKEN)], 4), Outcome())
        readers = [shared.reader(), shared.reader()]
        for reader in readers:
            assert await anext(reader) == b"ab"
        for reader in readers:
            with pytest.raises(BodyAborted, match=Reason.ORIGIN_BROKEN.explanation):
                await anext(reader)

    async def test_who_joins_while_the_rest_is_read_later_may_leave_again(self) -> None:
        outcome = Outcome()
        arriving = Gated([b"ab", b"cd"], 4)
        shared = filling(arriving, outcome)
        await shared.reader().aclose()
        rest = asyncio.create_task(outcome.later.pop())
        await settled()
        await shared.reader().aclose()
        arriving.gate.release()
        arriving.gate.release()
        async with asyncio.timeout(5):
            await rest
        assert (outcome.landed, outcome.later) == ([b"abcd"], [])

    async def test_of_one_that_is_too_large_only_what_somebody_wants_is_kept(self) -> None:
        pieces = [b"%04d" % number for number in range(50)]
        shared = filling(Arriving(pieces, None), Outcome(), limit=20)
        slow, fast = shared.reader(), shared.reader()
        for number in range(5):
            assert await anext(fast) == pieces[number]
        assert await anext(fast) == pieces[5]  # more than the limit: nobody else may begin
        assert not shared.keeping
        task = asyncio.create_task(everything(fast))
        await settled()
        assert not task.done()  # it waits for the slow one
        assert shared._kept <= 24
        async with asyncio.timeout(5):
            assert await everything(slow) == b"".join(pieces)
            assert await task == b"".join(pieces[6:])

    async def test_one_that_keeps_others_waiting_too_long_is_cut_off(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("proxy.gateway.filling.SLOWEST", 0.01)
        pieces = [b"%04d" % number for number in range(50)]
        shared = filling(Arriving(pieces, None), Outcome(), limit=20)
        slow, fast = shared.reader(), shared.reader()
        assert await anext(slow) == pieces[0]
        async with asyncio.timeout(5):
            assert await everything(fast) == b"".join(pieces)
        with pytest.raises(BodyAborted, match=Reason.TOO_SLOW.explanation):
            await anext(slow)


async def test_what_readers_hold_is_told() -> None:
    """Of a whole body that is the very bytes that the store has got: they count once."""
    outcome = Outcome()
    reader = reading(Arriving([b"one", b"two", b"three"], None), outcome)
    assert reader.held[1] == 0
    await anext(reader)
    assert reader.held[1] == 3
    async for _ in reader:
        pass
    assert reader.held[0] is outcome.landed[0]
    assert reader.held[1] == len(b"onetwothree")
