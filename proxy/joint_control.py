"""All workers as the admin API drives them: one of them asks the others, and adds up.

A purge needs nothing of that: the log tells all. Only what lies in the memory of each does.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from proxy import admin, reloading
from proxy.admin import figures
from proxy.channel import CallFailed, Channel, ChannelLost
from proxy.control import ProxyControl
from proxy.explain import Explanation, Mode, jointly
from proxy.metrics import PLAIN, join
from proxy.rfc9111.messages import Headers, Request

T = TypeVar("T")

_ORDER: Final = TypeAdapter(admin.PurgeOrder)
_PREVIEW: Final = TypeAdapter(admin.Preview)
_PAGE: Final = TypeAdapter(admin.TagPage)
_VIEWS: Final = TypeAdapter(tuple[admin.EntryView, ...])
_WARMED: Final = TypeAdapter(admin.Warmed)
_EXPLAINED: Final = TypeAdapter(Explanation)
_PAST: Final[TypeAdapter[Explanation | None]] = TypeAdapter(Explanation | None)
_STATS: Final = TypeAdapter(admin.Stats)
_READINESS: Final = TypeAdapter(admin.Readiness)

_WORST_FIRST: Final = (
    admin.WarmOutcome.FAILED,
    admin.WarmOutcome.NOT_STORED,
    admin.WarmOutcome.STORED,
    admin.WarmOutcome.HIT,
)


def answer_others(control: ProxyControl, channel: Channel) -> None:
    """Let this worker's part be asked for by the one that speaks for all."""
    channel.calls.update(_Part(control).calls)


class _Part:
    """What one worker answers to the one that speaks for all, as JSON."""

    def __init__(self, control: ProxyControl) -> None:
        self._control = control

    @property
    def calls(self) -> dict[str, Callable[[Any], Awaitable[Any]]]:
        """Each by its name."""
        return {
            "metrics": self._metrics,
            "estimate": self._estimate,
            "preview": self._preview,
            "tags": self._tags,
            "entries": self._entries,
            "warm": self._warm,
            "readiness": self._readiness,
            "explain": self._explain,
            "recall": self._recall,
            "stats": self._stats,
        }

    async def _estimate(self, order: Any) -> int | None:
        return await self._control.estimate(_ORDER.validate_python(order))

    async def _preview(self, asked: list[Any]) -> Any:
        order, limit = asked
        found = await self._control.preview(_ORDER.validate_python(order), limit=limit)
        return _PREVIEW.dump_python(found, mode="json")

    async def _tags(self, asked: list[Any]) -> Any:
        prefix, limit = asked
        found = await self._control.tags(prefix=prefix, limit=limit)
        return _PAGE.dump_python(found, mode="json")

    async def _entries(self, url: str) -> Any:
        return _VIEWS.dump_python(tuple(await self._control.entries(url)), mode="json")

    async def _warm(self, url: str) -> Any:
        return _WARMED.dump_python(await self._control.warm(url), mode="json")

    async def _stats(self, _: None) -> Any:
        return _STATS.dump_python(await self._control.stats(), mode="json")

    async def _readiness(self, _: None) -> Any:
        return _READINESS.dump_python(await self._control.readiness(), mode="json")

    async def _explain(self, asked: list[Any]) -> Any:
        method, scheme, authority, target, fields = asked
        headers = Headers([(name, value) for name, value in fields])
        request = Request(method, scheme, authority, target, headers)
        found = await self._control.explain(request, Mode.SIMULATE)
        return _EXPLAINED.dump_python(found, mode="json")

    async def _recall(self, name: str) -> Any:
        return _PAST.dump_python(await self._control.recall(name), mode="json")

    async def _metrics(self, _: None) -> str:
        return (await self._control.metrics(PLAIN)).text.decode()


