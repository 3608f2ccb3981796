"""The parts of an explanation, made from what the core has decided; nothing is decided here."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final, assert_never

from proxy.explain.advice import why
from proxy.explain.facts import (
    FreshnessPart,
    KeyPart,
    Outcome,
    PassedOver,
    PurgePart,
    ReusePart,
    RoutePart,
    Tier,
    VariantPart,
    shown,
)
from proxy.gateway.steps import Bypass, Exchange, Verdict
from proxy.purging import Remembered
from proxy.rfc9111 import keys, reuse
from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.policy import KeyPolicy, Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse
from proxy.routes import Matched, Route, RouteTable
from proxy.stores import CacheKey, Entry

_SOURCES: Final = {
    LifetimeSource.ROUTE: "ttl in the route, in place of what the origin says",
    LifetimeSource.SURROGATE_CONTROL: "max-age in Surrogate-Control",
    LifetimeSource.TARGETED: "a field for caches like this one, such as CDN-Cache-Control",
    LifetimeSource.S_MAXAGE: "s-maxage in Cache-Control",
    LifetimeSource.MAX_AGE: "max-age in Cache-Control",
    LifetimeSource.EXPIRES: "Expires, less Date",
    LifetimeSource.ROUTE_DEFAULT: "default_ttl or negative_ttl, as the origin is silent",
    LifetimeSource.HEURISTIC: "a share of the time since Last-Modified, as the origin is silent",
    LifetimeSource.NONE: "nothing: neither the origin nor the route states one",
}
"""What a lifetime rests on, for people."""

_FACTORS: Final = frozenset({"refresh_ahead", "heuristic_fraction"})
"""What of a policy is a number, and no duration."""

_TOLD_BY_CACHES: Final = frozenset(
    {
        *("age", "cache-control", "cache-groups", "content-location", "content-range"),
        *("content-type", "date", "etag", "expires", "last-modified", "location", "pragma"),
        *("set-cookie", "surrogate-control", "vary"),
        *("surrogate-key", "cache-tag", "cache-tags", "x-cache-tags", "edge-cache-tag", "xkey"),
    }
)
"""Fields of an answer that caching turns on."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry, and where it lies; `hits` as in VariantPart."""

    entry: Entry
    tier: Tier
    hits: int | None = None


def route_part(table: RouteTable, request: Request, matched: Matched) -> RoutePart:
    """Which route applies, and why those before it do not."""
    passed = tuple(PassedOver(one.name, unmet) for one, unmet in table.passed_over(request))
    return RoutePart(
        name=matched.route.name,
        conditions=tuple(_conditions(matched.route)),
        captured=dict(matched.variables),
        passed_over=passed,
        policy=tuple(_differences(matched.route.policy)),
    )


def _conditions(route: Route) -> Iterator[str]:
    if route.path is not None:
        yield f"path {route.path.text}"
    if route.methods:
        yield f"method {' or '.join(sorted(route.methods))}"
    if route.hosts:
        yield f"host {' or '.join(route.hosts)}"
    for name, _ in route.headers:
        yield f"field {name}"


def _differences(policy: Policy) -> Iterator[str]:
    """What of a policy, and of its key, is not as it is by default."""
    for one, default in ((policy, Policy()), (policy.key, KeyPolicy())):
        prefix = "key." if one is policy.key else ""
        for field in fields(one):
            value = getattr(one, field.name)
            if field.name not in {"key", "conditions"} and value != getattr(default, field.name):
                told = f"{value:g}" if field.name in _FACTORS else _told(value)
                yield f"{prefix}{field.name}: {told}"


def _told(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}s"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{status} {_told(ttl)}" for status, ttl in value.items())
    return str(getattr(value, "value", value))


def key_part(exchange: Exchange) -> KeyPart:
    """What of the request makes its key, and what of its query does not."""
    key, uri = exchange.key, exchange.request.uri
    asked, kept = _parameters(uri), _parameters(key.url)
    left_out = Counter(asked) - Counter(kept)
    return KeyPart(
        hash=exchange.key_hash,
        url=key.url,
        others=tuple(_others(key)),
        left_out=tuple(dict.fromkeys(one for one in asked if one in left_out)),
        sorted=kept != [one for one in asked if one not in left_out],
    )


