"""The proxy as the admin API drives it: a real gateway, with and without Redis behind it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from proxy import admin
from proxy.background import Background
from proxy.backing import Backing
from proxy.clock import wall
from proxy.control import ProxyControl
from proxy.explain import Mode as ExplainMode
from proxy.gateway import ForwardingOptions, Gateway
from proxy.metrics import Counts
from proxy.origin import OriginClient, OriginOptions
from proxy.purging import MemoryPurgeLog, Mode, RedisPurgeLog
from proxy.redis_link import RedisOptions
from proxy.refilling import get
from proxy.rfc9111.policy import KeyPolicy, Policy
from proxy.routes import PathPattern, Route, RouteTable
from proxy.stores.redis import RedisStoreOptions
from tests.apparatus import Origin, Reply, eventually
from tests.purging.unhurried import TIMING, settle
from tests.redis_server import RedisServer, patient, shared_redis

FRESH = ("Cache-Control", "s-maxage=60")
TAGGED = ("Cache-Tag", "t")
URL = "http://api.example/a"
LISTING = Route(
    name="listing",
    path=PathPattern("/list"),
    policy=Policy(key=KeyPolicy(ignore_query=("page",))),
)

_NAMESPACES = itertools.count()


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with shared_redis() as server:
        yield server


class Node:
    """One proxy without listeners."""

    def __init__(self, backing: Backing, control: ProxyControl, origin: Origin) -> None:
        self.backing = backing
        self.control = control
        self.origin = origin


@asynccontextmanager
async def node_on(origin: Origin, redis: RedisOptions | None = None) -> AsyncIterator[Node]:
    background = Background(lambda _: None)
    if redis is None:
        backing = Backing(MemoryPurgeLog(wall), max_size=1 << 24, clock=wall, background=background)
    else:
        backing = Backing.with_redis(
            redis,
            max_size=1 << 24,
            store=RedisStoreOptions(),
            timing=TIMING,
            tag_index=True,
            fill_lock=True,
            clock=wall,
            background=background,
            emit=lambda _: None,
        )
    client = OriginClient(OriginOptions(url=f"http://127.0.0.1:{origin.port}"))
    routes = RouteTable([LISTING], Route(name="default", policy=Policy()))
    gateway = Gateway(
        origin=client,
        store=backing.store,
        log=backing.log,
        routes=routes,
        background=background,
        forwarding_options=ForwardingOptions(
            host="preserve", origin_authority=client.endpoint.authority
        ),
        max_object_size=1 << 20,
        clock=wall,
        emit=lambda _: None,
    )
    control = ProxyControl(
        backing,
        respond=gateway.respond,
        gateway=lambda: gateway,
        decisions=lambda: None,
        key_policies=lambda: routes.key_policies,
        draining=lambda: False,
        counts=Counts(),
        expose=lambda _: admin.Exposition(b"", ""),
        emit=lambda _: None,
        clock=wall,
    )
    await backing.start()
    if isinstance(backing.log, RedisPurgeLog) and backing.log.trusted:
        await settle(backing.log)
    try:
        yield Node(backing, control, origin)
    finally:
        await background.close()
        await backing.close()
        await client.close()


@asynccontextmanager
async def scripted() -> AsyncIterator[Origin]:
    origin = Origin()
    origin.always = lambda _: Reply(headers=[FRESH, TAGGED], body=b"body")
    await origin.start()
    try:
        yield origin
    finally:
        await origin.stop()


@pytest.fixture(params=["memory", "redis"])
def redis(request: pytest.FixtureRequest, redis_server: RedisServer) -> RedisOptions | None:
    return options_on(redis_server) if request.param == "redis" else None


@pytest.fixture
async def node(redis: RedisOptions | None) -> AsyncIterator[Node]:
    async with scripted() as origin, node_on(origin, redis) as node:
        yield node


def options_on(server: RedisServer) -> RedisOptions:
    return patient(server.url, namespace=f"control{next(_NAMESPACES)}")


async def outcome(node: Node, url: str = URL) -> admin.WarmOutcome:
    return (await node.control.warm(url)).outcome


async def settled(node: Node) -> None:
    """Wait until Redis has what memory has."""
    drain = getattr(getattr(node.backing.store, "writes", None), "drain", None)
    if drain is not None:
        await drain(5.0)


async def test_what_is_warmed_is_there_under_its_own_host(node: Node) -> None:
    assert await outcome(node) is admin.WarmOutcome.STORED
    assert await outcome(node) is admin.WarmOutcome.HIT
    assert [seen.values("Host") for seen in node.origin.seen] == [["api.example"]]


@pytest.mark.parametrize(
    "order",
    [
        admin.PurgeOrder(tags=("t",)),
        admin.PurgeOrder(urls=(URL,)),
        admin.PurgeOrder(prefixes=("/a",)),
        admin.PurgeOrder(hosts=("api.example",)),
        admin.PurgeOrder(pattern="/a$"),
        admin.PurgeOrder(everything=True),
        admin.PurgeOrder(tags=("t",), soft=True),
    ],
    ids=["tag", "url", "prefix", "host", "pattern", "everything", "softly"],
)
async def test_whatever_a_purge_names_is_asked_for_again(
    node: Node, order: admin.PurgeOrder
) -> None:
    await node.control.warm(URL)
    await settled(node)
    receipt = await node.control.purge(order, wait=5.0)
    assert receipt.acknowledged
    assert receipt.entries == (1 if order.tags or order.urls else None)
    assert await outcome(node) is admin.WarmOutcome.STORED


async def test_a_url_is_purged_as_its_route_spells_it(node: Node) -> None:
    await node.control.warm("http://api.example/list?page=1")
    order = admin.PurgeOrder(urls=("http://api.example/list?page=2",))
    assert (await node.control.preview(order, limit=9)).urls == ("http://api.example/list",)
    await node.control.purge(order, wait=5.0)
    assert await outcome(node, "http://api.example/list?page=1") is admin.WarmOutcome.STORED


async def test_a_preview_names_what_is_concerned_and_changes_nothing(node: Node) -> None:
    for number in range(5):
        await node.control.warm(f"http://api.example/{number}")
    found = await node.control.preview(admin.PurgeOrder(tags=("t",)), limit=2)
    assert (found.entries, len(found.urls), found.complete) == (5, 2, False)
    found = await node.control.preview(admin.PurgeOrder(pattern="/[12]$"), limit=9)
    assert (found.entries, len(found.urls)) == (2, 2)
    assert await outcome(node, "http://api.example/1") is admin.WarmOutcome.HIT


async def test_a_preview_of_everything_lets_others_run_in_between() -> None:
    async with scripted() as origin, node_on(origin) as node:
        for number in range(200):
            await node.control.warm(f"http://api.example/{number}")
        looking = asyncio.ensure_future(
            node.control.preview(admin.PurgeOrder(everything=True), limit=9)
        )
        turns = 0
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
        assert looking.result().entries == 200
        assert turns > 3


async def test_a_purge_by_tag_looks_at_no_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted() as origin, node_on(origin) as node:
        for number in range(5):
            await node.control.warm(f"http://api.example/{number}")
        monkeypatch.setattr(node.backing.memory, "variants", None)
        receipt = await node.control.purge(admin.PurgeOrder(tags=("t",)), wait=1.0)
        assert receipt.entries == 5


async def test_entries_and_tags_are_shown_where_they_lie(node: Node) -> None:
    await node.control.warm(URL)
    await settled(node)
    shown = await node.control.entries(URL)
    tiers = [admin.Tier.MEMORY] if node.backing.shared is None else list(admin.Tier)
    assert [(one.url, one.tier, one.tags) for one in shown] == [(URL, t, ("t",)) for t in tiers]
    page = await node.control.tags(prefix="", limit=9)
    assert [one.tag for one in page.tags] == ["t"]
    await node.backing.log.append(["tag:t"], Mode.HARD)
    assert list(await node.control.entries(URL)) == []


async def test_a_warming_that_is_cancelled_lets_go_of_the_origin_and_of_those_who_wait() -> None:
    async with scripted() as origin, node_on(origin) as node:
        gate = asyncio.Event()
        closed = asyncio.Event()

        class Endless:
            def __init__(self, body: object) -> None:
                self.body = body

            def __aiter__(self) -> "Endless":
                return self

            async def __anext__(self) -> bytes:
                gate.set()
                await asyncio.Event().wait()
                return b""

            async def aclose(self) -> None:
                closed.set()
                await self.body.aclose()  # type: ignore[attr-defined]

        respond = node.control._respond

        async def endless(incoming: object) -> object:
            outgoing = await respond(incoming)  # type: ignore[arg-type]
            outgoing.body = Endless(outgoing.body)
            return outgoing

        node.control._respond = endless  # type: ignore[assignment]
        warming = asyncio.ensure_future(node.control.warm(URL))
        await gate.wait()
        warming.cancel()
        await asyncio.wait([warming])
        assert closed.is_set()


class TestFleet:
    async def test_a_purge_reaches_the_other_node_before_it_is_acknowledged(
        self, redis_server: RedisServer
    ) -> None:
        redis = options_on(redis_server)
        async with (
            scripted() as origin,
            node_on(origin, redis) as one,
            node_on(origin, redis) as two,
        ):

            async def acknowledged() -> bool:
                order = admin.PurgeOrder(tags=("elsewhere",))
                return (await two.control.purge(order, wait=1.0)).acknowledged

            await eventually(acknowledged)
            await one.control.warm(URL)
            await settled(one)
            assert await outcome(two) is admin.WarmOutcome.HIT
            receipt = await two.control.purge(admin.PurgeOrder(tags=("t",)), wait=5.0)
            assert (receipt.acked, receipt.nodes, receipt.entries) == (2, 2, 1)
            assert await outcome(one) is admin.WarmOutcome.STORED
            await one.control.purge(admin.PurgeOrder(tags=("elsewhere",)), wait=5.0)
            nodes = (await one.control.stats()).log.nodes
            assert len(nodes) == 2
            assert (await one.control.stats()).node in {node.name for node in nodes}
            assert all(0 <= node.heartbeat_age < 5 for node in nodes)

    async def test_what_lies_in_redis_is_explained_and_stays_there(
        self, redis_server: RedisServer
    ) -> None:
        redis = options_on(redis_server)
        async with (
            scripted() as origin,
            node_on(origin, redis) as one,
            node_on(origin, redis) as two,
        ):
            await one.control.warm(URL)
            await settled(one)
            told = await two.control.explain(get(URL), ExplainMode.SIMULATE)
            assert told.stored is not None
            (variant,) = told.stored.variants
            assert (variant.tier, variant.chosen, told.reuse.outcome) == ("redis", True, "hit")
            assert told.tags == ("t",)
            assert list(two.backing.memory.variants(URL)) == []

            async def explained_as(reason: str) -> bool:
                now = await two.control.explain(get(URL), ExplainMode.SIMULATE)
                return now.reuse.why.reason == reason

            for order, reason in (
                (admin.PurgeOrder(tags=("t",), soft=True), "expired"),
                (admin.PurgeOrder(tags=("t",)), "uri-miss"),
            ):
                await one.control.purge(order, wait=5.0)
                await eventually(partial(explained_as, reason))

    async def test_without_redis_a_purge_is_never_said_to_be_done(self) -> None:
        nowhere = RedisOptions.from_url("redis://127.0.0.1:1")
        async with scripted() as origin, node_on(origin, nowhere) as node:
            assert (await node.control.warm(URL)).outcome is admin.WarmOutcome.STORED
            with pytest.raises(admin.LogUnreachable):
                await node.control.purge(admin.PurgeOrder(tags=("t",)), wait=0.1)
            stats = await node.control.stats()
        assert not stats.log.trusted
        assert stats.log.nodes == ()
        assert stats.redis is not None
        assert not stats.redis.available


async def test_figures_tell_what_was_purged_and_what_is_asked_for(node: Node) -> None:
    await outcome(node)
    await outcome(node)
    await settled(node)
    (busy,) = (await node.control.stats()).urls
    assert (busy.url, busy.hits, busy.entries) == (URL, 1, 1)
    await node.control.purge(admin.PurgeOrder(tags=("t",), soft=True), wait=5.0)
    stats = await node.control.stats()
    (purge,) = stats.purges
    assert (purge.what, purge.names, purge.soft, purge.entries) == ("tag t", 1, True, 1)
    assert (purge.acked, purge.pending) == ((stats.node,), ())


async def test_how_full_redis_is(redis_server: RedisServer) -> None:
    async with scripted() as origin, node_on(origin, options_on(redis_server)) as node:
        fill = node.backing.redis_fill
        assert fill is not None

        async def known() -> bool:
            return fill.last.size is not None

        await eventually(known)
        told = (await node.control.stats()).redis
        assert told is not None
        assert told.size == fill.last.size
        assert told.max_size is None
