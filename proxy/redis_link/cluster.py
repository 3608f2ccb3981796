"""A cluster as one client: which node has a key, on top of redis-py's clients of single servers.

redis-py's own cluster client learns all nodes anew after any failure, closes connections that are
in use while it does, and waits for a node that hangs: one bad node stops commands to all others.
Here nodes do not know each other:

- every node has a client of its own; a failure there touches no other;
- whatever is learnt of slots is asked of all nodes at once, and the first answer counts;
- it is learnt in the background, when a node fails or says that a slot has moved.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - the library's name for it
    MovedError,
    RedisError,
    TimeoutError,  # noqa: A004 - the library's name for it
)

from proxy.redis_link.ending import end, shut

Word: TypeAlias = str | bytes | int | float
Address: TypeAlias = tuple[str, int]

_REDIRECTIONS = 5
_LEARN_PAUSE = 0.2


class NodeClient(Protocol):
    """A client of one server."""

    def execute_command(self, *words: Word, **options: Any) -> Awaitable[Any]:
        """Send one command."""
        ...

    def pipeline(self, *, transaction: bool) -> Any:
        """Several commands on one connection."""
        ...

    def aclose(self) -> Awaitable[None]:
        """Close all connections."""
        ...


class ClusterClient:
    """Commands to whichever node has their key; all keys of one command share a slot."""

    def __init__(self, nodes: Iterable[Address], make: Callable[[Address], NodeClient]) -> None:
        self._seeds = tuple(nodes)
        self._make = make
        self._clients: dict[Address, NodeClient] = {}
        self._slots: dict[int, Address] = {}
        self._learning: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[Any]] = set()
        self._learnt_at = float("-inf")

    async def execute_command(self, *words: Word, **options: Any) -> Any:
        """Send one command to the node of its first key."""
        if not self._slots:
            await self._learn()
        slot = _slot_of(words)
        address = self._slots.get(slot)
        if address is None:
            self._learn_soon()
            raise ClusterDownError(f"slot {slot} is not covered")
        ask = False
        for _ in range(_REDIRECTIONS):
            try:
                return await self._send(address, words, options, ask=ask)
            except MovedError as error:
                address, ask = _target(error, address), False
                self._slots[slot] = address
                self._learn_soon()
            except AskError as error:
                address, ask = _target(error, address), True
            except (ConnectionError, TimeoutError, ClusterDownError, OSError):
                self._learn_soon()
                raise
        raise ClusterDownError(f"slot {slot} moves in circles")

    async def execute_together(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Send commands for keys of one node, as far as is known, in one round trip.

        Returns:
            Replies, error answers among them; what has moved has been asked for where it is.
        """
        if not self._slots:
            await self._learn()
        address = self._slots.get(_slot_of(commands[0]))
        if address is None:
            return [await self.execute_command(*words) for words in commands]
        try:
            replies = await piped(self._client(address), commands)
        except (ConnectionError, TimeoutError, OSError):
            self._learn_soon()
            raise
        for position, reply in enumerate(replies):
            if isinstance(reply, AskError | ClusterDownError):
                replies[position] = await self.execute_command(*commands[position])
        return replies

    def node_of(self, key: str) -> str:
        """Which node has `key`, "" while that is not known."""
        address = self._slots.get(key_slot(key.encode()))
        return f"{address[0]}:{address[1]}" if address is not None else ""

    async def aclose(self) -> None:
        """Close all connections."""
        await end([*self._asking, *([self._learning] if self._learning else [])])
        while self._clients:
            await shut(self._clients.popitem()[1])

    async def _send(
        self, address: Address, words: tuple[Word, ...], options: dict[str, Any], *, ask: bool
    ) -> Any:
        client = self._client(address)
        if not ask:
            return await client.execute_command(*words, **options)
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command("ASKING")
            pipeline.execute_command(*words, **options)
            return (await pipeline.execute())[1]

    def _client(self, address: Address) -> NodeClient:
        if address not in self._clients:
            self._clients[address] = self._make(address)
        return self._clients[address]

    def _learn_soon(self) -> None:
        """Learn in the background, unless that has just been done."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._learnt_at > _LEARN_PAUSE:
            self._begin_learning()

    async def _learn(self) -> None:
        await asyncio.shield(self._begin_learning())
        if not self._slots:
            raise ConnectionError("no node of the cluster answers")

    def _begin_learning(self) -> "asyncio.Task[None]":
        if self._learning is None or self._learning.done():
            loop = asyncio.get_running_loop()
            self._learning = loop.create_task(self._learn_slots(), name="redis slots")
        return self._learning

    async def _learn_slots(self) -> None:
        """Ask all nodes for all slots; the first that knows is believed."""
        loop = asyncio.get_running_loop()
        self._learnt_at = loop.time()
        addresses = {*self._seeds, *self._slots.values()}
        asking = {loop.create_task(self._slots_by(address)) for address in addresses}
        self._asking |= asking
        for task in asking:
            task.add_done_callback(self._asking.discard)
        for answer in asyncio.as_completed(asking):
            if slots := await answer:
                self._slots = slots
                await self._forget_others({*self._seeds, *slots.values()})
                return

    async def _slots_by(self, address: Address) -> dict[int, Address]:
        """What one node says, {} for nothing, on a connection that nothing else waits for."""
        client = self._make(address)
        try:
            ranges = await client.execute_command("CLUSTER", "SLOTS")
        except (RedisError, OSError):
            return {}
        finally:
            await shut(client)
        slots: dict[int, Address] = {}
        for first, last, (host, port, *_), *_ in ranges:
            named = host.decode() if host else address[0]
            slots |= dict.fromkeys(range(first, last + 1), (named, int(port)))
        return slots

    async def _forget_others(self, known: set[Address]) -> None:
        for address in self._clients.keys() - known:
            await shut(self._clients.pop(address))


async def piped(client: NodeClient, commands: Iterable[Sequence[Word]]) -> list[Any]:
    """Replies to commands that one server is sent at once; error answers are among them."""
    async with client.pipeline(transaction=False) as pipeline:
        for words in commands:
            pipeline.execute_command(*words)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, RedisError):
            reply.__traceback__ = None  # of the frame that holds the reply: only gc would free both
    return replies


def _slot_of(words: Sequence[Word]) -> int:
    """The slot of a command's first key; of its name where it has none, as any node will do."""
    name = str(words[0]).upper()
    if name in {"EVAL", "EVALSHA"}:
        key = words[3]
    elif name in {"XREAD", "XREADGROUP"}:
        key = words[[str(word).upper() for word in words].index("STREAMS") + 1]
    else:
        key = words[min(1, len(words) - 1)]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def _target(error: AskError, asked: Address) -> Address:
    """Where a redirection leads; a node that does not know its own name leaves the host out."""
    return (error.host or asked[0], error.port)
