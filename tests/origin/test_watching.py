"""How the end of a body is told, whatever it is, and told once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from proxy.exchange import BodyAborted
from proxy.origin import BreakerOptions, MemberOptions, OriginOptions
from proxy.origin.member import Member
from proxy.origin.watching import WatchedBody
from proxy.rfc9111.reasons import Reason

End = Exception | None


class Body:
    """Gives one piece, then ends in this way."""

    def __init__(self, end: End) -> None:
        self._pieces = [b"piece"]
        self._end = end
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if self._pieces:
            return self._pieces.pop()
        raise self._end or StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


class Watched:
    """A body with its origin, asked once, and its place."""

    def __init__(self, end: End = None, *, deadline: float | None = None) -> None:
        options = MemberOptions(origin=OriginOptions("http://127.0.0.1:9"))
        self.member = Member(
            options,
            BreakerOptions(failures=2),
            group="",
            clock=lambda: 0.0,
            emit=lambda _: None,
        )
        ticket = self.member.answered(self.member.begin(), 200)
        self.left = 0
        self.within = Body(end)
        self.body = WatchedBody(self.within, self.member, ticket, self._leave, deadline)

    def _leave(self) -> None:
        self.left += 1

    async def read(self) -> Exception | None:
        try:
            assert [piece async for piece in self.body] == [b"piece"]
        except Exception as error:  # noqa: BLE001 - the case says which
            return error
        return None


@pytest.mark.parametrize(
    ("end", "blamed"),
    [
        pytest.param(None, False, id="whole"),
        pytest.param(BodyAborted(Reason.ORIGIN_BROKEN), True, id="broken off"),
        pytest.param(BodyAborted(Reason.ORIGIN_IDLE_TIMEOUT), True, id="stalled"),
        pytest.param(BodyAborted(Reason.ORIGIN_MALFORMED), True, id="malformed"),
        pytest.param(BodyAborted(Reason.REQUEST_INCOMPLETE), False, id="the request broke off"),
        pytest.param(ConnectionResetError(), False, id="the client left while it sent"),
    ],
)
async def test_each_end_is_told_once(end: End, *, blamed: bool) -> None:
    one = Watched(end)
    assert await one.read() is end
    await one.body.aclose()
    assert one.member.in_flight == 0
    assert one.member.failures == int(blamed)
    assert one.left == 1


@pytest.mark.parametrize("deadline", [None, 1e12])
async def test_a_cancelled_read_is_no_end(deadline: float | None) -> None:
    one = Watched(deadline=deadline)
    reading = asyncio.ensure_future(anext(one.body))
    await asyncio.sleep(0)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    assert one.member.in_flight == 1
    assert await one.read() is None
    assert (one.member.in_flight, one.left) == (0, 1)


async def test_a_timeout_of_somebody_else_is_not_ours() -> None:
    error = TimeoutError()
    one = Watched(error, deadline=1e12)
    assert await one.read() is error
    assert (one.member.in_flight, one.member.failures) == (0, 0)


async def test_beyond_its_time_a_body_is_closed_also_where_pieces_lie_ready() -> None:
    one = Watched(deadline=-1.0)
    for _ in range(2):
        error = await one.read()
        assert isinstance(error, BodyAborted)
        assert error.reason is Reason.ORIGIN_TOTAL_TIMEOUT
    assert one.within.closed == 2
    assert (one.member.in_flight, one.member.failures, one.left) == (0, 0, 1)


async def test_what_came_in_time_stays_whole() -> None:
    one = Watched(deadline=1e12)
    assert await one.read() is None
    with pytest.raises(StopAsyncIteration):
        await anext(one.body)


async def test_who_drops_it_leaves() -> None:
    one = Watched()
    del one.body
    assert (one.member.in_flight, one.left) == (0, 1)
