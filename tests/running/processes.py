"""`warmfront run` as a process that can be measured."""

import asyncio
import os
import re
import resource
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

LIMIT = 60.0
"""Seconds that anything may take on a loaded machine before the test gives up on it."""

START_LIMIT = 90.0
"""The same for several processes that start at once."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_ADDRESS = re.compile(r"127\.0\.0\.1:([0-9]+)")


@dataclass
class Running:
    """One process.

    Attributes:
        port: Where clients are answered.
        log: What it writes to standard error.
    """

    process: asyncio.subprocess.Process
    port: int
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def rss(self) -> int:
        """Bytes of memory that it occupies."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def logged(self, text: str) -> int:
        """How many lines have `text` in them."""
        return self.log.read_text().count(text)

    async def says(self, text: str) -> None:
        """Wait for a line with `text` in it."""
        async with asyncio.timeout(LIMIT):
            while not self.logged(text):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.02)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        async with asyncio.timeout(LIMIT):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def running(
    directory: Path,
    text: str,
    *,
    name: str = "proxy",
    descriptors: int | None = None,
    command: Sequence[str] = (sys.executable, "-m", "proxy"),
    environ: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[Running]:
    """`warmfront run` with a configuration, until the end of the context.

    Args:
        descriptors: RLIMIT_NOFILE, soft and hard.
        command: What runs it.
    """
    config, log = directory / f"{name}.yaml", directory / f"{name}.log"
    config.write_text(text)
    limit = None if descriptors is None else partial(_limit, descriptors)
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(*command, "run", "--config", str(config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "COLUMNS": "200", **(environ or {})},
            pass_fds=pass_fds,
            preexec_fn=limit,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_LIMIT):
            line = (await process.stdout.readline()).decode()
        found = _ADDRESS.search(line)
        assert found, (line, log.read_text())
        yield Running(process, int(found[1]), log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _limit(descriptors: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
