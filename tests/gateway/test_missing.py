"""What is fetched at once, what is not, and how the answers are told of."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.exchange import Asked
from proxy.gateway import Decisions
from proxy.gateway.fetched import Kinds, One
from proxy.gateway.missing import Fetching
from proxy.gateway.steps import Exchange
from proxy.purging import Mode
from proxy.rfc9111.cache_status import CacheStatus
from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.policy import KeyPolicy, Policy
from proxy.rfc9111.reasons import Reason
from proxy.routes import HeaderEdits, Route
from proxy.server.writing import plain_head
from proxy.stores import CacheKey
from tests.apparatus import Proxied, proxied
from tests.stores.conftest import make_entry

ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\nCache-Control: max-age=60\r\n"
    b"Content-Length: 3\r\n\r\nabc"
)
URL = "http://a.example/a?secret=1"


class Wire:
    """A connection to an origin, idle, and where the answer goes, in one."""

    usual = True

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.given: list[bytes] = []

    def send(self, head: bytes, **_: Any) -> None:
        self.sent.append(head)

    def free(self) -> None:
        pass

    def drop(self) -> None:
        pass

    def give(self, head: bytes, _data: bytes, _start: int) -> None:
        self.given.append(head)

    def send_interim(self, *_: Any) -> None:
        raise AssertionError


@asynccontextmanager
async def wired(**options: Any) -> AsyncIterator[tuple[Proxied, Wire]]:
    async with proxied(**options) as proxy:
        wire = Wire()
        group: Any = proxy.gateway._contact.upstreams[""].origin
        group.members[0].client.take_now = lambda: wire
        yield proxy, wire


def start(
    proxy: Proxied, wire: Any, *lines: tuple[str, str], method: str = "GET"
) -> Fetching | None:
    headers = Headers([("Host", "a.example"), *lines])
    hot = proxy.gateway.hot
    conditions = [one for one in lines if one[0].lower() in hot.watched.conditions]
    common = Headers([one for one in headers.items() if one not in conditions])
    request = Request(method, "http", "a.example", "/", common)
    alike = hot.alike(request, sys.maxsize, plain_head)
    if alike is None:
        return None
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"GET /a?secret=1 HTTP/1.1\r\n{fields}\r\n".encode()
    fetching = alike.take(Asked("/a?secret=1", conditions, head, None, "192.0.2.1"), wire)
    return fetching if isinstance(fetching, Fetching) else None


class TestWhatIsFetched:
    async def test_what_is_not_stored(self) -> None:
        async with wired() as (proxy, wire):
            fetching = start(proxy, wire)
            assert fetching is not None
            assert proxy.gateway.coalescing == (1, 0)
            assert fetching.take(ANSWER)
            assert proxy.gateway.coalescing == (0, 0)
            assert b"stored; ttl=60" in wire.given[0]
            (entry,) = await proxy.store.lookup(CacheKey(URL))
            assert entry.body == b"abc"

    @pytest.mark.parametrize(
        "line",
        [
            *(("Cache-Control", "no-cache"), ("Pragma", "no-cache")),
            *(("If-None-Match", '"1"'), ("If-Modified-Since", "x"), ("Expect", "100-continue")),
        ],
        ids=lambda line: line[0],
    )
    async def test_not_what_asks_for_more(self, line: tuple[str, str]) -> None:
        async with wired() as (proxy, wire):
            assert start(proxy, wire, line) is None
            assert proxy.gateway.coalescing == (0, 0)

    async def test_not_for_head(self) -> None:
        async with wired() as (proxy, wire):
            assert start(proxy, wire, method="HEAD") is None

    @pytest.mark.parametrize(
        "route",
        [
            Route(name="off", policy=Policy(cache=False)),
            Route(name="timed", server_timing=True),
            Route(name="dated", response_headers=HeaderEdits(remove=("Date",))),
            Route(name="unwritable", response_headers=HeaderEdits(set=(("X", "a\nb"),))),
        ],
        ids=lambda route: route.name,
    )
    async def test_not_on_routes_that_are_not_simple(self, route: Route) -> None:
        async with wired(routes=[route]) as (proxy, wire):
            assert start(proxy, wire) is None

    @pytest.mark.parametrize(
        "route",
        [
            Route(name="beta", headers=(("X-Request-Id", "1"),)),
            Route(name="keyed", policy=Policy(key=KeyPolicy(headers=("x-request-id",)))),
            Route(name="withheld", headers=(("Connection", "close"),)),
        ],
        ids=lambda route: route.name,
    )
    async def test_not_where_it_matters_what_a_request_is_called(self, route: Route) -> None:
        async with wired(routes=[route]) as (proxy, wire):
            assert start(proxy, wire) is None

    async def test_not_what_is_stored_or_asked_for(self) -> None:
        async with wired() as (proxy, wire):
            await proxy.store.put(CacheKey(URL), make_entry())
            assert start(proxy, wire) is None
            await proxy.log.append(["*"], Mode.HARD)
            assert await proxy.store.lookup(CacheKey(URL)) == []
            assert start(proxy, wire) is not None
            assert start(proxy, wire) is None, "one asks already"
            assert len(wire.sent) == 1
            await proxy.log.append(["*"], Mode.HARD)
            assert start(proxy, wire) is not None, "that one began before the purge"

    async def test_not_while_purges_may_be_missed(self) -> None:
        async with wired() as (proxy, wire):
            proxy.log.trusted = False
            assert start(proxy, wire) is None

    async def test_nobody_waits_for_what_was_of_no_use_to_others(self) -> None:
        async with wired() as (proxy, wire):
            fetching = start(proxy, wire)
            assert fetching is not None
            assert fetching.take(ANSWER.replace(b"max-age=60", b"private"))
            again = start(proxy, wire)
            assert again is None or again.flight is None
            assert proxy.gateway.coalescing == (0, 0)

    async def test_a_closer_look_is_for_the_longer_way(self) -> None:
        async with wired() as (proxy, wire):
            assert start(proxy, wire, ("Forwarded", "for=a")) is None
            fetching = start(proxy, wire)
            assert fetching is not None
            assert not fetching.take(ANSWER + b"!")
            assert not fetching.take(ANSWER.replace(b"200 OK", b"206 OK"))
            wire.usual = False
            assert not fetching.take(ANSWER)
            assert proxy.gateway.coalescing == (1, 0)
            fetching.abandon()
            assert proxy.gateway.coalescing == (0, 0)


class TestTelling:
    async def test_nothing_of_the_request_is_kept_but_what_was_decided(self) -> None:
        decisions = Decisions(10, 1.0)
        async with wired(decisions=decisions) as (proxy, wire):
            fetching = start(proxy, wire, ("Cookie", "id=secret"))
            assert fetching is not None
            assert fetching.take(ANSWER)
            assert list(reversed(decisions._others)) == [], "it is told a little later"
            proxy.gateway.tell()
            (kept,) = reversed(decisions._others)
            assert kept[2].uri == "http://a.example/a?secret=..."
            assert "secret=1" not in repr(decisions._others._kept)

    async def test_kinds_are_bounded_and_shared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("proxy.gateway.fetched._MOST", 3)
        async with wired() as (proxy, wire):
            fetching = start(proxy, wire)
            assert fetching is not None
            exchange = fetching._exchange(0.5, whole=False)
            kinds = Kinds(proxy.gateway._dressed)
            for ttl in range(9):
                status = CacheStatus(forward_status=200, stored=True, ttl=ttl)
                kind = kinds.of(exchange, status)
                assert kinds.of(exchange, status) is kind
                assert len(kinds._known) <= 3

    async def test_answers_of_a_kind_are_counted_in_one_place(self) -> None:
        async with wired() as (proxy, wire):
            fetching = start(proxy, wire)
            assert fetching is not None
            exchange: Exchange = fetching._exchange(0.5, whole=False)
            status = CacheStatus(forward_status=404, detail=Reason.URI_MISS)
            kind = Kinds(proxy.gateway._dressed).of(exchange, status)
            ones = [One(kind, exchange, None, Reason.NO_STORE) for _ in range(2)]
            ones[0].counted = "here"
            assert ones[1].counted == "here"
            assert (ones[0].answered.uri, ones[0].answered.status) == ("http://a.example/a", 404)
            assert ones[0].decision.refused is Reason.NO_STORE
