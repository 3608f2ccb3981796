"""OpenTelemetry: spans of what happens to a request.

    request          from the request to the end of its answer
      lookup         looking for what is stored
      wait           waiting for another request, or another process, that fetches the same
      origin         from the request to the origin to its answer's head
      store          storing the whole answer

Where spans go, and which requests get any, is said by OpenTelemetry's own variables (OTEL_*). A hit
that is given again at once has none, unless its request brings a trace.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy import __version__
from proxy.exchange import Incoming, Outgoing
from proxy.gateway import Origin
from proxy.origin import OriginError, OriginResponse, Outbound
from proxy.rfc9111.messages import Request
from proxy.rfc9111.reasons import Reason
from proxy.server import Respond
from proxy.stores import CacheKey, Entry, Lease, Store
from proxy.stores.entry import Enough

_FIRST_ERROR: Final = 500
_W3C: Final = TraceContextTextMapPropagator()


class OpenTelemetry:
    """See Tracing.

    Args:
        provider: Where spans go; shut down with `close`.
    """

    fields: Final = frozenset(_W3C.fields)

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("warmfront", __version__)

    @classmethod
    def from_environment(cls) -> "OpenTelemetry":
        """Send spans over OTLP, as the variables OTEL_* say; in batches, from a thread."""
        name = os.environ.get("OTEL_SERVICE_NAME", "warmfront")
        resource = Resource.create({"service.name": name, "service.version": __version__})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    async def close(self) -> None:
        """Send what is left."""
        await asyncio.to_thread(self._provider.shutdown)

    def respond(self, respond: Respond) -> Respond:
        """`respond` in a span that continues the client's trace (W3C traceparent)."""

        async def traced(incoming: Incoming) -> Outgoing:
            span = self._begin(incoming.request)
            try:
                with trace.use_span(span):
                    outgoing = await respond(incoming)
            except BaseException:
                span.end()
                raise
            _tell_status(span, outgoing.status)
            for line in outgoing.headers.getall("Cache-Status", ())[-1:]:
                span.set_attribute("warmfront.cache_status", line)
            if isinstance(outgoing.body, bytes):
                span.end()
            else:
                outgoing.body = _TracedBody(outgoing.body, span)
            return outgoing

        return traced

    def _begin(self, request: Request) -> Span:
        return self._tracer.start_span(
            request.method,
            context=_W3C.extract(request.headers),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "url.scheme": request.scheme,
                "url.path": request.target.partition("?")[0],
                "server.address": request.authority,
            },
        )

    def origin(self, origin: Origin) -> Origin:
        """`origin`, whose requests carry the trace on."""
        return _TracedOrigin(origin, self._tracer)

    def store(self, store: Store) -> Store:
        """`store`, with spans for what may take long."""
        return _TracedStore(store, self)

    @contextmanager
    def waiting(self) -> Iterator[Span]:
        """A wait for another request that fetches the same."""
        with self.span("wait") as span:
            yield span

    @contextmanager
    def span(self, name: str) -> Iterator[Span]:
        """What is done within."""
        with self._tracer.start_as_current_span(name) as span:
            yield span


class _TracedBody:
    """A body that is read, and perhaps stored, within its request's span, which ends with it."""

    def __init__(self, body: AsyncIterator[bytes], span: Span) -> None:
        self._body = body
        self._pieces = aiter(body)
        self._span = span

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with trace.use_span(self._span, record_exception=False, set_status_on_exception=False):
            return await anext(self._pieces)

    async def aclose(self) -> None:
        """Let go of the body, read or not."""
        try:
            close = getattr(self._body, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._span.end()


class _TracedOrigin:
    def __init__(self, origin: Origin, tracer: trace.Tracer) -> None:
        self._origin = origin
        self._tracer = tracer

    async def fetch(self, outbound: Outbound) -> OriginResponse:
        with self._tracer.start_as_current_span(
            "origin",
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": outbound.method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            _W3C.inject(outbound.headers)
            try:
                response = await self._origin.fetch(outbound)
            except OriginError as error:
                span.set_attribute("error.type", error.reason.value)
                span.set_status(Status(StatusCode.ERROR, error.reason.explanation))
                raise
            _tell_status(span, response.status)
            return response


class _TracedStore:
    """See Store."""

    at_once: Final = None

    def __init__(self, store: Store, tracing: OpenTelemetry) -> None:
        self._store = store
        self._tracing = tracing
        # What waits for nothing has no span.
        self.lookup_now = store.lookup_now
        self.remove = store.remove
        self.end_fill = store.end_fill

    async def lookup(self, key: CacheKey, enough: Enough = bool) -> Sequence[Entry]:
        with self._tracing.span("lookup") as span:
            found = await self._store.lookup(key, enough)
            span.set_attribute("warmfront.variants", len(found))
            return found

    async def put(
        self, key: CacheKey, entry: Entry, *, replaces: Entry | None = None
    ) -> Reason | None:
        with self._tracing.span("store") as span:
            refused = await self._store.put(key, entry, replaces=replaces)
            span.set_attribute("warmfront.bytes", len(entry.body))
            if refused is not None:
                span.set_attribute("warmfront.not_stored", refused.value)
            return refused

    async def begin_fill(
        self, key: CacheKey, born: int, enough: Enough = bool
    ) -> Lease | Sequence[Entry]:
        with self._tracing.waiting():
            return await self._store.begin_fill(key, born, enough)


def _tell_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= _FIRST_ERROR:
        span.set_status(Status(StatusCode.ERROR))
