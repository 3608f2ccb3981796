import asyncio

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
