"""Poisoning and deception: a gullible origin behind, an attacker first, an honest client next.

Whatever the attacker sends, the honest client gets what it would have got without him; and what
is only for the honest client, the attacker does not get afterwards.
"""

import itertools
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from proxy.rfc9111.poisoning import CLAIMS, OVERRIDES
from proxy.rfc9111.policy import KeyPolicy, Policy
from proxy.routes import PathPattern, Route
from proxy.server import ServerOptions
from tests.hostile.gullible import believe
from tests.hostile.stage import Stage, on_stage
from tests.hostile.strict import Received, read

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFTEN = 4
"""So often that the answer is given by the shortest way there is."""

_NUMBERS = itertools.count()

ROUTES = (
    Route(name="account", path=PathPattern("/account/**"), policy=Policy(cache=False)),
    Route(
        name="static",
        path=PathPattern("/static/**"),
        policy=Policy(ttl=3600.0, default_ttl=3600.0, negative_ttl={400: 60.0, 403: 60.0}),
    ),
    Route(
        name="keyed",
        path=PathPattern("/keyed/**"),
        policy=Policy(key=KeyPolicy(ignore_query=("utm_*",), cookies=("language",))),
    ),
    Route(
        name="sorted", path=PathPattern("/sorted/**"), policy=Policy(key=KeyPolicy(sort_query=True))
    ),
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage() -> AsyncIterator[Stage]:
    # Assumptions of the operator's are in place; what is hostile is not to profit from them.
    fallback = Policy(default_ttl=3600.0)
    large = ServerOptions(header_size=32768)
    async with on_stage(believe, policy=fallback, routes=ROUTES, server=large) as stage:
        yield stage


def request(
    target: bytes, *fields: bytes, body: bytes = b"", host: bytes = b"api.example"
) -> bytes:
    length = [b"Content-Length: %d" % len(body)] if body else []
    lines = [b"GET " + target + b" HTTP/1.1", b"Host: " + host, *fields, *length]
    return b"\r\n".join([*lines, b"", b""]) + body


class Attack(NamedTuple):
    """Attributes:
    name: Of the trick.
    evil: The attacker's request; {} is a number of its own.
    honest: The honest client's.
    """

    name: str
    evil: bytes
    honest: bytes


def by_fields(name: str, *fields: bytes, path: bytes = b"/{}", body: bytes = b"") -> Attack:
    return Attack(name, request(path, *fields, body=body), request(path))


ATTACKS = [
    *(
        by_fields(f"{field.decode()} names a host", field + b": evil.example")
        for field in [
            *(b"X-Forwarded-Host", b"X-Host", b"X-Original-Host", b"X-HTTP-Host-Override"),
            *(b"X-Forwarded-Server", b"x-forwarded-HOST"),
        ]
    ),
    by_fields("two X-Forwarded-Host", b"X-Forwarded-Host: evil", b"X-Forwarded-Host: api.example"),
    by_fields("Forwarded names a host", b"Forwarded: for=1.2.3.4;host=evil.example;proto=gopher"),
    by_fields("Forwarded hides one in quotes", b'Forwarded: for="a;host=evil", host=evil'),
    by_fields("Forwarded hides one in another name", b"Forwarded: for=1.2.3.4;xhost=evil.example"),
    by_fields("Forwarded is malformed", b'Forwarded: for="a;host=evil'),
    *(
        by_fields(f"{field.decode()} names a scheme", field + b": gopher")
        for field in [
            *(b"X-Forwarded-Proto", b"X-Forwarded-Scheme", b"X-Forwarded-Protocol"),
            *(b"X-Url-Scheme", b"X-Scheme"),
        ]
    ),
    by_fields("X-Forwarded-Ssl", b"X-Forwarded-Ssl: on"),
    by_fields("Front-End-Https", b"Front-End-Https: on"),
    by_fields("X-Forwarded-Prefix", b"X-Forwarded-Prefix: //evil.example"),
    by_fields("X-Forwarded-Path", b"X-Forwarded-Path: /evil"),
    *(
        by_fields(f"{field.decode()} names a path", field + b": /evil")
        for field in [b"X-Original-URL", b"X-Rewrite-URL", b"X-Original-URI", b"x-original-url"]
    ),
    *(
        by_fields(f"{field.decode()} names a method", field + b": DELETE")
        for field in [b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"]
    ),
    *(
        by_fields(f"{field.decode()} is another field in disguise", field + b": " + value)
        for field, value in [
            *((b"X_Forwarded_Host", b"evil.example"), (b"X-Forwarded_Host", b"evil.example")),
            *((b"X_FORWARDED_PROTO", b"gopher"), (b"X_Forwarded_Prefix", b"//evil.example")),
            *((b"X_Host", b"evil.example"), (b"X_Original_URL", b"/evil")),
            *((b"X_HTTP_Method_Override", b"DELETE"), (b"Accept_Language", b"de")),
            *((b"X.Forwarded.Host", b"evil.example"), (b"X-Forwarded.Prefix", b"//evil.example")),
            *((b"X!Original*URL", b"/evil"), (b"Accept~Language", b"de")),
        ]
    ),
    by_fields("a method that is refused (405)", b"X-HTTP-Method-Override: BREW"),
    by_fields("GET with a body", body=b"evil"),
    by_fields("an oversized field (400)", b"X-Large: " + b"x" * 9000),
    by_fields("many fields (400)", *[b"X-%d: %b" % (n, b"x" * 100) for n in range(90)]),
    by_fields("a tab in a field (400)", b"X-Meta: a\tb"),
    by_fields("bytes above ASCII in a field (400)", b"X-Meta: \xff\xfe"),
    by_fields("a user agent that is banned (403)", b"User-Agent: evil"),
    by_fields("a type that nobody has (406)", b"Accept: evil/evil"),
    by_fields("a field that is no use (400)", b"Range: evil"),
    by_fields("where the route stores errors", b"X-Meta: \xff", path=b"/static/{}"),
    by_fields("Connection withholds a language", b"Connection: Accept-Language, close"),
    Attack(
        "a target too long by what the key ignores (414)",
        request(b"/keyed/{}?utm_a=" + b"x" * 5000),
        request(b"/keyed/{}"),
    ),
    Attack(
        "a parameter behind a semicolon",
        request(b"/keyed/{}?utm_a=1;id=evil"),
        request(b"/keyed/{}"),
    ),
    Attack(
        "a parameter twice",
        request(b"/keyed/{}?id=1&utm_a=2&id=evil"),
        request(b"/keyed/{}?id=1"),
    ),
    Attack(
        "the order of parameters that are one for the origin",
        request(b"/sorted/{}?id=1&%69d=2"),
        request(b"/sorted/{}?%69d=2&id=1"),
    ),
    *(
        by_fields(f"a cookie of the key in disguise: {line.decode()}", line, path=b"/keyed/{}")
        for line in [
            *(b"Cookie: language =de", b"Cookie: LANGUAGE=de", b"Cookie: a=b, language=de"),
            b"Cookie: a=b language=de",
        ]
    ),
    Attack(
        "a cookie of the key that Connection withholds",
        request(b"/keyed/{}", b"Cookie: language=de", b"Connection: Cookie"),
        request(b"/keyed/{}", b"Cookie: language=de"),
    ),
    Attack(
        "a field of Vary that Connection withholds",
        request(b"/{}", b"Accept-Language: de", b"Connection: close, accept-language"),
        request(b"/{}", b"Accept-Language: de"),
    ),
    Attack("a port in Host", request(b"/{}", host=b"api.example:1337"), request(b"/{}")),
    Attack("a dot behind Host", request(b"/{}", host=b"api.example."), request(b"/{}")),
    Attack(
        "absolute form",
        request(b"http://evil.example/{}"),
        request(b"/{}"),
    ),
    *(
        Attack(f"another path: {evil.decode()}", request(evil), request(honest))
        for evil, honest in [
            (b"/x/..%2f{}/evil", b"/x"),
            (b"/{}%2fevil", b"/{}"),
            (b"/{}%3fid=evil", b"/{}"),
            (b"/{};id=evil", b"/{}"),
            (b"/{}%00evil", b"/{}"),
            (b"//{}", b"/{}"),
            (b"/./{}", b"/{}"),
            (b"/{}/", b"/{}"),
            (b"/{}%23evil", b"/{}"),
            (b"/{}\\evil", b"/{}"),
            (b"/{}?", b"/{}"),
        ]
    ),
]


@pytest.mark.parametrize("attack", [pytest.param(one, id=one.name) for one in ATTACKS])
async def test_the_honest_client_gets_its_own(stage: Stage, attack: Attack) -> None:
    number = b"n%d" % next(_NUMBERS)
    evil, honest = (raw.replace(b"{}", number) for raw in (attack.evil, attack.honest))
    for _ in range(OFTEN):
        await stage.ask(evil)
    expected = await alone(stage, honest)
    for _ in range(OFTEN):
        assert (await stage.ask(honest)).body == expected
    await stage.ask(evil)
    assert (await stage.ask(honest)).body == expected


async def alone(stage: Stage, honest: bytes) -> bytes:
    """What the origin says to a request that nobody has come before."""
    apart = honest.replace(b"\r\n\r\n", b"\r\nIf-Match: *\r\n\r\n", 1)  # passes the store
    before = len(stage.origin.seen)
    answer = await stage.ask(apart)
    assert len(stage.origin.seen) == before + 1
    assert b"evil" not in answer.body
    return answer.body


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(target, id=target.decode())
        for target in [
            *(b"/static/..%2faccount/{}", b"/static/%2e%2e/account/{}", b"/static/../account/{}"),
            *(b"/static/..%5caccount/{}", b"/static/..\\account/{}", b"/account%2f{}/a.css"),
            *(b"/%61ccount/{}", b"/./account/{}", b"//account/{}", b"/account;a/{}.css"),
            *(b"/account%00/{}.css", b"/account%3b/{}.css", b"/static/x/..;/..;/account/{}"),
        ]
    ],
)
async def test_the_honest_client_keeps_its_own(stage: Stage, target: bytes) -> None:
    """Deception: lured to a path that looks public, it gets its page, and nobody else does."""
    target = target.replace(b"{}", b"n%d" % next(_NUMBERS))
    lured = await stage.ask(request(target, b"Cookie: session=victim"))
    attacker = await stage.ask(request(target))
    assert b"victim" not in attacker.body
    if b"secret" in lured.body:
        assert "; stored" not in lured.cache_status


