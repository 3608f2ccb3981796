"""Fetching anew what was in demand when it was purged, so that clients need not wait for it.

After a large purge every URL is a miss at once. Coalescing asks the origin once for each, but all
at the same time. This fetches those that were used most, so many per second, in the background;
what a client asks for meanwhile is fetched for it at once, as ever, and found here later as a hit.

The requests are such as any client could send: without credentials, and with the request fields
that the variant was selected by. What cannot be asked for in that way is left to clients.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from proxy.exchange import BodyAborted, Client, Incoming, Outgoing
from proxy.gateway.delivery import drain
from proxy.rfc9111.messages import Headers, Request
from proxy.stores import CacheKey
from proxy.stores.memory import Purged
from proxy.stores.resource import Held

_AT_ONCE = 32
"""Requests under way: an origin that is slow is not asked faster than it answers."""

_PRIVATE = frozenset({"cookie", "authorization"})

Respond = Callable[[Incoming], Awaitable[Outgoing]]
"""The gateway."""


@dataclass(frozen=True, slots=True)
class RefillOptions:
    """How much is fetched anew.

    Attributes:
        top: So many of the entries that one purge has concerned, those used most.
        rate: So many per second.
    """

    top: int
    rate: int


class Refill:
    """Takes note of what purges drop, and fetches it anew.

    Must be made while an event loop runs; `run` goes on for ever.
    """

    def __init__(self, options: RefillOptions, respond: Respond) -> None:
        self._options = options
        self._respond = respond
        self._noted: list[tuple[int, int, Request]] = []
        self._count = 0
        self._due: dict[str, Request] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._wake = asyncio.Event()

    def note(self, purged: Iterable[Purged]) -> None:
        """These were purged, and more may follow."""
        for key, held in purged:
            self._note(key, held)

    def _note(self, key: CacheKey, held: Held) -> None:
        request = _request(key, held)
        if request is None or not held.hits:
            return
        self._count += 1  # of equals the first stays; requests cannot be compared
        one = (held.hits, -self._count, request)
        if len(self._noted) < self._options.top:
            heapq.heappush(self._noted, one)
        else:
            heapq.heappushpop(self._noted, one)

    def begin(self) -> None:
        """All that a purge concerns has been noted: fetch what was used most, first of all."""
        for _, _, request in sorted(self._noted, reverse=True):
            if len(self._due) < self._options.top:
                self._due.setdefault(f"{request.uri} {sorted(request.headers.items())}", request)
        self._noted.clear()
        if self._due:
            self._wake.set()

    async def run(self) -> None:
        """Fetch what is due, at the rate that was asked for."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                began = loop.time()
                sent = 0
                while self._due:
                    request = self._due.pop(next(iter(self._due)))
                    await self._places.acquire()
                    group.create_task(self._fetch(request), name="refill")
                    sent += 1
                    await asyncio.sleep(began + sent / self._options.rate - loop.time())
                self._wake.clear()

    async def _fetch(self, request: Request) -> None:
        try:
            await fetch(self._respond, request)
        finally:
            self._places.release()


async def fetch(respond: Respond, request: Request) -> tuple[Outgoing, BodyAborted | None]:
    """Send a request through the cache for its own sake: the answer, and what cut it short."""
    outgoing = await ask(respond, request)
    return outgoing, await drain(outgoing)


async def ask(respond: Respond, request: Request) -> Outgoing:
    """Send a request as nobody's; its answer is still to be read."""
    return await respond(Incoming(request, Client("", (1, 1)), None, _no_interim))


def get(url: str) -> Request:
    """A GET of an absolute URL."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    target = f"/{path}" if slash else "/"
    return Request("GET", scheme, authority, target, Headers({"Host": authority}))


def _request(key: CacheKey, held: Held) -> Request | None:
    """What fetches an entry; None where only a client can say."""
    variant = held.entry.response.variant
    if key.extra or any(name in _PRIVATE for name, _ in variant):
        return None
    request = get(key.url)
    for name, value in variant:
        if value is not None:
            request.headers.add(name, value)
    return request


def _no_interim(status: int, reason: str, headers: Headers) -> None:
    """Nobody waits for a 1xx."""
