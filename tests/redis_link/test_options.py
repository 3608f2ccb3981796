"""URLs: every mode, what they leave open, and what is refused in words that hold no secret."""

from typing import Any

import pytest

from proxy.redis_link import Mode, RedisOptions


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", {"mode": Mode.STANDALONE, "nodes": (("h", 6379),), "tls": False}),
        ("redis://h:7/3", {"nodes": (("h", 7),), "database": 3}),
        ("redis://u:p%40ss@h", {"username": "u", "password": "p@ss"}),
        ("redis://:pw@h", {"username": None, "password": "pw"}),
        ("rediss://h", {"tls": True}),
        ("redis://[::1]:7", {"nodes": (("::1", 7),)}),
        ("redis://[::1]", {"nodes": (("::1", 6379),)}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock", "mode": Mode.STANDALONE}),
        (
            "redis+sentinel://a,b:7/main/2",
            {
                "mode": Mode.SENTINEL,
                "nodes": (("a", 26379), ("b", 7)),
                "service": "main",
                "database": 2,
            },
        ),
        ("rediss+sentinel://a/main", {"mode": Mode.SENTINEL, "tls": True, "service": "main"}),
        ("redis+cluster://a:1,b:2", {"mode": Mode.CLUSTER, "nodes": (("a", 1), ("b", 2))}),
        ("rediss+cluster://a", {"mode": Mode.CLUSTER, "tls": True}),
    ],
)
def test_what_a_url_says(url: str, expected: dict[str, Any]) -> None:
    options = RedisOptions.from_url(url)
    assert {name: getattr(options, name) for name in expected} == expected


def test_an_explicit_mode_makes_more_of_a_plain_url() -> None:
    cluster = RedisOptions.from_url("redis://a,b", mode=Mode.CLUSTER)
    assert (cluster.mode, len(cluster.nodes)) == (Mode.CLUSTER, 2)
    sentinel = RedisOptions.from_url("redis://a/main", mode=Mode.SENTINEL)
    assert (sentinel.service, sentinel.nodes) == ("main", (("a", 26379),))


def test_options_win_over_the_url() -> None:
    options = RedisOptions.from_url("redis://u:p@h", password="other", namespace="x", version=3)  # noqa: S106
    assert (options.username, options.password, options.prefix) == ("u", "other", "x:3:")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://h", "unknown scheme"),
        ("redis://secret@h?db=1", "no query"),
        ("redis://a,b", "several hosts"),
        ("redis://h/one", "not a number"),
        ("redis://h/1/2", "too long"),
        ("redis://h:0", "impossible"),
        ("redis://h:99999", "impossible"),
        ("redis://h:+5", "not a number"),
        ("redis://", "missing"),
        ("redis+sentinel://a", "service's name"),
        ("redis+cluster://a/1", "no database"),
    ],
)
def test_what_a_url_cannot_say(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        RedisOptions.from_url(url)
    assert "secret" not in str(error.value)


def test_scheme_and_mode_must_agree() -> None:
    with pytest.raises(ValueError, match="the mode says cluster"):
        RedisOptions.from_url("redis+sentinel://a/main", mode=Mode.CLUSTER)


@pytest.mark.parametrize("namespace", ["", "a{b}", "a\n"])
def test_a_namespace_must_not_choose_the_slot(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        RedisOptions(namespace=namespace)


def test_neither_address_nor_repr_show_the_password() -> None:
    options = RedisOptions.from_url(
        "redis+sentinel://u:hush@a,[::1]:7/main",
        sentinel_password="hush",  # noqa: S106
    )
    assert options.address == "sentinel a:26379,[::1]:7 main"
    assert "hush" not in repr(options)
    assert RedisOptions.from_url("unix:///r.sock").address == "unix:///r.sock"
