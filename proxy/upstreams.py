"""The origins of the settings, as those who ask them need them."""

from collections.abc import Mapping

from proxy.gateway import ForwardingOptions, Upstream
from proxy.origin import (
    Balance,
    BreakerOptions,
    CheckOptions,
    GroupOptions,
    LimitOptions,
    MemberOptions,
    OriginOptions,
    Origins,
    RetryOptions,
    parse_origin_url,
)
from proxy.settings import Origin, Settings

SHARED = ""
"""The name of the origin that routes go to which name none."""

_FAILURES_OF_SEVERAL = 5
"""A lone origin is never left alone unasked: there would be nobody else to ask."""


def group_options(settings: Settings) -> dict[str, GroupOptions]:
    """What each group of origins needs of the settings, by its name."""
    return {name: _group(origin) for name, origin in _named(settings).items()}


def upstreams(settings: Settings, origins: Origins) -> dict[str, Upstream]:
    """Where requests go, and what they tell about the client there, by name."""
    return {
        name: Upstream(origins[name], _forwarding(origin))
        for name, origin in _named(settings).items()
    }


def _named(settings: Settings) -> Mapping[str, Origin]:
    return {SHARED: settings.origin, **settings.origins}


def _group(origin: Origin) -> GroupOptions:
    breaker, limit, retries = origin.breaker, origin.limit, origin.retries
    failures = breaker.failures
    if failures is None and len(origin.servers) > 1:
        failures = _FAILURES_OF_SEVERAL
    return GroupOptions(
        members=tuple(
            MemberOptions(
                origin=_origin(origin, server.url), weight=server.weight, backup=server.backup
            )
            for server in origin.servers
        ),
        balance=Balance(origin.balance.value),
        breaker=BreakerOptions(
            failures=failures,
            statuses=breaker.statuses,
            pause=breaker.pause,
            max_pause=breaker.max_pause,
            trials=breaker.trials,
            slow_start=breaker.slow_start,
        ),
        retries=RetryOptions(attempts=retries.attempts, budget=retries.budget),
        limit=LimitOptions(
            concurrent=limit.concurrent, queue=limit.queue, queue_timeout=limit.queue_timeout
        ),
        checks=_checks(origin),
        total_timeout=origin.timeouts.total,
    )


def _origin(origin: Origin, url: str) -> OriginOptions:
    return OriginOptions(
        url=url,
        connect_timeout=origin.timeouts.connect,
        header_timeout=origin.timeouts.header,
        idle_timeout=origin.timeouts.idle,
        verify=origin.tls.verify,
        ca_file=None if origin.tls.ca is None else str(origin.tls.ca),
        server_name=origin.tls.server_name,
        connections=origin.pool.connections,
        keepalive=origin.pool.keepalive,
    )


def _checks(origin: Origin) -> CheckOptions | None:
    health = origin.health
    if health.path is None:
        return None
    return CheckOptions(
        path=health.path,
        interval=health.interval,
        timeout=health.timeout,
        healthy=health.healthy,
        unhealthy=health.unhealthy,
        statuses=health.statuses,
        host=None if origin.host in {"preserve", "origin"} else origin.host,
    )


def _forwarding(origin: Origin) -> ForwardingOptions:
    forwarded = origin.forwarded
    return ForwardingOptions(
        host=origin.host,
        origin_authority=parse_origin_url(origin.servers[0].url).authority,
        via=forwarded.via,
        x_forwarded=forwarded.x_forwarded,
        forwarded=forwarded.forwarded,
    )
