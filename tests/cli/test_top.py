"""`warmfront top`."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from proxy.admin import (
    BusyUrl,
    Durations,
    LogStats,
    NodeStats,
    OriginGroupStats,
    PastPurge,
    RouteTotals,
    Stats,
    TierStats,
    Totals,
)
from proxy.admin.figures import rates
from proxy.cli.console import out
from proxy.origin import MemberStatus
from tests.cli.warmfront import warmfront
from tests.client.fake_admin import FakeAdmin, Reply

TOTALS = Totals(
    requests=2000,
    from_store=1500,
    origin=510,
    sent=4_000_000,
    saved=3_000_000,
    durations={"hit": Durations((0.0005, 1.0), (9, 0, 0)), "origin": Durations((1.0,), (0, 4))},
    routes={"[list]": RouteTotals(2000, 1500)},
)
ORIGIN = MemberStatus(
    url="http://api:8000",
    state="down",
    since=3.0,
    cause="refused",
    weight=1,
    backup=False,
    in_flight=2,
    requests=510,
    failures=7,
    last_failure="refused",
)
GROUP = OriginGroupStats(
    name="",
    in_flight=2,
    limit=None,
    waiting=0,
    queue=0,
    overloaded=0,
    retries=0,
    retry_budget=0.0,
    origins=(ORIGIN,),
)


def stats(**more: Any) -> Any:
    """As GET /stats gives them."""
    given: dict[str, Any] = {
        "version": "1.2",
        "node": "web:1",
        "uptime": 4000.0,
        "requests": {"hit": 1500, "miss": 500, "error": 0},
        "failures": 0,
        "memory": TierStats(10, 64_000_000, 256_000_000),
        "redis": None,
        "log": LogStats("memory", 7, 0, trusted=True, patterns=0, nodes=()),
        "origins": (GROUP,),
        "totals": TOTALS,
        "urls": (BusyUrl("http://shop/a[1]", 1200, 1, 2048),),
        "purges": (
            PastPurge(
                seq=7,
                at=0.0,
                what="tag a, tag b, tag c",
                names=5,
                soft=True,
                acked=("web:1",),
                pending=("web:2",),
            ),
        ),
        "rates": rates(Totals(), TOTALS, seconds=10.0, at=0.0),
    }
    return json.loads(TypeAdapter(Stats).dump_json(Stats(**given | more)))


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "_width", 160)


def shown(admin: FakeAdmin, **more: Any) -> str:
    admin.will(Reply(stats(**more)))
    code, text, err = warmfront("top", "--once", "--admin", admin.url)
    assert (code, err) == (0, "")
    return " ".join(text.split())


def test_all_at_once(admin: FakeAdmin) -> None:
    text = shown(admin)
    for piece in (
        "Warmfront 1.2 on web:1, up for 1 h 6 min, in step",
        "75.0%",
        "200.0 /s",
        "2,000 in all",
        "51.0 /s",
        "< 1 ms",
        "1.0 s",
        "300.0 kB/s",
        "of 256.0 MB",
        "hit 1,500 (75.0%), miss 500 (25.0%)",
        "[list] 200.0 75.0% 2,000",
        "http://shop/a[1] 1,200 2.0 kB",
        "http://api:8000 down 2 510 7",
        "7 tag a, tag b, tag c ... (soft) 1 of 2",
    ):
        assert piece in text, piece


def test_nothing_yet(admin: FakeAdmin) -> None:
    text = shown(
        admin, requests={}, totals=Totals(), urls=(), purges=(), origins=(), rates=None, uptime=2.0
    )
    for piece in ("up for 2 s", "no request yet", "nothing was purged", "none of late"):
        assert piece in text, piece


def test_long_numbers_are_cut(admin: FakeAdmin) -> None:
    purge = PastPurge(seq=1795343684008073, at=0.0, what="tag a", names=1, soft=False)
    assert "...008073 tag a 0 of 0" in shown(admin, purges=(purge,))


def test_trouble_stands_out(admin: FakeAdmin) -> None:
    nodes = (NodeStats("a", 1, 0.1), NodeStats("b", 1, 0.1))
    log = LogStats("redis", 7, 0, trusted=False, patterns=0, nodes=nodes)
    text = shown(admin, log=log, redis=TierStats(None, None, None, available=False), uptime=90.0)
    assert "up for 1 min, 2 processes, without news of purges" in text
    assert "redis away" in text or "away" in text


def test_redis_as_far_as_it_is_known(admin: FakeAdmin) -> None:
    assert "no limit" in shown(admin, redis=TierStats(None, 5_000_000, None))
    assert "size not known" in shown(admin, redis=TierStats(None, None, None))


def test_it_looks_again_until_it_is_interrupted(
    admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("proxy.cli.top.time.sleep", pause)
    admin.will(*(Reply(stats()) for _ in range(3)))
    code, _, _ = warmfront("top", "--interval", "0.5", "--admin", admin.url)
    assert (code, pauses) == (0, [0.5] * 3)
    assert [one.target for one in admin.asked] == ["/stats"] * 3


def test_no_server_is_told_as_anywhere(admin: FakeAdmin) -> None:
    code, _, err = warmfront("top", "--once", "--admin", "http://127.0.0.1:1")
    assert code == 1
    assert "error:" in err
    assert admin.asked == []
