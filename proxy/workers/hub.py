"""What the supervisor does for its workers: it numbers their purges and passes questions on.

A purge goes to every member before its number goes to who asked for it, and every member tells
how far it has come. A member is who has joined and is still there: a process that has ended, or
has not begun to answer, holds up no purge.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from proxy.channel import CallFailed, Channel, ChannelLost

_MOST_UNREAD: Final = 64 << 20
"""Bytes; a member that leaves so much unread hangs, and is given up."""

_PATIENCE: Final = 5.0
"""Seconds that members get to answer another's question."""


@dataclass(slots=True, eq=False)
class Member:
    """A worker, as the hub sees it.

    Attributes:
        joined: It answers clients, so purges wait for it.
        position: Number of the last purge that it has applied.
        give_up: Called when it takes nothing any more.
    """

    name: str
    channel: Channel
    give_up: Callable[[], None]
    joined: bool = False
    position: int = 0


class Hub:
    """The supervisor's end of all channels."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._position = 0
        self._members: list[Member] = []
        self._moved = asyncio.Event()

    def enter(self, member: Member) -> None:
        """Serve a worker from now on."""
        calls, news = member.channel.calls, member.channel.news

        async def join(_: None) -> int:
            member.joined, member.position = True, self._position
            return self._position

        async def append(told: list[Any]) -> int:
            return self._append(told)

        async def others(asked: list[Any]) -> list[Any]:
            return await self._ask_others(member, *asked)

        calls.update(join=join, append=append, wait=self._wait, others=others)
        news["append"] = self._append_unasked
        news["applied"] = lambda seq: self._has_applied(member, seq)
        news["leave"] = lambda _: self.leave(member)
        member.channel.on_lost = lambda: self.leave(member)
        self._members.append(member)

    def leave(self, member: Member) -> None:
        """Wait for a worker no more."""
        member.joined = False
        if member in self._members:
            self._members.remove(member)
        self._move()

    @property
    def _joined(self) -> list[Member]:
        return [one for one in self._members if one.joined and not one.channel.lost.is_set()]

    def _append(self, told: list[Any]) -> int:
        scopes, mode, pattern = told
        self._position += 1
        record = [self._position, scopes, mode, self._clock(), pattern]
        for member in self._joined:
            member.channel.tell("purge", record)
            if member.channel.backlog > _MOST_UNREAD:
                member.give_up()
        return self._position

    def _append_unasked(self, told: list[Any]) -> None:
        self._append(told)

    def _has_applied(self, member: Member, seq: int) -> None:
        member.position = max(member.position, seq)
        self._move()

    def _move(self) -> None:
        """Have all who wait look again."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def _wait(self, asked: list[Any]) -> list[Any]:
        """How many have applied a purge, of how many, and the names of the others."""
        seq, seconds = asked
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            members = self._joined
            pending = [one.name for one in members if one.position < seq]
            left = deadline - loop.time()
            if not pending or left <= 0:
                return [len(members) - len(pending), len(members), pending]
            moved = asyncio.ensure_future(self._moved.wait())
            await asyncio.wait((moved,), timeout=left)
            moved.cancel()

    async def _ask_others(self, asker: Member, name: str, value: Any) -> list[Any]:
        """What all other members answer, with a log in Redis too; who does not is left out."""
        others = [
            one for one in self._members if one is not asker and not one.channel.lost.is_set()
        ]
        answers = await asyncio.gather(*(_ask(one, name, value) for one in others))
        return [answer for answer in answers if answer is not None]


async def _ask(member: Member, name: str, value: Any) -> Any:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await member.channel.call(name, value)
    except (ChannelLost, CallFailed, TimeoutError):
        return None
