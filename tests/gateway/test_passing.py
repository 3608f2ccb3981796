"""Requests passed on at once: their heads, byte for byte those of the longer way."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import splicing
from proxy.exchange import Client, Incoming, no_interim
from proxy.gateway import forwarding
from proxy.gateway.forwarding import ForwardingOptions
from proxy.gateway.passing import Passing, Simple
from proxy.gateway.steps import Bypass
from proxy.origin import Outbound
from proxy.origin.outbound import render_head
from proxy.rfc9111.keys import normalise_authority
from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.policy import Policy
from proxy.rfc9111.reasons import Reason
from proxy.routes import HeaderEdits, Route
from proxy.server import ServerOptions
from proxy.server.heads import parse_head
from proxy.server.plain import compile_grammar
from tests.apparatus import Proxied, proxied

OFF = Policy(cache=False)


class Wiretap:
    """A group of origins, a request to it and where the answer would go, in one."""

    def __init__(self) -> None:
        self.sent = b""

        self.member = self.client = self.breaker = self
        self.up = True

    def choose_now(self, _: str) -> "Wiretap":
        return self

    def begin(self) -> int:
        return 0

    def take_now(self) -> "Wiretap":
        return self

    def send(self, head: bytes, **_: Any) -> None:
        self.sent = head

    def send_interim(self, *_: Any) -> None:
        raise AssertionError


def request(*lines: tuple[str, str], method: str = "GET", target: str = "/a") -> Request:
    return Request(method, "http", "a.example", target, Headers([("Host", "a.example"), *lines]))


def of(proxy: Proxied, *lines: tuple[str, str], **more: Any) -> Passing | None:
    passing = proxy.gateway.hot.passing(request(*lines, **more))
    assert passing is None or isinstance(passing, Passing)
    return passing


class TestWhatIsPassedOn:
    async def test_what_its_route_keeps_the_cache_out_of(self) -> None:
        async with proxied(OFF) as proxy:
            assert of(proxy) is not None
            assert of(proxy, method="HEAD") is not None
        async with proxied() as proxy:
            assert of(proxy) is None

    @pytest.mark.parametrize(
        "route",
        [
            pytest.param(Route(name="r", policy=OFF, server_timing=True), id="told how long"),
            *(
                pytest.param(
                    Route(name="r", policy=OFF, response_headers=HeaderEdits(remove=(name,))),
                    id=f"without {name}",
                )
                for name in ("Date", "via", "Content-Length", "Cache-Status", "Connection")
            ),
            pytest.param(
                Route(name="r", policy=OFF, response_headers=HeaderEdits(set=(("X", "a\r\nb"),))),
                id="what cannot be written",
            ),
            pytest.param(
                Route(name="r", policy=OFF, response_headers=HeaderEdits(add=(("X", "\u20ac"),))),
                id="what is not latin-1",
            ),
        ],
    )
    async def test_not_where_answers_get_what_changes(self, route: Route) -> None:
        async with proxied(routes=[route]) as proxy:
            assert of(proxy) is None

    async def test_it_says_on_what_its_route_and_its_key_depend(self) -> None:
        beta = Route(name="beta", headers=(("X-Beta", "yes"),), policy=OFF)
        async with proxied(routes=[beta]) as proxy:
            assert of(proxy) is None
            passing = of(proxy, ("X-Beta", "yes"))
            assert passing is not None
            assert "x-beta" in passing.depends_on
            assert "x-forwarded-ssl" in passing.depends_on
            assert passing.depends_on <= proxy.gateway.hot.watched.values

    async def test_few_clients_are_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("proxy.gateway.splices._MOST_CLIENTS", 3)
        options = ForwardingOptions(origin_authority="o")
        async with proxied(OFF) as proxy:
            for number in range(10):
                passed_on(proxy, [("Host", "a")], options, f"::{number}")
                passed_on(proxy, [("Host", "a"), ("X-Forwarded-For", f"{number}")], options, "::1")
            assert 0 < len(proxy.gateway.hot.passings.splices.told_of) <= 3

    async def test_clients_of_long_names_of_hosts_are_not(self) -> None:
        options = ForwardingOptions(origin_authority="o")
        async with proxied(OFF) as proxy:
            at_once, later = passed_on(proxy, [("Host", "a" * 1000)], options, "::1") or (b"", b"-")
            assert at_once == later
            assert not proxy.gateway.hot.passings.splices.told_of

    @pytest.mark.parametrize(
        "fields",
        [
            [],
            [("X-Forwarded-Proto", "https")],
            [("X-Forwarded-For", "a"), ("x-forwarded-port", "1")],
        ],
        ids=["nothing", "no claim", "claims"],
    )
    async def test_what_is_told_is_made_once(self, fields: list[tuple[str, str]]) -> None:
        options = ForwardingOptions(origin_authority="o")
        async with proxied(OFF) as proxy:
            told_of = proxy.gateway.hot.passings.splices.told_of
            first = passed_on(proxy, [("Host", "a"), *fields], options, "::1")
            made = dict(told_of)
            assert len(made) == 1
            assert passed_on(proxy, [("Host", "a"), *fields], options, "::1") == first
            assert [id(told) for told in told_of.values()] == [id(told) for told in made.values()]

    @pytest.mark.parametrize(
        "claims",
        [[("X-Forwarded-For", "192.0.2.1, " * 30 + "192.0.2.1")], 50 * [("X-Forwarded-For", "")]],
        ids=["long", "many"],
    )
    async def test_what_is_told_at_length_is_not_remembered(
        self, claims: list[tuple[str, str]]
    ) -> None:
        options = ForwardingOptions(origin_authority="o")
        async with proxied(OFF) as proxy:
            heads = passed_on(proxy, [("Host", "a"), *claims], options, "::1")
            assert heads is not None
            assert heads[0] == heads[1]
            assert not proxy.gateway.hot.passings.splices.told_of


def passed_on(
    proxy: Proxied, fields: list[tuple[str, str]], options: ForwardingOptions, address: str
) -> tuple[bytes, bytes] | None:
    """The same request as it is passed on at once, and by the longer way."""
    lines = "".join(f"{name}:{value}\r\n" for name, value in fields)
    data = f"GET /a?b HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
    scan = compile_grammar(proxy.gateway.hot.watched, longest=8192, lines=100)
    assert scan(data) is not None, "it is plain"
    head = parse_head(data, ServerOptions())
    authority = normalise_authority(head.authority, "http")
    asked = Request("GET", "http", authority, head.target, head.headers)
    incoming = Incoming(asked, Client(address, (1, 1)), None, no_interim)
    longer = render_head(
        Outbound("GET", head.target, forwarding.to_origin(incoming, head.headers, options))
    )
    exchange = proxy.gateway.exchange(incoming)
    tap: Any = Wiretap()
    exchange.verdict = Bypass(Reason.CACHE_OFF)
    passing = Passing(proxy.gateway.hot.passings, Simple(exchange, options, tap), frozenset())
    found = passing.start(data, None, address, tap)
    return None if found is None else (tap.sent, longer)


NAMES = st.sampled_from(
    [
        *("Accept", "x-a", "Keep-Alive", "TE", "Trailer", "Proxy-Connection", "Via", "Age", "Date"),
        *("X-Forwarded-For", "x-forwarded-for", "X-Forwarded-Host", "X-Forwarded-Port"),
        *("x-forwarded-proto", "X-FORWARDED-PORT", "X-Forwarded-By"),
    ]
)
VALUES = st.sampled_from(["", "a", "a, b", " a\t", "\xff", "keep-alive", '"q"', "a:b"])
HOSTS = st.sampled_from(["a.example", "A.Example:80", "[2001:db8::1]:8080", "a", "a_b!"])
ADDRESSES = st.sampled_from(["192.0.2.1", "2001:db8::1", ""])
OPTIONS = st.builds(
    ForwardingOptions,
    host=st.sampled_from(["preserve", "origin", "b.example:81"]),
    origin_authority=st.just("origin.example:8000"),
    via=st.booleans(),
    x_forwarded=st.booleans(),
    forwarded=st.booleans(),
)


@pytest.mark.parametrize("accelerated", [True, False])
async def test_both_ways_send_the_same_head(
    *, accelerated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not accelerated:
        monkeypatch.setattr(splicing, "_splice", None)
    compared = 0
    async with proxied(OFF) as proxy:

        @settings(max_examples=200, deadline=None)
        @given(st.lists(st.tuples(NAMES, VALUES), max_size=5), HOSTS, ADDRESSES, OPTIONS, st.data())
        def compare(
            fields: list[tuple[str, str]],
            host: str,
            address: str,
            options: ForwardingOptions,
            data: st.DataObject,
        ) -> None:
            nonlocal compared
            passings = proxy.gateway.hot.passings
            passings.splices.told_of.clear()  # of other options
            place = data.draw(st.integers(0, len(fields)))
            fields = [*fields[:place], ("Host", f" {host} "), *fields[place:]]
            heads = passed_on(proxy, fields, options, address)
            assert heads is not None
            assert heads[0] == heads[1]
            compared += 1

        compare()
    assert compared > 50


@pytest.mark.parametrize("name", ["Forwarded", "Max-Forwards"])
async def test_what_is_merged_takes_the_longer_way(name: str) -> None:
    async with proxied(OFF) as proxy:
        options = ForwardingOptions(origin_authority="o")
        assert passed_on(proxy, [("Host", "a"), (name, "1")], options, "192.0.2.1") is None
