"""Likely mistakes are told with their place; what can be meant is not."""

import re
from itertools import count
from pathlib import Path

import pytest

from proxy.settings import Machine, Problem, Redis, Settings, Store, advise
from proxy.settings.loading import loaded_from
from tests.docs.pages import Block, blocks
from tests.docs.test_docs import ENVIRONMENT, is_ours

ROOT = Path(__file__).parents[3]
FILES = sorted(
    file
    for file in (ROOT / "config").glob("**/*.yaml")
    if file.name in {"default.yaml", "warmfront.yaml"} or file.parent.name == "examples"
)
MACHINE = Machine(cores=2, descriptors=20_000)
ORIGIN = "origin: {url: 'http://api.internal'}\n"


def warnings(text: str) -> list[Problem]:
    env = {**ENVIRONMENT, "WARMFRONT_ORIGIN": "http://api.internal"}
    loaded = loaded_from(text, file="w.yaml", env=env)
    return advise(loaded.settings, loaded.document, MACHINE)


def routes(text: str) -> str:
    return ORIGIN + "routes:\n" + "".join(f"  - {line}\n" for line in text.split("; "))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_our_own_files_give_no_reason(file: Path) -> None:
    assert list(map(str, warnings(file.read_text()))) == []


@pytest.mark.parametrize("block", [one for one in blocks("yaml") if is_ours(one)], ids=str)
def test_what_the_pages_show_gives_none(block: Block) -> None:
    numbers = count(1)
    text = re.sub(r"@\{\w+\}", lambda _: str(next(numbers)), block.text)
    assert list(map(str, warnings(text))) == []


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (routes("match: {path: /**}; match: {path: /a}"), "routes[1].match", "no request gets"),
        (routes("ttl: 5m; match: {path: /a}"), "routes[1].match", "routes[0] takes them all"),
        (routes("ttl: 5m; ttl: 6m"), "routes[1]", "above routes[0]"),
        (
            "allowed_hosts: [a.example]\n" + routes("match: {hosts: [b.example]}"),
            "routes[0].match.hosts",
            "allowed_hosts has none of these",
        ),
        (routes("{cache: off, ttl: 5m}"), "routes[0].ttl", "does nothing: cache is off"),
        (routes("{cache: off, tags: [a], grace: 5m}"), "routes[0].grace", "grace, tags do"),
        ("defaults: {cache: off}\n" + routes("ttl: 5m"), "routes[0].ttl", "defaults.cache is off"),
        (ORIGIN + "defaults: {cache: off, ttl: 1m}\n", "defaults.ttl", "in all routes"),
        (
            routes("{match: {methods: [PUT]}, ttl: 5m}"),
            "routes[0].ttl",
            "answers to PUT are never stored",
        ),
        (
            routes("{match: {methods: [GET, OPTIONS]}, purge: [a]}"),
            "routes[0].purge",
            "GET and OPTIONS changes nothing",
        ),
        (routes("{match: {path: /v1/Account/x}, ttl: 5m}"), "routes[0].ttl", "/Account looks"),
        (routes("{set_cookie: store, ttl: 5m}"), "routes[0].set_cookie", "goes to all others"),
        (
            "defaults: {set_cookie: store}\n" + routes("{match: {path: /a}, ttl: 5m}"),
            "routes[0].ttl",
            "goes to all others",
        ),
        (
            "defaults: {default_ttl: 1m}\n" + routes("heuristic_max: 1h"),
            "routes[0].heuristic_max",
            "no lifetime is guessed",
        ),
        (routes("key: {cookies: [lang, PHPSESSID]}"), "routes[0].key.cookies[1]", "each visitor"),
        (routes("key: {cookies: [shop_session]}"), "routes[0].key.cookies[0]", "each visitor"),
        (
            ORIGIN + "defaults: {key: {headers: [User-Agent]}}",
            "defaults.key.headers[0]",
            "for nearly each visitor",
        ),
        (
            ORIGIN + "allowed_hosts: [a.example]\nwarm: {on_start: ['http://b.example/']}",
            "warm.on_start[0]",
            "no client can ask for b.example",
        ),
        (
            ORIGIN
            + "allowed_hosts: [a.example]\nwarm: {on_start: [/, /a], site: 'http://b.example'}",
            "warm.site",
            "no client can ask for b.example",
        ),
        (ORIGIN + "origins: {b: {url: 'http://b'}}", "origins.b", "no route goes there"),
        (ORIGIN + "admin: {listen: ':8081'}", "admin.listen", "may try tokens"),
        (ORIGIN + "admin: {listen: '8.8.8.8:8081'}", "admin.listen", "may try tokens"),
        (
            ORIGIN + "listen: ':81'\nadmin: {listen: 127.0.0.1:81}",
            "admin.listen",
            "taken by `listen`",
        ),
        (
            ORIGIN + "listen: unix:/run/a\nadmin: {listen: unix:/run/a}",
            "admin.listen",
            "taken by `listen`",
        ),
        ("listen: ':8080'\norigin: {url: 'http://localhost:8080'}", "origin.url", "proxy itself"),
        (
            ORIGIN
            + "origins: {b: {urls: ['http://[::1]:8080', 'http://c']}}\n"
            + "routes: [{origin: b}]\nlisten: '[::1]:8080'",
            "origins.b.urls",
            "proxy itself",
        ),
        (
            ORIGIN + "listen: ':8080'\ndefaults: {strip_tags: off}",
            "defaults.strip_tags",
            "clients see",
        ),
        (
            "listen: ':8080'\n" + routes("{match: {path: /a}, strip_tags: off}"),
            "routes[0].strip_tags",
            "clients see",
        ),
        (
            ORIGIN + "store: {redis: {url: 'redis://10.1.2.3'}}",
            "store.redis.url",
            "wants no password",
        ),
        (
            ORIGIN + "store: {redis: {url: 'redis://:secret@8.8.8.8'}}",
            "store.redis.url",
            "in the clear",
        ),
        (
            ORIGIN + "store: {memory: {max_size: 1MiB}}",
            "store.memory.max_size",
            "less than max_object_size, 4MiB",
        ),
        (ORIGIN + "limits: {connections: 30000}", "limits.connections", "may open 20000"),
        (
            ORIGIN + "store: {redis: {url: 'redis://127.0.0.1'}}\npurge: {wait: 1s}",
            "purge.wait",
            "not acknowledged",
        ),
        (
            ORIGIN + "store: {redis: {url: 'redis://127.0.0.1'}}\npurge: {max_lag: 10s}",
            "purge.max_lag",
            "not acknowledged",
        ),
        (
            "origin: {url: 'http://a', timeouts: {header: 20s, total: 10s}}",
            "origin.timeouts.header",
            "never comes to pass",
        ),
        (
            "origin: {url: 'http://a', timeouts: {header: 2m}}",
            "origin.timeouts.header",
            "write drain_timeout: 2m",
        ),
        ("origin: {url: 'http://a', tls: {verify: off}}", "origin.tls", "no URL is https"),
        ("origin: {url: 'http://a', balance: hash}", "origin.balance", "there is one URL"),
        (
            "origin: {url: 'http://a', retries: {attempts: 2}}",
            "origin.retries.attempts",
            "no other URL",
        ),
    ],
)
def test_it_warns(text: str, path: str, words: str) -> None:
    (told,) = warnings(text)
    assert told.path == path
    assert words in told.message + "; " + (told.suggestion or "")
    assert told.file == "w.yaml"
    assert told.line is not None
    assert told.suggestion