class JointControl:
    """See `admin.Control`.

    Args:
        own: That of this worker.
        channel: To the supervisor, who asks the others.
        workers: How many there are.
    """

    def __init__(self, own: ProxyControl, channel: Channel, workers: int) -> None:
        self._own = own
        self._channel = channel
        self._workers = workers
        self._all_were_warm = False

    async def purge(self, order: admin.PurgeOrder, *, wait: float) -> admin.PurgeReceipt:
        """See Control; an index in Redis has counted what all have."""
        if self._own.has_index:
            return await self._own.purge(order, wait=wait)
        others = await self._ask_others("estimate", _ORDER.dump_python(order, mode="json"))
        receipt = await self._own.purge(order, wait=wait)
        return replace(receipt, entries=_sum([receipt.entries, *others]))

    async def preview(self, order: admin.PurgeOrder, *, limit: int) -> admin.Preview:
        """See Control; an index in Redis names what all have."""
        own = await self._own.preview(order, limit=limit)
        if self._own.has_index:
            return own
        asked = [_ORDER.dump_python(order, mode="json"), limit]
        return _joint_preview([own, *await self._others("preview", asked, _PREVIEW)], limit)

    async def tags(self, *, prefix: str, limit: int) -> admin.TagPage:
        """See Control."""
        own = await self._own.tags(prefix=prefix, limit=limit)
        return _joint_page([own, *await self._others("tags", [prefix, limit], _PAGE)], limit)

    async def tag(self, tag: str, *, limit: int) -> admin.Preview:
        """See Control."""
        return await self.preview(admin.PurgeOrder(tags=(tag,)), limit=limit)

    async def entries(self, url: str) -> Sequence[admin.EntryView]:
        """See Control; what lies in Redis is one for all."""
        own = await self._own.entries(url)
        others = chain.from_iterable(await self._others("entries", url, _VIEWS))
        return [*own, *(view for view in others if view.tier is admin.Tier.MEMORY)]

    async def warm(self, url: str) -> admin.Warmed:
        """See Control: this worker first, so that the others may find it in Redis."""
        own = await self._own.warm(url)
        found: list[admin.Warmed] = [own, *await self._others("warm", url, _WARMED)]
        return min(found, key=lambda one: _WORST_FIRST.index(one.outcome))

    async def explain(self, request: Request, mode: Mode) -> Explanation:
        """See Control: as each worker would answer it; what is sent is sent by this one."""
        own = await self._own.explain(request, mode)
        if mode is not Mode.SIMULATE:
            return own
        line = (request.method, request.scheme, request.authority, request.target)
        asked = [*line, list(request.headers.items())]
        return jointly([own, *await self._others("explain", asked, _EXPLAINED)])

    async def recall(self, name: str) -> Explanation | None:
        """See Control: by whichever worker has answered it."""
        own = await self._own.recall(name)
        others = [] if own is not None else await self._others("recall", name, _PAST)
        return next((one for one in (own, *others) if one is not None), None)

    async def reload(self) -> admin.Reloaded:
        """See Control: the supervisor does it, who has the file."""
        return reloading.heard(await self._channel.call("reload"))

    async def readiness(self) -> admin.Readiness:
        """See Control: warm when all have been, each for its own memory; from then on as own."""
        own = await self._own.readiness()
        if self._all_were_warm or not own.checks.get("warm", False):
            return own
        others = await self._others("readiness", None, _READINESS)
        warm = [one for one in others if one.checks["warm"]]
        self._all_were_warm = len(warm) == self._workers - 1
        if self._all_were_warm:
            return own
        return admin.Readiness(ready=False, checks={**own.checks, "warm": False})

    async def stats(self) -> admin.Stats:
        """See Control."""
        own = await self._own.stats()
        return _joint_stats([own, *await self._others("stats", None, _STATS)])

    async def metrics(self, accept: str) -> admin.Exposition:
        """See Control."""
        own = (await self._own.metrics(PLAIN)).text.decode()
        return join([own, *await self._ask_others("metrics", None)], accept)

    async def _others(self, name: str, value: Any, adapter: TypeAdapter[Any]) -> list[Any]:
        return [adapter.validate_python(one) for one in await self._ask_others(name, value)]

    async def _ask_others(self, name: str, value: Any) -> list[Any]:
        try:
            answers: list[Any] = await self._channel.call("others", [name, value])
        except (ChannelLost, CallFailed):
            return []
        return answers


def _joint_preview(found: Sequence[admin.Preview], limit: int) -> admin.Preview:
    urls = tuple(dict.fromkeys(chain.from_iterable(one.urls for one in found)))
    complete = all(one.complete for one in found) and len(urls) <= limit
    return admin.Preview(_sum(one.entries for one in found), urls[:limit], complete)


