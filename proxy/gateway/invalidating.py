"""What a successful unsafe request makes the store forget (§4.4, RFC 9875)."""

from collections.abc import Sequence
from dataclasses import replace

from proxy.gateway.steps import Fetched
from proxy.origin import OriginError
from proxy.rfc9111 import groups, invalidation, keys
from proxy.rfc9111.messages import Request
from proxy.rfc9111.reasons import Reason
from proxy.routes import RouteTable
from proxy.stores import Store
from proxy.stores.entry import group_scope

_NEVER_SENT = frozenset(
    {
        Reason.ORIGIN_REFUSED,
        Reason.ORIGIN_UNREACHABLE,
        Reason.ORIGIN_TLS,
        Reason.ORIGIN_CONNECT_TIMEOUT,
    }
)


class Invalidator:
    """Forgets URLs and groups that an origin's answer says have changed."""

    def __init__(self, store: Store, routes: RouteTable) -> None:
        self._store = store
        self._key_policies = routes.key_policies

    async def invalidate(self, request: Request, fetched: Fetched) -> Fetched:
        """Forget what `request` may have changed; `fetched`, perhaps born again.

        The answer to the request itself is newer than the change it made. So it counts as born
        after the invalidation, unless another one of it came while it was on its way.
        """
        uris = invalidation.invalidated_uris(request, fetched.response)
        names = groups.invalidated_groups(request, fetched.response)
        if not uris and not names:
            return fetched
        own = groups.parse_groups(fetched.response.headers)
        undisturbed = self._store.permits(
            fetched.born, self._urls([request.uri]) | _group_scopes(request, own)
        )
        await self._forget(request, uris, names)
        return replace(fetched, born=self._store.sequence()) if undisturbed else fetched

    async def suspect(self, request: Request, error: OriginError) -> None:
        """Forget what `request` may have changed though no answer came.

        Whoever then looks whether the write has happened is not to see what was before it.
        """
        uris = invalidation.suspect_uris(request)
        if uris and error.reason not in _NEVER_SENT:
            await self._forget(request, uris, ())

    async def _forget(self, request: Request, uris: Sequence[str], names: Sequence[str]) -> None:
        await self._store.invalidate(self._urls(uris), _group_scopes(request, names))

    def _urls(self, uris: Sequence[str]) -> set[str]:
        """A URI may be stored under a different key on each route."""
        return {keys.uri_key(uri, policy) for uri in uris for policy in self._key_policies}


def _group_scopes(request: Request, names: Sequence[str]) -> set[str]:
    origin = f"{request.scheme}://{request.authority}"
    return {group_scope(origin, name) for name in names}
