"""A loop whose time is our own, a Redis that runs the purge log's scripts, and a bad network.

The scripts are written a second time here; tests/purging/test_scripts.py holds both to the same
answers.
"""

import asyncio
import copy
import heapq
import random
import selectors
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from redis.exceptions import ConnectionError as RedisConnectionError

from proxy.purging import scripts

EPOCH = 1_800_000_000.0

Words: TypeAlias = tuple[Any, ...]


class _Leaping(selectors.SelectSelector):
    """Waits for nothing: where the loop would sleep, its time leaps."""

    leapt = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.leapt += timeout or 0.0
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without waiting; seconds since its start are `time()`."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.leapt


@dataclass
class Data:
    """What the keys of one log hold."""

    head: dict[str, Any] = field(default_factory=dict)
    hard: dict[str, int] = field(default_factory=dict)
    soft: dict[str, int] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    patterns: dict[str, int] = field(default_factory=dict)
    log: list[tuple[int, list[str]]] = field(default_factory=list)
    nodes: dict[str, str] = field(default_factory=dict)

    def shape(self) -> tuple[int, ...]:
        kept = (self.hard, self.soft, self.times, self.patterns, self.nodes)
        return tuple(len(each) for each in kept)

    def copy(self) -> "Data":
        return copy.deepcopy(self)


class SimulatedRedis:
    """One address behind which servers come and go.

    Attributes:
        replica: What a failover would go on with: it lags behind by some writes.
        run_id: Changes with every server process.
        replication: How likely the replica is up to date after a command.
    """

    def __init__(self, clock: Callable[[], float], stream_limit: int | None = None) -> None:
        self.data = Data()
        self.replica = Data()
        self.run_id = 1
        self.available = True
        self.frozen_until = 0.0
        self.replication = 0.3
        self._clock = clock
        self._stream_limit = stream_limit
        self._grown: list[asyncio.Future[None]] = []
        self._scripts: dict[str, Callable[[list[Any]], list[Any]]] = {}
        for script, run in (
            (scripts.SYNC, self.sync),
            (scripts.APPEND, self.append),
            (scripts.JUDGE, self.judge),
            (scripts.STATUS, self.status),
            (scripts.LEAVE, self.leave),
        ):
            self._scripts[script[0].digest] = run

    def evaluate(self, words: Words) -> list[Any]:
        """EVALSHA digest count keys... words..."""
        if not self.available:
            raise RedisConnectionError("refused")
        digest, count = words[1], words[2]
        return self._scripts[digest](list(words[3 + count :]))

    async def grown_beyond(self, position: int, limit: float) -> bool:
        """XREAD BLOCK."""
        deadline = asyncio.get_running_loop().time() + limit
        while not (self.data.log and self.data.log[-1][0] > position):
            future = asyncio.get_running_loop().create_future()
            self._grown.append(future)
            try:
                async with asyncio.timeout_at(deadline):
                    await future
            except TimeoutError:
                return False
        return True

    def replicate(self) -> None:
        self.replica = self.data.copy()

    def fail_over(self) -> None:
        """The replica takes over; what it had not received is lost."""
        self.data = self.replica.copy()
        self.run_id += 1

    def restart(self, *, empty: bool) -> None:
        self.run_id += 1
        if empty:
            self.data = Data()
            self.replicate()

    def server(self) -> str:
        return f"server {self.run_id}"

    def _is_intact(self, seen: int) -> bool:
        head = self.data.head
        return bool(
            head
            and head["server"] == self.server()
            and head["shape"] == self.data.shape()
            and seen <= head["seq"]
        )

    def first_number(self, seen: int) -> int:
        now = int((EPOCH + self._clock()) * 1_000_000)
        last: int = self.data.head.get("seq", 0)
        return max(seen, last, now) + 1

    def _open(self, seen: int, new_id: str) -> dict[str, Any]:
        if self._is_intact(seen):
            return self.data.head
        seq = self.first_number(seen)
        self.data = Data()
        self.data.head = {
            "id": new_id,
            "seq": seq,
            "floor": seq,
            "server": self.server(),
            "settled": 0,
        }
        self._record(seq, ["cut", new_id])
        self._note_shape()
        return self.data.head

    def _note_shape(self) -> None:
        self.data.head["shape"] = self.data.shape()

    def _record(self, seq: int, fields: list[str]) -> None:
        self.data.log.append((seq, fields))
        if self._stream_limit is not None:
            del self.data.log[: -self._stream_limit]
        for future in self._grown:
            if not future.done():
                future.set_result(None)
        self._grown.clear()

    def sync(self, words: list[Any]) -> list[Any]:
        log_id, seen, new_id, name, beat, settled, count = words
        head = self._open(seen, new_id)
        where = [head["id"], head["seq"], head["floor"]]
        if log_id != head["id"]:
            return [*where, self.held()]
        self.data.nodes[name] = f"{seen} {beat}"
        if settled:
            head["settled"] = 1
        self._note_shape()
        records = [[f"{seq}-0", fields] for seq, fields in self.data.log if seq > seen]
        return [*where, records[:count]]

    def held(self) -> list[list[Any]]:
        ordered = sorted(self.data.patterns.items(), key=lambda item: item[1])
        return [[seq, name, str(self.data.times.get(name, 0))] for name, seq in ordered]

    def append(self, words: list[Any]) -> list[Any]:
        seen, new_id, mode, pattern, scope_limit, pattern_limit, _, text, *scopes = words
        head = self._open(seen, new_id)
        at = EPOCH + self._clock()
        seq = head["seq"] + 1
        last = self.data.soft if mode == "soft" else self.data.hard
        for scope in scopes:
            last[scope] = seq
            if mode == "soft":
                self.data.times[scope] = at
        if pattern:
            self.data.patterns[f"{mode} {pattern}"] = seq
            if mode == "soft":
                self.data.times[f"{mode} {pattern}"] = at
        self._trim(self.data.hard, scope_limit)
        self._trim(self.data.soft, scope_limit)
        self._trim(self.data.patterns, pattern_limit)
        head["seq"] = seq
        fields = ["at", str(at), "mode", mode, "pattern", pattern, "scopes", text]
        self._record(seq, fields)
        self._note_shape()
        return [head["id"], seq, str(at)]

    def _trim(self, last: dict[str, int], limit: int) -> None:
        surplus = len(last) - limit
        if surplus <= 0:
            return
        for name, seq in heapq.nsmallest(surplus, last.items(), key=lambda item: item[::-1]):
            del last[name]
            if last is not self.data.hard:
                self.data.times.pop(name, None)
            self.raise_floor(seq)

    def raise_floor(self, seq: int) -> None:
        self.data.head["floor"] = max(self.data.head["floor"], seq)

    def judge(self, words: list[Any]) -> list[Any]:
        log_id, seen, born, *scopes = words
        head = self.data.head
        if not self._is_intact(seen) or log_id != head["id"]:
            return [""]
        if (
            born > head["seq"]
            or born < head["floor"]
            or any(self.data.hard.get(scope, 0) > born for scope in scopes)
        ):
            return [log_id, head["seq"], "invalid", "0"]
        soft = [scope for scope in scopes if self.data.soft.get(scope, 0) > born]
        if not soft:
            return [log_id, head["seq"], "valid", "0"]
        earliest = min(self.data.times[scope] for scope in soft)
        return [log_id, head["seq"], "softened", str(earliest)]

    def status(self, words: list[Any]) -> list[Any]:
        head = self._open(0, words[0])
        for name, record in zip(words[1::2], words[2::2], strict=True):
            if self.data.nodes.get(name) == record:
                del self.data.nodes[name]
        self._note_shape()
        flat = [word for pair in self.data.nodes.items() for word in pair]
        return [head["id"], head["seq"], head["settled"], flat]

    def leave(self, words: list[Any]) -> list[Any]:
        if self._is_intact(0):
            self.data.nodes.pop(words[0], None)
            self._note_shape()
        return [1]


