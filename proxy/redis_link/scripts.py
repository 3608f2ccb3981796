"""Lua that runs inside Redis: sent by its digest, in full only where the server lacks it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any

from redis.exceptions import NoScriptError

from proxy.redis_link.client import Client
from proxy.redis_link.cluster import Word


@dataclass(frozen=True, slots=True)
class Script:
    """A script; all its keys must share one hash slot."""

    source: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)

    async def run(self, client: Client, keys: Sequence[str], words: Sequence[Word] = ()) -> Any:
        """Run it; a server that has restarted or was failed over to gets the source again."""
        try:
            return await client.execute_command(*self.by_digest(keys, words))
        except NoScriptError:
            return await client.execute_command(*self.in_full(keys, words))

    def by_digest(self, keys: Sequence[str], words: Sequence[Word]) -> Sequence[Word]:
        """The command for a server that knows it."""
        return ("EVALSHA", self.digest, len(keys), *keys, *words)

    def in_full(self, keys: Sequence[str], words: Sequence[Word]) -> Sequence[Word]:
        """The command for any."""
        return ("EVAL", self.source, len(keys), *keys, *words)
