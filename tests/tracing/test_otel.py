"""Spans of a whole proxy, in memory; and traces that pass through without any."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from proxy import settings, tracing
from proxy.app import App
from proxy.tracing import TracingMissing, Untraced, start_tracing
from proxy.tracing.otel import OpenTelemetry
from tests.apparatus import Reply, eventually
from tests.metrics.scraped import FRESH, running

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
ON = "tracing: on\n"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What is exported, in the place of OTLP."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(OpenTelemetry, "from_environment", lambda: OpenTelemetry(provider))
    yield exporter
    provider.shutdown()


def told(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """The spans by name; each is there once."""
    finished = exporter.get_finished_spans()
    assert len({span.name for span in finished}) == len(finished)
    return {span.name: span for span in finished}


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


async def test_a_miss_is_a_trace_that_goes_on_at_the_origin(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    async with running(tmp_path, ON) as proxy:
        await proxy.get("/a?secret=1", traceparent=TRACEPARENT, tracestate="v=1")
        (seen,) = proxy.origin.seen
    found = told(spans)
    assert set(found) == {"GET", "lookup", "wait", "origin", "store"}
    request = found["GET"]
    assert request.context is not None
    assert f"{request.context.trace_id:032x}" == TRACE
    assert parent_of(request) == int(PARENT, 16)
    for name in ("lookup", "wait", "origin", "store"):
        assert parent_of(found[name]) == id_of(request), name
    assert seen.values("traceparent") == [f"00-{TRACE}-{id_of(found['origin']):016x}-01"]
    assert seen.values("tracestate") == ["v=1"]
    assert request.attributes is not None
    assert (
        dict(request.attributes).items()
        >= {
            "http.request.method": "GET",
            "url.path": "/a",
            "http.response.status_code": 200,
        }.items()
    )
    assert "fwd=uri-miss" in str(request.attributes["warmfront.cache_status"])
    assert "secret" not in "".join(span.to_json() for span in found.values())


async def test_what_is_fetched_at_the_start_has_its_trace_too(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    async def ended() -> bool:
        return "GET" in told(spans)

    async with running(tmp_path, f"{ON}warm: {{on_start: ['http://a.example/1']}}\n"):
        await eventually(ended)
    found = told(spans)
    assert {parent_of(span) for name, span in found.items() if name != "GET"} == {
        id_of(found["GET"])
    }


async def test_an_origin_that_fails_is_an_error_with_its_reason(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    async with running(tmp_path, ON) as proxy:
        await proxy.origin.stop()
        assert (await proxy.get("/a")).status == 502
        await proxy.origin.start()
    found = told(spans)
    assert found["origin"].attributes is not None
    assert found["origin"].attributes["error.type"] == "origin-refused"
    assert not found["origin"].status.is_ok
    assert not found["GET"].status.is_ok
    assert found["origin"].events == ()


async def test_who_follows_waits(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    gate = asyncio.Event()
    async with running(tmp_path, ON) as proxy:
        proxy.origin.will(Reply(headers=[FRESH], body=b"body!", wait=gate))
        first = asyncio.create_task(proxy.get("/a"))
        await proxy.origin.asked()
        second = asyncio.create_task(proxy.get("/a"))

        async def waits() -> bool:
            return len(spans.get_finished_spans()) == 3  # two lookups, and the leave to fill

        await eventually(waits)
        gate.set()
        await asyncio.gather(first, second)
        assert len(proxy.origin.seen) == 1
    names = [span.name for span in spans.get_finished_spans()]
    assert (names.count("wait"), names.count("origin"), names.count("GET")) == (2, 1, 2)


async def test_a_hit_that_brings_a_trace_has_a_span_each_time(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    async with running(tmp_path, ON) as proxy:
        for _ in range(4):
            await proxy.get("/a")
        spans.clear()
        for _ in range(3):
            await proxy.get("/a", traceparent=TRACEPARENT)
        await proxy.get("/a")
    traced = [span for span in spans.get_finished_spans() if span.name == "GET"]
    assert len(traced) == 3
    assert all(parent_of(span) == int(PARENT, 16) for span in traced)


async def test_a_trace_passes_through_where_nobody_looks(tmp_path: Path) -> None:
    async with running(tmp_path) as proxy:
        await proxy.get("/a", traceparent=TRACEPARENT, tracestate="v=1", baggage="a=b")
        (seen,) = proxy.origin.seen
    assert seen.values("traceparent") == [TRACEPARENT]
    assert seen.values("tracestate") == ["v=1"]
    assert seen.values("baggage") == ["a=b"]


def test_without_tracing_everything_stays_as_it_is() -> None:
    off = start_tracing(wanted=False)
    store, origin, respond = object(), object(), object()
    assert isinstance(off, Untraced)
    assert off.store(store) is store  # type: ignore[arg-type]
    assert off.origin(origin) is origin  # type: ignore[arg-type]
    assert off.respond(respond) is respond  # type: ignore[arg-type]


def test_what_is_missing_is_said_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tracing, "import_module", gone)
    with pytest.raises(TracingMissing):
        start_tracing(wanted=True)
    file = tmp_path / "warmfront.yaml"
    file.write_text("origin: {url: 'http://127.0.0.1:1'}\ntracing: on\n")
    with pytest.raises(settings.SettingsError, match=r"\.\[otel\]"):
        App(settings.load(file, {}))


async def test_spans_leave_for_where_the_variables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as collector:
        collector.origin.always = lambda _: Reply(body=b"")
        endpoint = f"http://127.0.0.1:{collector.origin.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-cache")
        folder = tmp_path / "traced"
        folder.mkdir()
        async with running(folder, ON) as proxy:
            await proxy.get("/a")
        sent = collector.origin.seen
    assert [(seen.method, seen.target) for seen in sent] == [("POST", "/v1/traces")]
    assert b"shop-cache" in sent[0].body
