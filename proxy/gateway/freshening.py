"""What the origin's answer to a conditional request does to what is stored (§4.3.3 to §4.3.5)."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import assert_never

from proxy.gateway.landing import tags_to_store
from proxy.gateway.steps import Exchange, Fetched
from proxy.rfc9111 import validation
from proxy.rfc9111.stored import StoredResponse
from proxy.stores import Entry, Store
from proxy.tags import InvalidTags

_WITHDRAWN = frozenset({403, 404, 410, 451})
"""The errors of a client's that are about the resource; the others are about its request."""


@dataclass(frozen=True, slots=True)
class Validated:
    """A stored response that the origin has confirmed.

    Attributes:
        entry: What answers the request that asked.
        stored: Whether it was stored, for others too.
    """

    entry: Entry
    stored: bool


class Freshening:
    """Freshens or drops stored responses that the origin was asked about."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def freshen(self, exchange: Exchange, entry: Entry, fetched: Fetched) -> Validated | None:
        """Update what a 304 is about (§4.3.4); None when it is about something else."""
        old = entry.response
        if not validation.confirms(fetched.response, old):
            return None
        now = validation.confirmed(
            exchange.request, old, fetched.response, exchange.policy, **fetched.times
        )
        freshened = validation.freshen(
            exchange.request, old, fetched.response, exchange.policy, **fetched.times
        )
        stored = False
        if freshened is None:
            await self._store.remove(exchange.key, entry)
        elif freshened is not old:
            stored = await self._renew(exchange, entry, freshened, fetched)
        return Validated(Entry(now, entry.body), stored)

    async def supersede(self, exchange: Exchange, old: Entry, fetched: Fetched) -> None:
        """A full answer that is not stored came in place of a 304: `old` has had its day.

        A HEAD only tells about the stored GET (§4.3.5); errors of the server's, or about this
        client's request (401, 429, ...), tell nothing about it.
        """
        status = fetched.response.status
        if status >= HTTPStatus.BAD_REQUEST and status not in _WITHDRAWN:
            return
        if exchange.request.method != "HEAD":
            await self._store.remove(exchange.key, old)
            return
        update = validation.update_from_head(
            exchange.request,
            old.response,
            len(old.body),
            fetched.response,
            exchange.policy,
            **fetched.times,
        )
        match update:
            case validation.Freshened(stored=stored):
                await self._renew(exchange, old, stored, fetched)
            case validation.Invalidated():
                await self._store.remove(exchange.key, old)
            case validation.Untouched():
                pass
            case _:
                assert_never(update)

    async def _renew(
        self, exchange: Exchange, old: Entry, freshened: StoredResponse, fetched: Fetched
    ) -> bool:
        """Store `old` with its new head, under the tags that this names; whether it was kept."""
        tags = tags_to_store(exchange, freshened.headers)
        if isinstance(tags, InvalidTags):
            await self._store.remove(exchange.key, old)
            return False
        renewed = Entry(freshened.with_changes(born=fetched.born, tags=tags), old.body)
        return await self._store.put(exchange.key, renewed, replaces=old) is None
