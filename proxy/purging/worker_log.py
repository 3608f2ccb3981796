"""The purge log of several workers on one machine: their supervisor numbers, and tells them all.

What a worker appends comes back to it, as to all others, before its number does; each says how far
it has come. A worker whose supervisor is gone can learn of no purge any more: it trusts nothing
from then on, and ends soon.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from proxy.channel import CallFailed, Channel, ChannelLost
from proxy.purging.log import Acknowledgement, LogUnreachable, Node, check_pattern
from proxy.purging.state import Gap, Invalid, Judgement, Limits, Mode, Purge, PurgeState, Unknown

_GRACE = 1.0
"""Seconds beyond the wait that the supervisor gets to say who is still waited for."""


class WorkerPurgeLog:
    """See `PurgeLog`.

    Attributes:
        trusted: See PurgeLog; looked at for each hit, so it is no more than an attribute.
        nodes: None from here: the supervisor knows them.
    """

    def __init__(self, channel: Channel, limits: Limits | None = None) -> None:
        self.state = PurgeState(limits)
        self.on_reset: list[Callable[[], None]] = []
        self.on_purge: list[Callable[[Purge], None]] = []
        self.nodes: Sequence[Node] = ()
        self._channel = channel
        self.trusted = False

    @property
    def age(self) -> float:
        """See PurgeLog: it is told at once, or never."""
        return 0.0 if self.trusted else math.inf

    async def start(self) -> None:
        """See PurgeLog; a worker that starts keeps nothing, so nothing from before concerns it."""
        self._channel.news["purge"] = self._applied
        self._channel.on_lost = self._lost
        with contextlib.suppress(ChannelLost, CallFailed):
            self.state.reset(await self._channel.call("join"))
            self.trusted = not self._channel.lost.is_set()  # it may be gone since it answered

    async def close(self) -> None:
        """See PurgeLog."""
        if self.trusted:
            self.trusted = False
            with contextlib.suppress(ChannelLost):
                self._channel.tell("leave")

    async def append(self, scopes: Iterable[str], mode: Mode, pattern: str | None = None) -> int:
        """See PurgeLog."""
        if pattern is not None:
            check_pattern(pattern)
        try:
            seq: int = await self._channel.call("append", _as_told(scopes, mode, pattern))
        except (ChannelLost, CallFailed) as error:
            raise LogUnreachable(f"the supervisor: {error}") from error
        return seq

    def append_later(self, scopes: Iterable[str], mode: Mode) -> None:
        """See PurgeLog."""
        scopes = tuple(scopes)
        self.state.apply_locally(scopes)
        with contextlib.suppress(ChannelLost):
            self._channel.tell("append", _as_told(scopes, mode, None))

    async def judge(self, born: int, url: str, scopes: Sequence[str]) -> Judgement:
        """See PurgeLog; what is too old to be known is not valid."""
        judgement = self.state.judge(born, url, scopes)
        if isinstance(judgement, Invalid):
            return judgement
        if not self.trusted:
            return Unknown()
        return Invalid() if isinstance(judgement, Unknown) else judgement

    async def wait(self, seq: int, timeout: float) -> Acknowledgement:  # noqa: ASYNC109 - no failure
        """See PurgeLog."""
        try:
            async with asyncio.timeout(timeout + _GRACE):
                acked, nodes, pending = await self._channel.call("wait", [seq, timeout])
        except (ChannelLost, CallFailed, TimeoutError) as error:
            raise LogUnreachable(f"the supervisor: {error}") from error
        return Acknowledgement(seq, acked, nodes, tuple(pending))

    def _lost(self) -> None:
        self.trusted = False

    def _applied(self, told: list[Any]) -> None:
        seq, scopes, mode, at, pattern = told
        purge = Purge(seq, tuple(scopes), Mode(mode), at, pattern)
        try:
            self.state.apply(purge)
        except Gap:
            self.state.reset(seq)
            for forget in self.on_reset:
                forget()
        for note in self.on_purge:
            note(purge)
        with contextlib.suppress(ChannelLost):
            self._channel.tell("applied", seq)


def _as_told(scopes: Iterable[str], mode: Mode, pattern: str | None) -> list[Any]:
    return [list(scopes), mode.value, pattern]
