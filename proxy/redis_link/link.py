"""The one way to Redis: bounded, never cancelled midway, and shut while Redis does not answer.

Rules:

1. A command runs in a task of its own. Who waits for it may leave; the command ends by itself,
   so no connection goes back to the pool with an unread reply.
2. Nobody waits longer than asked, neither for a connection nor for the answer.
3. After failures in a row nobody waits at all, until a probe in the background has been answered
   as fast as requests need it. In a cluster that holds for each node, as the others go on.
4. A server that answers with a refusal (full, read-only, no permission) is up. What it refuses,
   reading or writing, pauses on its own.
5. Only a change of state is an event; every failure is a number.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic
from typing import Any, TypeVar

from redis.crc import key_slot
from redis.exceptions import (
    ReadOnlyError,
    ResponseError,
)

from proxy.events import Emit, RedisChanged
from proxy.histogram import Histogram
from proxy.redis_link.batches import Batches
from proxy.redis_link.breaker import Breaker
from proxy.redis_link.client import Client, connect, node_name
from proxy.redis_link.cluster import Word
from proxy.redis_link.ending import end, shut
from proxy.redis_link.options import Mode, RedisOptions
from proxy.redis_link.outcomes import (
    FAILURES,
    Access,
    LinkBusy,
    LinkCounts,
    LinkDown,
    LinkError,
    LinkRefused,
    LinkState,
    in_words,
    speaks_of_absence,
)
from proxy.redis_link.scripts import Script

T = TypeVar("T")

_REFUSAL_PAUSE = 0.5
_REFUSAL_PAUSE_LIMIT = 5.0


class _Node:
    """One server, or whatever stands behind the one address: can it be reached?"""

    def __init__(self, name: str, options: RedisOptions) -> None:
        self.name = name
        self.breaker = Breaker(options.failures, options.retry_after, options.retry_limit)
        self.cause = ""
        self.probe: asyncio.Task[None] | None = None


class RedisLink:
    """Commands to Redis. See the module's rules.

    Attributes:
        options: How it was set up.
        counts: What has happened.
        durations: How long answers took, with the wait for a connection.
        state: As last told by an event.
    """

    def __init__(
        self, options: RedisOptions, emit: Emit, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self.options = options
        self.counts = LinkCounts()
        self.durations = Histogram()
        self.state = LinkState.UP
        self._emit = emit
        self._clock = clock
        self._client = connect(options)
        self._slots = asyncio.Semaphore(options.max_connections)
        self._running: set[asyncio.Future[Any]] = set()
        self._nodes: dict[str, _Node] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._refusals = {a: Breaker(1, _REFUSAL_PAUSE, _REFUSAL_PAUSE_LIMIT) for a in Access}
        self._cause = ""
        self._batches = Batches(self.run, lambda key: node_name(self._client, key))
        self._on_up: list[Callable[[], None]] = []

    def on_up(self, callback: Callable[[], None]) -> None:
        """Call this whenever Redis can be reached again."""
        self._on_up.append(callback)

    def usable(self, access: Access = Access.READ, key: str = "") -> bool:
        """Whether `run` would go ahead now; for those that can wait."""
        breaker = self._refusals[access]
        ready = breaker.closed or self._clock() >= breaker.retry_at
        return ready and self._node(key).breaker.closed

    async def run(
        self,
        work: Callable[[Client], Awaitable[T]],
        *,
        key: str = "",
        access: Access = Access.READ,
        timeout: float | None = None,  # noqa: ASYNC109 - the work goes on after it
    ) -> T:
        """What `work` gets from Redis, waiting `timeout` seconds (as requests do, by default).

        Args:
            work: Sends commands, all of them to the node of `key`.
            key: Says which node that is, in a cluster.
            access: What the commands do, if they should be refused.
            timeout: Seconds for the whole of it.

        Raises:
            LinkError: And nothing else for whatever is wrong with Redis.
        """
        limit = self.options.timeout if timeout is None else timeout
        node = self._node(key)
        self._check_breakers(node, access)
        began = self._clock()
        deadline = began + limit
        await self._take_slot(limit)
        task = self._begin(work)
        try:
            await asyncio.wait((task,), timeout=max(0.0, deadline - self._clock()))
        except asyncio.CancelledError:
            task.add_done_callback(lambda _: self._settle(task, node, key, access))
            raise
        self.durations.observe(self._clock() - began)
        return self._outcome(task, node, key, access, limit)

    async def read(self, command: str, key: str) -> Any:
        """The reply to a command that reads `key`, None where that is of another type.

        It shares its way with all that is read at the same moment, and waits as requests do.

        Raises:
            LinkError: And nothing else for whatever is wrong with Redis.
        """
        return await self._batches.ask((command, key), key=key)

    async def write(
        self,
        script: Script,
        keys: Sequence[str],
        words: Sequence[Word],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the work goes on after it
    ) -> Any:
        """What a script returns that writes `keys`, which share a hash slot.

        It shares its way with all that is written at the same moment with the same `timeout`, as
        in `run`.

        Raises:
            LinkError: And nothing else for whatever is wrong with Redis.
        """
        return await self._batches.ask(
            script.by_digest(keys, words),
            key=keys[0],
            access=Access.WRITE,
            timeout=timeout,
            in_full=script.in_full(keys, words),
        )

    def together(self, keys: Iterable[str]) -> list[list[int]]:
        """Positions of keys that one script may take at once: of one hash slot in a cluster."""
        groups: dict[int, list[int]] = {}
        for position, key in enumerate(keys):
            slot = key_slot(key.encode()) if self.options.mode is Mode.CLUSTER else 0
            groups.setdefault(slot, []).append(position)
        return list(groups.values())

    async def start(self) -> None:
        """Try once, so that an operator hears at start that Redis is away; raises nothing."""
        try:
            self._replace_client(await self._proven_client(""))
        except LinkError as error:
            node = self._node("")
            node.breaker.trip(self._clock())
            self._opened(node, "", str(error))

    async def close(self) -> None:
        """Let go of everything; commands that run are given up with their connections."""
        probes = [node.probe for node in self._nodes.values() if node.probe is not None]
        await end([*self._running, *probes])
        await self._batches.finish()
        if self._leaving:
            await asyncio.wait(set(self._leaving))  # not for long, as nothing runs any more
        await shut(self._client)

    def _node(self, key: str) -> _Node:
        name = node_name(self._client, key)
        if name not in self._nodes:
            self._nodes[name] = _Node(name, self.options)
        return self._nodes[name]

    def _check_breakers(self, node: _Node, access: Access) -> None:
        if not node.breaker.closed:
            self.counts.skipped += 1
            raise LinkDown(node.cause)
        if not self._refusals[access].permits(self._clock()):
            self.counts.skipped += 1
            raise LinkRefused(self._cause)

    async def _take_slot(self, limit: float) -> None:
        if not self._slots.locked():
            await self._slots.acquire()  # without a wait
            return
        try:
            async with asyncio.timeout(limit):
                await self._slots.acquire()
        except TimeoutError:
            self.counts.busy += 1
            raise LinkBusy("all connections are in use") from None

    def _begin(self, work: Callable[[Client], Awaitable[T]]) -> "asyncio.Task[T]":
        client = self._client

        async def attempt() -> T:
            return await work(client)

        self.counts.commands += 1
        task = asyncio.get_running_loop().create_task(attempt(), name="redis")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Future[Any]") -> None:
        self._running.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # marked as seen: whoever waited may have left

    def _outcome(
        self, task: "asyncio.Task[T]", node: _Node, key: str, access: Access, limit: float
    ) -> T:
        if not task.done():
            cause = f"no answer within {limit:g} s {node.name}".rstrip()
            self._fail(node, key, cause)
            raise LinkDown(cause)
        if task.cancelled():
            raise LinkDown("closing")
        match task.exception():
            case None:
                self._succeed(node, access)
                return task.result()
            case ResponseError() as error if not speaks_of_absence(error):
                self._refuse(access, error)
                raise LinkRefused(in_words(error)) from error
            case error if isinstance(error, FAILURES):
                self._fail(node, key, in_words(error))
                raise LinkDown(in_words(error)) from error
            case error:
                raise error

    def _settle(self, task: "asyncio.Task[Any]", node: _Node, key: str, access: Access) -> None:
        """Count the outcome of what nobody waits for any more."""
        with contextlib.suppress(LinkError):
            self._outcome(task, node, key, access, self.options.background_timeout)

    def _succeed(self, node: _Node, access: Access) -> None:
        # A late answer to a command sent before the breaker opened is no reason to close it.
        if node.breaker.closed:
            node.breaker.succeeded()
        if self._refusals[access].succeeded():
            self._tell(self._cause)

    def _refuse(self, access: Access, error: ResponseError) -> None:
        self.counts.refusals += 1
        if self._refusals[access].failed(self._clock()):
            self._tell(in_words(error))
        if isinstance(error, ReadOnlyError) and self.options.mode is Mode.STANDALONE:
            # The address may lead to another server by now; open connections stick to this one.
            self._replace_client(connect(self.options))

    def _replace_client(self, new: Client) -> None:
        """Go on with `new`; what runs on the old one ends there."""
        leaving, self._client = self._client, new
        chore = self._close_when_idle(leaving, frozenset(self._running))
        task = asyncio.get_running_loop().create_task(chore, name="redis leaving")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _close_when_idle(
        self, client: Client, running: frozenset["asyncio.Future[Any]"]
    ) -> None:
        if running:
            await asyncio.wait(running)
        await client.aclose()

    def _fail(self, node: _Node, key: str, cause: str) -> None:
        self.counts.failures += 1
        if node.breaker.failed(self._clock()):
            self._opened(node, key, cause)

    def _opened(self, node: _Node, key: str, cause: str) -> None:
        node.cause = cause
        self._tell(cause)
        loop = asyncio.get_running_loop()
        node.probe = loop.create_task(self._probe(node, key), name=f"redis probe {node.name}")

    async def _probe(self, node: _Node, key: str) -> None:
        """Try what failed until it is answered as fast as requests need it."""
        while not node.breaker.closed:
            await asyncio.sleep(max(0.0, node.breaker.retry_at - self._clock()))
            try:
                self._replace_client(await self._proven_client(key))
            except LinkError:
                node.breaker.failed(self._clock())
            else:
                node.breaker.succeeded()
        self._tell("")
        for callback in self._on_up:
            callback()

    async def _proven_client(self, key: str) -> Client:
        """A new client that has been answered in a request's time.

        New, since it asks anew where the servers are.
        """
        client = connect(self.options)
        try:
            await self._prove(client, key or f"{self.options.prefix}probe")
        except BaseException:
            await shut(client)
            raise
        return client

    async def _prove(self, client: Client, key: str) -> None:
        """Ask twice: the first may have to connect, the second must come in a request's time."""
        patience = 2 * (self.options.connect_timeout + self.options.background_timeout)
        for limit in (patience, self.options.timeout):
            try:
                async with asyncio.timeout(limit):
                    await client.execute_command("EXISTS", key)
            except TimeoutError:
                raise LinkDown(f"no answer within {limit:g} s") from None
            except FAILURES as error:
                if not isinstance(error, ResponseError) or speaks_of_absence(error):
                    raise LinkDown(in_words(error)) from error

    def _tell(self, cause: str) -> None:
        """Emit the state if it is another than the last one told."""
        if any(not node.breaker.closed for node in self._nodes.values()):
            state = LinkState.DOWN
        elif all(breaker.closed for breaker in self._refusals.values()):
            state = LinkState.UP
        else:
            state = LinkState.REFUSING
        if state is self.state:
            return
        self.state = state
        self._cause = "" if state is LinkState.UP else cause or self._cause
        self._emit(RedisChanged(self.options.address, state.value, self._cause))
