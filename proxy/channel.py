"""A conversation of two processes over a socket: calls, which are answered, and mere news.

    4 bytes   how long the rest is, most significant first
    JSON      ["call", number, name, value]
              ["answer", number, value]  or  ["failure", number, text]
              ["news", name, value]

What one side sends arrives in that order. News are taken one by one as they arrive; each call is a
task of its own, and its answer comes when it is done.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

_logger = logging.getLogger(__name__)

_LENGTH: Final = 4


class ChannelLost(Exception):  # noqa: N818 - the state is the name
    """The other side is gone."""


class CallFailed(Exception):  # noqa: N818 - what came of it, no failure of ours
    """The other side could not do it; the message says why."""


class Channel:
    """One end; everything may be used as soon as it has been opened.

    Attributes:
        calls: Who answers what the other side calls; what it raises is told there.
        news: Who takes what the other side tells.
        lost: Set when the other side is gone, or this one was closed.
        on_lost: Is told then.
    """

    def __init__(self) -> None:
        self.calls: dict[str, Callable[[Any], Awaitable[Any]]] = {}
        self.news: dict[str, Callable[[Any], None]] = {}
        self.lost = asyncio.Event()
        self.on_lost: Callable[[], None] = lambda: None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self, sock: socket.socket) -> None:
        """Begin; `sock` is the channel's own from now on."""
        reader, self._writer = await asyncio.open_connection(sock=sock)
        self._reading = asyncio.get_running_loop().create_task(self._read(reader), name="channel")

    async def call(self, name: str, value: Any = None) -> Any:
        """What the other side answers.

        Raises:
            ChannelLost: It is gone.
            CallFailed: It cannot do that.
        """
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(["call", number, name, value])
            return await answer
        finally:
            del self._waiting[number]

    def tell(self, name: str, value: Any = None) -> None:
        """Tell the other side; raises ChannelLost."""
        self._send(["news", name, value])

    @property
    def backlog(self) -> int:
        """Bytes that the other side has yet to take."""
        return 0 if self._writer is None else self._writer.transport.get_write_buffer_size()

    async def close(self) -> None:
        """End the conversation."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        answering = list(self._answering)
        for task in answering:
            task.cancel()
        if answering:
            await asyncio.wait(answering)

    def _send(self, message: list[Any]) -> None:
        if self._writer is None or self.lost.is_set():
            raise ChannelLost("the other process is gone")
        data = json.dumps(message, separators=(",", ":")).encode()
        self._writer.write(len(data).to_bytes(_LENGTH, "big") + data)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(_LENGTH), "big")
                self._take(json.loads(await reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception:
            _logger.exception("What another process says cannot be understood")
        finally:
            self._end()

    def _end(self) -> None:
        self.lost.set()
        self.on_lost()
        if self._writer is not None:
            self._writer.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ChannelLost("the other process is gone"))
                answer.exception()  # marked as seen: whoever waited may have left

    def _take(self, message: list[Any]) -> None:
        match message:
            case ["news", name, value]:
                self.news[name](value)
            case ["call", number, name, value]:
                task = asyncio.get_running_loop().create_task(self._answer(number, name, value))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            case ["answer" | "failure" as kind, number, value]:
                answer = self._waiting.get(number)
                if answer is not None and not answer.done():
                    if kind == "answer":
                        answer.set_result(value)
                    else:
                        answer.set_exception(CallFailed(value))
            case _:
                raise ValueError("no message")

    async def _answer(self, number: int, name: str, value: Any) -> None:
        try:
            answer = ["answer", number, await self.calls[name](value)]
        except Exception as error:
            _logger.debug("A call of %s failed", name, exc_info=True)
            answer = ["failure", number, f"{error}" or type(error).__name__]
        with contextlib.suppress(ChannelLost):
            self._send(answer)
