"""The proxy as the admin API drives it."""

import asyncio
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import chain

from proxy import __version__, admin, figures, refilling
from proxy.backing import Backing
from proxy.events import Emit, Purged
from proxy.exchange import Outgoing
from proxy.explain import Explainer, Explanation
from proxy.explain import Mode as ExplainMode
from proxy.gateway import Decisions, Gateway
from proxy.metrics import Counts
from proxy.origin import Origins
from proxy.purging import (
    ALL,
    LogUnreachable,
    Mode,
    RecentPurges,
    Softened,
    Valid,
    host_scope,
    is_found,
    prefix_scope,
    scopes_of,
    tag_scope,
    url_scope,
)
from proxy.redis_link import LinkError, LinkState
from proxy.rfc9111 import keys
from proxy.rfc9111.messages import Request
from proxy.rfc9111.policy import KeyPolicy
from proxy.server import Respond
from proxy.stores import CacheKey, Entry
from proxy.stores.busiest import Busiest
from proxy.warm_start import WarmStart

_DETAIL = re.compile(r"; detail=([^;,]+)")
_LOOKED_AT_ONCE = 64


async def _nothing_to_reload() -> admin.Reloaded:
    raise admin.NothingToReload


class ProxyControl:
    """See `admin.Control`.

    Args:
        respond: Answers a request as the public listener would.
        gateway: Who does, as it is now.
        decisions: What it keeps of answers now.
        key_policies: All ways in which routes make keys, as they are now.
        draining: Whether the proxy is on its way out.
        origins: Whom requests are forwarded to; None where nothing is told of them.
        counts: What has happened.
        expose: All figures as metrics, see Control.
        emit: Is told of purges that are asked for here.
        clock: POSIX time.
        reload: Reads the settings anew, see Control.
        scheme: By which requests come in; "" where either may.
        serves: Whether requests for this host are let in.

    Attributes:
        warm_start: What is fetched at the start, for whose sake clients may have to wait.
    """

    def __init__(
        self,
        backing: Backing,
        *,
        origins: Origins | None = None,
        respond: Respond,
        gateway: Callable[[], Gateway],
        decisions: Callable[[], Decisions | None],
        key_policies: Callable[[], Iterable[KeyPolicy]],
        draining: Callable[[], bool],
        counts: Counts,
        expose: Callable[[str], admin.Exposition],
        emit: Emit,
        clock: Callable[[], float],
        reload: Callable[[], Awaitable[admin.Reloaded]] = _nothing_to_reload,
        scheme: str = "",
        serves: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._backing = backing
        self._origins = origins
        self._respond = respond
        self._key_policies = key_policies
        self._draining = draining
        self._counts = counts
        self._expose = expose
        self._emit = emit
        self._clock = clock
        self._reload = reload
        self._scheme = scheme
        self.warm_start: WarmStart | None = None
        self._explainer = Explainer(
            gateway=gateway,
            decisions=decisions,
            memory=backing.memory,
            shared=backing.shared,
            log=backing.log,
            clock=clock,
            serves=serves,
        )
        self._busiest = Busiest(backing.memory)
        self._purges = RecentPurges(backing.log)
        self._started = time.monotonic()
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    @property
    def has_index(self) -> bool:
        """Whether it is known which entries carry which tag, whoever has stored them."""
        return self._backing.index is not None

    async def purge(self, order: admin.PurgeOrder, *, wait: float) -> admin.PurgeReceipt:
        """See Control."""
        entries = await self.estimate(order)
        log, began = self._backing.log, time.monotonic()
        mode = Mode.SOFT if order.soft else Mode.HARD
        try:
            seq = await log.append(self._scopes(order), mode, order.pattern)
            told = await log.wait(seq, wait)
        except LogUnreachable as error:
            raise admin.LogUnreachable(str(error)) from error
        self._purges.counted(seq, entries)
        seconds = time.monotonic() - began
        self._emit(Purged(seq, order.soft, told.acked, told.pending, seconds))
        return admin.PurgeReceipt(seq, told.acked, told.nodes, told.pending, entries)

    async def preview(self, order: admin.PurgeOrder, *, limit: int) -> admin.Preview:
        """See Control: what memory holds, and by tag what Redis holds too."""
        named = set(self._scopes(order))
        pattern = None if order.pattern is None else re.compile(order.pattern)
        urls: list[str] = []
        entries = 0
        for number, url in enumerate(self._candidates(order), 1):
            if number % _LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)  # requests come first
            held = (one.entry for one in self._backing.memory.variants(url))
            found = sum(_concerns(named, pattern, url, entry) for entry in held)
            entries += found
            if found and len(urls) <= limit:
                urls.append(url)
        for tag in order.tags:
            for key in await self._indexed(tag, limit):
                if key.url not in urls and not self._backing.memory.variants(key.url):
                    urls.append(key.url)
                    entries += 1
        complete = len(urls) <= limit and self._backing.shared is None
        return admin.Preview(entries, tuple(urls[:limit]), complete)

    async def tags(self, *, prefix: str, limit: int) -> admin.TagPage:
        """See Control: the tags in memory, and those in Redis where it keeps an index."""
        counts: dict[str, int | None] = dict(self._backing.memory.tags())
        index = self._backing.index
        if index is not None:
            try:
                for tag in await index.tags(10_000):
                    counts.setdefault(tag, None)
            except LinkError as error:
                raise admin.LogUnreachable(str(error)) from error
        names = sorted(tag for tag in counts if tag.startswith(prefix))
        page = tuple(admin.TagCount(tag, counts[tag]) for tag in names[:limit])
        return admin.TagPage(page, complete=len(names) <= limit)

    async def tag(self, tag: str, *, limit: int) -> admin.Preview:
        """See Control."""
        return await self.preview(admin.PurgeOrder(tags=(tag,)), limit=limit)

    async def entries(self, url: str) -> Sequence[admin.EntryView]:
        """See Control."""
        views: list[admin.EntryView] = []
        for at in sorted({keys.uri_key(url, policy) for policy in self._key_policies()}):
            held = self._backing.memory.variants(at)
            views += [self._view(at, one.entry, admin.Tier.MEMORY, one.hits) for one in held]
            shared = [entry async for entry in self._shared_entries(at)]
            views += [self._view(at, entry, admin.Tier.REDIS, None) for entry in shared]
        return views

    async def warm(self, url: str) -> admin.Warmed:
        """See Control: by the scheme of our listeners, as clients' requests come in.

        Behind a proxy that ends TLS what clients and sitemaps call https is http here.
        """
        scheme, _, rest = url.partition("://")
        request = refilling.get(f"{self._scheme or scheme}://{rest}")
        outgoing, aborted = await refilling.fetch(self._respond, request)
        if aborted is not None:
            return admin.Warmed(admin.WarmOutcome.FAILED, outgoing.status, aborted.reason.value)
        return _warmed(outgoing)

    async def explain(self, request: Request, mode: ExplainMode) -> Explanation:
        """See Control."""
        if mode is ExplainMode.SIMULATE:
            return await self._explainer.simulate(request)
        return await self._explainer.send(request, probe=mode is ExplainMode.PROBE)

    async def recall(self, name: str) -> Explanation | None:
        """See Control."""
        return self._explainer.recall(name)

    async def reload(self) -> admin.Reloaded:
        """See Control."""
        return await self._reload()

    async def readiness(self) -> admin.Readiness:
        """See Control: without the log requests still go to the origin, so that is no reason."""
        accepting = not self._draining()
        checks = {"accepting": accepting, "purge_log": self._backing.log.trusted}
        if self.warm_start is None:
            return admin.Readiness(accepting, checks)
        warm = self.warm_start.ready
        return admin.Readiness(accepting and warm, {**checks, "warm": warm})

    async def stats(self) -> admin.Stats:
        """See Control."""
        backing = self._backing
        memory, log, link = backing.memory, backing.log, backing.link
        state, name = log.state, getattr(log, "name", self._name)
        return admin.Stats(
            version=__version__,
            node=name,
            uptime=time.monotonic() - self._started,
            requests=self._counts.outcomes(),
            failures=self._counts.failures,
            memory=admin.TierStats(len(memory), memory.size, memory.max_size),
            redis=self._redis(),
            log=admin.LogStats(
                "memory" if link is None else "redis",
                state.position,
                state.floor,
                log.trusted,
                state.patterns,
                tuple(admin.NodeStats(one.name, one.position, one.silent) for one in log.nodes),
            ),
            origins=() if self._origins is None else figures.origins(self._origins),
            totals=figures.totals(self._counts),
            urls=tuple(figures.busiest(self._busiest)),
            purges=tuple(figures.purges(self._purges, name)),
            warm_up=None if self.warm_start is None else self.warm_start.progress,
        )

    async def metrics(self, accept: str) -> admin.Exposition:
        """See Control."""
        return self._expose(accept)

    def _redis(self) -> admin.TierStats | None:
        link, fill = self._backing.link, self._backing.redis_fill
        if link is None or fill is None:
            return None
        up = link.state is LinkState.UP
        return admin.TierStats(None, fill.last.size, fill.last.max_size, available=up)

    async def estimate(self, order: admin.PurgeOrder) -> int | None:
        """How many entries a purge concerns, as far as that costs the same for any number."""
        if _is_broad(order):
            return None
        tagged = await asyncio.gather(*map(self._count, order.tags))
        return sum(tagged) + sum(len(self._backing.memory.variants(u)) for u in self._urls(order))

    async def _count(self, tag: str) -> int:
        here, index = self._backing.memory.count(tag), self._backing.index
        if index is None:
            return here
        try:
            return max(here, await index.count(tag))
        except LinkError:
            return here

    def _candidates(self, order: admin.PurgeOrder) -> Iterable[str]:
        """URLs in memory among which all are that `order` concerns."""
        memory = self._backing.memory
        if _is_broad(order):
            return memory.urls()
        tagged = chain.from_iterable(map(memory.urls, order.tags))
        return dict.fromkeys(chain(self._urls(order), tagged))

    def _urls(self, order: admin.PurgeOrder) -> Iterable[str]:
        """The order's URLs, spelled as each route spells them in keys."""
        policies = list(self._key_policies())
        return dict.fromkeys(keys.uri_key(url, one) for url in order.urls for one in policies)

    def _scopes(self, order: admin.PurgeOrder) -> list[str]:
        return [
            *([ALL] if order.everything else []),
            *map(tag_scope, order.tags),
            *map(url_scope, self._urls(order)),
            *map(prefix_scope, order.prefixes),
            *map(host_scope, order.hosts),
        ]

    async def _indexed(self, tag: str, limit: int) -> Sequence[CacheKey]:
        if self._backing.index is None:
            return ()
        try:
            return await self._backing.index.members(tag, limit + 1)
        except LinkError:
            return ()

    async def _shared_entries(self, url: str) -> AsyncIterator[Entry]:
        backing = self._backing
        if backing.shared is None:
            return
        try:
            found = [CacheKey(url)]
            if backing.index is not None:
                found += [k for k in await backing.index.variants_of(url, 1000) if k.extra]
            for key in found:
                for entry in await backing.shared.lookup(key):
                    response = entry.response
                    scopes = scopes_of(url, response.tags, response.groups)
                    judgement = await backing.log.judge(response.born, url, scopes)
                    if isinstance(judgement, Valid | Softened):
                        yield entry
        except LinkError:
            return

    def _view(self, url: str, entry: Entry, tier: admin.Tier, hits: int | None) -> admin.EntryView:
        response, now = entry.response, self._clock()
        return admin.EntryView(
            url=url,
            status=response.status,
            headers=tuple(response.headers.items()),
            vary=response.variant,
            age=response.freshness.current_age(now),
            ttl=response.freshness.ttl(now),
            tags=response.tags,
            groups=response.groups,
            size=entry.size,
            tier=tier,
            hits=hits,
            born=response.born,
        )


def _is_broad(order: admin.PurgeOrder) -> bool:
    """Whether only a look at everything tells what it concerns."""
    return bool(order.prefixes or order.hosts or order.pattern or order.everything)


def _concerns(named: set[str], pattern: re.Pattern[str] | None, url: str, entry: Entry) -> bool:
    response = entry.response
    if named.intersection(scopes_of(url, response.tags, response.groups)):
        return True
    return pattern is not None and is_found(pattern, url)


def _warmed(outgoing: Outgoing) -> admin.Warmed:
    status = outgoing.headers.getall("Cache-Status", [""])[-1]
    detail = _DETAIL.search(status)
    why = "" if detail is None else detail[1]
    if "; hit" in status:
        return admin.Warmed(admin.WarmOutcome.HIT, outgoing.status)
    if "; stored" in status:
        return admin.Warmed(admin.WarmOutcome.STORED, outgoing.status)
    if "; fwd-status=" not in status:
        return admin.Warmed(admin.WarmOutcome.FAILED, outgoing.status, why)
    return admin.Warmed(admin.WarmOutcome.NOT_STORED, outgoing.status, why)
