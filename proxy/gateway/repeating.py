"""A fresh hit in memory, given again and again for as long as it is the answer.

How it became the answer see `hot`. Each time that it is given it is looked at what may have changed
since, and at nothing else:

    the store           the same entries are found, each by identity: purges, soft purges,
                        evictions, replacements and freshening all show there
    the clock           the entry is still fresh, and too young for any refresh; Age and the ttl in
                        Cache-Status are of now
    the purge log       it is trusted

All else that the answer depends on is in the request: its method, scheme, authority and target, and
the fields in `depends_on`. The route table never changes under a gateway.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from weakref import ref

from proxy.events import Answered, Hit
from proxy.exchange import Client, Given, Incoming, Recurring, no_interim
from proxy.gateway.decisions import Decision
from proxy.gateway.forms import Form
from proxy.gateway.steps import Exchange, Wanted
from proxy.purging import PurgeLog
from proxy.rfc9111 import reuse
from proxy.rfc9111.cache_status import CacheStatus, Outcome
from proxy.rfc9111.reasons import Reason
from proxy.stores import Entry, Store

_CRLF: Final = b"\r\n"
_NOBODY: Final = Client("", (1, 1))

_TOLD: Final = CacheStatus(hit=True, detail=Reason.FRESH)
"""Without the ttl, which is another one each time."""

_MARGIN: Final = 0.001
"""Seconds by which a head is written anew too early, rather than too late by a rounding error."""


@dataclass(slots=True)
class Means:
    """What all of them have in common.

    Attributes:
        store: Where they are.
        note: See Telling.hit.
        clock: POSIX time.
        named: Clients are told what their requests are called.
    """

    store: Store
    log: PurgeLog
    note: Callable[[Hit, bytes | None, float], bytes]
    clock: Callable[[], float]
    named: bool


class Repeating(Hit, Recurring):
    """One of them. See Recurring and Hit.

    Args:
        means: See Means.
        wanted: One of the requests.
        entries: All that is stored under its key.
        chosen: Which of these is the answer.
        modified: The client does not have it yet.
        form: Of its head.
        depends_on: See Recurring.
        window: Seconds before the end of freshness in which it may be refreshed.
        now: POSIX time.

    Raises:
        ValueError: Its head cannot be written.

    Attributes:
        freshness: Of the entry, as for the next three.
    """

    __slots__ = (
        *("_chosen", "_entry", "_key", "_means", "_number", "_others", "_since", "_until"),
        *("_wanted", "_whole", "_window"),
        *("born", "depends_on", "freshness", "head", "tags", "variant"),
    )

    kind: Form

    def __init__(
        self,
        means: Means,
        wanted: Wanted,
        entries: Sequence[Entry],
        chosen: int,
        *,
        modified: bool,
        form: Form,
        depends_on: frozenset[str],
        window: float,
        now: float,
    ) -> None:
        entry = entries[chosen]
        stored = entry.response
        self.kind = form
        self.line = None
        self.freshness = stored.freshness
        self.variant = stored.variant
        self.tags = stored.tags
        self.born = stored.born
        self.depends_on = depends_on
        self._means = means
        self._wanted = wanted
        self._key = wanted.key
        # Weak, lest what is purged or evicted stays in memory.
        self._entry = ref(entry)
        self._others = tuple([(i, ref(one)) for i, one in enumerate(entries) if i != chosen])
        self._chosen = chosen
        self._number = len(entries)
        self._whole = modified and wanted.request.method != "HEAD"
        self.length = len(entry.body) if self._whole else 0
        self._window = window
        self._set_time(entry, now)

    def again(self, name: bytes | None) -> Given | None:
        """See Recurring."""
        means = self._means
        # Loaded before they are called: to call a member that is no method takes longer.
        clock, note = means.clock, means.note
        held = means.store.lookup_now(self._key)
        if len(held) != self._number:
            return None
        entry = held[self._chosen].entry
        if entry is not self._entry():
            return None
        for i, other in self._others:
            if held[i].entry is not other():
                return None
        now = clock()
        if not self._since <= now < self._until:
            if self.freshness.ttl(now) <= self._window:
                return None
            self._set_time(entry, now)
        if not means.log.trusted:
            return None
        ending = note(self, name, now)
        body = entry.body if self._whole else b""
        return self.head, ending if means.named else _CRLF, body

    def _set_time(self, entry: Entry, now: float) -> None:
        """Say what is true at `now`, and until when it stays so."""
        age, ttl = self.freshness.current_age(now), self.freshness.ttl(now)
        status = _status(int(ttl))
        self.head = self.kind.fill(entry.response.values, len(entry.body), int(age), status)
        self._since = now
        self._until = now + min(1 - age % 1, ttl % 1, ttl - self._window) - _MARGIN

    @property
    def answered(self) -> Answered:  # type: ignore[override]  # nobody sets it
        """See Hit; made when somebody wants to know."""
        exchange = self._exchange()
        request = exchange.request
        return Answered(
            request.method,
            exchange.uri,
            self.kind.status,
            _TOLD.render(),
            duration=0.0,
            route=exchange.matched.route.name,
            outcome=Outcome.HIT,
            reason=Reason.FRESH,
            length=None if request.method == "HEAD" else self.length,
            key=exchange.key_hash,
        )

    @property
    def decision(self) -> Decision:
        """See Hit; made when somebody wants to know."""
        status = self.kind.status
        return Decision.made(self._exchange(), status, _TOLD, stored=self, refused=None)

    def _exchange(self) -> Exchange:
        request, matched, key = self._wanted
        incoming = Incoming(request, _NOBODY, None, no_interim)
        return Exchange(incoming, matched, key, self._since, verdict=reuse.Fresh(0.0))


@lru_cache(maxsize=4096)
def _status(ttl: int) -> str:
    return _TOLD._replace(ttl=ttl).render()
