"""From an origin's answer to an entry in the store."""

from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from proxy.background import Background
from proxy.events import Emit, NotStored, TagsRefused
from proxy.exchange import BodyAborted
from proxy.gateway.filling import Filling
from proxy.gateway.steps import Exchange, Fetched
from proxy.origin import OriginResponse
from proxy.rfc9111 import groups, parts, storing, validation
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import ByteRange, StoredResponse
from proxy.stores import Entry, Filled, Store
from proxy.tags import InvalidTags, Tags, response_tags


class Landing:
    """Decides what is stored, and stores it.

    Args:
        max_object_size: Bytes of body above which a response is not stored.
    """

    def __init__(
        self, store: Store, max_object_size: int, background: Background, emit: Emit
    ) -> None:
        self._store = store
        self._max_object_size = max_object_size
        self._background = background
        self._emit = emit

    def decide(self, exchange: Exchange, fetched: Fetched) -> StoredResponse | storing.NotStorable:
        """What §3 says, whether an announced length fits, and whether the tags make sense.

        Returns:
            The head of what is to be stored, where it may be.
        """
        decision = storing.decide(
            exchange.request, fetched.response, exchange.policy, **fetched.times
        )
        if isinstance(decision, storing.NotStorable):
            return decision
        length = fetched.origin.length
        if length is not None and length > self._max_object_size:
            return storing.NotStorable(Reason.TOO_LARGE)
        tags = tags_to_store(exchange, fetched.response.headers)
        if isinstance(tags, InvalidTags):
            self._emit(TagsRefused(exchange.uri, tags.reason))
            return storing.NotStorable(Reason.INVALID_TAGS)
        return storing.stored_response(
            fetched.response,
            decision,
            **fetched.times,
            tags=tags,
            groups=groups.parse_groups(fetched.response.headers),
            born=fetched.born,
        )

    async def fill(
        self,
        exchange: Exchange,
        fetched: Fetched,
        stored: StoredResponse,
        *,
        replaces: Entry | None = None,
    ) -> Filling | Reason | None:
        """Store an answer: as its body passes, or at once where that is here.

        Args:
            exchange: The request.
            fetched: Its answer.
            stored: Its head, with the part that its body is announced to be.
            replaces: A stored response that goes when this one lands, and not before: as long as
                it may be used, others are better off with it than with nothing.

        Returns:
            The body for the client, if it is still to come; else why the answer was not stored,
            None where it was.
        """
        whole = b"" if fetched.origin.length == 0 else fetched.origin.content
        if whole is not None:
            return await self._land(exchange, fetched, stored, replaces, whole)
        return Filling(
            fetched.origin,
            self._max_object_size,
            land=partial(self._land, exchange, fetched, stored, replaces),
            not_landed=partial(self._not_landed, exchange),
            finish_later=partial(self._finish_later, exchange),
        )

    def land_now(self, exchange: Exchange, stored: StoredResponse, body: bytes) -> Reason | None:
        """Store a whole answer that is here, in a store where nothing waits; see Store.put."""
        store = self._store.at_once
        assert store is not None  # noqa: S101 - whoever calls this has looked
        refusal = store.put_now(exchange.key, Entry(stored, body))
        self._landed(exchange, refusal)
        return refusal

    async def complete(
        self, exchange: Exchange, held: Entry, fetched: Fetched
    ) -> tuple[Entry, bool] | None:
        """The whole of `held` and the rest that was fetched, and whether it could be stored.

        None if they do not fit.
        """
        stored = self.decide(exchange, fetched)
        if isinstance(stored, storing.NotStorable) or stored.part is None:
            await fetched.origin.aclose()
            return None
        try:
            body = await _read(fetched.origin, self._max_object_size - len(held.body))
        except BodyAborted:
            return None
        if body is None:
            return None
        entry = self._combined(fetched, stored, stored.part, body=body, held=[held])
        if entry is None or entry.response.part is not None:
            return None
        refused = await self._store.put(exchange.key, entry, replaces=held)
        return entry, refused is None

    async def _land(
        self,
        exchange: Exchange,
        fetched: Fetched,
        stored: StoredResponse,
        replaces: Entry | None,
        body: bytes,
    ) -> Reason | None:
        """Store a whole body with its head, combined with a stored part where they fit (§3.4).

        Why it was not, None where it was.
        """
        entry: Entry | None
        if stored.part is None:
            entry = Entry(stored, body)
        else:
            held = [one for one in await self._store.lookup(exchange.key) if one is not replaces]
            entry = self._combined(fetched, stored, stored.part, body=body, held=held)
            if entry is not None and any(_has_more(one, entry, fetched) for one in held):
                _end_flight(exchange, Filled.STORED)
                return None
        refusal: Reason | None = Reason.PARTIAL_UNUSABLE
        if entry is not None:
            refusal = await self._store.put(exchange.key, entry, replaces=replaces)
        self._landed(exchange, refusal)
        return refusal

    def _combined(
        self,
        fetched: Fetched,
        stored: StoredResponse,
        announced: ByteRange,
        *,
        body: bytes,
        held: Sequence[Entry],
    ) -> Entry | None:
        """The entry that a received part makes, joined with what is held of its variant (§3.4).

        None where the part makes no sense.
        """
        part = parts.part_of_body(announced, len(body), fetched.response.headers)
        if part is None:
            return None
        for entry in held:
            if entry.response.variant != stored.variant:
                continue
            joined = parts.combine(entry.response, entry.body, part, stored.headers, body)
            if joined is not None and len(joined[1]) <= self._max_object_size:
                part, body = joined
                # A 206 to If-Range leaves out what the client has (RFC 9110 §15.3.7).
                headers = validation.updated_headers(entry.response.headers, stored.headers)
                stored = stored.with_changes(headers=headers)
                break
        return Entry(parts.with_part(stored, part, len(body)), body)

    def _landed(self, exchange: Exchange, refusal: Reason | None) -> None:
        if refusal is None:
            _end_flight(exchange, Filled.STORED)
        else:
            self._not_landed(exchange, refusal)

    def _not_landed(self, exchange: Exchange, reason: Reason) -> None:
        too_large = reason is Reason.TOO_LARGE  # for the next one, too
        _end_flight(exchange, Filled.UNSTORABLE if too_large else Filled.FAILED)
        self._emit(NotStored(exchange.uri, reason))

    def _finish_later(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> bool:
        return self._background.start(("fill", exchange.key, id(exchange)), work)


def _has_more(held: Entry, part: Entry, fetched: Fetched) -> bool:
    """Whether `held` is the whole of what `part` is of, and fresh: it came in the meantime."""
    one, other = held.response, part.response
    return (
        one.part is None
        and other.part is not None
        and one.variant == other.variant
        and one.headers.get("ETag") == other.headers.get("ETag")
        and one.freshness.ttl(fetched.response_time) > 0
    )


def tags_to_store(exchange: Exchange, headers: Headers) -> Tags | InvalidTags:
    """The tags of a response with these headers: its route's and its own."""
    matched = exchange.matched
    query = exchange.request.target.partition("?")[2]
    return response_tags(matched.route.tags, matched.variables, query, headers)


def _end_flight(exchange: Exchange, filled: Filled) -> None:
    """Let those go on that wait for this fill, if anybody does."""
    flight, exchange.flight = exchange.flight, None
    if flight is not None:
        flight.filled = filled
        flight.end()


async def _read(origin: OriginResponse, limit: int) -> bytes | None:
    """The whole body, None when it is longer than `limit`. Raises BodyAborted."""
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in origin.body:
            size += len(piece)
            if size > limit:
                return None
            pieces.append(piece)
    finally:
        await origin.aclose()
    return b"".join(pieces)
