"""What the origin's answer to a conditional request does to what is stored (§4.3.3 to §4.3.5)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import assert_never

from proxy.gateway.steps import Exchange, Fetched
from proxy.rfc9111 import validation
from proxy.stores import Entry, Store


class Freshening:
    """Freshens, replaces or drops stored responses that the origin was asked about."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def freshen(
        self, exchange: Exchange, selected: Entry, entries: Sequence[Entry], fetched: Fetched
    ) -> Entry | None:
        """Update what a 304 validates (§4.3.4); the entry that now answers, None for nothing."""
        chosen = validation.select_for_update(
            fetched.response, [entry.response for entry in entries], selected.response
        )
        answering: Entry | None = None
        for entry in entries:
            if any(entry.response is stored for stored in chosen):
                updated = await self._update(exchange, entry, fetched)
                if answering is None or entry is selected:
                    answering = updated
        return answering

    async def _update(self, exchange: Exchange, entry: Entry, fetched: Fetched) -> Entry:
        """The entry with the 304's fields, stored in place of the old one where that is allowed."""
        old = entry.response
        freshened = validation.freshen(
            exchange.request,
            old,
            fetched.response,
            exchange.policy,
            request_time=fetched.request_time,
            response_time=fetched.response_time,
        )
        if freshened is None or freshened is old:
            # Not to be stored as it is now, yet this client is to see it as it is now.
            if freshened is None:
                await self._store.remove(exchange.key, entry)
            headers = validation.updated_headers(old.headers, fetched.response.headers)
            return Entry(old.with_changes(headers=headers), entry.body)
        updated = Entry(freshened.with_changes(born=fetched.born), entry.body)
        await self._store.put(exchange.key, updated)
        return updated

    async def supersede(self, exchange: Exchange, old: Entry, fetched: Fetched) -> None:
        """A full answer came in place of a 304: the old response has had its day.

        A HEAD only tells about the stored GET (§4.3.5); a server error tells nothing about it.
        """
        if fetched.response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
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
            request_time=fetched.request_time,
            response_time=fetched.response_time,
        )
        match update:
            case validation.Freshened(stored=stored):
                entry = Entry(stored.with_changes(born=fetched.born), old.body)
                await self._store.put(exchange.key, entry)
            case validation.Invalidated():
                await self._store.remove(exchange.key, old)
            case validation.Untouched():
                pass
            case _:
                assert_never(update)
