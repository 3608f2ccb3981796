"""Nobody waits for longer than asked, and no connection goes back with an unread answer."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import NoScriptError, ResponseError

from proxy.purging import LogUnreachable, scripts
from proxy.purging.commands import Commands

KEYS = ("a", "b")
UNKNOWN_FLAGS = ResponseError("Error compiling script: unexpected symbol near '#'")


class FakeRedis:
    """Answers in turn; an event is waited for, and an error raised."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[object] = []

    async def execute_command(self, *words: Any, **_: Any) -> Any:
        self.asked.append(words[1])
        answer = self.answers.pop(0)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        """Nothing to close here."""


async def test_an_answer() -> None:
    assert await Commands(FakeRedis("ok"), KEYS).run(scripts.SYNC, 1, patience=9.0) == "ok"


async def test_a_server_that_knows_no_flags_is_asked_without_from_then_on() -> None:
    redis = FakeRedis(UNKNOWN_FLAGS, "one", "two")
    commands = Commands(redis, KEYS)
    assert await commands.run(scripts.SYNC, patience=9.0) == "one"
    assert await commands.run(scripts.SYNC, patience=9.0) == "two"
    flagged, plain = scripts.SYNC
    assert redis.asked == [flagged.digest, plain.digest, plain.digest]


async def test_a_script_that_is_not_there_is_sent() -> None:
    assert (
        await Commands(FakeRedis(NoScriptError(), "ok"), KEYS).run(scripts.LEAVE, patience=9.0)
        == "ok"
    )


@pytest.mark.parametrize("error", [ResponseError("OOM"), ConnectionResetError(), EOFError()])
async def test_an_error_is_no_answer(error: Exception) -> None:
    with pytest.raises(LogUnreachable, match=type(error).__name__):
        await Commands(FakeRedis(error), KEYS).run(scripts.SYNC, patience=9.0)


async def test_silence_is_no_answer_and_nothing_is_cut_off() -> None:
    answered = asyncio.Event()
    redis = FakeRedis(answered)
    commands = Commands(redis, KEYS)
    with pytest.raises(LogUnreachable, match=r"no answer within 0\.01 s"):
        await commands.run(scripts.SYNC, patience=0.01)
    (running,) = commands._running
    answered.set()
    assert await running is answered


async def test_what_runs_at_the_end_is_given_up() -> None:
    commands = Commands(FakeRedis(asyncio.Event()), KEYS)
    asking = asyncio.create_task(commands.run(scripts.SYNC, patience=9.0))
    await asyncio.sleep(0)
    await commands.close()
    with pytest.raises(LogUnreachable):
        await asking
