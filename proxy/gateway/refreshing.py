"""Validating a stale response that has just been served, with no client waiting (RFC 5861 §3)."""

from dataclasses import replace
from http import HTTPStatus

from proxy.background import Background
from proxy.events import Emit, OriginFailed
from proxy.gateway.contacting import Contact
from proxy.gateway.filling import Filling
from proxy.gateway.freshening import Freshening
from proxy.gateway.landing import Landing
from proxy.gateway.steps import Exchange, Fetched
from proxy.origin import OriginError
from proxy.rfc9111 import reuse, storing, validation
from proxy.rfc9111.directives import request_directives
from proxy.rfc9111.messages import Headers
from proxy.stores import Entry, Store

_CONDITIONS = frozenset({"if-none-match", "if-modified-since", "if-range", "range"})


class Refresher:
    """Refreshes entries in the background, one refresh at a time for each."""

    def __init__(
        self,
        *,
        store: Store,
        contact: Contact,
        freshening: Freshening,
        landing: Landing,
        background: Background,
        emit: Emit,
    ) -> None:
        self._store = store
        self._contact = contact
        self._freshening = freshening
        self._landing = landing
        self._background = background
        self._emit = emit

    def start(self, exchange: Exchange, entry: Entry) -> None:
        """Refresh `entry` with the request that it has just answered, made one for the whole."""
        if request_directives(exchange.request.headers).no_store:
            return  # nothing of an answer to this client may be stored: the next one refreshes
        key = ("refresh", exchange.key, entry.response.variant)
        self._background.start(key, self._refresh(_for_the_whole(exchange), entry))

    async def _refresh(self, exchange: Exchange, entry: Entry) -> None:
        if entry not in await self._store.lookup(exchange.key):
            return  # replaced or invalidated in the meantime
        headers = exchange.request.headers
        conditional = validation.conditional_headers(headers, entry.response)
        try:
            fetched = await self._contact.ask(
                exchange, conditional or headers, validates=conditional is not None
            )
        except OriginError as error:
            self._emit(OriginFailed(exchange.uri, error.reason, error.detail))
            return
        try:
            await self._use(exchange, entry, fetched)
        finally:
            await fetched.origin.aclose()

    async def _use(self, exchange: Exchange, entry: Entry, fetched: Fetched) -> None:
        status = fetched.response.status
        if status in reuse.STALE_IF_ERROR_STATUSES:
            return  # the stale response is better than an error, for as long as it lasts
        if status == HTTPStatus.NOT_MODIFIED:
            if await self._freshening.freshen(exchange, entry, fetched) is None:
                await self._store.remove(exchange.key, entry)
            return
        stored = self._landing.decide(exchange, fetched)
        if isinstance(stored, storing.NotStorable):
            await self._freshening.supersede(exchange, entry, fetched)
            return
        body = await self._landing.fill(exchange, fetched, stored, replaces=entry)
        if isinstance(body, Filling):
            await body.finish()


def _for_the_whole(exchange: Exchange) -> Exchange:
    """The same request as an unconditional GET that nobody waits for."""
    request = exchange.request
    headers = Headers(
        (name, value) for name, value in request.headers.items() if name.lower() not in _CONDITIONS
    )
    incoming = replace(
        exchange.incoming,
        request=replace(request, method="GET", headers=headers),
        body=None,
        send_interim=_ignore_interim,
    )
    return replace(exchange, incoming=incoming, flight=None)


def _ignore_interim(status: int, reason: str, headers: Headers) -> None:
    """Nobody waits for a 1xx in the background."""
