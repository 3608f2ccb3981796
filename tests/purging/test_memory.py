import pytest

from proxy.purging import Invalid, Limits, MemoryPurgeLog, Mode, Purge, PurgeLog, Softened, Valid

URL = "http://h/a"


@pytest.fixture
def log() -> MemoryPurgeLog:
    return MemoryPurgeLog(lambda: 1_800_000_000.0)


async def test_a_purge_is_applied_when_append_returns(log: MemoryPurgeLog) -> None:
    seen: list[Purge] = []
    log.on_purge.append(seen.append)
    await log.start()
    assert await log.append(["tag:x"], Mode.HARD) == 1
    assert await log.append(["tag:y"], Mode.SOFT, "a$") == 2
    assert await log.judge(0, URL, ["tag:x"]) == Invalid()
    assert await log.judge(1, URL, ["tag:y"]) == Softened(1_800_000_000.0)
    assert await log.judge(2, URL, ["tag:x", "tag:y"]) == Valid()
    assert [purge.seq for purge in seen] == [1, 2]
    await log.close()


async def test_all_one_of_it_have_acknowledged(log: MemoryPurgeLog) -> None:
    done = await log.wait(await log.append(["*"], Mode.HARD), timeout=0)
    assert (done.acked, done.nodes, done.complete) == (1, 1, True)


async def test_later_is_now(log: MemoryPurgeLog) -> None:
    log.append_later(["tag:x"], Mode.HARD)
    assert log.state.position == 1
    assert await log.judge(0, URL, ["tag:x"]) == Invalid()


async def test_what_it_has_forgotten_is_not_valid() -> None:
    log = MemoryPurgeLog(lambda: 0.0, Limits(scopes=1))
    await log.append(["tag:x"], Mode.HARD)
    await log.append(["tag:y"], Mode.HARD)
    assert await log.judge(0, URL, ["tag:z"]) == Invalid()
    assert await log.judge(1, URL, ["tag:z"]) == Valid()


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "a" * 1025])
async def test_an_unusable_pattern_is_refused(log: MemoryPurgeLog, pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|regular expression"):
        await log.append([], Mode.HARD, pattern)
    assert log.state.position == 0


def test_it_is_a_purge_log(log: MemoryPurgeLog) -> None:
    checked: PurgeLog = log
    assert checked.trusted
