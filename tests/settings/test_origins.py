"""Origins in the YAML: what they may say, and what is told about what they may not."""

import pytest

from proxy.settings import Breaker, Health, Limit, Retries, SettingsError
from proxy.settings.loading import settings_from


def problems(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings_from(text, file="", env={})
    return [str(problem) for problem in caught.value.problems]


def test_urls_are_urls_or_say_more() -> None:
    text = """
origin:
  urls:
    - http://a:8000
    - {url: http://b:8000, weight: 3}
    - {url: "unix:/run/c.sock", backup: on}
"""
    servers = settings_from(text, file="", env={}).origin.servers
    assert [(one.url, one.weight, one.backup) for one in servers] == [
        ("http://a:8000", 1, False),
        ("http://b:8000", 3, False),
        ("unix:///run/c.sock", 1, True),
    ]


def test_a_url_alone_is_a_list_of_one() -> None:
    settings = settings_from("origin: {url: http://a}", file="", env={})
    assert [one.url for one in settings.origin.servers] == ["http://a"]


def test_the_command_line_wins_over_all_of_them() -> None:
    settings = settings_from("origin: {urls: [http://a, http://b]}", file="", env={})
    assert settings.require_origin() == "http://a, http://b"
    changed = settings.with_overrides(origin="http://c")
    assert [one.url for one in changed.origin.servers] == ["http://c"]


def test_all_keys_of_a_group() -> None:
    text = """
origin:
  urls: [http://a, http://b]
  balance: hash
  timeouts: {total: 10s}
  limit: {concurrent: 50, queue: 0, queue_timeout: 500ms}
  retries: {attempts: 0, budget: 12.5%}
  breaker: {failures: 3, statuses: [500, 502-504, 5xx], pause: 2s, max_pause: 1m, trials: 2,
            slow_start: 20s}
  health: {path: "/health?full=1", interval: 1s, timeout: 500ms, healthy: 1, unhealthy: 1,
           statuses: [2xx, 401]}
"""
    origin = settings_from(text, file="", env={}).origin
    assert origin.balance.value == "hash"
    assert origin.timeouts.total == 10.0
    assert origin.limit == Limit(concurrent=50, queue=0, queue_timeout=0.5)
    assert origin.retries == Retries(attempts=0, budget=0.125)
    assert origin.breaker == Breaker(
        failures=3,
        statuses=((500, 500), (502, 504), (500, 599)),
        pause=2.0,
        max_pause=60.0,
        trials=2,
        slow_start=20.0,
    )
    assert origin.health == Health(
        path="/health?full=1",
        interval=1.0,
        timeout=0.5,
        healthy=1,
        unhealthy=1,
        statuses=((200, 299), (401, 401)),
    )


def test_routes_go_to_origins_by_name() -> None:
    text = """
origin: {url: http://a}
origins:
  search: {urls: [http://s1, http://s2], timeouts: {header: 5s}}
routes:
  - match: {path: /search}
    origin: search
"""
    settings = settings_from(text, file="", env={})
    assert settings.routes[0].origin == "search"
    assert settings.origins["search"].timeouts.header == 5.0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "origin: {url: http://a, urls: [http://b]}",
            "1:25: origin.urls: are in place of `url`; add that to the list",
        ),
        (
            "origin: {urls: [http://a, http://A/]}",
            "1:27: origin.urls[1]: http://a is listed twice; remove it, or give one a weight",
        ),
        (
            "origin: {urls: [{url: http://a, backup: on}]}",
            "1:10: origin.urls: are all backups, of nothing; remove backup from one",
        ),
        (
            "origin: {urls: [api:8000]}",
            "1:17: origin.urls[0]: 'api:8000' is not a URL; write http://api:8000",
        ),
        (
            "origin: {urls: [{url: http://a, weigth: 2}]}",
            "1:33: origin.urls[0].weigth: unknown key; did you mean weight?",
        ),
        (
            "origin: {urls: [{url: http://a, weight: 0}]}",
            "1:33: origin.urls[0].weight: 0 is out of range; write 1 to 10000000",
        ),
        ("origin: {urls: http://a}", "1:10: origin.urls: must be a list; write [one, two]"),
        (
            "origin: {balance: roundrobin}",
            (
                "1:10: origin.balance: 'roundrobin' is not one of round_robin, least_connections "
                "or hash; did you mean round_robin?"
            ),
        ),
        (
            "origin: {retries: {budget: 0.2}}",
            "1:20: origin.retries.budget: '0.2' is not a share; write percent, such as 20%",
        ),
        (
            "origin: {retries: {budget: 120%}}",
            "1:20: origin.retries.budget: 120% is more than all; write at most 100%",
        ),
        (
            "origin: {breaker: {statuses: [600]}}",
            "1:31: origin.breaker.statuses[0]: '600' are no statuses; write 200, 200-299 or 2xx",
        ),
        (
            "origin: {breaker: {statuses: [504-502]}}",
            "1:31: origin.breaker.statuses[0]: '504-502' runs backwards; write 502-504",
        ),
        (
            "origin: {breaker: {pause: 1m}}",
            "1:20: origin.breaker.pause: is longer than max_pause; raise that too",
        ),
        (
            "origin: {health: {interval: 1s}}",
            "1:10: origin.health: checks nothing without a path; write path: /health, say",
        ),
        (
            "origin: {health: {path: health}}",
            "1:19: origin.health.path: 'health' is not what can be asked for; write /health, say",
        ),
        (
            "origin: {health: {path: /health, statuses: []}}",
            "1:34: origin.health.statuses: lets no check pass; write 2xx, say",
        ),
        (
            "origins: {search: {}}",
            "1:11: origins.search: names no URL; write url: http://127.0.0.1:8000, say",
        ),
        (
            "origins: {search: {url: http://s, timeout: 5s}}",
            "1:35: origins.search.timeout: unknown key; did you mean health.timeout?",
        ),
        (
            "origins: {a b: {url: http://s}}",
            "1:11: origins.a b: 'a b' is not a name; write letters, digits, - and _",
        ),
        (
            "origins: {search: {url: http://s}}\nroutes: [{origin: serach}]",
            "2:11: routes[0].origin: 'serach' is not one of `origins`; did you mean search?",
        ),
        (
            "routes: [{origin: search}]",
            "1:11: routes[0].origin: 'search' is not one of `origins`; name it there",
        ),
    ],
)
def test_one_problem(text: str, problem: str) -> None:
    assert problems(text) == [problem]
