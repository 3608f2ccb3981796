"""Who reads a log in Redis, and how far each has come; see `redis_log` for who waits for whom."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.purging import replies, scripts
from proxy.purging.commands import Commands, new_id
from proxy.purging.log import Acknowledgement, Node
from proxy.purging.timing import Timing

UNSETTLED: Final = "whoever read the log before it began anew"
"""What is pending while processes from before a cut may still trust what they know."""


@dataclass(slots=True)
class _Observed:
    """What another process last published, and since when that has not changed."""

    record: str
    since: float


class Readers:
    """All processes that read one log, by what they publish there.

    Args:
        commands: To that log.
        name: That of this process.
        clock: Steady seconds.

    Attributes:
        seen_at: When they were last looked at.
    """

    def __init__(self, commands: Commands, name: str, clock: Callable[[], float]) -> None:
        self._commands = commands
        self._name = name
        self._clock = clock
        self._observed: dict[str, _Observed] = {}
        self.seen_at = float("-inf")

    @property
    def nodes(self) -> Sequence[Node]:
        """All that were there when they were last looked at."""
        now = self._clock()
        return [
            Node(name, replies.position(seen.record), now - seen.since)
            for name, seen in sorted(self._observed.items())
        ]

    def forget(self) -> None:
        """The log is another one."""
        self._observed.clear()

    async def acknowledgement(self, seq: int, timing: Timing) -> Acknowledgement:
        """Who has applied a purge by now.

        Raises:
            LogUnreachable: Nobody knows.
        """
        records, settled = await self.look(timing)
        ahead = [name for name, record in records.items() if replies.position(record) >= seq]
        pending = [name for name in records if name not in ahead]
        if self._name not in records:
            pending.append(self._name)
        if not settled:
            pending.append(UNSETTLED)
        return Acknowledgement(seq, len(ahead), len(records), tuple(pending))

    async def look(self, timing: Timing) -> tuple[dict[str, str], bool]:
        """What each has published, by its name; and whether nobody is left from before a cut.

        Those silent for `expiry` are forgotten, in Redis too.

        Raises:
            LogUnreachable: Nobody knows.
        """
        now = self._clock()
        silent = [
            word
            for name, seen in self._observed.items()
            if name != self._name and now - seen.since >= timing.expiry
            for word in (name, seen.record)
        ]
        reply = await self._commands.run(
            scripts.STATUS, new_id(), *silent, patience=timing.patience
        )
        with replies.reading():
            words = [replies.text(word) for word in reply[3]]
            records = dict(zip(words[::2], words[1::2], strict=True))
            settled = bool(int(reply[2]))
            for record in records.values():
                replies.position(record)
        self._observe(records)
        return records, settled

    def _observe(self, records: dict[str, str]) -> None:
        now = self.seen_at = self._clock()
        for name in self._observed.keys() - records.keys():
            del self._observed[name]
        for name, record in records.items():
            seen = self._observed.get(name)
            if seen is None or seen.record != record:
                self._observed[name] = _Observed(record, now)
