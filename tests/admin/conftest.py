"""The admin API over real sockets, in front of a proxy that is a dictionary."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from proxy.admin import (
    AdminOptions,
    AdminServer,
    BusyUrl,
    EntryView,
    Exposition,
    LogStats,
    LogUnreachable,
    NodeStats,
    PastPurge,
    Preview,
    PurgeOrder,
    PurgeReceipt,
    Readiness,
    Reloaded,
    Role,
    Stats,
    TagCount,
    TagPage,
    Tier,
    TierStats,
    TokenSpec,
    Totals,
    Warmed,
    WarmOutcome,
)
from proxy.explain import Explanation, Mode
from proxy.explain.advice import why
from proxy.explain.facts import KeyPart, Outcome, ReusePart, RoutePart, StoringPart
from proxy.rfc9111.messages import Request
from proxy.rfc9111.reasons import Reason
from tests.apparatus import Answer, read_answer

PATIENCE = 5.0
READ, PURGE, ADMIN = "reader-token-0123456", "purger-token-0123456", "admins-token-0123456"
API = "api.example"

OPTIONS = AdminOptions(
    listen=("127.0.0.1:0",),
    tokens=(
        TokenSpec(READ, Role.READ, "reader"),
        TokenSpec(PURGE, Role.PURGE, "purger"),
        TokenSpec(ADMIN, Role.ADMIN, "admin"),
    ),
    max_body=64 * 1024,
)


EXPLANATION = Explanation(
    mode=Mode.SIMULATE,
    method="GET",
    uri="http://api.example/a",
    at=1.0,
    route=RoutePart(name="defaults", captured={"id": "7"}),
    key=KeyPart(hash="0123456789abcdef", url="http://api.example/a"),
    reuse=ReusePart(outcome=Outcome.MISS, why=why(Reason.URI_MISS)),
    storing=StoringPart(),
)


def entry(url: str, *tags: str, **more: Any) -> EntryView:
    default = EntryView(
        url=url,
        status=200,
        headers=(("Content-Type", "application/json"),),
        vary=(),
        age=1.0,
        ttl=59.0,
        tags=tags,
        groups=(),
        size=2048,
        tier=Tier.MEMORY,
        hits=3,
        born=0,
    )
    return replace(default, **more)


def prefixes_of(url: str) -> set[str]:
    """As scopes have it: every whole number of segments, with and without the host."""
    _, _, rest = url.partition("://")
    authority, _, target = rest.partition("/")
    segments = target.partition("?")[0].split("/")
    paths = {"/" + "".join(f"{one}/" for one in segments[:n] if one) for n in range(9)}
    return paths | {f"//{authority}{path}" for path in paths}


@dataclass
class Shelf:
    """A Control that keeps its entries in a list and remembers what it was asked."""

    entries_: list[EntryView] = field(default_factory=list)
    orders: list[PurgeOrder] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    softened: list[EntryView] = field(default_factory=list)
    warmed: list[str] = field(default_factory=list)
    explained: list[tuple[Request, Mode]] = field(default_factory=list)
    nodes: tuple[str, ...] = ("a", "b")
    late: tuple[str, ...] = ()
    reachable: bool = True
    gate: asyncio.Event | None = None
    totals: Totals = field(default_factory=Totals)
    urls: tuple[BusyUrl, ...] = ()
    purges: tuple[PastPurge, ...] = ()
    reloads: Callable[[], Reloaded] = lambda: Reloaded(())
    fetch: Callable[[str], Warmed] = lambda _: Warmed(WarmOutcome.STORED, 200)

    async def purge(self, order: PurgeOrder, *, wait: float) -> PurgeReceipt:
        if not self.reachable:
            raise LogUnreachable
        self.orders.append(order)
        self.waits.append(wait)
        hit = self._matching(order)
        if order.soft:
            self.softened += hit
        else:
            self.entries_ = [one for one in self.entries_ if one not in hit]
        acked = len(self.nodes) - len(self.late)
        return PurgeReceipt(len(self.orders), acked, len(self.nodes), self.late, len(hit))

    def _matching(self, order: PurgeOrder) -> list[EntryView]:
        return [one for one in self.entries_ if self._matches(one, order)]

    @staticmethod
    def _matches(one: EntryView, order: PurgeOrder) -> bool:
        host = one.url.partition("://")[2].partition("/")[0]
        return (
            order.everything
            or bool(set(one.tags) & set(order.tags))
            or one.url in order.urls
            or bool(prefixes_of(one.url) & set(order.prefixes))
            or host in order.hosts
            or (order.pattern is not None and re.search(order.pattern, one.url) is not None)
        )

    async def preview(self, order: PurgeOrder, *, limit: int) -> Preview:
        found = sorted({one.url for one in self._matching(order)})
        return Preview(len(self._matching(order)), tuple(found[:limit]), len(found) <= limit)

    async def tags(self, *, prefix: str, limit: int) -> TagPage:
        names = sorted({tag for one in self.entries_ for tag in one.tags if tag.startswith(prefix)})
        counts = [TagCount(tag, sum(tag in one.tags for one in self.entries_)) for tag in names]
        return TagPage(tuple(counts[:limit]), len(counts) <= limit)

    async def tag(self, tag: str, *, limit: int) -> Preview:
        return await self.preview(PurgeOrder(tags=(tag,)), limit=limit)

    async def entries(self, url: str) -> Sequence[EntryView]:
        return [one for one in self.entries_ if one.url == url]

    async def warm(self, url: str) -> Warmed:
        if self.gate is not None:
            await self.gate.wait()
        self.warmed.append(url)
        return self.fetch(url)

    async def explain(self, request: Request, mode: Mode) -> Explanation:
        self.explained.append((request, mode))
        return replace(EXPLANATION, method=request.method, uri=request.uri, mode=mode)

    async def recall(self, name: str) -> Explanation | None:
        return None if name == "unknown" else replace(EXPLANATION, request_id=name, mode=Mode.PAST)

    async def reload(self) -> Reloaded:
        return self.reloads()

    async def readiness(self) -> Readiness:
        return Readiness(self.reachable, {"log": self.reachable})

    async def metrics(self, accept: str) -> Exposition:
        return Exposition(f"# asked for as {accept}\n".encode(), "text/plain")

    async def stats(self) -> Stats:
        if not self.reachable:
            raise LogUnreachable
        return Stats(
            version="0",
            node="a",
            uptime=1.5,
            requests={"hit": 3, "miss": 1},
            failures=0,
            memory=TierStats(len(self.entries_), 4096, 1 << 20),
            redis=None,
            log=LogStats("memory", 7, 0, trusted=True, patterns=0, nodes=(NodeStats("a", 7, 0.1),)),
            totals=self.totals,
            urls=self.urls,
            purges=self.purges,
        )


@dataclass
class Admin:
    """A client of the admin API."""

    server: AdminServer
    shelf: Shelf
    token: str | None = ADMIN

    @property
    def port(self) -> int:
        return self.server.ports[0]

    def by(self, token: str | None) -> "Admin":
        return replace(self, token=token)

    async def ask(
        self,
        method: str,
        target: str,
        *lines: tuple[str, str],
        body: Any = None,
        host: str | None = None,
    ) -> Answer:
        """Send one request; a body that is not bytes is sent as JSON."""
        fields = [("Host", host or f"127.0.0.1:{self.port}"), *lines]
        if self.token is not None:
            fields.append(("Authorization", f"Bearer {self.token}"))
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            fields.append(("Content-Type", "application/json"))
        if body is not None:
            fields.append(("Content-Length", str(len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        raw = f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1")
        return await self.send(raw + (body or b""))

    async def send(self, raw: bytes | str) -> Answer:
        """Send these bytes, in which PORT stands for the port, and read one response."""
        raw = raw.encode() if isinstance(raw, str) else raw
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(raw.replace(b"PORT", str(self.port).encode()))
                await writer.drain()
                return await read_answer(reader, raw.partition(b" ")[0].decode())
            finally:
                writer.close()

    @property
    def order(self) -> PurgeOrder:
        """The only order so far."""
        (order,) = self.shelf.orders
        return order


def document(answer: Answer) -> Any:
    return json.loads(answer.body)


def faults(answer: Answer) -> list[tuple[str, str]]:
    """Where and what, of a problem document that is complete."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = document(answer)
    assert problem["status"] == answer.status
    assert problem["detail"]
    assert all(fault["where"] and fault["what"] and fault["how"] for fault in problem["errors"])
    return [(fault["where"], fault["what"]) for fault in problem["errors"]]


@asynccontextmanager
async def admin_of(shelf: Shelf, options: AdminOptions = OPTIONS) -> AsyncIterator[Admin]:
    server = AdminServer(shelf, options)
    await server.start()
    try:
        yield Admin(server, shelf)
    finally:
        await server.close()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(
        [
            entry(f"http://{API}/products", "products"),
            entry(f"http://{API}/products/1", "products", "product:1"),
            entry(f"http://{API}/products/1?lang=fr", "products", "product:1"),
            entry(f"http://{API}/products/10", "products", "product:10"),
            entry("http://other.example:8080/products/1", "product:1"),
        ]
    )


@pytest.fixture
async def admin(shelf: Shelf) -> AsyncIterator[Admin]:
    async with admin_of(shelf) as running:
        yield running
