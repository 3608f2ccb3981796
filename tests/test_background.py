import asyncio

import pytest

from proxy.background import Background
from proxy.events import BackgroundFailed, Event


async def test_one_at_a_time_per_key() -> None:
    background = Background(lambda _event: None)
    gate = asyncio.Event()
    runs: list[str] = []

    async def work(name: str) -> None:
        runs.append(name)
        await gate.wait()

    assert background.start("key", work("first"))
    assert not background.start("key", work("second"))
    assert background.start("other", work("third"))
    gate.set()
    await background.drain()
    assert runs == ["first", "third"]
    assert len(background) == 0
    assert background.start("key", work("fourth"))
    await background.drain()
    assert runs[-1] == "fourth"


async def test_bounded_in_all() -> None:
    background = Background(lambda _event: None, limit=2)
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()

    assert [background.start(number, work()) for number in range(3)] == [True, True, False]
    gate.set()
    await background.drain()


async def test_a_failure_is_told_and_ends_only_its_own_work() -> None:
    events: list[Event] = []
    background = Background(events.append)
    error = ValueError("a bug")

    async def fail() -> None:
        raise error

    background.start(("fill", "http://api/?token=secret"), fail())
    await background.drain()
    (told,) = events
    assert isinstance(told, BackgroundFailed)
    assert told.error is error
    assert "secret" not in told.name


async def test_close_cancels_and_waits() -> None:
    events: list[Event] = []
    background = Background(events.append)
    ended: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    background.start("key", work())
    await asyncio.sleep(0)
    await background.close()
    await background.close()
    assert ended == [True]
    assert events == []


class TestKept:
    """Work that never ends, though it has bugs."""

    async def test_it_is_made_anew_after_a_pause_that_grows(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("proxy.background._FIRST_PAUSE", 0.01)
        loop = asyncio.get_running_loop()
        events: list[Event] = []
        background = Background(events.append)
        began: list[float] = []
        works = asyncio.Event()

        async def work() -> None:
            began.append(loop.time())
            if len(began) == 1:
                raise ValueError("a bug")
            if len(began) == 2:
                return  # to end is a failure too
            works.set()
            await asyncio.Event().wait()

        background.keep("chore", work)
        async with asyncio.timeout(5):
            await works.wait()
        await background.close()
        assert [type(told.error) for told in events if isinstance(told, BackgroundFailed)] == [
            ValueError,
            RuntimeError,
        ]
        assert {told.name for told in events if isinstance(told, BackgroundFailed)} == {"chore"}
        assert began[1] - began[0] >= 0.01
        assert began[2] - began[1] >= 0.02

    async def test_it_takes_no_place_from_other_work_and_ends_with_it(self) -> None:
        background = Background(lambda _event: None, limit=1)
        ended: list[str] = []

        async def chore() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("chore")

        async def once() -> None:
            ended.append("once")

        background.keep("chore", chore)
        assert background.start("key", once())
        await background.drain()  # does not wait for what never ends
        assert (ended, len(background)) == (["once"], 0)
        await background.close()
        assert ended == ["once", "chore"]
