"""What is wrapped for tracing: all of it at once, so that without it there is nothing to skip."""

from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

from proxy.gateway import Origin
from proxy.server import Respond
from proxy.stores import Store


class Tracing(Protocol):
    """Wraps the parts that answer requests.

    Attributes:
        fields: Requests with one of these, in lower case, must come through `respond`.
    """

    @property
    def fields(self) -> frozenset[str]:
        """See above."""
        ...

    def respond(self, respond: Respond) -> Respond:
        """What answers requests."""
        ...

    def origin(self, origin: Origin) -> Origin:
        """Who answers for the API."""
        ...

    def store(self, store: Store) -> Store:
        """Where responses are kept."""
        ...

    def waiting(self) -> AbstractContextManager[object]:
        """Is entered while a request waits for another one that fetches the same."""
        ...

    async def close(self) -> None:
        """Send what is left."""
        ...


class Untraced:
    """See Tracing: everything stays as it is."""

    fields: Final[frozenset[str]] = frozenset()

    def respond(self, respond: Respond) -> Respond:
        """See Tracing."""
        return respond

    def origin(self, origin: Origin) -> Origin:
        """See Tracing."""
        return origin

    def store(self, store: Store) -> Store:
        """See Tracing."""
        return store

    def waiting(self) -> AbstractContextManager[object]:
        """See Tracing."""
        return nullcontext()

    async def close(self) -> None:
        """See Tracing."""
