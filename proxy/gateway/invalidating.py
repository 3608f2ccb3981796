"""What a successful unsafe request makes the store forget (§4.4, RFC 9875)."""

from dataclasses import replace

from proxy.gateway.steps import Fetched
from proxy.rfc9111 import groups, invalidation, keys
from proxy.rfc9111.messages import Headers, Request
from proxy.routes import RouteTable
from proxy.stores import CacheKey, Store
from proxy.stores.entry import group_scope


class Invalidator:
    """Forgets URLs and groups that an origin's answer says have changed."""

    def __init__(self, store: Store, routes: RouteTable) -> None:
        self._store = store
        self._key_policies = routes.key_policies

    async def invalidate(self, request: Request, fetched: Fetched) -> Fetched:
        """Forget what `request` may have changed; `fetched`, perhaps born again.

        The answer to the request itself is newer than the change it made. So it counts as born
        after the invalidation, unless something else was invalidated while it was on its way.
        """
        uris = invalidation.invalidated_uris(request, fetched.response)
        names = groups.invalidated_groups(request, fetched.response)
        if not uris and not names:
            return fetched
        origin = f"{request.scheme}://{request.authority}"
        undisturbed = self._store.sequence() == fetched.born
        await self._store.invalidate(
            {url for uri in uris for url in self._url_keys(origin, request, uri)},
            [group_scope(origin, name) for name in names],
        )
        return replace(fetched, born=self._store.sequence()) if undisturbed else fetched

    def _url_keys(self, origin: str, request: Request, uri: str) -> set[str]:
        """Every key under which `uri`, of the same origin, may be stored on any route."""
        target = uri.removeprefix(origin) or "/"
        get = Request("GET", request.scheme, request.authority, target, Headers())
        return {CacheKey.of(keys.primary_key(get, policy)).url for policy in self._key_policies}
