"""The purge log as its users see it."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from proxy.purging.state import Judgement, Mode, Purge, PurgeState

_PATTERN_LENGTH = 1024


class LogUnreachable(Exception):  # noqa: N818 - the state is the name
    """The log could not be asked or told; the message says why, for operators.

    A purge that raised it may have been recorded all the same: doing it again does no harm.
    """


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who has applied a purge.

    Attributes:
        acked: Live processes that have applied it.
        nodes: Live processes.
        pending: Names of what is still waited for; () makes the purge a promise kept.
    """

    seq: int
    acked: int
    nodes: int
    pending: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nobody answers with anything older any more."""
        return not self.pending


@dataclass(frozen=True, slots=True)
class Node:
    """A live process that reads the log, as last seen from here.

    Attributes:
        position: Number of the last purge it has published as applied.
        silent: Seconds since it was seen to publish anything.
    """

    name: str
    position: int
    silent: float


class PurgeLog(Protocol):
    """An ever-growing, numbered list of purges that every process applies in order.

    How to keep the promise with it:

    1. `born` of an entry is `state.position`, read before the origin is contacted for it, or
       before it is validated; it never changes afterwards, whatever tier the entry moves to.
    2. Before an entry is used: `await judge(...)` (or `state.judge(...)` for one kept in this
       process, where Unknown means judge), and only then, with no await before the answer,
       look at `trusted`.
    3. Whatever this process keeps is dropped by `on_reset`; what was on its way to be kept is
       judged when it arrives.

    Attributes:
        state: What this process knows.
        on_reset: Called when purges may have been missed: drop all that is kept here.
        on_purge: Called with each purge as it is applied, to free memory early.
    """

    state: PurgeState
    on_reset: list[Callable[[], None]]
    on_purge: list[Callable[[Purge], None]]

    @property
    def trusted(self) -> bool:
        """Whether no purge can have been acknowledged that this process has not applied."""
        ...

    @property
    def age(self) -> float:
        """Seconds since the log was last read to its end; inf where it never was."""
        ...

    @property
    def nodes(self) -> Sequence[Node]:
        """Who reads this log, by name; () where only this process can."""
        ...

    async def start(self) -> None:
        """Begin to read the log; returns when it has been read once or is found unreachable."""
        ...

    async def close(self) -> None:
        """Stop, and tell the others not to wait for this process."""
        ...

    async def append(self, scopes: Iterable[str], mode: Mode, pattern: str | None = None) -> int:
        """Record a purge; on return it is applied in this process.

        Returns:
            Its number.

        Raises:
            LogUnreachable: It may not have been recorded.
            ValueError: The pattern is no usable regular expression.
        """
        ...

    def append_later(self, scopes: Iterable[str], mode: Mode) -> None:
        """Forget these here at once, and record the purge as soon as the log can be told.

        Nobody is promised anything: it is lost with the process.
        """
        ...

    async def judge(self, born: int, url: str, scopes: Sequence[str]) -> Judgement:
        """What is to be held of an entry, see `PurgeState.judge`.

        Unknown, as long as the log cannot be asked where that is needed, or is not trusted.
        """
        ...

    async def wait(self, seq: int, timeout: float) -> Acknowledgement:  # noqa: ASYNC109 - no failure
        """Wait up to `timeout` seconds until all live processes have applied purge `seq`.

        Raises:
            LogUnreachable: In all that time nobody could be asked.
        """
        ...


def check_pattern(pattern: str) -> None:
    """Whether a regular expression may be used for a purge.

    Raises:
        ValueError: It may not, with the reason.
    """
    if len(pattern) > _PATTERN_LENGTH:
        raise ValueError(f"a pattern may have {_PATTERN_LENGTH} characters, not {len(pattern)}")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