def _parameters(url: str) -> list[str]:
    _, mark, query = url.partition("?")
    return query.split("&") if mark else []


def _others(key: CacheKey) -> Iterator[tuple[str, str]]:
    """The lines of a key's extra part: `route C`, `header N: V`, `cookie N=V` (rfc9111.keys)."""
    for line in filter(None, key.extra.split("\n")):
        kind, _, rest = line.partition(" ")
        if kind == "route":
            names = (one.partition(":")[0] for one in rest.split("; "))
            yield "conditions of the route on", ", ".join(names)
        else:
            name, _, value = rest.partition("=" if kind == "cookie" else ": ")
            hiding = "cookie" if kind == "cookie" else name
            yield f"{kind} {name}", shown(hiding, value)


def freshness_part(freshness: Freshness, now: float) -> FreshnessPart:
    """The arithmetic of §4.2 at `now`."""
    age = freshness.current_age(now)
    return FreshnessPart(
        at=now,
        lifetime=freshness.lifetime,
        source=freshness.source.value,
        source_told=_SOURCES[freshness.source],
        initial_age=freshness.initial_age,
        held=age - freshness.initial_age,
        age=age,
        ttl=freshness.ttl(now),
        no_cache=freshness.no_cache,
        must_revalidate=freshness.must_revalidate,
        stale_while_revalidate=freshness.stale_while_revalidate,
        stale_if_error=freshness.stale_if_error,
        grace=freshness.grace,
    )


def variant_part(
    seen: Seen, request: Request, chosen: StoredResponse | None, now: float
) -> VariantPart:
    """One stored response, and in what this request differs from those that it answers."""
    response = seen.entry.response
    names = tuple(name for name, _ in response.variant)
    asked = dict(keys.variant_key(names, request.headers))
    part = response.part
    return VariantPart(
        chosen=response is chosen,
        status=response.status,
        vary=tuple(
            (name, None if value is None else shown(name, value))
            for name, value in response.variant
        ),
        differs=tuple(name for name, value in response.variant if asked[name] != value),
        freshness=freshness_part(response.freshness, now),
        validators=tuple(n for n in ("ETag", "Last-Modified") if n in response.headers),
        tags=response.tags,
        groups=response.groups,
        held="" if part is None else f"{part.first}-{part.last}/{part.complete_length}",
        size=seen.entry.size,
        tier=seen.tier,
        hits=seen.hits,
    )


def reuse_part(verdict: Verdict) -> ReusePart:
    """What is done for a request, and why."""
    match verdict:
        case reuse.Fresh():
            return ReusePart(outcome=Outcome.HIT, why=why(Reason.FRESH))
        case reuse.ServeStale(reason=reason):
            return ReusePart(outcome=Outcome.STALE, why=why(reason))
        case reuse.Revalidate(reason=reason):
            return ReusePart(outcome=Outcome.REVALIDATE, why=why(reason))
        case reuse.Miss(reason=reason):
            return ReusePart(outcome=Outcome.MISS, why=why(reason))
        case reuse.GatewayTimeout(reason=reason):
            return ReusePart(outcome=Outcome.GATEWAY_TIMEOUT, why=why(reason))
        case Bypass(reason=reason):
            return ReusePart(outcome=Outcome.BYPASS, why=why(reason))
        case _:
            assert_never(verdict)


def purge_parts(remembered: Sequence[Remembered]) -> tuple[PurgePart, ...]:
    """Purges as they are told."""
    return tuple(PurgePart(one.scope, one.mode.value, one.seq) for one in remembered)


def told_by_origin(headers: Headers) -> tuple[tuple[str, str], ...]:
    """The fields of an answer that caching turns on, less secrets."""
    return tuple(
        (name, shown(name, value))
        for name, value in headers.items()
        if name.lower() in _TOLD_BY_CACHES or name.lower().endswith("cache-control")
    )
