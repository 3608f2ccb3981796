"""The purge log of a single process: what it has not seen itself did not happen."""

from collections.abc import Callable, Iterable, Sequence

from proxy.purging.log import Acknowledgement, Node, check_pattern
from proxy.purging.state import Invalid, Judgement, Limits, Mode, Purge, PurgeState, Unknown


class MemoryPurgeLog:
    """See `PurgeLog`; nothing here ever waits or fails.

    Attributes:
        trusted: Always.
        age: 0, as there is nothing to read.
        nodes: None to speak of.
    """

    def __init__(self, clock: Callable[[], float], limits: Limits | None = None) -> None:
        self.state = PurgeState(limits)
        self.trusted = True
        self.age = 0.0
        self.on_reset: list[Callable[[], None]] = []
        self.on_purge: list[Callable[[Purge], None]] = []
        self.nodes: Sequence[Node] = ()
        self._clock = clock

    async def start(self) -> None:
        """See PurgeLog."""

    async def close(self) -> None:
        """See PurgeLog."""

    async def append(self, scopes: Iterable[str], mode: Mode, pattern: str | None = None) -> int:
        """See PurgeLog."""
        if pattern is not None:
            check_pattern(pattern)
        return self._record(tuple(scopes), mode, pattern)

    def append_later(self, scopes: Iterable[str], mode: Mode) -> None:
        """See PurgeLog; there is no later."""
        self._record(tuple(scopes), mode, None)

    async def judge(self, born: int, url: str, scopes: Sequence[str]) -> Judgement:
        """See PurgeLog; what is too old to be known is not valid."""
        judgement = self.state.judge(born, url, scopes)
        return Invalid() if isinstance(judgement, Unknown) else judgement

    async def wait(self, seq: int, timeout: float) -> Acknowledgement:  # noqa: ARG002, ASYNC109
        """See PurgeLog."""
        return Acknowledgement(seq, acked=1, nodes=1)

    def _record(self, scopes: tuple[str, ...], mode: Mode, pattern: str | None) -> int:
        purge = Purge(self.state.position + 1, scopes, mode, self._clock(), pattern)
        self.state.apply(purge)
        for callback in self.on_purge:
            callback(purge)
        return purge.seq
