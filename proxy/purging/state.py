"""What one process knows of the purge log, and what follows for an entry.

The rule: an entry is valid if and only if no purge of any of its scopes has a number above `born`,
and `born` is not below the floor. What a process can say of it from memory:

    born below floor ................................. Invalid: the log forgot what it would take
    a known hard purge above born .................... Invalid
    known_from <= born <= position ................... Valid, or Softened by a known soft purge
    otherwise ........................................ Unknown: the log itself must be asked

All here is plain bookkeeping: no clock, no loop.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from proxy.purging.scopes import ALL

LONGEST_SEARCHED = 2048
"""Characters of a URL in which patterns are searched: what one search may cost grows with their
square, and clients make URLs of 8 KiB.
"""


def is_found(pattern: re.Pattern[str], url: str) -> bool:
    """Whether a pattern concerns a URL; one that is too long to be searched is concerned."""
    return len(url) > LONGEST_SEARCHED or pattern.search(url) is not None


class Mode(StrEnum):
    """How thoroughly to forget."""

    HARD = "hard"
    """Never to be used again, not even to answer while the origin is down."""
    SOFT = "soft"
    """Stale from now on: stale-while-revalidate, stale-if-error and validation still apply."""


@dataclass(frozen=True, slots=True)
class Purge:
    """One record of the log.

    Attributes:
        seq: Its number; greater than that of every purge before it.
        at: When it was recorded, in POSIX seconds of the log's clock.
        pattern: Regular expression that is searched (re.search, so unanchored) in URLs.
    """

    seq: int
    scopes: tuple[str, ...]
    mode: Mode
    at: float
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Valid:
    """No purge concerns the entry.

    Attributes:
        through: This holds for every purge up to this number: who keeps it beside the entry may
            pass it in place of `born` to ask only about what came later.
    """

    through: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Softened:
    """The entry is stale since `at` (POSIX seconds), by the earliest purge that is remembered."""

    at: float
    through: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Invalid:
    """The entry must not be used."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """This process cannot tell, or not now: the entry must not be used, and may yet be valid."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A purge that this process remembers.

    Attributes:
        scope: What was purged; for a pattern "pattern:" and the expression.
        seq: Number of the last purge of that.
    """

    scope: str
    mode: Mode
    seq: int


Judgement: TypeAlias = Valid | Softened | Invalid | Unknown


class Gap(Exception):  # noqa: N818 - what was found, no failure of ours
    """A record does not follow the last one applied: something between them was missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what is remembered; all processes of a fleet should have the same.

    Attributes:
        scopes: Purged scopes per mode. What is dropped here is asked of the log; what the log
            drops raises the floor.
        patterns: Regular expressions. Each costs a search per judgement; dropping the oldest
            raises the floor.
    """

    scopes: int = 65_536
    patterns: int = 256


@dataclass(frozen=True, slots=True)
class _Ban:
    seq: int
    at: float
    expression: re.Pattern[str]


class PurgeState:
    """What one process knows of the log; see the module.

    Attributes:
        position: Number of the last purge applied.
        floor: Nothing born below it is valid.
        known_from: Every purge with a greater number, up to `position`, is known here.
        changes: Grows whenever a judgement may come out otherwise than before.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.position = 0
        self.floor = 0
        self.known_from = 0
        self.changes = 0
        self._limits = limits or Limits()
        # Both are in the order of the numbers, so that the first is the oldest. Their keys are
        # hashes of scopes, since a URL can be long: two that collide cost a refetch at most.
        self._hard: dict[int, int] = {}
        self._soft: dict[int, tuple[int, float]] = {}
        self._bans: dict[tuple[Mode, str], _Ban] = {}
        self._last = 0  # the highest number among all these

    @property
    def patterns(self) -> int:
        """How many regular expressions every judgement has to try."""
        return len(self._bans)

    @property
    def crowded(self) -> bool:
        """Whether more than half of the patterns that may be held are."""
        return 2 * len(self._bans) > self._limits.patterns

    def apply(self, purge: Purge) -> None:
        """Take note of the next purge; one that was applied before changes nothing.

        Raises:
            Gap: Purges are missing before it.
        """
        if purge.seq <= self.position:
            return
        if purge.seq > self.position + 1:
            raise Gap(f"{purge.seq} after {self.position}")
        self._remember(purge)
        self.position = purge.seq

    def apply_locally(self, scopes: Iterable[str]) -> None:
        """Forget these here at once, since the log cannot be told.

        They count as purged by the number to come, so what is fetched before that comes is not
        kept either.
        """
        self._remember(Purge(self.position + 1, tuple(scopes), Mode.HARD, at=0.0))

    def raise_floor(self, floor: int) -> None:
        """Take note that the log has forgotten purges up to `floor`."""
        if floor > self.floor:
            self.changes += 1
            self.floor = floor

    def reset(
        self, position: int, floor: int | None = None, patterns: Iterable[Purge] = ()
    ) -> None:
        """Start anew at `position`, knowing nothing of what came before.

        Args:
            position: Where reading goes on.
            floor: Of the log; by default nothing from before is valid.
            patterns: All patterns that the log still holds, oldest first.
        """
        self.changes += 1
        self.position = self.known_from = position
        self.floor = position if floor is None else floor
        self._hard.clear()
        self._soft.clear()
        self._bans.clear()
        self._last = 0
        for purge in patterns:
            self._remember(purge)

    def nothing_since(self, born: int) -> bool:
        """Whether `judge` finds all that was born then valid, through `position`."""
        oldest = max(self._last, self.floor, self.known_from)
        return oldest <= born <= self.position

    def judge(self, born: int, url: str, scopes: Sequence[str]) -> Judgement:
        """What is known of an entry.

        Args:
            born: The last number applied before its origin was asked.
            url: What patterns are searched in.
            scopes: All of its scopes, see `scopes_of`.
        """
        if self._is_invalid(born, url, scopes):
            return Invalid()
        if not self.known_from <= born <= self.position:
            return Unknown()
        return self._valid_or_softened(born, url, scopes, at=None)

    def confirm(
        self, told: Valid | Softened, born: int, url: str, scopes: Sequence[str]
    ) -> Judgement:
        """Add what is known here to what the log said of the scopes' purges up to `told.through`.

        Purges may have been applied here while the answer was on its way, and the log leaves
        patterns to its readers.
        """
        if self.known_from > told.through:
            return Unknown()
        if self._is_invalid(born, url, scopes):
            return Invalid()
        at = told.at if isinstance(told, Softened) else None
        return self._valid_or_softened(born, url, scopes, at)

    def remembered(self, url: str, scopes: Sequence[str], *, after: int) -> list[Remembered]:
        """The purges numbered above `after` of a URL's or an entry's scopes, for people to see."""
        found = [
            Remembered(scope, mode, seq)
            for scope in scopes
            for mode, seq in (
                (Mode.HARD, self._hard.get(hash(scope), 0)),
                (Mode.SOFT, self._soft.get(hash(scope), (0, 0.0))[0]),
            )
            if seq > after
        ]
        found += [
            Remembered(f"pattern:{ban.expression.pattern}", mode, ban.seq)
            for mode in Mode
            for ban in self._bans_on(mode, after, url)
        ]
        return sorted(found, key=lambda one: one.seq)

    def _is_invalid(self, born: int, url: str, scopes: Sequence[str]) -> bool:
        hard = self._hard
        return (
            born < self.floor
            or any(hard.get(hash(scope), 0) > born for scope in scopes)
            or any(True for _ in self._bans_on(Mode.HARD, born, url))
        )

    def _valid_or_softened(
        self, born: int, url: str, scopes: Sequence[str], at: float | None
    ) -> Valid | Softened:
        through = max(born, self.position)
        since = [] if at is None else [at]
        if self._soft:
            found = (self._soft.get(hash(scope)) for scope in scopes)
            since += [soft[1] for soft in found if soft is not None and soft[0] > born]
        since += [ban.at for ban in self._bans_on(Mode.SOFT, born, url)]
        return Softened(min(since), through) if since else Valid(through)

    def _bans_on(self, mode: Mode, born: int, url: str) -> Iterable[_Ban]:
        if not self._bans:
            return ()
        return (
            ban
            for (of_mode, _), ban in self._bans.items()
            if of_mode is mode and ban.seq > born and is_found(ban.expression, url)
        )

    def _remember(self, purge: Purge) -> None:
        self.changes += 1
        self._last = max(self._last, purge.seq)
        scopes: Iterable[str] = purge.scopes
        if purge.pattern is not None:
            try:
                self._ban(purge, purge.pattern, re.compile(purge.pattern))
            except (re.error, OverflowError, RecursionError):
                # Another process may read what this one cannot: take it for all.
                scopes = (*scopes, ALL)
        if purge.mode is Mode.HARD:
            for scope in map(hash, scopes):
                self._hard.pop(scope, None)
                self._hard[scope] = purge.seq
        else:
            for scope in map(hash, scopes):
                self._soft.pop(scope, None)
                self._soft[scope] = (purge.seq, purge.at)
        self._trim()

    def _ban(self, purge: Purge, pattern: str, expression: re.Pattern[str]) -> None:
        self._bans.pop((purge.mode, pattern), None)
        self._bans[purge.mode, pattern] = _Ban(purge.seq, purge.at, expression)
        while len(self._bans) > self._limits.patterns:
            oldest = next(iter(self._bans))
            self.raise_floor(self._bans.pop(oldest).seq)

    def _trim(self) -> None:
        while len(self._hard) > self._limits.scopes:
            oldest = next(iter(self._hard))
            self.known_from = max(self.known_from, self._hard.pop(oldest))
        while len(self._soft) > self._limits.scopes:
            oldest = next(iter(self._soft))
            self.known_from = max(self.known_from, self._soft.pop(oldest)[0])
