"""The purge log in Redis, which a fleet of processes shares.

One step does all that correctness needs: `_step` publishes how far this process has applied the log
and fetches what follows. It runs on every heartbeat; tailing the stream only says when to run it at
once. So a lost, late or cut reply costs time, never a purge.

Who waits for whom, in seconds:

    heartbeat (max_lag / 6) < max_lag < expiry (max_lag * 1.25)

A process trusts what it knows for `max_lag` after *sending* the last step that brought it up to
date. Another process that waits for its acknowledgement gives up on it when it has seen its record
in Redis unchanged for `expiry` by its own steady clock. Redis had the record before it could be
seen, so a process has stopped trusting a quarter of `max_lag` before anybody stops counting it; the
quarter covers clocks that run at different speeds. No wall clock takes part.

When the log is cut (see `scripts`), processes that were there before may not have noticed yet: for
`expiry` after the cut no purge is acknowledged, until somebody has been there for that long and
says so (`settled`).
"""

import asyncio
import contextlib
import json
import os
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from proxy.background import kept
from proxy.events import Emit, PurgeLogChanged
from proxy.purging import replies, scripts
from proxy.purging.commands import Commands, new_id
from proxy.purging.log import Acknowledgement, LogUnreachable, Node, check_pattern
from proxy.purging.readers import Readers
from proxy.purging.scopes import ALL
from proxy.purging.state import (
    Gap,
    Invalid,
    Judgement,
    Limits,
    Mode,
    Purge,
    PurgeState,
    Unknown,
)
from proxy.purging.timing import Timing, steady
from proxy.redis_link import Client, Script, Word, end

TAIL_TIMEOUT = 5.0
"""Seconds of silence that the tailing client's socket must bear: more than a blocking read."""

_BLOCK = 2.0
_STREAM_LENGTH = 10_000
_BATCH = 1000
_SCOPES_AT_ONCE = 5000
_LATER_LIMIT = 10_000
_FIRST_POLL = 0.005
_LONGEST_POLL = 0.1
_NEVER = float("-inf")


