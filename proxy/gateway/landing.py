"""From an origin's answer to an entry in the store."""

from collections.abc import Sequence

from proxy.events import Emit, NotStored
from proxy.gateway.steps import Exchange, Fetched
from proxy.rfc9111 import groups, ranges, storing
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import ByteRange, StoredResponse
from proxy.routes import expand
from proxy.stores import Entry, Store


class Landing:
    """Decides what is stored, and stores it.

    Args:
        max_object_size: Bytes of body above which a response is not stored.
    """

    def __init__(self, store: Store, max_object_size: int, emit: Emit) -> None:
        self._store = store
        self.max_object_size = max_object_size
        self._emit = emit

    def decide(self, exchange: Exchange, fetched: Fetched) -> storing.StorageDecision:
        """What §3 says, and whether an announced length fits."""
        decision = storing.decide(
            exchange.request,
            fetched.response,
            exchange.policy,
            request_time=fetched.request_time,
            response_time=fetched.response_time,
        )
        if isinstance(decision, storing.Storable):
            length = fetched.origin.length
            if length is not None and length > self.max_object_size:
                return storing.NotStorable(Reason.TOO_LARGE)
        return decision

    async def land(
        self, exchange: Exchange, fetched: Fetched, storable: storing.Storable, body: bytes
    ) -> None:
        """Store a whole body with its head, combined with a stored part where they fit (§3.4)."""
        if storable.part is None:
            entry: Entry | None = Entry(_stored(exchange, fetched, storable), body)
        else:
            held = await self._store.lookup(exchange.key)
            entry = combined(exchange, fetched, storable, storable.part, body=body, held=held)
        if entry is None:
            self.not_landed(exchange, Reason.PARTIAL_UNUSABLE)
        else:
            await self._store.put(exchange.key, entry)

    def not_landed(self, exchange: Exchange, reason: Reason) -> None:
        """A response that was to be stored is not, after all."""
        self._emit(NotStored(exchange.uri, reason))


def combined(
    exchange: Exchange,
    fetched: Fetched,
    storable: storing.Storable,
    announced: ByteRange,
    *,
    body: bytes,
    held: Sequence[Entry],
) -> Entry | None:
    """The entry that a received part makes, joined with what is held of the same variant (§3.4).

    None where the part makes no sense.
    """
    part = ranges.part_of_body(announced, len(body), fetched.response.headers)
    if part is None:
        return None
    stored = _stored(exchange, fetched, storable)
    for entry in held:
        if entry.response.variant != stored.variant:
            continue
        joined = ranges.combine(entry.response, entry.body, part, stored.headers, body)
        if joined is not None:
            part, body = joined
            break
    return Entry(ranges.with_part(stored, part, len(body)), body)


def _stored(exchange: Exchange, fetched: Fetched, storable: storing.Storable) -> StoredResponse:
    variables = exchange.matched.variables
    tags = (expand(template, variables) for template in exchange.matched.route.tags)
    return storing.stored_response(
        exchange.request,
        fetched.response,
        storable,
        request_time=fetched.request_time,
        response_time=fetched.response_time,
        tags=tuple(dict.fromkeys(tag for tag in tags if tag is not None)),
        groups=groups.parse_groups(fetched.response.headers),
        born=fetched.born,
    )
