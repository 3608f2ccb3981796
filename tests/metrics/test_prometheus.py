"""What we ship for Prometheus and Grafana asks for nothing that is not there, and works."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from ruamel.yaml import YAML

from proxy.metrics import SPECS, Kind, Spec
from tests.apparatus import Answer
from tests.metrics.scraped import TOKEN, Running, running
from tests.redis_server import free_port

CONFIG = Path(__file__).parents[2] / "config"
PROMETHEUS = CONFIG / "prometheus"
START_PATIENCE = 30.0

_SELECTOR = re.compile(
    r"\b(up\b|(?:warmfront|process)_[a-z_]+|[a-z_]+:[a-z_:0-9]+)(?:\{([^}]*)\})?"
)
_LABEL = re.compile(r'([a-z_]+)(?:=|!=|=~|!~)"')
_BY = re.compile(r"\b(?:by|without) \(([^)]*)\)")
_FROM_PROMETHEUS = {"job", "instance", "le"}
_OF_ANY_TARGET = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "up",
}


def yaml(name: str) -> Any:
    return YAML(typ="safe").load((PROMETHEUS / name).read_text())


RULES = [
    rule
    for name in ("rules.yml", "alerts.yml")
    for group in yaml(name)["groups"]
    for rule in group["rules"]
]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
DASHBOARD = json.loads((CONFIG / "grafana" / "warmfront.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]


def spec_of(name: str) -> Spec | None:
    """What a sample's name belongs to."""
    if name in SPECS:
        return SPECS[name] if SPECS[name].kind is not Kind.HISTOGRAM else None
    found = SPECS.get(re.sub(r"_(bucket|sum|count)$", "", name))
    return found if found is not None and found.kind is Kind.HISTOGRAM else None


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_is_of_what_there_is(query: str) -> None:
    selectors = list(_SELECTOR.finditer(query))
    assert selectors
    known = set(_FROM_PROMETHEUS)
    for selector in selectors:
        name, conditions = selector[1], selector[2] or ""
        if name in _OF_ANY_TARGET | RECORDED:
            known |= {"outcome", "origin"} if name in RECORDED else set()
            continue
        spec = spec_of(name)
        assert spec is not None, name
        known |= set(spec.labels)
        assert set(_LABEL.findall(conditions)) <= {*spec.labels, *_FROM_PROMETHEUS}, name
    grouped = {label.strip() for by in _BY.findall(query) for label in by.split(",")}
    assert grouped <= known


def test_the_dashboard_shows_every_panel_once_and_whole() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert all(label in target["expr"] for label in legend - {"instance", "url"})


def test_every_alert_says_what_it_is_and_where_to_look() -> None:
    alerts = [rule for rule in RULES if "alert" in rule]
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.fixture(scope="module")
def programs() -> tuple[str, str]:
    found = shutil.which("prometheus"), shutil.which("promtool")
    if found[0] is None or found[1] is None:
        pytest.skip("no prometheus and promtool here: apt-get install prometheus")
    return (found[0], found[1])


def quiet(*command: str, text: str | None = None) -> str:
    """Run promtool, which must be content."""
    done = subprocess.run(
        command, input=text, check=False, capture_output=True, text=True, timeout=START_PATIENCE
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "warn" not in said.lower(), said
    return said


def configured(folder: Path, port: int) -> Path:
    """Our configuration with a target and a token of this test, asking more often."""
    config = yaml("prometheus.yml")
    config["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms"}
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
    (folder / scrape["authorization"]["credentials_file"]).write_text(TOKEN)
    for name in config["rule_files"]:
        shutil.copy(PROMETHEUS / name, folder)
    file = folder / "prometheus.yml"
    with file.open("w") as opened:
        YAML(typ="safe").dump(config, opened)
    return file


@asynccontextmanager
async def scraping(program: str, config: Path) -> AsyncIterator[int]:
    """A Prometheus with that configuration; its port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield port
    finally:
        process.terminate()
        _, said = await process.communicate()
    complaints = [line for line in said.decode().splitlines() if "Received SIGTERM" not in line]
    assert complaints == []


async def asked(proxy: Running, port: int, path: str, **query: str) -> Any:
    answer: Answer = await proxy.get(f"{path}?{urlencode(query)}", port=port, Connection="close")
    return json.loads(answer.body)["data"]


async def until(proxy: Running, port: int, query: str, value: str) -> None:
    """Wait until a query is answered with this value."""
    last: Any = None
    try:
        async with asyncio.timeout(START_PATIENCE):
            while True:
                try:
                    last = (await asked(proxy, port, "/api/v1/query", query=query))["result"]
                except (ConnectionError, KeyError, ValueError) as error:
                    last = error  # it is about to start
                else:
                    if last and last[0]["value"][1] == value:
                        return
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"{query}: {last}")


def test_alerts_fire_when_they_should_and_not_before(
    tmp_path: Path, programs: tuple[str, str]
) -> None:
    for name in ("rules.yml", "alerts.yml"):
        shutil.copy(PROMETHEUS / name, tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yml"), tmp_path)
    quiet(programs[1], "test", "rules", str(tmp_path / "alerts_test.yml"))


async def test_a_real_prometheus_scrapes_it_with_the_rules_loaded(
    tmp_path: Path, programs: tuple[str, str]
) -> None:
    prometheus, promtool = programs
    async with running(tmp_path) as proxy:
        config = configured(tmp_path, proxy.admin_port)
        quiet(promtool, "check", "config", str(config))
        for name in ("rules.yml", "alerts.yml"):
            quiet(promtool, "check", "rules", str(tmp_path / name))
        for _ in range(5):
            await proxy.get("/a")
        text = await proxy.asked_for_metrics(Authorization=f"Bearer {TOKEN}")
        quiet(promtool, "check", "metrics", text=text.body.decode())
        async with scraping(prometheus, config) as port:
            await until(proxy, port, 'up{job="warmfront"}', "1")
            await until(proxy, port, 'sum(warmfront_requests_total{outcome="hit"})', "4")
            groups = (await asked(proxy, port, "/api/v1/rules"))["groups"]
            loaded = [rule for group in groups for rule in group["rules"]]
            assert {rule["name"] for rule in loaded} == {
                rule.get("record") or rule["alert"] for rule in RULES
            }
            async with asyncio.timeout(START_PATIENCE):
                while {rule["health"] for rule in loaded} != {"ok"}:
                    await asyncio.sleep(0.1)
                    groups = (await asked(proxy, port, "/api/v1/rules"))["groups"]
                    loaded = [rule for group in groups for rule in group["rules"]]
                    assert "err" not in {rule["health"] for rule in loaded}
