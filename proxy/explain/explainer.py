"""Explains requests: looks at what is stored, or sends them, and asks the core what follows.

It decides nothing: every verdict is made by the functions that the gateway calls, of the same
exchange, or is what the gateway itself has kept of an answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from proxy.exchange import Client, Incoming
from proxy.explain.advice import why
from proxy.explain.facts import (
    AnswerPart,
    Explanation,
    KeyPart,
    Mode,
    PurgePart,
    RoutePart,
    StoredPart,
    StoringPart,
    Tier,
)
from proxy.explain.parts import (
    Seen,
    freshness_part,
    key_part,
    purge_parts,
    reuse_part,
    route_part,
    told_by_origin,
    variant_part,
)
from proxy.explain.words import told
from proxy.gateway import Decisions, Gateway
from proxy.gateway.decisions import Decision
from proxy.gateway.delivery import deliver, drain
from proxy.gateway.steps import (
    Answer,
    Bypass,
    Exchange,
    Found,
    Verdict,
    bypassed,
    judge,
    select,
    suffice,
)
from proxy.purging import PurgeLog, Softened, Valid, scopes_of, tag_scope, url_scope
from proxy.redis_link import LinkError
from proxy.rfc9111 import freshness as freshness_rules
from proxy.rfc9111.invalidation import is_unsafe
from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.poisoning import is_doubtful
from proxy.rfc9111.policy import Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.reuse import Fresh, ServeStale
from proxy.rfc9111.stored import StoredResponse
from proxy.stores import CacheKey, Entry, MemoryStore
from proxy.stores.entry import softened
from proxy.stores.redis import RedisStore
from proxy.tags import InvalidTags, expand_tag

_MOST_PURGES: Final = 20
_OTHER_SCHEME: Final = {"http": "https", "https": "http"}


class Explainer:
    """Explains requests to one proxy.

    Args:
        gateway: As it is now.
        decisions: What is kept of answers now; None where nothing is.
        memory: Where it looks without a trace.
        shared: The store behind it; None without.
        clock: POSIX time.
        serves: Whether requests for this host are let in.
    """

    def __init__(
        self,
        *,
        gateway: Callable[[], Gateway],
        decisions: Callable[[], Decisions | None],
        memory: MemoryStore,
        shared: RedisStore | None,
        log: PurgeLog,
        clock: Callable[[], float],
        serves: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._gateway = gateway
        self._decisions = decisions
        self._memory = memory
        self._shared = shared
        self._log = log
        self._clock = clock
        self._serves = serves

    async def simulate(self, request: Request) -> Explanation:
        """What would be done for a request now. Nothing is sent, and nothing changes."""
        exchange = self._gateway().exchange(_incoming(request))
        seen = await self._peek(exchange)
        found = select(exchange, [one.entry for one in seen])
        now = self._clock()
        trusted = self._log.trusted
        verdict: Verdict = bypassed(exchange) or judge(
            exchange, found, any_variant=bool(seen), now=now, trusted=trusted
        )
        exchange.verdict = verdict
        storing = self._storing_before(exchange, found, now)
        explanation = self._explained(exchange, Mode.SIMULATE, seen, storing)
        if found is not None and isinstance(verdict, Fresh | ServeStale):
            status = deliver(request, found.entry, found.selection, now=now).status
            explanation = replace(explanation, status=status)
        return told(explanation)

    async def send(self, request: Request, *, probe: bool) -> Explanation:
        """Answer a GET or HEAD like every other, and explain that; with `probe` the second time."""
        gateway = self._gateway()
        if probe:
            _, first = await gateway.observe(_incoming(request))
            await drain(first.outgoing)
        exchange, answer = await gateway.observe(_incoming(request))
        seconds = self._clock() - exchange.started
        await drain(answer.outgoing)
        seen = await self._peek(exchange)
        storing = self._storing_of(exchange, answer, kept=bool(seen))
        status = answer.cache_status
        explanation = self._explained(
            exchange, Mode.PROBE if probe else Mode.SEND, seen, storing, answer.stored
        )
        sent = AnswerPart(
            status=answer.outgoing.status,
            cache_status=status.render(),
            detail=None if status.detail is None else why(status.detail),
            collapsed=status.collapsed,
            origin_status=status.forward_status,
            origin_headers=()
            if answer.fetched is None
            else told_by_origin(answer.fetched.response.headers),
            seconds=seconds,
        )
        return told(replace(explanation, answer=sent))

    def recall(self, name: str) -> Explanation | None:
        """What was decided for the past request of this name; None where nothing is kept of it."""
        decisions = self._decisions()
        kept = None if decisions is None else decisions.find(name)
        return None if kept is None else told(_recalled(name, *kept))

    # What is stored, and what is known of purges.

    async def _peek(self, exchange: Exchange) -> list[Seen]:
        """All variants under the key, as a lookup would find them."""
        key = exchange.key
        seen = [Seen(one.entry, Tier.MEMORY, one.hits) for one in self._memory.peek(key)]
        if self._shared is None or suffice(exchange, [one.entry for one in seen]):
            return seen
        try:
            shared = await self._shared.lookup(key)
        except LinkError:
            return seen
        for entry in shared:
            if (valid := await self._judged(key, entry)) is not None:
                _add(seen, Seen(valid, Tier.REDIS))
        return seen

    async def _judged(self, key: CacheKey, entry: Entry) -> Entry | None:
        """What the purge log leaves of an entry that was read from the shared store."""
        response = entry.response
        scopes = scopes_of(key.url, response.tags, response.groups)
        match await self._log.judge(response.born, key.url, scopes):
            case Valid():
                return entry
            case Softened(at=at):
                return softened(entry, min(at, self._clock()))
            case _:
                return None

    def _stored_part(
        self, exchange: Exchange, seen: Sequence[Seen], chosen: StoredResponse | None
    ) -> StoredPart:
        key, now = exchange.key, self._clock()
        scheme, separator, rest = key.url.partition("://")
        other = _OTHER_SCHEME.get(scheme, "") + separator + rest
        others = (one for one in self._memory.extras(key.url) if one != key.extra)
        return StoredPart(
            variants=tuple(variant_part(one, exchange.request, chosen, now) for one in seen),
            other_keys=tuple(map(_names_of, others)),
            other_scheme=bool(self._memory.variants(other)),
        )

    def _purges(self, exchange: Exchange, rests_on: StoredResponse | None) -> tuple[PurgePart, ...]:
        """Of what is stored, else of what is known to have been."""
        url = exchange.key.url
        if rests_on is not None:
            scopes, after = scopes_of(url, rests_on.tags, rests_on.groups), rests_on.born
        else:
            last = self._last_fetched(exchange)
            scopes, after = scopes_of(url, () if last is None else last[1].tags, ()), 0
            if last is not None and last[1].freshness is not None:
                after = last[1].born
        found = self._log.state.remembered(url, scopes, after=after)
        return purge_parts(found[-_MOST_PURGES:])

    def _last_fetched(self, exchange: Exchange) -> tuple[float, Decision] | None:
        decisions = self._decisions()
        return None if decisions is None else decisions.last_fetched(exchange.key_hash)

    # What was decided of storing.

    def _storing_before(self, exchange: Exchange, found: Found | None, now: float) -> StoringPart:
        """Of what is stored, else of the last answer of the origin that is remembered."""
        if isinstance(exchange.verdict, Bypass):
            reason = exchange.verdict.reason  # what is known of storing is of GET
            unknown = reason is Reason.METHOD
            return StoringPart() if unknown else StoringPart(stored=False, why=why(reason))
        if found is not None:
            freshness = found.entry.response.freshness
            return StoringPart(
                stored=True,
                why=why(Reason.STORED),
                at=freshness.response_time,
                freshness=freshness_part(freshness, now),
            )
        last = self._last_fetched(exchange)
        return StoringPart() if last is None else _storing_then(*last)

    def _storing_of(self, exchange: Exchange, answer: Answer, *, kept: bool) -> StoringPart:
        """Of an answer that was just given."""
        now, status = self._clock(), answer.cache_status
        refused = answer.refused
        if refused is not None and answer.fetched is not None:
            would_be = freshness_rules.evaluate(
                exchange.request,
                answer.fetched.response,
                exchange.policy,
                **answer.fetched.times,
            )
            return StoringPart(
                stored=False,
                why=why(refused),
                at=answer.fetched.response_time,
                freshness=freshness_part(would_be, now),
            )
        if isinstance(exchange.verdict, Bypass) and exchange.verdict.reason is not Reason.METHOD:
            return StoringPart(stored=False, why=why(exchange.verdict.reason))
        if answer.stored is None:
            return StoringPart()
        freshness = answer.stored.freshness
        lost = status.stored and not kept
        return StoringPart(
            stored=not lost,
            why=None if lost else why(Reason.STORED),
            at=freshness.response_time,
            freshness=freshness_part(freshness, now),
        )

    def _explained(
        self,
        exchange: Exchange,
        mode: Mode,
        seen: Sequence[Seen],
        storing: StoringPart,
        rests_on: StoredResponse | None = None,
    ) -> Explanation:
        found = select(exchange, [one.entry for one in seen])
        chosen = None if found is None else found.entry.response
        rests_on = rests_on or chosen
        assert exchange.verdict is not None  # noqa: S101 - whoever explains has judged
        now, request = self._clock(), exchange.request
        return Explanation(
            mode=mode,
            method=request.method,
            uri=request.uri,
            at=now,
            trusted=self._log.trusted,
            served=self._serves(request.authority),
            ambiguous_path=is_doubtful(request.target) and _gives_lifetimes(exchange.policy),
            route=route_part(self._gateway().routes, request, exchange.matched),
            key=key_part(exchange),
            stored=self._stored_part(exchange, seen, chosen),
            reuse=reuse_part(exchange.verdict),
            storing=storing,
            freshness=storing.freshness
            if rests_on is None
            else freshness_part(rests_on.freshness, now),
            vary=() if rests_on is None else tuple(name for name, _ in rests_on.variant),
            tags=() if rests_on is None else rests_on.tags,
            purges=self._purges(exchange, rests_on),
            purges_on_success=_purged_by(exchange),
        )


def _recalled(name: str, at: float, decision: Decision) -> Explanation:
    """A past request, from what is kept of it."""
    then = None if decision.freshness is None else freshness_part(decision.freshness, at)
    status = decision.cache_status
    if status.hit and decision.freshness is not None:  # given again, its ttl is of the first time
        status = status._replace(ttl=int(decision.freshness.ttl(at)))
    return Explanation(
        mode=Mode.PAST,
        method=decision.method,
        uri=decision.uri,
        request_id=name,
        at=at,
        route=RoutePart(name=decision.route, captured={}),
        key=KeyPart(hash=decision.key, url=""),
        reuse=reuse_part(decision.verdict),
        storing=_storing_then(at, decision),
        freshness=then,
        answer=AnswerPart(
            status=decision.status,
            cache_status=status.render(),
            detail=None if status.detail is None else why(status.detail),
            collapsed=status.collapsed,
            origin_status=status.forward_status,
        ),
        vary=decision.vary,
        tags=decision.tags,
    )


def _storing_then(at: float, decision: Decision) -> StoringPart:
    """What was decided of storing when the origin last answered."""
    if decision.not_stored is not None:
        return StoringPart(stored=False, why=why(decision.not_stored), at=at)
    if isinstance(decision.verdict, Bypass) and decision.verdict.reason is not Reason.METHOD:
        return StoringPart(stored=False, why=why(decision.verdict.reason), at=at)
    if decision.freshness is None:
        return StoringPart(at=at)
    return StoringPart(
        stored=True,
        why=why(Reason.STORED),
        at=at,
        freshness=freshness_part(decision.freshness, at),
    )


def _gives_lifetimes(policy: Policy) -> bool:
    return bool(policy.ttl or policy.default_ttl or policy.negative_ttl)


def _purged_by(exchange: Exchange) -> tuple[str, ...]:
    """What a successful unsafe request purges: its URL (§4.4), and what its route says.

    A template that the request alone does not fill stands as it is.
    """
    if not is_unsafe(exchange.request):
        return ()
    query, values = exchange.request.target.partition("?")[2], exchange.matched.variables
    tags: list[str] = []
    for template in exchange.matched.route.purge:
        filled = expand_tag(template, values, query, Headers())
        tags += [template] if isinstance(filled, InvalidTags) else filled or [template]
    return (url_scope(exchange.key.url), *map(tag_scope, tags))


def _add(seen: list[Seen], shared: Seen) -> None:
    """Put a shared entry beside those in memory, or in place of an older one of its variant."""
    response = shared.entry.response
    for number, one in enumerate(seen):
        ours = one.entry.response
        if ours.variant == response.variant:
            if ours.request_time < response.request_time:
                seen[number] = shared
            return
    seen.append(shared)


def _names_of(extra: str) -> str:
    """What the extra part of a key is made of, less its values."""
    lines = filter(None, extra.split("\n"))
    return ", ".join(
        line.partition("=" if line.startswith("cookie ") else ": ")[0] for line in lines
    )


def _incoming(request: Request) -> Incoming:
    return Incoming(request, Client("", (1, 1)), None, _no_interim)


def _no_interim(_status: int, _reason: str, _headers: Headers) -> None:
    """Nobody waits for a 1xx."""
