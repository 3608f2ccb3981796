"""Clients that never stop asking, and check every byte of every answer."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.apparatus import Answer, read_answer
from tests.running.origin import content

_PATIENCE = 30.0


@dataclass
class Load:
    """What clients have seen.

    Attributes:
        targets: What is asked for, without end.
        statuses: Of the answers, by kind of target (its first segment) and status.
        lost: Requests that got no answer, and how. A connection that said it would close loses
            none, nor one that has closed before anything is sent on it.
        turned_away: New connections that came to nothing, and how.
        cut: Answers that were cut short, so that their client knows, by kind of target.
        wrong: Answers whose body is not what the origin has, or ever had, there.
        slowest: Seconds, by kind of target.
    """

    port: int
    targets: Iterator[str]
    pause: float = 0.0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    turned_away: list[str] = field(default_factory=list)
    cut: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    connections: int = 0

    @property
    def answers(self) -> int:
        return self.statuses.total()

    def seen(self, kind: str) -> set[int]:
        """The statuses of one kind of target."""
        return {status for of, status in self.statuses if of == kind}

    async def served(self, count: int) -> None:
        """Wait until so many more answers have come."""
        goal = self.answers + count
        async with asyncio.timeout(_PATIENCE):
            while self.answers < goal:  # noqa: ASYNC110 - the load goes on by itself
                await asyncio.sleep(0.005)

    async def ask_once_each(self) -> None:
        """A connection for each request."""
        while True:
            async with self._connected() as (reader, writer):
                await self._ask(reader, writer, next(self.targets), first=True, last=True)
            await asyncio.sleep(self.pause)

    async def ask_again_and_again(self) -> None:
        """A connection for as many requests as it carries."""
        while True:
            async with self._connected() as (reader, writer):
                first = True
                while not reader.at_eof():  # a client of good manners looks before it sends
                    if not await self._ask(reader, writer, next(self.targets), first=first):
                        break
                    first = False
                    await asyncio.sleep(self.pause)

    @asynccontextmanager
    async def _connected(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await self._connect()
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            self.connections += 1
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                self.turned_away.append(f"connecting: {error!r}")
                await asyncio.sleep(0.01)

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: str,
        *,
        first: bool,
        last: bool = False,
    ) -> bool:
        """Ask and check; returns whether the connection carries another request."""
        kind, began = target.split("/")[1], time.monotonic()
        close = "Connection: close\r\n" if last else ""
        try:
            async with asyncio.timeout(_PATIENCE):
                writer.write(f"GET {target} HTTP/1.1\r\nHost: api.example\r\n{close}\r\n".encode())
                answer = await read_answer(reader, "GET")
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            came_to_nothing = self.turned_away if first else self.lost
            came_to_nothing.append(f"{target}: {error!r} after {time.monotonic() - began:.3f} s")
            return False
        self.statuses[kind, answer.status] += 1
        self.slowest[kind] = max(self.slowest.get(kind, 0.0), time.monotonic() - began)
        self._check(target, answer)
        return answer.complete and answer.headers.get("Connection") != "close"

    def _check(self, target: str, answer: Answer) -> None:
        if not answer.complete:
            self.cut[target.split("/")[1]] += 1
        if answer.status == 200:
            version = int(answer.headers.get("X-Version", "0"))
            whole = content(target, version)
            if answer.body != (whole if answer.complete else whole[: len(answer.body)]):
                self.wrong.append(f"{target}: version {version}, {answer.cache_status}")


@asynccontextmanager
async def load(
    port: int, targets: Iterator[str], *, keeping: int = 4, fresh: int = 4, pause: float = 0.0
) -> AsyncIterator[Load]:
    """So many clients of either kind ask until the end of the context."""
    made = Load(port, targets, pause)
    clients = [made.ask_again_and_again() for _ in range(keeping)]
    clients += [made.ask_once_each() for _ in range(fresh)]
    tasks = [asyncio.create_task(one) for one in clients]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
