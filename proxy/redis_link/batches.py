"""Commands of one moment in one round trip.

A round trip costs a process far more than a command does. What is to be sent to one node while the
loop goes around once leaves together, reads with reads and writes with writes, and whoever asked
gets an answer of his own:

- Nobody waits for others to come: what is there is sent as soon as all that was ready to run ran.
- Who leaves before that sends nothing; who leaves later does not disturb the others.
- They share a connection, a time limit, and what becomes of both; a refusal is each one's own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from redis.exceptions import NoScriptError, ResponseError

from proxy.redis_link.client import Client, ask_together
from proxy.redis_link.cluster import Word
from proxy.redis_link.outcomes import (
    Access,
    LinkDown,
    LinkError,
    LinkRefused,
    in_words,
    speaks_of_types,
)

_MOST = 32
"""Commands; beyond that more of them save little, and a large answer keeps others waiting."""

Words: TypeAlias = Sequence[Word]


class Run(Protocol):
    """See RedisLink.run."""

    def __call__(
        self,
        work: Callable[[Client], Awaitable[Any]],
        *,
        key: str,
        access: Access,
        timeout: float | None,
    ) -> Awaitable[Any]:
        """See there."""
        ...


@dataclass(slots=True, eq=False)
class _Command:
    """A command, and who waits for its reply.

    Attributes:
        in_full: The same for a server that does not know the script.
    """

    words: Words
    in_full: Words | None
    waiting: asyncio.Future[Any]
    reply: Any = None


@dataclass(slots=True)
class _Batch:
    """Commands for one node.

    Attributes:
        key: Says which.
        answered: All have been replied to, if only by refusals.
    """

    key: str
    access: Access
    timeout: float | None
    commands: list[_Command] = field(default_factory=list)
    answered: bool = False

    async def send(self, client: Client) -> None:
        """Get all replies.

        Raises:
            ResponseError: The first refusal.
        """
        wanted = self.commands = [one for one in self.commands if not one.waiting.done()]
        await _ask(client, wanted, [one.words for one in wanted])
        unknown = [one for one in wanted if isinstance(one.reply, NoScriptError)]
        await _ask(client, unknown, [one.in_full or one.words for one in unknown])
        refused = [one for one in wanted if isinstance(one.reply, ResponseError)]
        if self.access is Access.READ:
            for one in refused:
                one.reply = None if speaks_of_types(one.reply) else one.reply
        self.answered = True
        for one in refused:
            if one.reply is not None:
                raise one.reply

    def settle(self, failure: Exception | None) -> None:
        """Hand out the replies, or what went wrong, to those that still wait.

        Nothing is kept: tracebacks lead here, and a connection's parser keeps its last refusal.
        """
        kind = LinkRefused if isinstance(failure, LinkRefused) else LinkDown
        while self.commands:
            one = self.commands.pop()
            reply, one.reply = one.reply if self.answered else failure, None
            if isinstance(reply, ResponseError):
                reply.__traceback__ = None
                reply = kind(in_words(reply))
            if not one.waiting.done():
                one.waiting.set_result(reply)


class Batches:
    """Collects what is to be sent. See the module.

    Args:
        run: Has work done by Redis.
        node_of: Names the node of a key.
    """

    def __init__(self, run: Run, node_of: Callable[[str], str]) -> None:
        self._run = run
        self._node_of = node_of
        self._open: dict[tuple[str, Access, float | None], _Batch] = {}
        self._sent: set[asyncio.Task[None]] = set()

    async def ask(
        self,
        words: Words,
        *,
        key: str,
        access: Access = Access.READ,
        timeout: float | None = None,  # noqa: ASYNC109 - the work goes on after it
        in_full: Words | None = None,
    ) -> Any:
        """The reply; for a read None where `key` is of another type.

        Args:
            words: The command.
            key: As for RedisLink.run.
            access: As for RedisLink.run.
            timeout: As for RedisLink.run.
            in_full: What to send to a server that does not know the script.

        Raises:
            LinkError: Redis is of no help now.
        """
        loop = asyncio.get_running_loop()
        if not self._open:
            loop.call_soon(self._send_all)
        place = (self._node_of(key), access, timeout)
        batch = self._open.get(place)
        if batch is None:
            batch = self._open[place] = _Batch(key, access, timeout)
        waiting = loop.create_future()
        batch.commands.append(_Command(words, in_full, waiting))
        if len(batch.commands) == _MOST:
            self._send(self._open.pop(place))
        reply = await waiting
        if isinstance(reply, LinkError):
            raise type(reply)(*reply.args) from reply
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def finish(self) -> None:
        """Wait for what is on its way."""
        if self._sent:
            await asyncio.wait(set(self._sent))

    def _send_all(self) -> None:
        while self._open:
            self._send(self._open.popitem()[1])

    def _send(self, batch: _Batch) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(batch), name="redis batch")
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)

    async def _carry(self, batch: _Batch) -> None:
        """There and back; whatever happens, nobody is left waiting."""
        try:
            await self._run(batch.send, key=batch.key, access=batch.access, timeout=batch.timeout)
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            batch.settle(error)
        else:
            batch.settle(None)


async def _ask(client: Client, commands: Sequence[_Command], words: Sequence[Words]) -> None:
    if commands:
        for one, reply in zip(commands, await ask_together(client, words), strict=True):
            one.reply = reply
