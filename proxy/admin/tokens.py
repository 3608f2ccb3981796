"""Who is asking: tokens in every place where known clients put them.

    Authorization: Bearer T                        ours, Cloudflare
    Authorization: Basic base64(anyone:T)          clients that only know http://user:password@host
    Authorization: EG1-HMAC-SHA256 ...access_token=T...   Akamai
    Fastly-Key: T                                  Fastly
    X-Auth-Key: T                                  Cloudflare, before it had tokens
    X-Invalidate-Token: T                          Ibexa's Varnish configuration
    X-API-Key: T                                   everybody else

A request that brings several is judged by the first alone, so that a wrong one is never made good.
"""

import binascii
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.admin.options import Role, TokenSpec
from proxy.rfc9111.messages import Headers

_FIELDS: Final = ("Fastly-Key", "X-API-Key", "X-Auth-Key", "X-Invalidate-Token")
_ACCESS_TOKEN: Final = re.compile(r"(?:^|;)\s*access_token=([^;]*)")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose token is known; `name` is for the log."""

    name: str
    role: Role


class Tokens:
    """The known tokens; only keyed digests of them are kept.

    Raises:
        ValueError: There is none, or one stands there twice.
    """

    def __init__(self, specs: Iterable[TokenSpec]) -> None:
        self._key = secrets.token_bytes(32)
        self._known = [(self._digest(one.token), Caller(one.name, one.role)) for one in specs]
        if not self._known:
            raise ValueError("the admin API needs at least one token")
        if len({digest for digest, _ in self._known}) < len(self._known):
            raise ValueError("the same token stands twice: give each caller its own")

    def caller(self, headers: Headers) -> Caller | None:
        """Whose token a request brings."""
        return self.known(presented(headers) or "")

    def known(self, token: str) -> Caller | None:
        """Whose it is; compares with all, in a time that tells nothing."""
        digest = self._digest(token)
        found: Caller | None = None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._key, token.encode(), "sha256")


def presented(headers: Headers) -> str | None:
    """The token that a request brings, in whatever field."""
    for name in ("Authorization", *_FIELDS):
        lines = headers.getall(name, ())
        if lines:
            value = lines[0] if len(lines) == 1 else ""
            return _authorization(value) if name == "Authorization" else value
    return None


def _authorization(value: str) -> str | None:
    scheme, _, rest = value.partition(" ")
    rest = rest.strip(" ")
    match scheme.lower():
        case "bearer":
            return rest
        case "basic":
            return _password(rest)
        case "eg1-hmac-sha256":
            found = _ACCESS_TOKEN.search(rest)
            return found[1] if found else None
        case _:
            return None


def _password(credentials: str) -> str | None:
    try:
        pair = binascii.a2b_base64(credentials.encode("latin-1"), strict_mode=True)
    except binascii.Error:
        return None
    return pair.decode("latin-1").partition(":")[2]
