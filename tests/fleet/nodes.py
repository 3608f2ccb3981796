"""Warmfront as operators run it: several `warmfront run`, one Redis, one origin, many clients."""

import asyncio
import itertools
import json
import os
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.redis_link import RedisOptions
from proxy.stores import CacheKey
from proxy.stores.names import Names
from tests.apparatus import Answer, Origin, Reply, Seen, read_answer
from tests.purging.unhurried import TIMING, settle_at
from tests.redis_server import RedisServer, free_port

TOKEN = "a-token-for-the-fleet-0123456789"  # noqa: S105 - of servers that live for a test
LIMIT = 15.0
"""Seconds that anything may take on a loaded machine before the test gives up on it."""

_START_LIMIT = 90.0
_NUMBERS = itertools.count(1)
_CHANGE = re.compile(r"\] (redis|purge log) .*state=(\w+)")
_VERSION = re.compile(rb"version=([0-9]+);")


@dataclass
class Page:
    """One URL, which the origin changes and clients look at.

    Attributes:
        version: What the origin has now.
        floor: What clients must see at least: the version of the last acknowledged purge.
        script: Next answers; then it is `reply`.
        lines: Header lines of an answer.
    """

    lines: Sequence[tuple[str, str]] = (("Cache-Control", "s-maxage=600"),)
    number: int = field(default_factory=_NUMBERS.__next__)
    version: int = 1
    floor: int = 0
    script: deque[Callable[[Seen], Reply]] = field(default_factory=deque)
    asked: int = 0

    @property
    def host(self) -> str:
        return f"shop{self.number}.example"

    @property
    def target(self) -> str:
        return f"/area{self.number}/item"

    @property
    def tag(self) -> str:
        return f"item:{self.number}"

    def body(self) -> bytes:
        return b"page=%d;version=%d;" % (self.number, self.version) + b"." * 2000

    def reply(self, *lines: tuple[str, str]) -> Reply:
        """The page as it is now, with other header lines than its own if given."""
        tagged = ("Cache-Tag", f"{self.tag}, everything"), ("ETag", f'"{self.version}"')
        return Reply(headers=[*(lines or self.lines), *tagged], body=self.body())

    def names(self, kind: str) -> Mapping[str, Any]:
        """What purges this page by `kind`, as the admin API wants it; after "soft ", softly."""
        if kind.startswith("soft "):
            return {**self.names(kind.removeprefix("soft ")), "soft": True}
        names: Mapping[str, Mapping[str, Any]] = {
            "tag": {"tags": [self.tag]},
            "url": {"urls": [f"http://{self.host}{self.target}"]},
            "prefix": {"prefixes": [f"/area{self.number}"]},
            "host": {"hosts": [self.host]},
            "pattern": {"pattern": f"^http://{re.escape(self.host)}/.*/item$"},
            "all": {"all": True},
        }
        return names[kind]


def version_of(answer: Answer) -> int:
    found = _VERSION.search(answer.body)
    assert found is not None, (answer.status, answer.body[:200])
    return int(found[1])


def lock_of(page: Page) -> str:
    """Under which name processes agree who fills it, and wait for that."""
    return Names(RedisOptions().prefix).lock(CacheKey(f"http://{page.host}{page.target}"))


