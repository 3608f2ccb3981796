"""What a successful unsafe request makes every process forget (§4.4, RFC 9875, routes)."""

from collections.abc import Sequence

from proxy.events import Emit, PurgeIncomplete
from proxy.gateway.landing import tags_to_store
from proxy.gateway.steps import Exchange, Fetched
from proxy.origin import OriginError
from proxy.purging import (
    LogUnreachable,
    Mode,
    PurgeLog,
    Softened,
    Valid,
    group_scope,
    scopes_of,
    tag_scope,
    url_scope,
)
from proxy.rfc9111 import groups, invalidation, keys
from proxy.rfc9111.messages import Headers, Request
from proxy.routes import RouteTable
from proxy.tags import InvalidTags, expand_tag


class Invalidator:
    """Purges what an origin's answer says has changed.

    Args:
        wait: Seconds that the answer to a write waits for the other processes to forget, too.
    """

    def __init__(self, log: PurgeLog, routes: RouteTable, wait: float, emit: Emit) -> None:
        self._log = log
        self._emit = emit
        self._key_policies = routes.key_policies
        self._wait = wait

    async def invalidate(self, exchange: Exchange, fetched: Fetched, gets: Exchange) -> Fetched:
        """Forget what a request may have changed; `fetched`, perhaps born again.

        The answer to the request itself is newer than the change it made. So it counts as born
        after the purge, unless it was purged by another while it was on its way.

        Args:
            exchange: The request.
            fetched: Its answer.
            gets: The request as the GETs that its answer may be stored for.
        """
        request, response = exchange.request, fetched.response
        uris = invalidation.invalidated_uris(request, response)
        names = groups.invalidated_groups(request, response)
        if not uris and not names:
            return fetched
        tags = self._purged_tags(exchange, response.headers) if uris else ()
        before = self._log.state.position if self._is_current(gets, fetched) else None
        seq = await self._forget(request, uris, names, tags)
        return fetched._replace(born=seq) if before is not None and seq == before + 1 else fetched

    def _is_current(self, gets: Exchange, fetched: Fetched) -> bool:
        """Whether nothing of the answer was purged while it was on its way."""
        headers = fetched.response.headers
        tags = tags_to_store(gets, headers)
        if isinstance(tags, InvalidTags):
            return False
        scopes = scopes_of(gets.key.url, tags, groups.parse_groups(headers))
        judgement = self._log.state.judge(fetched.born, gets.key.url, scopes)
        return isinstance(judgement, Valid | Softened)

    async def suspect(self, exchange: Exchange, error: OriginError) -> None:
        """Forget what a request may have changed though no answer came.

        Whoever then looks whether the write has happened is not to see what was before it.
        """
        uris = invalidation.suspect_uris(exchange.request)
        if uris and not error.unsent:
            tags = self._purged_tags(exchange, Headers())
            await self._forget(exchange.request, uris, (), tags)

    def suspect_cut(self, exchange: Exchange) -> None:
        """The same for a request that was cut off by our own end: there is no time to wait."""
        uris = invalidation.suspect_uris(exchange.request)
        if uris:
            tags = self._purged_tags(exchange, Headers())
            scopes = self._scopes(exchange.request, uris, (), tags)
            self._log.append_later(scopes, Mode.HARD)

    async def _forget(
        self, request: Request, uris: Sequence[str], names: Sequence[str], tags: Sequence[str]
    ) -> int | None:
        """Purge these; the purge's number, None where only this process could be told so far."""
        scopes = self._scopes(request, uris, names, tags)
        if not self._log.trusted:  # it is away: nobody should wait to learn so again
            self._log.append_later(scopes, Mode.HARD)
            return None
        try:
            seq = await self._log.append(scopes, Mode.HARD)
            await self._log.wait(seq, self._wait)
        except LogUnreachable:
            self._log.append_later(scopes, Mode.HARD)
            return None
        return seq

    def _scopes(
        self, request: Request, uris: Sequence[str], names: Sequence[str], tags: Sequence[str]
    ) -> list[str]:
        origin = f"{request.scheme}://{request.authority}"
        return [
            *map(url_scope, self._urls(uris)),
            *(group_scope(origin, name) for name in names),
            *map(tag_scope, tags),
        ]

    def _urls(self, uris: Sequence[str]) -> set[str]:
        """A URI may be stored under a different key on each route."""
        return {keys.uri_key(uri, policy) for uri in uris for policy in self._key_policies}

    def _purged_tags(self, exchange: Exchange, headers: Headers) -> tuple[str, ...]:
        """Tags that the route purges; a template that cannot be filled names none, and is told."""
        matched = exchange.matched
        query = exchange.request.target.partition("?")[2]
        tags: dict[str, None] = {}
        for template in matched.route.purge:
            expanded = expand_tag(template, matched.variables, query, headers)
            if isinstance(expanded, InvalidTags):
                self._emit(PurgeIncomplete(exchange.uri, expanded.reason))
            elif not expanded:
                self._emit(PurgeIncomplete(exchange.uri, f"{template!r} names nothing here"))
            else:
                tags.update(dict.fromkeys(expanded))
        return tuple(tags)
