"""What Redis keys are called.

    wf:1:{<URL>}:e<extra>           hash: the variants under one primary key
    wf:1:{<URL>}:c:<stamp>:<n>      a chunk of a large body
    wf:1:{<URL>}:l<extra>           who fills it, and the channel that says when that is done
    wf:1:{<scope>}:i                sorted set: primary keys by when they expire
    wf:1:{<"tags">}:i               sorted set: tags by when their last entry expires

`<...>` is a digest of 128 bits. What is in braces chooses the hash slot: all of one URL is in one.
"""

from hashlib import blake2b

from proxy.stores.entry import CacheKey


class Names:
    """Names under one prefix, which ends with a colon."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def entries(self, key: CacheKey) -> str:
        """The hash of a primary key's variants."""
        return f"{self._of(key.url)}:e{_extra(key)}"

    def chunks(self, key: CacheKey) -> str:
        """What all chunks' names of one URL begin with; a stamp and a number follow."""
        return f"{self._of(key.url)}:c:"

    def lock(self, key: CacheKey) -> str:
        """The lock of whoever fills this primary key."""
        return f"{self._of(key.url)}:l{_extra(key)}"

    def index(self, scope: str) -> str:
        """The sorted set of what a scope holds."""
        return f"{self._of(scope)}:i"

    def _of(self, text: str) -> str:
        return f"{self._prefix}{{{_digest(text)}}}"


def _extra(key: CacheKey) -> str:
    return f":{_digest(key.extra)}" if key.extra else ""


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