class RedisPurgeLog:
    """See `PurgeLog` and the module. The clients belong to the caller, who closes them after it.

    Attributes:
        name: What this process is called in acknowledgements; never used by another.
        on_append: Called with each purge that this process has recorded, when it is applied here.
    """

    def __init__(
        self,
        client: Client,
        tail: Client,
        *,
        emit: Emit,
        namespace: str = "wf",
        timing: Timing | None = None,
        limits: Limits | None = None,
        name: str = "",
        clock: Callable[[], float] = steady,
    ) -> None:
        """Nothing is sent before `start`.

        Args:
            client: For everything but tailing; up to 16 connections are used at a time.
            tail: Another, whose socket bears `TAIL_TIMEOUT` of silence; one connection suffices.
            emit: Is told when the log is lost or regained, begins anew, or grows crowded.
            namespace: What all keys begin with.
            timing: See Timing.
            limits: See Limits; used for what Redis keeps as well.
            name: A prefix for the process's name; by default host and process id.
            clock: Steady seconds.
        """
        self.limits = limits or Limits()
        self.timing = timing or Timing()
        self.state = PurgeState(self.limits)
        self.name = f"{name or f'{socket.gethostname()}:{os.getpid()}'}:{secrets.token_hex(4)}"
        self.on_reset: list[Callable[[], None]] = []
        self.on_purge: list[Callable[[Purge], None]] = []
        self.on_append: list[Callable[[Purge], None]] = []
        keys = [f"{namespace}:{{purge}}:{key}" for key in scripts.KEYS]
        self._commands = Commands(client, keys)
        self._readers = Readers(self._commands, self.name, clock)
        self._tail_client = tail
        self._emit = emit
        self._stream = keys[scripts.KEYS.index("log")]
        self._clock = clock
        self._stepping = asyncio.Lock()
        self._wake = asyncio.Event()
        self._id = ""
        self._known_id = ""
        self._began_at = _NEVER
        self._current_at = _NEVER
        self._beat = 0
        self._later: deque[tuple[tuple[str, ...], Mode]] = deque()
        self._reachable: bool | None = None
        self._was_crowded = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def trusted(self) -> bool:
        """See PurgeLog: the log was read to its end no longer than `max_lag` (and `blind`) ago."""
        timing = self.timing
        return self._clock() - self._current_at <= timing.max_lag + timing.blind

    @property
    def age(self) -> float:
        """See PurgeLog."""
        return self._clock() - self._current_at

    @property
    def nodes(self) -> Sequence[Node]:
        """See PurgeLog; looked at twice in every `expiry`."""
        return self._readers.nodes

    async def start(self) -> None:
        """See PurgeLog."""
        with contextlib.suppress(LogUnreachable):
            await self._catch_up()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(kept(name, make, self._emit), name=name)
            for name, make in (
                ("purge log heartbeat", self._follow),
                ("purge log tail", self._tail),
            )
        ]

    async def close(self) -> None:
        """See PurgeLog; from now on nothing is trusted."""
        tasks, self._tasks = self._tasks, []
        await end(tasks)
        with contextlib.suppress(LogUnreachable, TimeoutError):
            async with asyncio.timeout(self.timing.patience):
                await self._append_what_waits()
        self._current_at = _NEVER
        with contextlib.suppress(LogUnreachable):
            await self._run(scripts.LEAVE, self.name)
        await self._commands.close()

    async def append(self, scopes: Iterable[str], mode: Mode, pattern: str | None = None) -> int:
        """See PurgeLog."""
        if pattern is not None:
            check_pattern(pattern)
        scopes = tuple(scopes)
        limits = (self.limits.scopes, self.limits.patterns, _STREAM_LENGTH)
        words = (mode.value, pattern or "", *limits, json.dumps(scopes), *scopes)
        reply = await self._run(scripts.APPEND, self.state.position, new_id(), *words)
        with replies.reading():
            log_id, seq, at = replies.text(reply[0]), int(reply[1]), float(reply[2])
        purge = Purge(seq, scopes, mode, at, pattern)
        if log_id == self._id and seq <= self.state.position + 1:
            self._apply(purge)
        else:
            await self._catch_up()
        if self.state.position < seq:
            raise LogUnreachable("the log went backwards while a purge was recorded")
        self._wake.set()
        for callback in self.on_append:
            callback(purge)
        return seq

    def append_later(self, scopes: Iterable[str], mode: Mode) -> None:
        """See PurgeLog. Where too many wait, one purge of everything takes their place."""
        scopes = tuple(scopes)
        self.state.apply_locally(scopes)
        self._later.append((scopes, mode))
        if len(self._later) > _LATER_LIMIT:
            self._later.clear()
            self._later.append(((ALL,), Mode.HARD))
            self.state.apply_locally((ALL,))
        self._wake.set()

    async def judge(self, born: int, url: str, scopes: Sequence[str]) -> Judgement:
        """See PurgeLog."""
        judgement = self.state.judge(born, url, scopes)
        if isinstance(judgement, Unknown):
            judgement = await self._ask(born, url, scopes)
        return judgement if self.trusted or isinstance(judgement, Invalid) else Unknown()

    async def wait(self, seq: int, timeout: float) -> Acknowledgement:  # noqa: ASYNC109 - no failure
        """See PurgeLog."""
        deadline = self._clock() + timeout
        pause = _FIRST_POLL
        latest: Acknowledgement | None = None
        cause = LogUnreachable("no time to ask")
        while True:
            try:
                latest = await self._readers.acknowledgement(seq, self.timing)
            except LogUnreachable as error:
                cause = error
            left = deadline - self._clock()
            if (latest is not None and latest.complete) or left <= 0:
                break
            await asyncio.sleep(min(pause, left))
            pause = min(1.5 * pause, _LONGEST_POLL)
        if latest is None:
            raise cause
        return latest

    async def _ask(self, born: int, url: str, scopes: Sequence[str]) -> Judgement:
        """Ask the log about an entry that is older than what is known here."""
        asked = self._id
        if not scopes or len(scopes) > _SCOPES_AT_ONCE:
            return Invalid()
        try:
            where = (asked, self.state.position, born)
            reply = await self._run(scripts.JUDGE, *where, *scopes)
            with replies.reading():
                told = replies.verdict(reply)
        except LogUnreachable:
            return Unknown()
        if told is None:
            self._wake.set()
        if told is None or self._id != asked:
            return Unknown()
        return told if isinstance(told, Invalid) else self.state.confirm(told, born, url, scopes)

    async def _catch_up(self) -> None:
        """Read to the end of the log and publish that."""
        async with self._stepping:
            try:
                while not await self._step():
                    pass
            except LogUnreachable as error:
                self._note_reach(reached=False, cause=str(error))
                raise
            self._note_reach(reached=True)

    async def _step(self) -> bool:
        """Publish the position, apply what follows it; whether nothing did."""
        sent = self._clock()
        asked, seen = self._id, self.state.position
        self._beat += 1
        settled = int(bool(asked) and sent - self._began_at >= self.timing.expiry)
        words = (asked, seen, new_id(), self.name, self._beat, settled, _BATCH)
        reply = await self._run(scripts.SYNC, *words)
        with replies.reading():
            log_id, seq, floor = replies.text(reply[0]), int(reply[1]), int(reply[2])
            if log_id != asked:
                self._begin(log_id, seq, floor, [replies.pattern(held) for held in reply[3]])
                return False
            purges = [replies.purge(record) for record in reply[3]]
        if not self._apply_all(purges, seq):
            # Trimmed before it was read. Nothing that is kept here can be trusted: begin again.
            self._id = ""
            self._current_at = _NEVER
            return False
        self.state.raise_floor(floor)
        if self.state.position < seq:
            return False
        self._current_at = sent
        return seen == self.state.position

    def _apply_all(self, purges: list[Purge], seq: int) -> bool:
        """Apply what was read; False where something before it is missing."""
        before = self.state.position
        try:
            for purge in purges:
                self._apply(purge)
        except Gap:
            return False
        return before < self.state.position or self.state.position >= seq

    def _apply(self, purge: Purge) -> None:
        if purge.seq <= self.state.position:
            return
        self.state.apply(purge)
        for callback in self.on_purge:
            callback(purge)
        if self.state.crowded and not self._was_crowded:
            cause = f"{self.state.patterns} patterns of at most {self.limits.patterns}"
            self._emit(PurgeLogChanged("crowded", cause))
        self._was_crowded = self.state.crowded

    def _begin(self, log_id: str, seq: int, floor: int, patterns: list[Purge]) -> None:
        """Read on from `seq`, of this log or another, and drop all that is kept here."""
        if log_id != self._known_id:
            self._began_at = self._clock()
            self._readers.forget()
        if self._known_id:
            cause = "trimmed before it was read" if log_id == self._known_id else "another log"
            self._emit(PurgeLogChanged("reset", cause))
        self._id = self._known_id = log_id
        self._current_at = _NEVER
        self.state.reset(seq, floor, patterns)
        for scopes, _ in self._later:
            self.state.apply_locally(scopes)
        for callback in self.on_reset:
            callback()

    async def _follow(self) -> None:
        """The heartbeat."""
        pause = self.timing.heartbeat / 8
        while True:
            self._wake.clear()
            try:
                await self._catch_up()
                await self._append_what_waits()
                if self._clock() - self._readers.seen_at >= self.timing.expiry / 2:
                    await self._readers.look(self.timing)
            except LogUnreachable:
                await asyncio.sleep(pause)
                pause = min(2 * pause, self.timing.heartbeat)
                continue
            pause = self.timing.heartbeat / 8
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.timing.heartbeat):
                    await self._wake.wait()

    async def _tail(self) -> None:
        """Take a step whenever the stream has grown."""
        while True:
            try:
                if await self._has_grown():
                    await self._catch_up()
            except (LogUnreachable, RedisError, RedisClusterException, OSError, EOFError):
                await asyncio.sleep(self.timing.heartbeat)

    async def _has_grown(self) -> bool:
        """Wait until the stream is longer than what was applied, for some time at most."""
        words = ("XREAD", "COUNT", 1, "BLOCK", int(_BLOCK * 1000), "STREAMS", self._stream)
        return bool(await self._tail_client.execute_command(*words, f"{self.state.position}-0"))

    async def _append_what_waits(self) -> None:
        while self._later:
            scopes, mode = self._later[0]
            await self.append(scopes, mode)
            if self._later and self._later[0] == (scopes, mode):
                self._later.popleft()

    def _note_reach(self, *, reached: bool, cause: str = "") -> None:
        """Tell of changes; a first success is none."""
        if reached is not self._reachable and not (reached and self._reachable is None):
            self._emit(PurgeLogChanged("regained" if reached else "lost", cause))
        self._reachable = reached

    async def _run(self, script: tuple[Script, Script], *words: Word) -> Any:
        return await self._commands.run(script, *words, patience=self.timing.patience)
