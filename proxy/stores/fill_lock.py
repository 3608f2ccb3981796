"""One fill at a time for each primary key, across processes and nodes, and only as a favour.

Whoever takes the lock asks the origin; the others wait for what it stores.

1. A lock expires by itself, nobody waits longer than the bound, and without Redis everybody asks:
   the lock spares the origin work, it never keeps anybody from an answer.
2. A lock says how far its holder had read the purge log. Who has read further takes it over: what
   the holder stores may be of no use to those who ask after a purge.
3. A holder that finds nothing to share leaves a mark for a moment: who waits, or comes, goes on
   alone. After any other failure one of those who wait takes its turn.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum, auto
from time import monotonic

from redis.exceptions import RedisError

from proxy.redis_link import (
    LinkError,
    PubSubClient,
    RedisLink,
    end,
    listener,
    pubsub,
    shut,
)
from proxy.stores.entry import CacheKey, Filled, Lease
from proxy.stores.lua import RELEASE, TAKE
from proxy.stores.names import Names

_FIRST_POLL, _POLL = 0.02, 0.2
"""Seconds; the first release may be told before the subscription stands."""
_MARK_TTL = 1.0
_RECONNECT_PAUSE = 0.5
_IDLE = 10.0


class Waited(Enum):
    """What came of waiting."""

    LOOK = auto()
    """The holder stored something, failed, or is gone: look again, then take your turn."""
    ALONE = auto()
    """The holder found nothing that may be shared: ask the origin, with all the others."""
    GO = auto()
    """It takes too long: ask the origin."""


class FillLocks:
    """The locks of one process's fills.

    Attributes:
        ttl: Seconds after which a holder that is silent no longer keeps others waiting.
        patience: Longest wait, in seconds of `clock`.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        ttl: float = 10.0,
        patience: float = 3.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.ttl = ttl
        self.patience = patience
        self._clock = clock
        self._link = link
        self._names = Names(link.options.prefix)
        self._ears = _Ears(link)
        self._abandoned: set[asyncio.Task[None]] = set()

    async def take(self, key: CacheKey, born: int) -> Lease | None:
        """The lease; None while somebody else has it who had applied purge `born`, too."""
        name, token = self._names.lock(key), secrets.token_hex(12)
        names = (name, self._names.entries(key))
        words = (born, token, int(self.ttl * 1000))
        lease = Lease(key, f"{born}:{token}")
        try:
            taken, stored = await self._link.write(TAKE, names, words)
        except LinkError:
            return Lease(key)
        except asyncio.CancelledError:
            self._abandon(lease)
            raise
        if taken < 0:
            return Lease(key, alone=True)
        return replace(lease, stored=bool(stored)) if taken else None

    def deadline(self) -> float:
        """Until when somebody waits who begins to wait now, however often he takes his turn."""
        return self._clock() + self.patience

    async def wait(self, key: CacheKey, born: int, deadline: float) -> Waited:
        """Wait until the holder is done, but not past `deadline`."""
        name, pause = self._names.lock(key), _FIRST_POLL
        with self._ears.hearing(name) as word:
            while (left := deadline - self._clock()) > 0:
                await asyncio.wait((word,), timeout=min(pause, left))
                if word.done():
                    return word.result()
                pause = min(2 * pause, _POLL)
                try:
                    held = await self._link.run(
                        lambda client: client.execute_command("GET", name), key=name
                    )
                except LinkError:
                    return Waited.GO
                since, _, token = (held or b"").partition(b":")
                if not since.isdigit() or int(since) < born:
                    return Waited.LOOK
                if not token:
                    return Waited.ALONE
        return Waited.GO

    async def release(self, lease: Lease, outcome: Filled) -> None:
        """Give it back and tell those that wait what became of the fill."""
        if not lease.token:
            return
        name = self._names.lock(lease.key)
        words = (lease.token, outcome, int(_MARK_TTL * 1000))
        timeout = self._link.options.background_timeout
        with contextlib.suppress(LinkError):
            await self._link.write(RELEASE, (name,), words, timeout=timeout)

    async def close(self) -> None:
        """Stop listening."""
        await self._ears.close()
        if self._abandoned:
            await asyncio.wait(self._abandoned)

    def _abandon(self, lease: Lease) -> None:
        """Give back what may have been taken for somebody who has left."""
        work = self.release(lease, Filled.FAILED)
        task = asyncio.get_running_loop().create_task(work, name="redis lock")
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)


class _Ears:
    """Hears of releases on one connection, which exists while somebody waits, and a little longer.

    It only makes waits shorter: who waits also looks for itself from time to time.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._waiting: dict[str, set[asyncio.Future[Waited]]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def hearing(self, channel: str) -> Iterator["asyncio.Future[Waited]"]:
        """A future that the next message on `channel` resolves."""
        loop = asyncio.get_running_loop()
        word: asyncio.Future[Waited] = loop.create_future()
        self._waiting.setdefault(channel, set()).add(word)
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._listen(), name="redis fills")
        try:
            yield word
        finally:
            words = self._waiting[channel]
            words.discard(word)
            if not words:
                del self._waiting[channel]
            self._changed.set()

    async def close(self) -> None:
        if self._task is not None:
            await end((self._task,))

    async def _listen(self) -> None:
        attempt = 0
        while self._waiting:
            client = listener(self._link.options, attempt)
            connection = pubsub(client)
            try:
                await self._hear(connection)
            except (RedisError, OSError):
                attempt += 1
                await asyncio.sleep(_RECONNECT_PAUSE)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await shut(connection)
                with contextlib.suppress(RedisError, OSError):
                    await shut(client)

    async def _hear(self, connection: PubSubClient) -> None:
        subscribed: set[str] = set()
        while self._waiting or await self._somebody_comes():
            self._changed.clear()
            wanted = set(self._waiting)
            if new := wanted - subscribed:
                await connection.subscribe(*new)
            if old := subscribed - wanted:
                await connection.unsubscribe(*old)
            subscribed = wanted
            if subscribed:
                await self._next_message(connection)

    async def _somebody_comes(self) -> bool:
        """Keep the connection for a while: where fills are, there will be more."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _IDLE)
        return bool(self._waiting)

    async def _next_message(self, connection: PubSubClient) -> None:
        """Take messages until what is waited for has changed."""
        while not self._changed.is_set():
            message = await connection.get_message(ignore_subscribe_messages=True, timeout=0.02)
            if message is None:
                continue
            alone = message["data"] == Filled.UNSTORABLE.encode()
            waited = Waited.ALONE if alone else Waited.LOOK
            for word in self._waiting.get(message["channel"].decode(), ()):
                if not word.done():
                    word.set_result(waited)
