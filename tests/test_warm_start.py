"""What is fetched at the start: from lists and sitemaps, as by a client, never in the way."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy import warm_start
from proxy.admin import Warmed, WarmOutcome, WarmUpStats
from proxy.events import Event, WarmSourceRefused, WarmUp
from proxy.exchange import BodyAborted, Incoming, Outgoing
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason
from proxy.warm_start import WarmStart, WarmStartOptions
from tests.apparatus import eventually
from tests.test_sitemaps import index

LIMIT = 10.0
STORED = Warmed(WarmOutcome.STORED, 200)


class Front:
    """Stands in for the gateway, whose sitemaps are here, and for what warms."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes | Outgoing] = {}
        self.outcomes: dict[str, Warmed] = {}
        self.warmed: list[str] = []
        self.events: list[Event] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def respond(self, incoming: Incoming) -> Outgoing:
        found = self.documents.get(incoming.request.uri, Outgoing(404, "", Headers()))
        return found if isinstance(found, Outgoing) else Outgoing(200, "", Headers(), found)

    async def warm(self, url: str) -> Warmed:
        await self.gate.wait()
        self.warmed.append(url)
        return self.outcomes.get(url, STORED)

    def start(
        self, *sources: str, timeout: float = LIMIT, concurrency: int = 2, at_once: bool = False
    ) -> WarmStart:
        options = WarmStartOptions(sources, concurrency, timeout, at_once)
        return WarmStart(options, self.warm, self.respond, self.events.append)

    async def told(self, count: int) -> None:
        """Wait for so many events."""

        async def enough() -> bool:
            return len(self.events) >= count

        await eventually(enough)

    @property
    def problems(self) -> list[str]:
        return [event.problem for event in self.events if isinstance(event, WarmSourceRefused)]

    @property
    def states(self) -> list[tuple[str, int, int]]:
        """State, done and stored."""
        return [(one.state, one.done, one.stored) for one in self.events if isinstance(one, WarmUp)]


@pytest.fixture
async def front() -> Front:
    return Front()


