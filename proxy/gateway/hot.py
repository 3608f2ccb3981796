"""Hits given again: what the gateway has once answered from memory, as long as it would again.

`prepare` goes the way of `Gateway.respond`, by the same functions, and gives up where that way
leads anywhere but to a fresh hit in memory. What it returns can be asked for the same answer
`again`. It then looks at what may have changed since, and at nothing else:

    the store           the same entries are found, each by identity: purges, soft purges,
                        evictions, replacements and freshening all show there
    the clock           the entry is still fresh, and too young for any refresh; Age and the ttl in
                        Cache-Status are of now
    the purge log       it is trusted

All else that the answer depends on is in the request: its method, scheme, authority and target, and
the fields in `depends_on`. The route table never changes under a gateway.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from weakref import ref

from proxy.events import Answered, Hit
from proxy.exchange import (
    Client,
    Incoming,
    Missing,
    Outgoing,
    Passing,
    Recurring,
    Watched,
    no_interim,
)
from proxy.gateway.decisions import Decision, Decisions
from proxy.gateway.missing import Missings
from proxy.gateway.passing import Passings
from proxy.gateway.steps import Answer, Exchange, Found
from proxy.gateway.unshared import Unshareds
from proxy.purging import PurgeLog
from proxy.request_ids import ANSWERED, FIELD, ending_of
from proxy.rfc9111 import keys, poisoning, ranges, reuse
from proxy.rfc9111.cache_status import CacheStatus, Outcome
from proxy.rfc9111.messages import Request
from proxy.rfc9111.policy import ClientDirectives, KeyPolicy, Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import Freshness
from proxy.routes import Route, RouteTable
from proxy.stores import CacheKey, Entry, Kept

_CREDENTIALS: Final = frozenset({"authorization", "cookie"})
_DIRECTIVES: Final = frozenset({"cache-control", "pragma"})
_CONDITIONS: Final = frozenset({"if-modified-since", "if-none-match"})
_CLAIMS: Final = frozenset(map(str.lower, poisoning.CLAIMS))
"""What every key may have, see keys.primary_key."""

_NAMED_BY: Final = FIELD.lower()
_CRLF: Final = b"\r\n"

_UNWATCHABLE: Final = frozenset({"connection"})
"""Fields that are about the connection: what depends on them is not repeated."""

_CHANGING: Final = frozenset({"age", "cache-status"})
"""Response fields that tell the time: they must be ours as they stand."""

_MOST_WATCHED: Final = 40
"""Fields; each is looked for in every request."""

_MOST_VARIANTS: Final = 8
"""Under one key: all are compared with what they were."""

_REPEATED: Final = CacheStatus(hit=True, detail=Reason.FRESH).render()
"""Cache-Status as it is told: without the ttl, it is the same for as long as the answer is."""

_IMF_FIXDATE: Final = 29
"""Characters of a date that means the same for ever (RFC 9110 §5.6.7)."""

_MARGIN: Final = 0.001
"""Seconds by which an answer is made anew too early, rather than too late by a rounding error."""


class HotAnswers:
    """Prepares answers that can be given again.

    Args:
        lookup: See Store.lookup_now.
        hit: Makes the answer to a fresh hit, as for every other.
        finish: Adds what every answer carries, and tells of it.
        clock: POSIX time.
        left_out: Fields, in lower case; requests with one of them are not for this.
        note: See Telling.hit.
        decisions: Where decisions are kept; None where they are not, and clients get no names.
        named: Whether anybody wants to know names.
        passings: Knows what is passed on at once.
        missings: Knows what is fetched at once.
        unshareds: Knows what is passed on at once though nobody has said so beforehand.

    Attributes:
        watched: Fields of requests that some answer may depend on; replaced when it grows.
        note: As given.
    """

    def __init__(
        self,
        *,
        routes: RouteTable,
        lookup: Callable[[CacheKey], Sequence[Kept]],
        log: PurgeLog,
        hit: Callable[[Exchange, Found, Reason], Answer],
        finish: Callable[[Exchange, Answer], Outgoing],
        clock: Callable[[], float],
        left_out: frozenset[str],
        note: Callable[[Hit, bytes | None, float], bytes],
        decisions: Decisions | None,
        named: bool,
        passings: Passings,
        missings: Missings,
        unshareds: Unshareds,
    ) -> None:
        self._routes = routes
        self._hit = hit
        self._finish = finish
        self.lookup = lookup
        self.log = log
        self.clock = clock
        self.decisions = decisions
        self.note = note
        self._left_out = left_out
        self._always = routes.condition_fields | _CONDITIONS | _CLAIMS
        fields = self._always.union(*map(_key_fields, routes.key_policies))
        self._possible = not fields & _UNWATCHABLE
        name = _NAMED_BY if named else None
        watched = fields if name is None else fields | {name}
        self.watched = Watched(watched, _CREDENTIALS | _DIRECTIVES | left_out, name)
        self._passings = passings
        self._missings = missings
        self._unshareds = unshareds
        # What a request is called must not decide anything, nor what it asks of caches.
        self._asks_more = _DIRECTIVES | _CONDITIONS | left_out
        self._all_alike = self._possible and _NAMED_BY not in fields

    def prepare(self, request: Request, largest: int) -> tuple[Recurring, Outgoing, bytes] | None:
        """See Answers."""
        now = self.clock()
        matched = self._routes.find(request)
        policy = matched.route.policy
        if not self._may_recur(request, matched.route):
            return None
        key = CacheKey.of(keys.primary_key(request, policy.key))
        entries = [one.entry for one in self.lookup(key)]
        chosen = _chosen(entries, request)
        if chosen is None or len(entries[chosen].body) > largest:
            return None
        entry = entries[chosen]
        names = self._always | _key_fields(policy.key) | _varying(entries)
        window = reuse.refresh_window(entry.response, policy)
        if not self._watch(names) or not self._is_fresh(request, entry, policy, now, window):
            return None
        incoming = Incoming(request, Client("", (1, 1)), None, no_interim)
        verdict = reuse.Fresh(entry.response.freshness.current_age(now))
        exchange = Exchange(incoming, matched, key, now, verdict=verdict)
        answer = self._hit(exchange, Found(entry, ranges.Whole()), Reason.FRESH)
        body = entry.body if answer.outgoing.body is entry.body else b""
        outgoing = self._finish(exchange, answer)
        name = outgoing.headers.pop(ANSWERED, "") if self.decisions is not None else ""
        if policy.client_directives is ClientDirectives.HONOR:
            names |= _DIRECTIVES
        if entry.response.freshness.source.assumed:
            names |= _CREDENTIALS
        names |= self._left_out
        recurring = HotAnswer(
            self, exchange, answer, entries, chosen, depends_on=names, window=window
        )
        if name:
            recurring.ending = ending_of(name.encode())
        return recurring, outgoing, body

    def passing(self, request: Request) -> Passing | None:
        """See Answers."""
        if not self._possible or any(name in request.headers for name in self._left_out):
            return None
        policy = self._routes.find(request).route.policy
        names = self._routes.condition_fields | _CLAIMS | _key_fields(policy.key) | self._left_out
        passing = self._passings.of(request, names)
        if passing is not None or any(name in request.headers for name in self._asks_more):
            return passing
        return self._unshareds.of(request, names | _CREDENTIALS | self._asks_more)

    def missing(self, request: Request) -> Missing | None:
        """See Answers."""
        if not self._all_alike or any(name in request.headers for name in self._asks_more):
            return None
        return self._missings.of(request)

    def _may_recur(self, request: Request, route: Route) -> bool:
        """Whether nothing in the request or its route stands against repeating the answer."""
        policy, headers = route.policy, request.headers
        honors = policy.client_directives is ClientDirectives.HONOR
        return (
            self._possible
            and not route.server_timing
            and not any(name in headers for name in self._left_out)
            and not route.response_headers.names & _CHANGING
            and reuse.bypass_reason(request, policy, has_body=False, upgrade=False) is None
            and not (honors and any(name in headers for name in _DIRECTIVES))
            and len(headers.get("If-Modified-Since", "").strip(" \t")) in {0, _IMF_FIXDATE}
        )

    def _is_fresh(
        self, request: Request, entry: Entry, policy: Policy, now: float, window: float
    ) -> bool:
        decision = reuse.decide(request, entry.response, policy, now=now, any_variant=True)
        early = entry.response.freshness.ttl(now) > window
        return isinstance(decision, reuse.Fresh) and early and self.log.trusted

    def _watch(self, names: frozenset[str]) -> bool:
        """Whether the values of all of these are watched; if not, they are from now on."""
        values = self.watched.values | names
        if values == self.watched.values:
            return True
        if not names & _UNWATCHABLE and len(values) <= _MOST_WATCHED:
            self.watched = replace(self.watched, values=values)
        return False


class HotAnswer(Hit):
    """One answer, as long as it would be given again. See Recurring."""

    __slots__ = (
        "_answers",
        "_chosen",
        "_entries",
        "_key",
        "_since",
        "_until",
        "_whole",
        "_window",
        "changing",
        "depends_on",
        "ending",
    )

    def __init__(
        self,
        answers: HotAnswers,
        exchange: Exchange,
        answer: Answer,
        entries: Sequence[Entry],
        chosen: int,
        *,
        depends_on: frozenset[str],
        window: float,
    ) -> None:
        entry, outgoing = entries[chosen], answer.outgoing
        super().__init__(_told(exchange, outgoing))
        self._answers = answers
        self._key = exchange.key
        # Weak, lest what is purged or evicted stays in memory.
        self._entries = tuple(map(ref, entries))
        self._chosen = chosen
        self._whole = outgoing.body is entry.body
        self._window = window
        if answers.decisions is not None:
            self.decision = Decision.of(exchange, answer)
        self.depends_on = depends_on
        self.ending = _CRLF
        self._set_time(entry.response.freshness, exchange.started)

    def again(self, name: bytes | None) -> bytes | None:
        """See Recurring."""
        answers = self._answers
        held = answers.lookup(self._key)
        entries = self._entries
        if len(held) != len(entries):
            return None
        for i, known in enumerate(entries):
            if held[i].entry is not known():
                return None
        entry = held[self._chosen].entry
        now = answers.clock()
        if not self._since <= now < self._until:
            freshness = entry.response.freshness
            if freshness.ttl(now) <= self._window:
                return None
            self._set_time(freshness, now)
        if not answers.log.trusted:
            return None
        ending = answers.note(self, name, now)
        if self.decision is not None:
            self.ending = ending
        return entry.body if self._whole else b""

    def _set_time(self, freshness: Freshness, now: float) -> None:
        """Say what is true at `now`, and until when it stays so."""
        age, ttl = freshness.current_age(now), freshness.ttl(now)
        status = CacheStatus(hit=True, ttl=int(ttl), detail=Reason.FRESH).render()
        self.changing = (("Age", str(int(age))), ("Cache-Status", status))
        self._since = now
        self._until = now + min(1 - age % 1, ttl % 1, ttl - self._window) - _MARGIN


def _told(exchange: Exchange, outgoing: Outgoing) -> Answered:
    """What there is to tell of an answer each time that it is given."""
    return Answered(
        exchange.request.method,
        exchange.uri,
        outgoing.status,
        _REPEATED,
        duration=0.0,
        route=exchange.matched.route.name,
        outcome=Outcome.HIT,
        reason=Reason.FRESH,
        length=outgoing.length,
        key=exchange.key_hash,
    )


def _chosen(entries: Sequence[Entry], request: Request) -> int | None:
    """Which of these answers, if it does so as a whole and says when it was made."""
    if len(entries) > _MOST_VARIANTS:
        return None
    responses = [entry.response for entry in entries]
    stored = keys.select_variant(responses, request.headers)
    if stored is None or stored.part is not None or not stored.has("date"):
        return None
    return next(i for i, response in enumerate(responses) if response is stored)


def _varying(entries: Sequence[Entry]) -> frozenset[str]:
    """Lower-case names of the request fields by which these are chosen."""
    return frozenset(name for entry in entries for name, _ in entry.response.variant)


def _key_fields(policy: KeyPolicy) -> frozenset[str]:
    """Lower-case names of the request fields of which keys are made."""
    return frozenset({*map(str.lower, policy.headers), *(("cookie",) if policy.cookies else ())})