@pytest.mark.parametrize("name", [*CLAIMS, *OVERRIDES])
async def test_nor_is_the_honest_answer_for_who_says_more(stage: Stage, name: str) -> None:
    """A proxy in front that means what it says must not be given what was for others."""
    target = b"/n%d" % next(_NUMBERS)
    plain = [await stage.ask(request(target)) for _ in range(OFTEN)]
    assert plain[-1].hit
    told = request(target, name.encode() + b": on")
    first = await stage.ask(told)
    assert not first.hit
    for _ in range(OFTEN):
        again = await stage.ask(told)
        assert again.body == first.body
        assert again.hit is (name in CLAIMS)


async def test_what_is_shared_is_shared(stage: Stage) -> None:
    """The defences cost ordinary requests nothing, nor those through one proxy in front."""
    target = b"/n%d" % next(_NUMBERS)
    in_front = [
        *(b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Proto: https", b"X-Forwarded-Port: 443"),
        *(b"X-Forwarded-Server: edge", b"X-Real-IP: 192.0.2.1", b"Connection: keep-alive"),
    ]
    assert not (await stage.ask(request(target, *in_front))).hit
    in_front[0] = b"X-Forwarded-For: 198.51.100.1"
    assert (await stage.ask(request(target, *in_front))).hit


async def test_the_origin_is_gullible() -> None:
    """Otherwise nothing of this would prove a thing."""
    attacks = [attack for attack in ATTACKS if b"GET /" in attack.evil]  # in origin-form
    pairs = [(*read(attack.evil), *read(attack.honest)) for attack in attacks]
    believed = sum(believe(evil) != believe(honest) for evil, honest in pairs)
    assert believed > len(attacks) * 2 // 3
    assert b"victim" in believe(read(request(b"/static/..%2faccount/1", b"Cookie: victim"))[0])
    assert isinstance(read(request(b"/"))[0], Received)