@asynccontextmanager
async def under_way(start: WarmStart) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(start.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def run(start: WarmStart) -> None:
    async with asyncio.timeout(LIMIT):
        await start.run()


def streamed(*pieces: bytes, aborted: bool = False) -> Outgoing:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        if aborted:
            raise BodyAborted(Reason.ORIGIN_TOTAL_TIMEOUT)

    return Outgoing(200, "", Headers(), body())


async def test_addresses_are_fetched_each_once(front: Front) -> None:
    start = front.start("http://A/1", "http://a/2?x=1", "http://a/1#part")
    assert not start.ready
    await run(start)
    assert front.warmed == ["http://a/1", "http://a/2?x=1"]
    assert front.states == [("begun", 0, 0), ("done", 2, 2)]
    assert start.progress == WarmUpStats(ready=True, over=True, total=2, stored=2)


async def test_sitemaps_are_asked_of_the_origin(front: Front) -> None:
    listed = b"<urlset><url><loc>http://a/1</loc></url></urlset>"
    front.documents = {
        "http://a/sitemap.xml": index("http://a/s.xml.gz", "http://a/t.xml").encode(),
        "http://a/s.xml.gz": gzip.compress(listed),
        "http://a/t.xml": streamed(listed[:20], listed[20:].replace(b"/1", b"/2")),
    }
    await run(front.start("http://a/sitemap.xml"))
    assert front.warmed == ["http://a/1", "http://a/2"]


async def test_a_list_in_a_file(front: Front, tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("# some\nhttp://a/1\nhttp://a/2\n")
    await run(front.start(f"file:{tmp_path}/urls.txt"))
    assert front.warmed == ["http://a/1", "http://a/2"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("http://a/none.xml", "http://a/none.xml: status 404"),
        ("http://a/page.xml", "http://a/page.xml is not a sitemap: it is <html>"),
        ("http://a/cut.xml", "http://a/cut.xml: origin-total-timeout"),
        ("http://a/large.xml", "http://a/large.xml is larger than 0 MiB"),
        ("http://[/s.xml", "http://[/s.xml: no valid host"),
        ("http://*/?secret", "http://*/: a host has no wildcard"),
        ("file:/no/such/list", "/no/such/list: No such file or directory"),
    ],
)
async def test_what_cannot_be_used_is_told_and_left_out(
    front: Front, monkeypatch: pytest.MonkeyPatch, source: str, problem: str
) -> None:
    monkeypatch.setattr("proxy.sitemaps.MAX_SIZE", 1000)
    monkeypatch.setattr(warm_start, "MAX_SIZE", 1000)
    front.documents = {
        "http://a/page.xml": b"<html></html>",
        "http://a/cut.xml": streamed(b"<urls", aborted=True),
        "http://a/large.xml": streamed(*[b"x" * 400] * 1000),
    }
    start = front.start(source, "http://a/1")
    await run(start)
    assert front.problems == [problem]
    assert front.warmed == ["http://a/1"]
    assert start.ready


async def test_nothing_can_be_used(front: Front) -> None:
    start = front.start("http://a/none.xml")
    await run(start)
    assert start.progress == WarmUpStats(ready=True, over=True)


async def test_there_are_bounds(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_start, "_MOST", 2)
    await run(front.start("http://a/1", "http://a/2", "http://a/3"))
    assert front.warmed == ["http://a/1", "http://a/2"]
    assert front.problems == ["more than 2 addresses: the first are fetched"]


async def test_failures_are_told_without_query(front: Front) -> None:
    front.outcomes = {
        "http://a/1?token=x": Warmed(WarmOutcome.FAILED, 502, "origin-refused"),
        "http://a/2": Warmed(WarmOutcome.NOT_STORED, 200, "no-store"),
        "http://a/3": Warmed(WarmOutcome.HIT, 200),
    }
    start = front.start(*front.outcomes, concurrency=1)
    await run(start)
    *_, done = front.events
    assert done == WarmUp(
        state="done",
        total=3,
        done=3,
        stored=1,
        failures=("http://a/1: 502 origin-refused", "http://a/2: 200 no-store"),
    )
    assert start.progress == WarmUpStats(
        ready=True, over=True, total=3, hit=1, not_stored=1, failed=1
    )


async def test_it_is_ready_after_a_time_and_goes_on(front: Front) -> None:
    front.gate.clear()
    start = front.start("http://a/1", timeout=0.02)
    async with under_way(start) as task:
        await front.told(2)
        assert {*front.states} == {("begun", 0, 0), ("late", 0, 0)}
        assert start.progress == WarmUpStats(ready=True, over=False, total=1)
        front.gate.set()
        await asyncio.wait([task], timeout=LIMIT)
    assert front.states[2:] == [("done", 1, 1)]


async def test_progress_is_told(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_start, "_TELL_EVERY", 0.01)
    front.gate.clear()
    async with under_way(front.start("http://a/1")) as task:
        await front.told(2)
        assert front.states[:2] == [("begun", 0, 0), ("running", 0, 0)]
        front.gate.set()
        await asyncio.wait([task], timeout=LIMIT)
    assert front.states[-1] == ("done", 1, 1)


async def test_it_can_be_ready_at_once(front: Front) -> None:
    front.gate.clear()
    start = front.start("http://a/1", timeout=0.01, at_once=True)
    assert start.ready
    async with under_way(start):
        await asyncio.sleep(0.03)
        assert [state for state, *_ in front.states] == ["begun"]


async def test_so_many_at_a_time(front: Front) -> None:
    most: list[int] = []
    running = 0

    async def warm(_: str) -> Warmed:
        nonlocal running
        running += 1
        most.append(running)
        await asyncio.sleep(0)
        running -= 1
        return STORED

    sources: Sequence[str] = [f"http://a/{n}" for n in range(9)]
    options = WarmStartOptions(tuple(sources), concurrency=3)
    await run(WarmStart(options, warm, front.respond, front.events.append))
    assert max(most) == 3
