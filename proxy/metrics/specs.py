"""Every metric by name: what it says, by what it is told apart, and how several processes add up.

Names follow Prometheus' conventions: base units, `_total` for what only grows. Labels have bounded
values: routes and origins are those of the settings, reasons and outcomes those of an enum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Across(Enum):
    """What several processes on one machine say together."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


class Kind(Enum):
    """What Prometheus calls a metric's type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric.

    Attributes:
        help: One sentence.
        labels: In the order in which values are given.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    across: Across = Across.SUM


def _counter(name: str, text: str, *labels: str, across: Across = Across.SUM) -> Spec:
    return Spec(f"warmfront_{name}_total", Kind.COUNTER, text, labels, across)


def _gauge(name: str, text: str, *labels: str, across: Across = Across.SUM) -> Spec:
    return Spec(f"warmfront_{name}", Kind.GAUGE, text, labels, across)


def _histogram(name: str, text: str, *labels: str) -> Spec:
    return Spec(f"warmfront_{name}_seconds", Kind.HISTOGRAM, text, labels)


REQUESTS: Final = _counter("requests", "Answered requests.", "route", "status", "outcome")
REASONS: Final = _counter(
    "request_reasons", "Answered requests by the reason in Cache-Status.", "outcome", "reason"
)
RESPONSE_BYTES: Final = _counter(
    "response_body_bytes",
    "Bytes of body in answers whose length was known beforehand.",
    "route",
    "outcome",
)
DURATIONS: Final = _histogram(
    "request_duration",
    "From a request to its answer's head; hits that are given again at once count as 0.",
    "outcome",
)
REFUSED: Final = _counter(
    "refused_requests", "Requests and connections refused at the door.", "status"
)
NOT_STORED: Final = _counter(
    "not_stored", "Responses that were to be stored and were not in the end.", "reason"
)
VALIDATIONS: Final = _counter(
    "validations",
    "Questions to the origin whether something stored still holds, by what came of them.",
    "result",
)
FLIGHTS: Final = _gauge("coalescing_fetches", "Requests to the origin that others may join now.")
FOLLOWERS: Final = _gauge("coalescing_waiting", "Requests that wait for another one's answer.")
CONNECTIONS: Final = _gauge("client_connections", "Open connections of clients.")

ENTRIES: Final = _gauge("cache_entries", "Stored responses.", "tier")
CACHE_BYTES: Final = _gauge("cache_bytes", "Bytes that stored responses take.", "tier")
CACHE_LIMIT: Final = _gauge("cache_max_bytes", "Bytes that they may take.", "tier")
EVICTIONS: Final = _counter(
    "cache_evictions", "URLs that have left the store to make room.", "tier"
)

PURGES: Final = _counter("purges", "Purges that were asked for here.", "mode")
ACKNOWLEDGEMENTS: Final = _histogram(
    "purge_acknowledgement",
    "From such a purge to its answer, with the wait for all other processes.",
)
LOG_POSITION: Final = _gauge(
    "purge_log_position", "Number of the last purge applied here.", across=Across.MIN
)
LOG_LAG: Final = _gauge(
    "purge_log_lag",
    "Purges that the slowest process has applied less than the fastest.",
    across=Across.MAX,
)
LOG_AGE: Final = _gauge(
    "purge_log_age_seconds", "Since the log was last read to its end.", across=Across.MAX
)
LOG_TRUSTED: Final = _gauge(
    "purge_log_trusted",
    "1 while the log is known well enough to use what is stored.",
    across=Across.MIN,
)
LOG_NODES: Final = _gauge("purge_log_nodes", "Live processes that read the log.", across=Across.MAX)
LOG_PATTERNS: Final = _gauge(
    "purge_log_patterns", "Patterns that every lookup is checked against.", across=Across.MAX
)
LOG_RESETS: Final = _counter(
    "purge_log_resets",
    "Times that all that was kept was dropped, since purges may have been missed.",
)

ORIGIN_DURATIONS: Final = _histogram(
    "origin_duration", "From a request to an origin to its answer's head.", "origin", "status"
)
ORIGIN_ERRORS: Final = _counter(
    "origin_errors", "Requests that got no usable answer from any origin.", "reason"
)
ORIGIN_REQUESTS: Final = _counter(
    "origin_requests", "Requests sent to an origin; health checks do not count.", "origin", "url"
)
ORIGIN_FAILURES: Final = _counter(
    "origin_failures", "Those that failed by its fault.", "origin", "url"
)
ORIGIN_UP: Final = _gauge(
    "origin_up", "1 while an origin gets requests.", "origin", "url", across=Across.MIN
)
ORIGIN_STATE: Final = _gauge(
    "origin_state",
    "1 for the state that an origin's circuit breaker is in, 0 for the others.",
    "origin",
    "url",
    "state",
    across=Across.MAX,
)
ORIGIN_IN_FLIGHT: Final = _gauge(
    "origin_in_flight", "Requests under way to an origin.", "origin", "url"
)
ORIGIN_CONNECTIONS: Final = _gauge(
    "origin_connections",
    "Open connections to an origin for requests without a body.",
    "origin",
    "url",
    "state",
)
ORIGIN_WAITING: Final = _gauge(
    "origin_waiting", "Requests that wait for their turn by origin.limit.", "origin"
)
ORIGIN_OVERLOADED: Final = _counter(
    "origin_overloaded", "Requests answered 503 by origin.limit.", "origin"
)
ORIGIN_RETRIES: Final = _counter("origin_retries", "Requests that were sent again.", "origin")
ORIGIN_RETRY_BUDGET: Final = _gauge(
    "origin_retry_budget", "Retries that may be made now.", "origin"
)

REDIS_UP: Final = _gauge(
    "redis_up", "1 while Redis answers and refuses nothing.", across=Across.MIN
)
REDIS_COMMANDS: Final = _counter("redis_commands", "Pieces of work handed to Redis.")
REDIS_ERRORS: Final = _counter(
    "redis_errors", "Of these, and of what was not even handed over, what was in vain.", "kind"
)
REDIS_DURATIONS: Final = _histogram(
    "redis_duration", "From such work to its answer, or to where nobody waited any longer."
)
REDIS_BYTES: Final = _gauge(
    "redis_used_bytes", "Bytes that all that use this Redis keep there.", across=Across.MAX
)
REDIS_LIMIT: Final = _gauge(
    "redis_max_bytes", "Bytes that they may keep there, where that is bounded.", across=Across.MAX
)
REDIS_LOOKUPS: Final = _counter("redis_lookups", "Lookups that memory could not answer.", "result")
REDIS_QUEUE: Final = _gauge("redis_queue_keys", "Keys with something to be written to Redis.")
REDIS_QUEUE_BYTES: Final = _gauge("redis_queue_bytes", "Bytes of that.")
REDIS_WRITES: Final = _counter("redis_writes", "What became of writes to Redis.", "result")

BACKGROUND: Final = _gauge("background_tasks", "Work under way that no client waits for.")
BACKGROUND_FAILURES: Final = _counter(
    "background_failures", "Bugs and failures in such work; the log has them."
)
BUILD_INFO: Final = _gauge(
    "build_info", "1, with what runs here.", "version", "python", across=Across.MAX
)

SPECS: Final[Mapping[str, Spec]] = {
    spec.name: spec for spec in list(globals().values()) if isinstance(spec, Spec)
}
"""All of them, by name, in the order of this module."""


def numbers(spec: Spec) -> CounterMetricFamily | GaugeMetricFamily:
    """A family to add numbers to."""
    made = CounterMetricFamily if spec.kind is Kind.COUNTER else GaugeMetricFamily
    return made(spec.name, spec.help, labels=spec.labels)


def durations(spec: Spec) -> HistogramMetricFamily:
    """A family to add histograms to."""
    return HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