@pytest.mark.parametrize(
    "text",
    [
        ORIGIN + "listen: ':8080'",
        ORIGIN + "admin: off",
        ORIGIN + "warm: {on_start: ['http://b/', 'file:/a']}",
        ORIGIN + "allowed_hosts: ['*.a']\nwarm: {on_start: ['http://b.a:80/', 'file:/a']}",
        ORIGIN + "admin: {listen: '10.0.0.5:8081'}",
        ORIGIN + "admin: {listen: ':8081', allowed_hosts: [cache.internal]}",
        ORIGIN + "admin: {listen: unix:/run/admin}",
        ORIGIN + "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}",
        ORIGIN + "store: {redis: {url: 'redis://redis'}}",
        ORIGIN + "store: {redis: {url: 'redis://redis.cache.svc'}}",
        ORIGIN + "store: {redis: {url: 'unix:///run/redis'}}",
        ORIGIN + "store: {redis: {url: 'redis://:secret@10.1.2.3'}}",
        ORIGIN + "store: {redis: {url: 'rediss://:secret@cache.example.com'}}",
        ORIGIN + "store: {memory: {max_size: 0}}",
        ORIGIN + "store: {memory: {max_size: 64KiB}, redis: {url: 'redis://127.0.0.1'}}",
        ORIGIN + "defaults: {strip_tags: off}",
        ORIGIN + "purge: {wait: 1s}",
        ORIGIN + "drain_timeout: 5s",
        "origin: {urls: ['http://a', 'https://b'], balance: hash, tls: {verify: off}}",
        "origin: {url: 'http://a', health: {path: /health}}",
        "origin: {url: 'http://a', retries: {attempts: 0}}",
        "origin: {url: 'http://127.0.0.1:8080'}\nlisten: 10.0.0.1:8080",
        routes("match: {path: /a}; match: {path: /**}"),
        routes("match: {methods: [PUT]}; match: {path: /a}"),
        routes("{match: {path: /account}, cache: off}"),
        routes("{match: {path: /account}, default_ttl: 1m}"),  # not for requests with cookies
        routes("{match: {path: /account}, ttl: 1m, key: {cookies: [user]}}"),
        routes("{match: {path: /account}, ttl: 0}"),
        routes("{match: {path: /mystery}, ttl: 1m}"),
        routes("{set_cookie: store}"),
        routes("{match: {methods: [POST]}, ttl: 1m}"),
        routes("{match: {methods: [PUT]}, purge: [a]}"),
        routes("{cache: off, response_headers: {remove: [Server]}}"),
        routes("key: {cookies: [lang, currency], headers: [Accept-Language]}"),
        "defaults: {cache: off, ttl: 1m}\n" + routes("{match: {path: /a}, cache: on}"),
    ],
)
def test_it_does_not(text: str) -> None:
    assert list(map(str, warnings(text))) == []


def test_workers_beyond_the_cores() -> None:
    (told,) = warnings(ORIGIN + "workers: 9")
    assert (told.path, told.suggestion) == ("workers", "write at most 2")


def test_what_a_flag_says_has_no_line() -> None:
    loaded = loaded_from(ORIGIN, file="w.yaml", env={})
    settings = loaded.settings.with_overrides(admin=":8081")
    (told,) = advise(settings, loaded.document, MACHINE)
    assert str(told).startswith("admin.listen: :8081: ")


def test_without_a_file() -> None:
    settings = Settings(store=Store(redis=Redis(url="redis://8.8.8.8")))
    assert [told.path for told in advise(settings, None, MACHINE)] == ["store.redis.url"] * 2


def test_they_come_in_the_order_of_the_file() -> None:
    text = "origin: {url: 'http://a', balance: hash}\nroutes: [{}, {}]\nadmin: {listen: ':81'}"
    lines = [told.line for told in warnings(text)]
    assert lines == sorted(line or 0 for line in lines)
    assert len(lines) == len({*lines}) == 3


def test_this_machine() -> None:
    assert Machine.here().cores >= 1
