"""What a reload changes, in the operator's words, and no secret among them."""

import pytest

from proxy.settings import Settings, changes
from proxy.settings.loading import settings_from

ORIGIN = "origin: {url: 'http://a'}\n"


def made(text: str) -> Settings:
    return settings_from(ORIGIN + text, file="w.yaml", env={})


def told(old: str, new: str) -> list[str]:
    return list(map(str, changes(made(old), made(new))))


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("", "", []),
        ("", "drain_timeout: 30s", []),  # as by default
        ("", "drain_timeout: 90s", ["drain_timeout: 30s -> 1m30s"]),
        ("", "defaults: {ttl: 5m}", ["defaults.ttl: none -> 5m"]),
        ("", "defaults: {cache: off}", ["defaults.cache: on -> off"]),
        ("", "defaults: {refresh_ahead: 1.5}", ["defaults.refresh_ahead: 0 -> 1.5"]),
        (
            "defaults: {negative_ttl: {404: 10s}}",
            "defaults: {negative_ttl: {404: 1m, 410: 1h}}",
            ["defaults.negative_ttl: {404: 10s} -> {404: 1m, 410: 1h}"],
        ),
        ("", "listen: [':80', 'unix:/a']", ["listen: [127.0.0.1:8080] -> [:80, unix:/a]"]),
        ("", "log: {level: debug}", ["log.level: info -> debug"]),
        ("", "log: {access_sample: 5%}", ["log.access_sample: 100% -> 5%"]),
        (
            "",
            "store: {memory: {max_size: 1GiB}}",
            ["store.memory.max_size: 256MiB -> 1GiB"],
        ),
        ("", "admin: off", ["admin: on -> off"]),
        ("admin: {listen: ':81'}", "admin: off", ["admin.listen: [:81] -> none"]),
        (
            "",
            "store: {redis: {url: 'redis://u:secret@r:1/2', timeout: 1s}}",
            ["store.redis.url: none -> redis://r:1/2", "store.redis.timeout: none -> 1s"],
        ),
        (
            "origins: {b: {url: 'http://b'}, c: {url: 'http://c', balance: hash}}",
            "origins: {b: {url: 'http://bb'}}",
            [
                "origins.b.url: http://b -> http://bb",
                "origins.c.url: http://c -> none",
                "origins.c.balance: hash -> none",
            ],
        ),
    ],
)
def test_keys(old: str, new: str, changed: list[str]) -> None:
    assert told(old, new) == changed


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("[{ttl: 1m}]", "[{ttl: 2m}]", ["routes[0].ttl: 1m -> 2m"]),
        (
            "[{ttl: 1m}, {ttl: 2m}]",
            "[{ttl: 9m, match: {path: /a}}, {ttl: 1m}, {ttl: 2m}]",
            ["routes[0]: none -> {ttl: 9m, match.path: /a}"],
        ),
        (
            "[{ttl: 1m}, {ttl: 2m}, {ttl: 3m}]",
            "[{ttl: 1m}, {ttl: 3m, tags: [a]}]",
            [
                "routes[1].ttl: 2m -> 3m",
                "routes[1].tags: [] -> [a]",
                "routes[2]: {ttl: 3m} -> none",
            ],
        ),
        (
            "[]",
            "[{match: {headers: {X-Key: secret}}, ttl: 1m}]",
            ["routes[0]: none -> {ttl: 1m, match.headers: (hidden)}"],
        ),
    ],
)
def test_routes(old: str, new: str, changed: list[str]) -> None:
    found = told(f"routes: {old}", f"routes: {new}")
    assert found == changed


SECRETS = [
    ("admin: {token: %s}", "admin.token"),
    ("admin: {tokens: [{token: %s}]}", "admin.tokens[0].token"),
    ("store: {redis: {url: 'redis://r', password: %s}}", "store.redis.password"),
    ("store: {redis: {url: 'redis://:%s@r'}}", "store.redis.url"),
    (
        "store: {redis: {url: 'redis+sentinel://r/s', sentinel: {password: %s}}}",
        "store.redis.sentinel.password",
    ),
    ("routes: [{match: {headers: {A: %s}}}]", "routes[0].match.headers"),
]


@pytest.mark.parametrize(("text", "key"), SECRETS, ids=[key for _, key in SECRETS])
def test_secrets_change_unseen(text: str, key: str) -> None:
    first, second = "first-secret-012345", "second-secret-01234"
    (change,) = changes(made(text % first), made(text % second))
    assert change.key == key
    assert change.old != change.new
    assert "another" in str(change)
    assert "secret" not in str(change)
    for old, new in (("", text % first), (text % first, "")):
        assert "secret" not in " ".join(told(old, new))


def test_statuses_of_checks() -> None:
    health = "{url: 'http://b', health: {path: /h, statuses: [%s]}}"
    old, new = (f"origins: {{b: {health % statuses}}}" for statuses in ("200-399", "200, 5xx"))
    assert told(old, new) == ["origins.b.health.statuses: [200-399] -> [200, 500-599]"]
