"""Reads of one moment in one round trip.

A round trip costs a process far more than a command does. What is to be read from one node while
the loop goes around once leaves together, and whoever asked gets an answer of his own:

- Nobody waits for others to come: what is there is sent as soon as all that was ready to run ran.
- Who leaves does not disturb those that asked at the same time.
- There is one time limit for all, and one outcome: they share the node and the connection.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from redis.exceptions import ResponseError

from proxy.redis_link.client import Client, ask_together
from proxy.redis_link.cluster import Word
from proxy.redis_link.outcomes import LinkError, speaks_of_types

_MOST = 32
"""Commands; beyond that more of them save little, and a large answer keeps others waiting."""


class Run(Protocol):
    """See RedisLink.run."""

    async def __call__(self, work: Callable[[Client], Any], *, key: str = "") -> Any:
        """See there."""
        ...


class _Batch:
    """Commands for one node, and who waits for their answers."""

    def __init__(self) -> None:
        self.commands: list[tuple[Word, ...]] = []
        self.waiting: list[asyncio.Future[Any]] = []

    async def ask(self, client: Client) -> list[Any]:
        """All replies, None in place of those that tell of another type.

        Raises:
            ResponseError: Redis refuses.
        """
        replies = await ask_together(client, self.commands)
        for position, reply in enumerate(replies):
            if isinstance(reply, ResponseError):
                if not speaks_of_types(reply):
                    raise reply
                replies[position] = None
        return replies

    def answer(self, answers: list[Any]) -> None:
        """Hand out replies, or errors, to those that still wait."""
        for future, answer in zip(self.waiting, answers, strict=True):
            if not future.done():
                future.set_result(answer)


class Reads:
    """Collects what is to be read. See the module.

    Args:
        run: Has work done by Redis.
        node_of: Names the node of a key.
    """

    def __init__(self, run: Run, node_of: Callable[[str], str]) -> None:
        self._run = run
        self._node_of = node_of
        self._open: dict[str, _Batch] = {}
        self._sent: set[asyncio.Task[None]] = set()

    async def ask(self, command: str, key: str) -> Any:
        """See RedisLink.read."""
        loop = asyncio.get_running_loop()
        if not self._open:
            loop.call_soon(self._send_all)
        node = self._node_of(key)
        batch = self._open.get(node)
        if batch is None:
            batch = self._open[node] = _Batch()
        future = loop.create_future()
        batch.commands.append((command, key))
        batch.waiting.append(future)
        if len(batch.waiting) == _MOST:
            self._send(self._open.pop(node))
        answer = await future
        if isinstance(answer, LinkError):
            raise type(answer)(*answer.args) from answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def finish(self) -> None:
        """Wait for what is on its way."""
        if self._sent:
            await asyncio.wait(set(self._sent))

    def _send_all(self) -> None:
        while self._open:
            self._send(self._open.popitem()[1])

    def _send(self, batch: _Batch) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(batch), name="redis reads")
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)

    async def _carry(self, batch: _Batch) -> None:
        """There and back; whatever happens, nobody is left waiting."""
        answers: list[Any]
        try:
            answers = await self._run(batch.ask, key=str(batch.commands[0][1]))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            answers = [error] * len(batch.waiting)
        batch.answer(answers)
