"""What an entry takes of this process's memory beside its headers and its body.

python -m tests.bench.entry_overhead 1000000

Entries are made as they come in: parsed and decided upon as what an origin sends.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from resource import getpagesize

from rich.console import Console

from proxy.origin.heads import parse_head
from proxy.purging import PurgeState
from proxy.rfc9111 import storing
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.policy import Policy
from proxy.stores import CacheKey, Entry, MemoryStore

_START = 1_800_000_000.0
_POLICY = Policy(default_ttl=3600.0)


@dataclass(frozen=True, slots=True)
class Case:
    """What is stored: bytes on the wire, and whether every value is like no other."""

    name: str
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes = b'{"id": %08d}'
    varies: bool = False
    tags: tuple[bytes, ...] = ()


_DATE = (b"Date", b"now")
_USUAL = (
    (b"Content-Type", b"application/json"),
    (b"Cache-Control", b"max-age=3600"),
    (b"ETag", b'"%08x"'),
    _DATE,
    (b"Server", b"nginx"),
    (b"Vary", b"Accept-Encoding"),
)
_UNLIKE = tuple((b"X-Field-%d" % i, b"%%08d-%d" % i) for i in range(12))
CASES = (
    Case("bare", ()),
    Case("usual head", _USUAL),
    Case("usual head, a variant", _USUAL, varies=True),
    Case("usual head, 2 tags, one its own", _USUAL, tags=(b"items", b"item:%d")),
    Case("usual head, 3 tags of its own", _USUAL, tags=(b"a:%d", b"b:%d", b"c:%d")),
    Case("usual head, 12 unlike fields", _USUAL + _UNLIKE),
)


def entry_of(case: Case, number: int) -> Entry:
    """As it comes from an origin, a thousand in a second."""

    def made(template: bytes) -> bytes:
        return template % number if b"%" in template else template

    now = _START + number * 1e-3
    lines = [
        b"%b: %b\r\n" % (name, _date(int(now)) if (name, value) == _DATE else made(value))
        for name, value in case.fields
    ]
    raw = b"".join([b"HTTP/1.1 200 OK\r\n", *lines, b"\r\n"])
    head = parse_head(raw, head_only=False, max_fields=100)
    response = Response(head.status, head.reason, head.headers)
    accepted = Headers({"Accept-Encoding": b"gzip, br".decode()} if case.varies else {})
    request = Request("GET", "http", "api.example", f"/items/{number:07}", accepted)
    decide = partial(storing.decide, request_time=now, response_time=now + 0.01)
    decision = decide(request, response, _POLICY)
    if not isinstance(decision, storing.Storable):
        raise TypeError(decision)
    tags = tuple(made(tag).decode() for tag in case.tags)
    stored = storing.stored_response(
        response, decision, tags=tags, request_time=now, response_time=now + 0.01
    )
    return Entry(stored, made(case.body))


@lru_cache
def _date(second: int) -> bytes:
    return format_http_date(second).encode()


def wire_size(entry: Entry) -> int:
    """Bytes of its headers and body as they are sent."""
    return sum(len(name) + len(value) + 4 for name, value in entry.response.fields) + len(
        entry.body
    )


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
        f"{case.name:32} {taken:6.0f} resident, {store.size / entries:6.0f} counted,"
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
