import random
from collections import Counter
from itertools import islice

import pytest

from tests.bench import traffic
from tests.bench.peers import SIZES


def seeded() -> random.Random:
    return random.Random(1)  # noqa: S311 - load, not secrets


def test_every_head_is_its_own_and_well_formed() -> None:
    pool = traffic.pool(traffic.always("/a"), 500)
    assert len(set(pool)) == 500
    for request in pool:
        head, blank, rest = request.partition(b"\r\n\r\n")
        assert (blank, rest) == (b"\r\n\r\n", b"")
        line, *fields = head.decode().split("\r\n")
        assert line == "GET /a HTTP/1.1"
        names = [field.partition(": ")[0].lower() for field in fields]
        assert len(set(names)) == len(names)
        assert {"host", "cookie", "x-request-id"} < set(names)


def test_all_proxies_get_the_same() -> None:
    assert traffic.pool(traffic.mixed(50), 100) == traffic.pool(traffic.mixed(50), 100)


def test_a_conditional_request_names_what_the_origin_sends() -> None:
    (request,) = traffic.pool(traffic.always("/a", conditional=True), 1)
    assert b'If-None-Match: "v1"\r\n' in request


def test_around_comes_back_to_a_name_last_of_all() -> None:
    targets = islice(traffic.around("/", 3)(seeded()), 4)
    assert [target.path for target in targets] == ["/0", "/1", "/2", "/0"]


def test_mixed_has_the_shares_it_promises() -> None:
    targets = list(islice(traffic.mixed(1000)(seeded()), 20_000))
    kinds = Counter(
        "new"
        if traffic.UNIQUE in target.path
        else "pass"
        if target.path.startswith("/pass/")
        else "conditional"
        if target.conditional
        else "popular"
        for target in targets
    )
    shares = {kind: count / len(targets) for kind, count in kinds.items()}
    assert shares == pytest.approx(
        {"popular": 0.80, "conditional": 0.10, "new": 0.05, "pass": 0.05}, abs=0.01
    )
    stored = Counter(target.path for target in targets if target.path.startswith("/stored/"))
    (first, most), *_ = stored.most_common(1)
    assert first == "/stored/1k/0"
    assert most > 20 * stored["/stored/1k/500"]
    assert {path.split("/")[2] for path in stored} <= set(SIZES)


def test_popular_and_even_traffic_ask_for_the_same_names() -> None:
    drawn = {
        kind: Counter(target.path for target in islice(kind("/a/", 20)(seeded()), 20_000))
        for kind in (traffic.popular, traffic.evenly)
    }
    assert set(drawn[traffic.popular]) == set(drawn[traffic.evenly])
    (_, most), *_, (_, least) = drawn[traffic.evenly].most_common()
    assert most < 1.3 * least
    assert drawn[traffic.popular].most_common(1)[0][0] == "/a/0"
