"""What is fetched at the start, as the YAML says it."""

import pytest

from proxy.settings import Settings, SettingsError, Warm, WarmReady
from proxy.settings.loading import settings_from


def made(text: str) -> Settings:
    return settings_from(f"warm: {text}", file="w.yaml", env={})


def test_nothing_unless_it_is_asked_for() -> None:
    assert Warm().sources == ()


def test_paths_are_of_a_site() -> None:
    warm = made(
        "{on_start: [/, '/a?b=1', 'https://b/c.xml', 'file:/etc/urls'], "
        "site: 'HTTPS://Shop.example', ready: at_once}"
    ).warm
    assert warm.sources == (
        "https://shop.example/",
        "https://shop.example/a?b=1",
        "https://b/c.xml",
        "file:/etc/urls",
    )
    assert warm.ready is WarmReady.AT_ONCE


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{on_start: [/a]}", "warm.on_start[0]: no host is known; write warm.site too"),
        ("{on_start: [urls.txt]}", "file:urls.txt"),
        ("{on_start: ['file:']}", "is no address"),
        ("{on_start: ['ftp://a/']}", "is no address"),
        ("{on_start: ['http://']}", "is no address"),
        ("{on_start: ['http://a/#b']}", "is no address"),
        ("{site: 'unix:/run/a'}", "a site has no socket"),
        ("{site: 'https://a/b'}", "has no path"),
        ("{ready: later}", "when_warm or at_once"),
        ("{concurrency: 0}", "out of range"),
    ],
)
def test_what_cannot_be_used(text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        made(text)
    assert told in str(caught.value)
