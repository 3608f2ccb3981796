"""The log's scripts as commands to Redis: bounded, and never cancelled midway."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from proxy.purging.log import LogUnreachable
from proxy.redis_link import Client, Script, Word, end

_CONNECTIONS: Final = 16


def new_id() -> str:
    """For a log that has to begin anew: Redis cannot draw lots itself."""
    return secrets.token_hex(8)


class Commands:
    """Runs scripts on the keys of one log.

    Args:
        client: Up to 16 connections of it are used at a time.
        keys: In the order of `scripts.KEYS`.
    """

    def __init__(self, client: Client, keys: Sequence[str]) -> None:
        self._client = client
        self._keys = keys
        self._flagged = True
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, script: tuple[Script, Script], *words: Word, patience: float) -> Any:
        """Run it in a task of its own: who waits may leave, the connection stays clean.

        Args:
            script: With and without flags; see `scripts`.
            words: Its arguments.
            patience: Seconds to wait for the answer.

        Raises:
            LogUnreachable: There is none in time, or it is an error.
        """
        work = self._run_either(script, words)
        task = asyncio.get_running_loop().create_task(work, name="purge log command")
        self._running.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait((task,), timeout=patience)
        if not task.done() or task.cancelled():
            raise LogUnreachable(f"no answer within {patience:g} s")
        try:
            return task.result()
        except (RedisError, RedisClusterException, OSError, EOFError) as error:
            raise LogUnreachable(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Give up what runs."""
        await end(self._running)

    async def _run_either(self, script: tuple[Script, Script], words: Sequence[Word]) -> Any:
        """Redis before 7 does not know flags: it gets the script without."""
        async with self._slots:
            if self._flagged:
                try:
                    return await script[0].run(self._client, self._keys, words)
                except ResponseError as error:
                    if "ompiling" not in str(error):
                        raise
                    self._flagged = False
            return await script[1].run(self._client, self._keys, words)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marked as seen: whoever waited may have left
