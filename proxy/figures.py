"""The proxy in figures, as /stats and the dashboard give them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from proxy import admin
from proxy.histogram import Histogram
from proxy.metrics import Counts
from proxy.origin import Origins
from proxy.purging import ALL, RecentPurges
from proxy.rfc9111.cache_status import Outcome
from proxy.stores.busiest import Busiest

_HIT: Final = frozenset({Outcome.HIT, Outcome.STALE})
"""Answers for which nobody waited for an origin."""

_URLS: Final = 20
_PURGES: Final = 20


def totals(counts: Counts) -> admin.Totals:
    """What can be added up of the answers."""
    durations = {name: Histogram() for name in ("hit", "miss", "origin")}
    requests: dict[str, int] = defaultdict(int)
    from_store: dict[str, int] = defaultdict(int)
    sent = saved = 0
    for (route, _, outcome, _), answers in counts.answers.items():
        requests[route] += answers.number
        sent += answers.size
        times = durations["hit" if outcome in _HIT else "miss"]
        times.add(answers.durations)
        times.counts[0] += answers.number - sum(answers.durations.counts)  # those that recur
        if outcome in admin.FROM_STORE:
            from_store[route] += answers.number
            saved += answers.size
    for histogram in counts.origins.values():
        durations["origin"].add(histogram)
    return admin.Totals(
        requests=sum(requests.values()),
        from_store=sum(from_store.values()),
        origin=sum(durations["origin"].counts),
        sent=sent,
        saved=saved,
        durations={
            name: admin.Durations(tuple(one.bounds), tuple(one.counts))
            for name, one in durations.items()
        },
        routes={
            name: admin.RouteTotals(number, from_store[name]) for name, number in requests.items()
        },
    )


def busiest(urls: Busiest) -> Sequence[admin.BusyUrl]:
    """The URLs in memory that are asked for most."""
    return [admin.BusyUrl(**asdict(one)) for one in urls.look(_URLS)]


def purges(recent: RecentPurges, own_name: str) -> Sequence[admin.PastPurge]:
    """The last purges; this process has applied them all, whatever it has published of that."""
    return [
        admin.PastPurge(
            seq=noted.seq,
            at=noted.at,
            what=", ".join(map(_in_words, noted.named)),
            names=noted.names,
            soft=noted.soft,
            entries=noted.entries,
            acked=tuple(dict.fromkeys((own_name, *(node.name for node in acked)))),
            pending=tuple(node.name for node in pending if node.name != own_name),
        )
        for noted, acked, pending in recent.last(_PURGES)
    ]


def origins(asked: Origins) -> tuple[admin.OriginGroupStats, ...]:
    """Each group of origins."""
    return tuple(
        admin.OriginGroupStats(
            name=name,
            in_flight=sum(member.in_flight for member in group.members),
            limit=group.options.limit.concurrent,
            waiting=group.admission.waiting,
            queue=group.options.limit.queue,
            overloaded=group.admission.refused,
            retries=group.retries,
            retry_budget=group.budget.tokens,
            origins=tuple(asked.status(name)),
        )
        for name, group in asked.groups.items()
    )


def _in_words(scope: str) -> str:
    if scope == ALL:
        return "everything"
    kind, _, name = scope.partition(":")
    return name if kind == "url" else f"{kind} {name}"
