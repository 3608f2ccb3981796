"""Clients that never stop asking, and note whatever should not have happened to them."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.fleet.nodes import Fleet, Page, version_of

_PAUSE = 0.01


@dataclass
class Load:
    """A light load on all processes, in turn, while an editor changes and purges the pages.

    Attributes:
        wrong: What clients should not have seen.
        answers: How many they got.
        slowest: Seconds that the slowest took.
        purges: Status and document of each purge, in order.
    """

    fleet: Fleet
    pages: list[Page]
    wrong: list[str] = field(default_factory=list)
    answers: int = 0
    slowest: float = 0.0
    purges: list[tuple[int, dict[str, object]]] = field(default_factory=list)

    async def change(self, wait: float) -> int:
        """Change a page and purge it; the status. Acknowledged, nobody may see what was before."""
        page = self.pages[len(self.purges) % len(self.pages)]
        page.version += 1
        version = page.version
        kind = ("tag", "url", "prefix", "host", "all")[len(self.purges) % 5]
        node = self.fleet.nodes[len(self.purges) % len(self.fleet.nodes)]
        status, told = await node.purge(page.names(kind), wait=wait)
        self.purges.append((status, told))
        if status == 200:
            assert told["acked"] == told["nodes"], told
            page.floor = max(page.floor, version)
        return status

    async def until(self, *wanted: int, limit: float, wait: float = 1.0) -> float:
        """Go on changing until a purge is answered so; after how many seconds."""
        began = time.monotonic()
        while time.monotonic() - began < limit:
            if await self.change(wait) in wanted:
                return time.monotonic() - began
            await asyncio.sleep(0.05)
        raise TimeoutError(f"no purge was answered {wanted}: {self.purges[-5:]}")

    async def served(self, count: int) -> None:
        """Wait until so many more answers have come."""
        goal = self.answers + count
        while self.answers < goal:  # noqa: ASYNC110 - the load goes on by itself
            await asyncio.sleep(_PAUSE)

    async def run(self, first: int) -> None:
        for number in itertools.count(first):
            node = self.fleet.nodes[number % len(self.fleet.nodes)]
            page = self.pages[number // 2 % len(self.pages)]
            floor, began = page.floor, time.monotonic()
            try:
                answer = await node.get(page)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.wrong.append(f"{page.target}: {error!r}")
                continue
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.answers += 1
            if answer.status != 200 or not answer.complete:
                self.wrong.append(f"{page.target}: {answer.status} {answer.cache_status}")
            elif (version := version_of(answer)) < floor:
                told = f"version {version}, {floor} was acknowledged, {answer.cache_status}"
                self.wrong.append(f"{page.target}: {told}")
            await asyncio.sleep(_PAUSE)


@asynccontextmanager
async def load(fleet: Fleet, *, clients: int = 4, pages: int = 10) -> AsyncIterator[Load]:
    """Keep asking until the end of the context; then nothing wrong was seen."""
    made = Load(fleet, [fleet.origin.page() for _ in range(pages)])
    tasks = [asyncio.create_task(made.run(number * 7)) for number in range(clients)]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
    assert not made.wrong, made.wrong[:10]
    for page in made.pages:
        await fleet.look(page, rounds=2)