class Shop(Origin):
    """The origin of all pages, told apart by host.

    Attributes:
        accepting: Cleared, new connections are left in the queue.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, Page] = {}
        self.accepting = asyncio.Event()
        self.accepting.set()
        self.knocked = asyncio.Event()
        self.always = self._answer

    def page(self, *lines: tuple[str, str]) -> Page:
        page = Page(lines) if lines else Page()
        self.pages[page.host] = page
        return page

    def stop_accepting(self) -> None:
        """Leave new connections unread, and the idle ones cut, so that a new one is needed."""
        self.accepting.clear()
        self.knocked.clear()
        for writer in list(self._connections):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocked.set()
        await self.accepting.wait()
        await super()._serve(reader, writer)

    def _answer(self, seen: Seen) -> Reply:
        page = self.pages[seen.headers["Host"]]
        page.asked += 1
        return page.script.popleft()(seen) if page.script else page.reply()


@dataclass
class Node:
    """One `warmfront run`.

    Attributes:
        port: Where clients are answered.
        admin: Port of the admin API.
    """

    process: asyncio.subprocess.Process
    port: int
    admin: int
    log: Path

    async def get(self, page: Page, *lines: tuple[str, str]) -> Answer:
        head = [f"GET {page.target} HTTP/1.1", f"Host: {page.host}"]
        return await _ask(self.port, head, lines)

    def told(self, what: str) -> list[str]:
        """All states of "redis" or the "purge log" that the log tells of, in order."""
        return [state for who, state in _CHANGE.findall(self.log.read_text()) if who == what]

    async def purge(self, names: Mapping[str, Any], **options: Any) -> tuple[int, dict[str, Any]]:
        """POST /purge: status and document."""
        body = json.dumps({**names, **options}).encode()
        head = ["POST /purge HTTP/1.1", f"Host: 127.0.0.1:{self.admin}"]
        lines = [("Authorization", f"Bearer {TOKEN}"), ("Content-Type", "application/json")]
        answer = await _ask(self.admin, head, [*lines, ("Content-Length", str(len(body)))], body)
        return answer.status, json.loads(answer.body)


async def _ask(
    port: int, head: Sequence[str], lines: Iterable[tuple[str, str]], body: bytes = b""
) -> Answer:
    raw = "\r\n".join([*head, *(f"{name}: {value}" for name, value in lines), "", ""])
    async with asyncio.timeout(LIMIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(raw.encode("latin-1") + body)
            return await read_answer(reader, head[0].partition(" ")[0])
        finally:
            writer.close()


@dataclass
class Fleet:
    """Processes that share a Redis, and the origin behind them all."""

    nodes: Sequence[Node]
    origin: Shop

    async def purge(self, page: Page, kind: str = "tag", *, by: int = -1) -> None:
        """Purge what the origin has changed, and see that all processes acknowledge."""
        version = page.version
        status, told = await self.nodes[by].purge(page.names(kind))
        assert status == 200, told
        assert told["acked"] == told["nodes"] == len(self.nodes), told
        page.floor = max(page.floor, version)

    async def warm(self, page: Page) -> None:
        """Have `page` in the memory of every process, and in Redis."""
        for node in self.nodes:
            assert version_of(await node.get(page)) == page.version
        assert all([(await node.get(page)).hit for node in self.nodes])

    async def look(self, page: Page, rounds: int = 3) -> None:
        """Ask all processes at once, several times: nobody sees less than the floor."""
        for _ in range(rounds):
            floor = page.floor
            answers = await asyncio.gather(*(node.get(page) for node in self.nodes))
            seen = [version_of(answer) for answer in answers]
            states = [answer.cache_status for answer in answers]
            assert min(seen) >= floor, (page, seen, states)
            assert all(answer.status == 200 and answer.complete for answer in answers)


def written(origin: int, redis: str, admin: int, *, store: str = "", rest: str = "") -> str:
    """A configuration file."""
    return (
        "listen: 127.0.0.1:0\n"
        f"origin: {{url: 'http://127.0.0.1:{origin}'}}\n"
        f"store: {{redis: {{url: '{redis}'{store}}}}}\n"
        f"admin: {{listen: '127.0.0.1:{admin}', token: '{TOKEN}'}}\n"
        f"log: {{level: info}}\n{rest}"
    )


@asynccontextmanager
async def running(directory: Path, text: str, admin: int) -> AsyncIterator[Node]:
    """`warmfront run`, until the end of the context."""
    config, log = directory / f"node{admin}.yaml", directory / f"node{admin}.log"
    config.write_text(text)
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "run", "--config", str(config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "COLUMNS": "200"},
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_LIMIT):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"127\.0\.0\.1:([0-9]+)", line)
        assert found, (line, log.read_text())
        yield Node(process, int(found[1]), admin, log)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(LIMIT):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()
    assert "Traceback" not in log.read_text(), log.read_text().partition("Traceback")[2]


@asynccontextmanager
async def fleet(
    directory: Path, urls: Sequence[str], *, store: str = "", rest: str = ""
) -> AsyncIterator[Fleet]:
    """One process for each URL of Redis, before one origin; all know of each other."""
    origin = Shop()
    async with AsyncExitStack() as stack:
        await origin.start()
        stack.push_async_callback(origin.stop)
        starts = []
        for url in urls:
            admin = free_port()
            text = written(origin.port, url, admin, store=store, rest=rest)
            starts.append(stack.enter_async_context(running(directory, text, admin)))
        made = Fleet(await asyncio.gather(*starts), origin)
        stack.callback(_terminate, made)  # all at once
        await _met(made)
        yield made


@asynccontextmanager
async def unhurried(
    directory: Path, redis: RedisServer, urls: Sequence[str]
) -> AsyncIterator[Fleet]:
    """The same where it is not about time, on a Redis that they all begin to use.

    A machine that is busy, or stands still for a moment, is no Redis that is away.
    """
    await settle_at(redis.url)
    limits = f", timeout: {LIMIT:g}s, connect_timeout: {LIMIT:g}s"
    lag = f"purge: {{max_lag: {TIMING.max_lag:g}s}}\n"
    async with fleet(directory, urls, store=limits, rest=lag) as made:
        yield made


def _terminate(made: Fleet) -> None:
    for node in made.nodes:
        if node.process.returncode is None:
            node.process.terminate()


async def _met(made: Fleet) -> None:
    """Wait until a purge is acknowledged by all."""
    async with asyncio.timeout(_START_LIMIT):
        while True:
            status, told = await made.nodes[0].purge({"tags": ["nothing"]})
            if status == 200 and told["nodes"] == len(made.nodes):
                return
            await asyncio.sleep(0.05)
