"""The last purges that were applied here, for people to see."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from proxy.purging.log import Node, PurgeLog
from proxy.purging.state import Mode, Purge

_KEPT: Final = 50
_NAMED: Final = 3
_LONGEST_NAME: Final = 200


@dataclass(slots=True)
class Noted:
    """One purge, without the most of what it names: that may be thousands.

    Attributes:
        named: The first scopes, and the pattern where there is one.
        names: How many there are.
        entries: How many entries it concerned, where somebody counted.
    """

    seq: int
    at: float
    soft: bool
    named: tuple[str, ...]
    names: int
    entries: int | None = field(default=None)


class RecentPurges:
    """Listens to a log."""

    def __init__(self, log: PurgeLog) -> None:
        self._log = log
        self._purges: deque[Noted] = deque(maxlen=_KEPT)
        log.on_purge.append(self._note)

    def last(self, number: int) -> list[tuple[Noted, Sequence[Node], Sequence[Node]]]:
        """The latest first, each with the processes that have applied it and those that have not.

        A log that only this process reads knows of none.
        """
        nodes = self._log.nodes
        return [
            (
                one,
                [node for node in nodes if node.position >= one.seq],
                [node for node in nodes if node.position < one.seq],
            )
            for one, _ in zip(reversed(self._purges), range(number), strict=False)
        ]

    def counted(self, seq: int, entries: int | None) -> None:
        """Note how many entries a purge concerned."""
        for one in reversed(self._purges):
            if one.seq == seq:
                one.entries = entries
                return

    def _note(self, purge: Purge) -> None:
        pattern = () if purge.pattern is None else (f"pattern:{purge.pattern}",)
        named = (*pattern, *purge.scopes[:_NAMED])
        self._purges.append(
            Noted(
                purge.seq,
                purge.at,
                purge.mode is Mode.SOFT,
                tuple(name[:_LONGEST_NAME] for name in named[:_NAMED]),
                len(pattern) + len(purge.scopes),
            )
        )
