"""After the start: what clients will ask for is fetched before they do.

It goes through the gateway, as a client's requests would, so what may not be stored is not, and a
sitemap is asked of the origin. Nothing that fails here keeps the proxy from answering.

    ready    when all is through, or `timeout` is over, or at once where that is wanted
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from proxy import admin, refilling, sitemaps
from proxy.admin import items
from proxy.admin.items import InvalidItem
from proxy.admin.warming import Job, WarmJobs
from proxy.events import Emit, WarmSourceRefused, WarmUp
from proxy.exchange import BodyAborted, Outgoing
from proxy.gateway.delivery import leave
from proxy.refilling import Respond
from proxy.sitemaps import MAX_SIZE, Unreadable

_FILE: Final = "file:"
_TELL_EVERY: Final = 10.0
_MOST: Final = 50_000
_MOST_TOLD: Final = 5
_OK: Final = 200

Warm = Callable[[str], Awaitable[admin.Warmed]]
"""Fetches one URL into the cache."""


@dataclass(frozen=True, slots=True)
class WarmStartOptions:
    """What to fetch, and how.

    Attributes:
        sources: URLs, sitemaps among them, and names of files after `file:`.
        concurrency: Fetches at a time.
        timeout: Seconds after which it counts as ready all the same.
        at_once: It is ready from the beginning.
    """

    sources: tuple[str, ...]
    concurrency: int = 4
    timeout: float = 60.0
    at_once: bool = False


class WarmStart:
    """Fetches once; make it, and have `run` run, while an event loop does.

    Attributes:
        ready: Clients may be sent here.
    """

    def __init__(self, options: WarmStartOptions, warm: Warm, respond: Respond, emit: Emit) -> None:
        self._options = options
        self._respond = respond
        self._emit = emit
        self._jobs = WarmJobs(warm)
        self._job: Job | None = None
        self._over = False
        self.ready = options.at_once

    @property
    def progress(self) -> admin.WarmUpStats:
        """How far it has come."""
        stats = admin.WarmUpStats(ready=self.ready, over=self._over)
        if self._job is None:
            return stats
        told = self._job.answer()
        return admin.WarmUpStats(
            ready=self.ready,
            over=self._over,
            total=told.total,
            hit=told.hit,
            stored=told.stored,
            not_stored=told.not_stored,
            failed=told.failed,
        )

    async def run(self) -> None:
        """Fetch everything, and tell of it; ends with that."""
        clock = asyncio.get_running_loop().call_later(self._options.timeout, self._is_late)
        try:
            urls = await self._urls()
            if urls:
                self._job = self._jobs.start(urls, self._options.concurrency, ())
                await self._watched(self._job)
        finally:
            clock.cancel()
            self._over = self.ready = True
            await self._jobs.close()

    async def _watched(self, job: Job) -> None:
        assert job.task is not None  # noqa: S101 - it has been started
        self._tell("begun")
        while not (await asyncio.wait((job.task,), timeout=_TELL_EVERY))[0]:
            self._tell("running")
        self._tell("done")

    def _is_late(self) -> None:
        if not self.ready:
            self.ready = True
            self._tell("late")

    def _tell(self, state: str) -> None:
        at = self.progress
        failures = [] if self._job is None or state != "done" else self._job.failures
        self._emit(
            WarmUp(
                state=state,
                total=at.total,
                done=at.hit + at.stored + at.not_stored + at.failed,
                stored=at.hit + at.stored,
                failures=tuple(
                    f"{one.url.partition('?')[0]}: {one.status or ''} {one.what}"
                    for one in failures[:_MOST_TOLD]
                ),
            )
        )

    async def _urls(self) -> list[str]:
        """All that the sources stand for, each once; what cannot be used is told and left out."""
        found: dict[str, None] = {}
        for source in self._options.sources:
            try:
                listed = await self._listed(source)
            except Unreadable as error:
                self._emit(WarmSourceRefused(str(error)))
                continue
            for url in listed:
                try:
                    found[items.url(url)[0]] = None
                except InvalidItem as error:
                    self._emit(WarmSourceRefused(f"{url.partition('?')[0]}: {error.what}"))
        if len(found) > _MOST:
            self._emit(WarmSourceRefused(f"more than {_MOST} addresses: the first are fetched"))
        return list(found)[:_MOST]

    async def _listed(self, source: str) -> list[str]:
        if source.startswith(_FILE):
            listing = await asyncio.to_thread(sitemaps.of_file, source.removeprefix(_FILE))
        else:
            listing = sitemaps.of_url(source)
        return await sitemaps.all_of(listing, self._fetched)

    async def _fetched(self, url: str) -> bytes:
        """A sitemap, as a client would get it."""
        try:
            (whole, *_) = items.url(url)
        except InvalidItem as error:
            raise Unreadable(f"{url}: {error.what}") from None
        outgoing = await refilling.ask(self._respond, refilling.get(whole))
        if outgoing.status != _OK:
            await leave(outgoing)
            raise Unreadable(f"{url}: status {outgoing.status}")
        return await _body(outgoing, url)


async def _body(outgoing: Outgoing, url: str) -> bytes:
    """The whole of it, or as much as shows that it is too large."""
    if isinstance(outgoing.body, bytes):
        return outgoing.body
    data = bytearray()
    try:
        async for piece in outgoing.body:
            data += piece
            if len(data) > MAX_SIZE:
                break
    except BodyAborted as aborted:
        raise Unreadable(f"{url}: {aborted.reason.value}") from None
    finally:
        await leave(outgoing)
    return bytes(data)
