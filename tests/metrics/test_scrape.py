"""GET /metrics of a whole proxy."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from proxy.metrics import SPECS, Kind
from tests.apparatus import Reply
from tests.metrics.scraped import TOKEN, running
from tests.redis_server import RedisServer, shared_redis

BEARER = f"Bearer {TOKEN}"


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with shared_redis() as server:
        yield server


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_names_follow_the_conventions(spec: object) -> None:
    assert isinstance(spec, type(SPECS["warmfront_requests_total"]))
    assert re.fullmatch(r"warmfront_[a-z_]+", spec.name)
    assert spec.name.endswith("_total") is (spec.kind is Kind.COUNTER)
    assert spec.name.endswith("_seconds") or spec.kind is not Kind.HISTOGRAM
    assert re.fullmatch(r"[A-Z0-9].*\.", spec.help)
    assert "_milli" not in spec.name
    assert not set(spec.labels) & {"le", "instance", "job", "path", "uri"}


async def test_requests_are_told_by_route_status_and_outcome(tmp_path: Path) -> None:
    routes = "routes: [{match: {path: /off}, cache: off}]\n"
    async with running(tmp_path, routes) as proxy:
        for target in ("/a", "/a", "/a", "/a", "/off"):
            await proxy.get(target)
        proxy.origin.will(Reply(status=503))
        await proxy.get("/b")
        await proxy.get("/c", X_Bad="\x00")
        scrape = await proxy.scrape()

    def requests(**labels: str) -> float:
        return scrape.value("warmfront_requests_total", **labels)

    assert requests(route="defaults", status="2xx", outcome="miss") == 1
    assert requests(route="defaults", status="2xx", outcome="hit") == 3
    assert requests(route="defaults", status="5xx", outcome="miss") == 1
    assert requests(route="routes[0]", status="2xx", outcome="bypass") == 1
    size = "warmfront_response_body_bytes_total"
    assert scrape.value(size, route="defaults", outcome="hit") == 15
    reasons = "warmfront_request_reasons_total"
    assert scrape.value(reasons, outcome="miss", reason="uri-miss") == 1
    assert scrape.value(reasons, outcome="bypass", reason="cache-off") == 1
    duration = "warmfront_request_duration_seconds"
    assert scrape.value(f"{duration}_count", outcome="hit") == 3
    assert scrape.value(f"{duration}_bucket", outcome="hit", le="+Inf") == 3
    assert scrape.value(f"{duration}_sum", outcome="miss") > 0
    assert scrape.value("warmfront_refused_requests_total", status="400") == 1
    asked = "warmfront_origin_duration_seconds_count"
    assert scrape.value(asked, origin="", status="2xx") == 2
    assert scrape.value(asked, origin="", status="5xx") == 1
    url = f"http://127.0.0.1:{proxy.origin.port}"
    assert scrape.value("warmfront_origin_requests_total", origin="", url=url) == 3
    assert scrape.value("warmfront_origin_up", origin="", url=url) == 1
    assert scrape.value("warmfront_origin_state", origin="", url=url, state="up") == 1
    assert scrape.value("warmfront_cache_entries", tier="memory") == 1
    assert scrape.value("warmfront_cache_bytes", tier="memory") > 0
    assert scrape.value("warmfront_purge_log_trusted") == 1


async def test_all_that_is_described_is_there_and_labelled_as_described(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    store = f"store: {{redis: {{url: '{redis_server.url}', namespace: scrape}}}}\n"
    async with running(tmp_path, store) as proxy:
        await proxy.get("/a")
        scrape = await proxy.scrape()
    missing = {spec.name for spec in SPECS.values()} - {
        name
        for family in scrape.families.values()
        for name in (family.name, f"{family.name}_total")
    }
    assert missing == set()
    for spec in SPECS.values():
        sample = f"{spec.name}_count" if spec.kind is Kind.HISTOGRAM else spec.name
        assert scrape.labels(sample) in (set(), set(spec.labels)), spec.name
    for name, family in scrape.families.items():
        assert family.documentation, name
        if name.startswith("warmfront"):
            known = SPECS[name if name in SPECS else f"{name}_total"]
            assert family.type == known.kind.value
    assert scrape.value("warmfront_redis_up") == 1
    assert scrape.value("warmfront_redis_duration_seconds_count") > 0


async def test_the_process_is_told_of_too(tmp_path: Path) -> None:
    async with running(tmp_path) as proxy:
        scrape = await proxy.scrape()
    assert scrape.value("process_resident_memory_bytes") > 0
    assert scrape.value("process_open_fds") > 0
    assert "warmfront_redis_up" not in scrape.names


async def test_it_takes_a_token_that_may_look(tmp_path: Path) -> None:
    async with running(tmp_path) as proxy:
        assert (await proxy.asked_for_metrics()).status == 401
        assert (await proxy.asked_for_metrics(Authorization=BEARER)).status == 200


async def test_who_knows_openmetrics_gets_it(tmp_path: Path) -> None:
    async with running(tmp_path) as proxy:
        await proxy.get("/a")
        plain = await proxy.asked_for_metrics(Authorization=BEARER)
        answer = await proxy.asked_for_metrics(
            Authorization=BEARER, Accept="application/openmetrics-text; version=1.0.0"
        )
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    told = text_string_to_metric_families(answer.body.decode())  # type: ignore[no-untyped-call]
    assert {one.name for one in told} >= {
        "warmfront_requests",
        "process_cpu_seconds",
    }


async def test_what_a_client_makes_up_makes_no_series(tmp_path: Path) -> None:
    async with running(tmp_path) as proxy:
        await proxy.get("/known")
        before = len((await proxy.asked_for_metrics(Authorization=BEARER)).body.splitlines())
        for number in range(20):
            await proxy.get(f"/made-up/{number}?q={number}", Host=f"h{number}.example")
        after = len((await proxy.asked_for_metrics(Authorization=BEARER)).body.splitlines())
    assert after - before < 10