def _joint_page(found: Sequence[admin.TagPage], limit: int) -> admin.TagPage:
    by_name: dict[str, list[int | None]] = {}
    for tag in chain.from_iterable(page.tags for page in found):
        by_name.setdefault(tag.tag, []).append(tag.entries)
    tags = tuple(admin.TagCount(name, _sum(by_name[name])) for name in sorted(by_name)[:limit])
    return admin.TagPage(tags, all(page.complete for page in found) and len(by_name) <= limit)


def _joint_stats(found: Sequence[admin.Stats]) -> admin.Stats:
    own = found[0]
    requests: Counter[str] = Counter()
    for one in found:
        requests.update(one.requests)
    nodes = own.log.nodes or tuple(
        admin.NodeStats(one.node, one.log.position, 0.0) for one in found
    )
    return replace(
        own,
        uptime=max(one.uptime for one in found),
        requests=dict(requests),
        failures=sum(one.failures for one in found),
        memory=replace(
            own.memory,
            entries=_sum(one.memory.entries for one in found),
            size=_sum(one.memory.size for one in found),
            max_size=_sum(one.memory.max_size for one in found),
        ),
        log=replace(own.log, trusted=all(one.log.trusted for one in found), nodes=nodes),
        origins=tuple(_joint_group(group, found) for group in own.origins),
        totals=_joint_totals([one.totals for one in found]),
        urls=_joint_urls([one.urls for one in found]),
        warm_up=_joint_warm_up([one.warm_up for one in found if one.warm_up is not None]),
    )


def _joint_warm_up(found: Sequence[admin.WarmUpStats]) -> admin.WarmUpStats | None:
    """Each fetches all of it for its own memory: figures are added up."""
    if not found:
        return None
    return admin.WarmUpStats(
        ready=all(one.ready for one in found),
        over=all(one.over for one in found),
        **_added(found, ("total", "hit", "stored", "not_stored", "failed")),
    )


def _joint_totals(found: Sequence[figures.Totals]) -> figures.Totals:
    names = ("requests", "from_store", "origin", "sent", "saved")
    return figures.Totals(
        **_added(found, names),
        durations=_by_name([one.durations for one in found], _joint_durations),
        routes=_by_name([one.routes for one in found], _joint_routes),
    )


def _joint_durations(found: Sequence[figures.Durations]) -> figures.Durations:
    counts = zip(*(one.counts for one in found), strict=True)
    return figures.Durations(found[0].bounds, tuple(map(sum, counts)))


def _joint_routes(found: Sequence[figures.RouteTotals]) -> figures.RouteTotals:
    return figures.RouteTotals(**_added(found, ("requests", "from_store")))


def _joint_urls(found: Sequence[Sequence[figures.BusyUrl]]) -> tuple[figures.BusyUrl, ...]:
    """As many as the longest list has, those with most hits first."""
    by_url: dict[str, list[figures.BusyUrl]] = {}
    for one in chain.from_iterable(found):
        by_url.setdefault(one.url, []).append(one)
    joint = [
        figures.BusyUrl(url=url, **_added(same, ("hits", "entries", "size")))
        for url, same in by_url.items()
    ]
    joint.sort(key=lambda one: one.hits, reverse=True)
    return tuple(joint[: max(map(len, found), default=0)])


def _by_name(found: Sequence[Mapping[str, T]], join: Callable[[Sequence[T]], T]) -> dict[str, T]:
    names = dict.fromkeys(chain.from_iterable(found))
    return {name: join([one[name] for one in found if name in one]) for name in names}


def _joint_group(
    own: admin.OriginGroupStats, found: Sequence[admin.Stats]
) -> admin.OriginGroupStats:
    """Figures are added up; how an origin fares is told as this worker sees it."""
    same = [group for one in found for group in one.origins if group.name == own.name]
    members = list(chain.from_iterable(group.origins for group in same))
    return replace(
        own,
        **_added(same, ("in_flight", "limit", "waiting", "queue", "overloaded", "retries")),
        origins=tuple(
            replace(
                origin,
                **_added(
                    [one for one in members if one.url == origin.url],
                    ("in_flight", "requests", "failures"),
                ),
            )
            for origin in own.origins
        ),
    )


def _added(of: Sequence[object], names: Sequence[str]) -> dict[str, Any]:
    return {name: _sum(getattr(one, name) for one in of) for name in names}


def _sum(numbers: Iterable[int | None]) -> int | None:
    """None where one is not known."""
    total = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total
