"""Whether Redis gets back all of its memory after entries with tags have come and gone.

python -m tests.bench.redis_leak 1000000
"""

import asyncio
import dataclasses
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from proxy.clock import wall
from proxy.redis_link import RedisLink, RedisOptions
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse, packed
from proxy.stores import CacheKey, Entry
from proxy.stores.index import TagIndex
from proxy.stores.redis import RedisStore, RedisStoreOptions
from tests.redis_server import eventually, start_redis

WRITERS = 16


@dataclass(frozen=True)
class Report:
    """Keys and bytes of Redis, above what it started with."""

    keys_at_peak: int
    memory_at_peak: int
    keys_left: int
    memory_left: int
    seconds: float


async def come_and_go(
    options: RedisOptions,
    raw: Any,
    *,
    entries: int,
    tags: int,
    lifetime: float = 3.0,
    written: Callable[[], Awaitable[object]] | None = None,
) -> Report:
    """Write entries that live for a few seconds, renew some, and wait until all have expired.

    `written` is called in between.
    """
    options = options.with_changes(connect_timeout=10.0, timeout=10.0, background_timeout=10.0)
    link = RedisLink(options, lambda _: None)
    store = RedisStore(link, wall, RedisStoreOptions(inline_size=512, chunk_size=512))
    index = TagIndex(link, wall)
    keys_before, memory_before = await raw.dbsize(), await _used(raw)
    peak = [0, 0]
    started = time.monotonic()

    async def write(first: int) -> None:
        for number in range(first, entries, WRITERS):
            key, entry = _entry(number, tags, lifetime)
            await store.put(key, entry)
            await index.add(key, entry)
            if number % 500 == 0:
                await look()

    async def look() -> None:
        peak[0] = max(peak[0], await raw.dbsize() - keys_before)
        peak[1] = max(peak[1], await _used(raw) - memory_before)

    async def gone() -> bool:
        return bool(await raw.dbsize() <= keys_before)

    try:
        await asyncio.gather(*(write(first) for first in range(WRITERS)))
        await look()
        if written is not None:
            await written()
        await eventually(gone, "something stays", limit=lifetime + 30)
    finally:
        await link.close()
    return Report(
        keys_at_peak=peak[0],
        memory_at_peak=peak[1],
        keys_left=await raw.dbsize() - keys_before,
        memory_left=max(0, await _used(raw) - memory_before),
        seconds=round(time.monotonic() - started, 1),
    )


def _entry(number: int, tags: int, lifetime: float) -> tuple[CacheKey, Entry]:
    """Every tenth is renewed with a later life, every twentieth is large enough for chunks."""
    now = wall()
    url = number - 1 if number % 10 == 0 else number
    response = StoredResponse(
        status=200,
        reason="OK",
        **packed(Headers([("content-type", "text/plain"), ("x-number", str(number))])),
        request_time=now,
        freshness=Freshness(
            lifetime=lifetime, source=LifetimeSource.MAX_AGE, initial_age=0.0, response_time=now
        ),
        variant=(("accept-language", "de" if number % 3 else "fr"),),
        date=now,
        tags=("all", f"product:{number % tags}", f"page:{number % (tags // 10)}"),
    )
    body = bytes(2000 if number % 20 == 1 else 200)
    return CacheKey(f"http://api/{url}"), Entry(response, body)


async def _used(raw: Any) -> int:
    return int((await raw.info("memory"))["used_memory"])


async def _main(entries: int) -> None:
    async with start_redis() as server, server.client() as raw:
        # Expired keys that nobody asks for leave with the next round of Redis's own.
        await raw.config_set("hz", 100)
        options = RedisOptions.from_url(server.url)
        await come_and_go(options, raw, entries=1000, tags=100)
        report = await come_and_go(options, raw, entries=entries, tags=max(10, entries // 10))
    print(dataclasses.asdict(report))  # noqa: T201 - it is a command


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
