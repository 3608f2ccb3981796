"""All groups of origins of this process, and how they change while it runs."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from random import Random, SystemRandom
from typing import Any

from proxy.events import BackgroundFailed, Emit
from proxy.origin.checks import Checks
from proxy.origin.group import GroupOptions, OriginGroup
from proxy.origin.member import Member, MemberOptions, MemberStatus


@dataclass(frozen=True, slots=True)
class _Left:
    """Which group an origin left, and when."""

    group: str
    since: float


class Origins:
    """Groups by name. Must be made while an event loop runs; end with `close`.

    Args:
        emit: Is told when an origin goes down or comes back.
        clock: Seconds that only go forward.
        random: Spreads health checks.
    """

    def __init__(
        self,
        emit: Emit,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self._emit = emit
        self._clock = clock
        self._random = random or SystemRandom()
        self._groups: dict[str, OriginGroup] = {}
        self._checks: dict[Member, Checks] = {}
        self._draining: dict[Member, _Left] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __getitem__(self, name: str) -> OriginGroup:
        return self._groups[name]

    @property
    def groups(self) -> Mapping[str, OriginGroup]:
        """All of them, by name."""
        return self._groups

    def apply(self, wanted: Mapping[str, GroupOptions], *, drain: float) -> None:
        """Make the groups those that are wanted.

        An origin that is reached in the same way as before keeps its connections, its health and
        its figures. One that is not wanted any more gets no new requests, and is closed after
        `drain` seconds.

        Raises:
            OSError: A file that an origin needs cannot be read. Nothing has changed then.
        """
        made = {name: self._members(name, options) for name, options in wanted.items()}
        kept = {member for members in made.values() for member in members}
        for name, group in self._groups.items():
            for member in group.members:
                if member not in kept:
                    self._retire(member, name, drain)
        groups: dict[str, OriginGroup] = {}
        for name, options in wanted.items():
            group = groups[name] = self._groups.get(name) or OriginGroup(
                options, made[name], self._clock
            )
            if group.options != options:
                group.change(options, made[name])
            for member, settled in zip(made[name], options.members, strict=True):
                member.options = settled
                member.breaker.options = options.breaker
                self._check(member, options)
        self._groups = groups

    def status(self, name: str) -> list[MemberStatus]:
        """How the origins of a group are now, with those that left it."""
        present = [member.status() for member in self._groups[name].members]
        now = self._clock()
        leaving = [
            replace(member.status(), state="draining", since=now - left.since, cause="reload")
            for member, left in self._draining.items()
            if left.group == name
        ]
        return [*present, *leaving]

    async def close(self) -> None:
        """Close all connections; responses still being read are cut short."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        for checks in self._checks.values():
            await checks.stop()
        members = chain.from_iterable(group.members for group in self._groups.values())
        for member in [*members, *self._draining]:
            await member.close()

    def _members(self, name: str, options: GroupOptions) -> list[Member]:
        """The group's members for these options: those it has, and new ones."""
        group = self._groups.get(name)
        known = {} if group is None else {one.options.origin: one for one in group.members}
        return [
            known.get(one.origin) or self._member(name, one, options) for one in options.members
        ]

    def _member(self, name: str, options: MemberOptions, group: GroupOptions) -> Member:
        return Member(options, group.breaker, group=name, clock=self._clock, emit=self._emit)

    def _check(self, member: Member, options: GroupOptions) -> None:
        """Check it as the options say from now on."""
        running = self._checks.get(member)
        if running is not None and running.options != options.checks:
            self._stop_checks(member)
            member.breaker.release(self._clock())
            running = None
        if running is None and options.checks is not None:
            self._checks[member] = Checks(
                member, options.checks, clock=self._clock, emit=self._emit, random=self._random
            )

    def _stop_checks(self, member: Member) -> None:
        if (checks := self._checks.pop(member, None)) is not None:
            self._start(checks.stop())

    def _retire(self, member: Member, group: str, seconds: float) -> None:
        self._draining[member] = _Left(group, self._clock())
        self._stop_checks(member)
        self._start(self._close_later(member, seconds))

    async def _close_later(self, member: Member, seconds: float) -> None:
        await asyncio.sleep(seconds)
        del self._draining[member]
        await member.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._emit(BackgroundFailed("leaving an origin", error))
