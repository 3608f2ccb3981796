"""Settings read anew: all or nothing, told once, by whoever asks."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.admin import NothingToReload, Reloaded
from proxy.reloading import Applied, Apply, Reloading, heard, told
from proxy.settings import Change, Recipe, Settings, SettingsError
from proxy.token_file import TokenFileError


@pytest.fixture(autouse=True)
def _log_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    yield
    structlog.reset_defaults()


class Bench:
    """A file that can be written, and what was applied of it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.applied: list[Settings] = []
        self.outcome = Applied()
        self.write("")
        self.reload = self.reloading(self._apply)

    def write(self, text: str) -> None:
        self._file.write_text("origin: {url: 'http://a'}\n" + text)

    def read(self) -> Recipe:
        return Recipe.read(self._file, {})

    def reloading(self, apply: Apply) -> Reloading:
        return Reloading(self.read().settings({}), self.read, apply)

    async def _apply(self, _: Recipe, settings: Settings) -> Applied:
        self.applied.append(settings)
        return self.outcome


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "w.yaml")


async def test_it_tells_what_has_changed_since_the_last_time(bench: Bench) -> None:
    assert await bench.reload() == Reloaded(())
    bench.write("drain_timeout: 5s\n")
    assert await bench.reload() == Reloaded((Change("drain_timeout", "30s", "5s"),))
    assert await bench.reload() == Reloaded(())
    assert [one.drain_timeout for one in bench.applied] == [30.0, 5.0, 5.0]


async def test_it_passes_on_what_does_not_hold_yet(bench: Bench) -> None:
    bench.outcome = Applied(("listen",), ("limits",))
    reloaded = await bench.reload()
    assert (reloaded.restart, reloaded.renewing) == (("listen",), ("limits",))


async def test_the_log_says_the_same(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.outcome = Applied(("listen",), ("limits",))
    bench.write("log: {format: json}\n")
    await bench.reload.quietly()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        "reloaded",
        "some changes need a restart",
        "some changes need new workers",
    ]
    assert lines[0]["changes"] == ["log.format: pretty -> json"]


@pytest.mark.parametrize(
    "error", [TokenFileError("token file: too open"), OSError("certificate: none")]
)
async def test_what_cannot_be_applied_changes_nothing(bench: Bench, error: Exception) -> None:
    async def fail(_: Recipe, __: Settings) -> Applied:
        raise error

    reload = bench.reloading(fail)
    bench.write("drain_timeout: 5s\n")
    with pytest.raises(SettingsError, match=str(error)):
        await reload()
    with capture_logs() as lines:
        await reload.quietly()
    (line,) = lines
    assert (line["log_level"], line["problem"]) == ("error", str(error))


async def test_a_file_that_cannot_be_used(bench: Bench) -> None:
    bench.write("drain_timout: 5s\n")
    with pytest.raises(SettingsError, match="did you mean drain_timeout"):
        await bench.reload()
    assert bench.applied == []


async def test_one_at_a_time(bench: Bench) -> None:
    under_way = 0

    async def apply(_: Recipe, __: Settings) -> Applied:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        await asyncio.sleep(0)
        under_way -= 1
        return Applied()

    reload = bench.reloading(apply)
    await asyncio.gather(*(reload() for _ in range(5)))


class TestBetweenProcesses:
    async def test_changes(self, bench: Bench) -> None:
        bench.outcome = Applied(("listen",), ("limits",))
        bench.write("admin: off\n")
        answer = json.loads(json.dumps(await told(bench.reload)))
        assert heard(answer) == Reloaded((Change("admin", "on", "off"),), ("listen",), ("limits",))

    async def test_problems(self, bench: Bench) -> None:
        bench.write("drain_timout: 5s\nlisten: 3\n")
        answer = json.loads(json.dumps(await told(bench.reload)))
        with pytest.raises(SettingsError) as caught:
            heard(answer)
        assert [one.path for one in caught.value.problems] == ["drain_timout", "listen"]
        assert [one.line for one in caught.value.problems] == [2, 3]

    async def test_no_file(self) -> None:
        with pytest.raises(NothingToReload):
            heard(await told(None))