class SimulatedClient:
    """A process's way to Redis: commands overtake each other, come late, or get lost."""

    def __init__(self, redis: SimulatedRedis, dice: random.Random) -> None:
        self.cut_off = False
        self._redis = redis
        self._dice = dice
        self._alive = True

    def kill(self) -> None:
        """The process is gone; what it sent is still on its way."""
        self._alive = False

    async def aclose(self) -> None:
        pass

    def execute_command(self, *words: Any, **_options: Any) -> Awaitable[Any]:
        if words[0] == "XREAD":
            return self._tail(int(str(words[-1]).removesuffix("-0")), words[4] / 1000)
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(self._delay(), self._arrive, words, future)
        return future

    def _arrive(self, words: Words, future: "asyncio.Future[Any]") -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._redis.frozen_until:
            loop.call_at(self._redis.frozen_until + self._delay(), self._arrive, words, future)
            return
        answer: Any = RedisConnectionError("lost on the way")
        if not self.cut_off and self._dice.random() > 0.01:
            try:
                answer = self._redis.evaluate(words)
            except RedisConnectionError as error:
                answer = error
            if self._dice.random() < self._redis.replication:
                self._redis.replicate()
            if self._dice.random() < 0.01:
                answer = RedisConnectionError("the reply got lost")
        if self._alive:
            loop.call_later(self._delay(), self._give, future, answer)

    @staticmethod
    def _give(future: "asyncio.Future[Any]", answer: Any) -> None:
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    async def _tail(self, position: int, limit: float) -> bool:
        await asyncio.sleep(self._delay())
        if self.cut_off or not self._redis.available or self._dice.random() < 0.02:
            raise RedisConnectionError("no tail")
        grown = await self._redis.grown_beyond(position, limit)
        await asyncio.sleep(self._delay())
        return grown

    def _delay(self) -> float:
        """Mostly a millisecond; now and then longer than anybody waits."""
        dice = self._dice.random()
        if dice < 0.97:
            return self._dice.random() * 0.002
        return self._dice.random() * (0.1 if dice < 0.995 else 1.5)
