"""What an entry takes of this process's memory beside its headers and its body.

python -m tests.bench.entry_overhead 1000000

Entries are made as they come in: every string is parsed anew from bytes, as from an origin.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from resource import getpagesize

from rich.console import Console

from proxy.purging import PurgeState
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse
from proxy.stores import CacheKey, Entry, MemoryStore

_START = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class Case:
    """What is stored: bytes on the wire, and whether every value is like no other."""

    name: str
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes = b'{"id": %08d}'
    varies: bool = False
    tags: int = 0


_USUAL = (
    (b"Content-Type", b"application/json"),
    (b"Cache-Control", b"max-age=3600"),
    (b"ETag", b'"%08x"'),
    (b"Date", b"Sun, 22 Nov 2026 08:42:01 GMT"),
    (b"Server", b"nginx"),
    (b"Vary", b"Accept-Encoding"),
)
CASES = (
    Case("bare", ()),
    Case("usual head", _USUAL),
    Case("usual head, a variant", _USUAL, varies=True),
    Case("usual head, 3 tags", _USUAL, tags=3),
    Case(
        "12 fields like no others", tuple((b"X-Field-%d" % i, b"%%08d-%d" % i) for i in range(12))
    ),
)


def entry_of(case: Case, number: int) -> Entry:
    """As it comes from an origin."""

    def made(template: bytes) -> bytes:
        return template % number if b"%" in template else template

    now = _START + number * 1e-3
    fields = [
        (name.decode("latin-1"), made(value).decode("latin-1")) for name, value in case.fields
    ]
    response = StoredResponse(
        status=200,
        reason=b"OK".decode(),
        headers=Headers(fields),
        request_time=now,
        freshness=Freshness(
            lifetime=float(b"3600"),
            source=LifetimeSource.MAX_AGE,
            initial_age=now * 1e-12,
            response_time=now + 0.01,
        ),
        variant=((b"accept-encoding".decode(), b"gzip, br".decode()),) if case.varies else (),
        date=float(int(now)),
        tags=tuple(f"tag:{number}:{tag}" for tag in range(case.tags)),
    )
    return Entry(response, made(case.body))


def wire_size(entry: Entry) -> int:
    """Bytes of its headers and body as they are sent."""
    lines = sum(len(name) + len(value) + 4 for name, value in entry.response.headers.items())
    return lines + len(entry.body)


async def fill(case: Case, entries: int) -> MemoryStore:
    """A store with so many entries."""
    store = MemoryStore(1 << 50, lambda: _START, PurgeState())
    for number in range(entries):
        await store.put(CacheKey(f"http://api.example/items/{number:07}"), entry_of(case, number))
    return store


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def measure(case: Case, entries: int, print_line: Callable[[str], None]) -> None:
    """One line of figures in bytes for each entry."""
    gc.collect()
    before = resident()
    store = asyncio.run(fill(case, entries))
    taken = (resident() - before) / entries
    wire = wire_size(entry_of(case, entries - 1))
    started = time.perf_counter()
    gc.collect()
    pause = time.perf_counter() - started
    print_line(
        f"{case.name:30} {taken:6.0f} resident, {store.size / entries:6.0f} counted,"
        f" {wire:5} headers and body, {taken - wire:6.0f} overhead;"
        f" full collection {pause:.2f} s"
    )


def main() -> None:
    """Name one case to see it in a process of its own: memory that was freed is used again."""
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    wanted = sys.argv[2:] or [case.name for case in CASES]
    for case in CASES:
        if case.name in wanted:
            measure(case, entries, Console(soft_wrap=True).print)


if __name__ == "__main__":
    main()
