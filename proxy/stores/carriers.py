"""Which of what is in memory carries which tag: so that a purge by tag finds its memory."""

from collections.abc import Collection
from typing import Generic, TypeVar

T = TypeVar("T")


class Carriers(Generic[T]):
    """An index from tags to what carries them; it holds nothing for tags that nobody carries."""

    def __init__(self) -> None:
        # Most tags name one thing: a set of one would take more than all else that a tag costs.
        self._lone: dict[str, T] = {}
        self._many: dict[str, set[T]] = {}

    def add(self, tag: str, carrier: T) -> None:
        """Note it; once is enough."""
        if (many := self._many.get(tag)) is not None:
            many.add(carrier)
        elif (lone := self._lone.setdefault(tag, carrier)) is not carrier:
            self._many[tag] = {lone, carrier}
            del self._lone[tag]

    def discard(self, tag: str, carrier: T) -> None:
        """It does not carry the tag any more."""
        if (many := self._many.get(tag)) is not None:
            many.discard(carrier)
            if not many:
                del self._many[tag]
        elif self._lone.get(tag) is carrier:
            del self._lone[tag]

    def of(self, tag: str) -> Collection[T]:
        """All that carry it."""
        return [self._lone[tag]] if tag in self._lone else self._many.get(tag, ())

    def counts(self) -> dict[str, int]:
        """How many carry each tag."""
        return dict.fromkeys(self._lone, 1) | {tag: len(many) for tag, many in self._many.items()}
