"""What was in demand is fetched anew after a purge, a little at a time, and as anybody could."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from proxy.exchange import BodyAborted, Incoming, Outgoing
from proxy.refilling import Refill, RefillOptions, fetch, get
from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse, VariantKey, packed
from proxy.stores import CacheKey, Entry
from proxy.stores.memory import Purged
from proxy.stores.resource import Held

LIMIT = 5.0


def purged(url: str, hits: int = 1, variant: VariantKey = (), extra: str = "") -> Purged:
    freshness = Freshness(
        lifetime=60, source=LifetimeSource.MAX_AGE, initial_age=0, response_time=0
    )
    stored = StoredResponse(
        status=200,
        reason="OK",
        **packed(Headers()),
        request_time=0,
        freshness=freshness,
        variant=variant,
        date=0,
    )
    return CacheKey(url, extra), Held(Entry(stored, b""), through=0, judged=0, hits=hits)


class Front:
    """Stands in for the gateway: notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self.most = 0

    async def respond(self, incoming: Incoming) -> Outgoing:
        self.asked.append(incoming.request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        return Outgoing(200, "OK", Headers())

    @property
    def urls(self) -> list[str]:
        return [request.uri for request in self.asked]

    async def reached(self, number: int) -> None:
        async with asyncio.timeout(LIMIT):
            while len(self.asked) < number:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)


@asynccontextmanager
async def refilling(front: Front, top: int, rate: int = 10_000) -> AsyncIterator[Refill]:
    refill = Refill(RefillOptions(top, rate), front.respond)
    task = asyncio.create_task(refill.run())
    try:
        yield refill
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_was_used_most_comes_first_and_no_more_than_asked_for() -> None:
    front = Front()
    hits = {"a": 3, "b": 9, "c": 0, "d": 5, "e": 1}
    async with refilling(front, top=3) as refill:
        refill.note([purged(f"http://x/{name}", hits=n) for name, n in hits.items()])
        refill.begin()
        await front.reached(3)
    assert front.urls == ["http://x/b", "http://x/d", "http://x/a"]


async def test_nobody_asks_for_what_nobody_used() -> None:
    front = Front()
    async with refilling(front, top=3) as refill:
        refill.note([purged("http://x/unused", hits=0)])
        refill.begin()
        refill.note([purged("http://x/used")])
        refill.begin()
        await front.reached(1)
    assert front.urls == ["http://x/used"]


async def test_each_variant_is_asked_for_in_its_own_words() -> None:
    front = Front()
    variants: Sequence[VariantKey] = [
        (("accept-language", "de"), ("x-absent", None)),
        (("accept-language", "fr"), ("x-absent", None)),
    ]
    async with refilling(front, top=5) as refill:
        refill.note([purged("http://x.example:8080/a?b=1", variant=one) for one in variants])
        refill.begin()
        await front.reached(2)
    assert [dict(one.headers) for one in front.asked] == [
        {"Host": "x.example:8080", "accept-language": lang} for lang in ("de", "fr")
    ]
    assert {(one.method, one.target) for one in front.asked} == {("GET", "/a?b=1")}


@pytest.mark.parametrize(
    "one",
    [
        purged("http://x/", variant=(("cookie", "session=1"),)),
        purged("http://x/", variant=(("authorization", "Basic eDp5"),)),
        purged("http://x/", extra="x-tenant: 7"),
    ],
    ids=["cookie", "authorization", "an extra part of the key"],
)
async def test_what_only_a_client_can_ask_for_is_left_to_clients(one: Purged) -> None:
    front = Front()
    async with refilling(front, top=5) as refill:
        refill.note([one, purged("http://x/anybody")])
        refill.begin()
        await front.reached(1)
    assert front.urls == ["http://x/anybody"]


async def test_a_slow_origin_is_not_asked_faster_than_it_answers() -> None:
    front = Front()
    front.gate.clear()
    async with refilling(front, top=100) as refill:
        refill.note([purged(f"http://x/{number}") for number in range(100)])
        refill.begin()
        await front.reached(32)
        front.gate.set()
        await front.reached(100)
    assert front.most == 32


async def test_the_rate_is_kept() -> None:
    front = Front()
    loop = asyncio.get_running_loop()
    async with refilling(front, top=100, rate=100) as refill:
        began = loop.time()
        refill.note([purged(f"http://x/{number}") for number in range(11)])
        refill.begin()
        await front.reached(11)
        assert loop.time() - began >= 0.1


async def test_a_body_is_read_to_its_end_or_to_where_it_breaks() -> None:
    closed = []

    class Body:
        def __init__(self, *pieces: bytes | Exception) -> None:
            self.pieces = list(pieces)

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            if not self.pieces:
                raise StopAsyncIteration
            piece = self.pieces.pop(0)
            if isinstance(piece, Exception):
                raise piece
            return piece

        async def aclose(self) -> None:
            closed.append(self)

    bodies = [Body(b"a", b"b"), Body(b"a", BodyAborted(Reason.ORIGIN_BROKEN))]

    async def respond(_: Incoming) -> Outgoing:
        return Outgoing(200, "OK", Headers(), bodies[len(closed)], None)

    outcomes = [(await fetch(respond, get("http://x/")))[1] for _ in bodies]
    assert outcomes[0] is None
    assert outcomes[1] is not None
    assert outcomes[1].reason is Reason.ORIGIN_BROKEN
    assert closed == bodies
