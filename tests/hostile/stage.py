"""Warmfront on stage: an honest origin behind it, anybody in front of it."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from proxy.origin import OriginOptions
from tests.apparatus import PATIENCE, Answer, Front, fronted, read_answer
from tests.hostile.strict import Received, StrictOrigin, echo

CANARY = b"GET /canary HTTP/1.1\r\nHost: api.example\r\n\r\n"
"""Stands behind what is to be refused; nobody may ever see it."""

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_NUMBERS = itertools.count()


@dataclass
class Said:
    """Everything that came back on one connection until it ended.

    Attributes:
        statuses: Of each response in it.
    """

    raw: bytes
    statuses: list[int] = field(default_factory=list)

    @property
    def closes(self) -> bool:
        """The response says that the connection ends."""
        return b"\r\nConnection: close\r\n" in self.raw

    @property
    def dated(self) -> bool:
        """It says when it was made."""
        return b"\r\nDate: " in self.raw


class Stage:
    """A proxy that is used by many, one after the other."""

    def __init__(self, origin: StrictOrigin, front: Front) -> None:
        self.origin = origin
        self.front = front

    async def say(self, raw: bytes, *, eof: bool = False) -> Said:
        """Send `raw` on a connection of its own, and listen to the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.front.listener.port)
        received = b""
        try:
            async with asyncio.timeout(PATIENCE):
                with suppress(ConnectionError):
                    writer.write(raw)
                    if eof:
                        writer.write_eof()
                    while piece := await reader.read(65536):
                        received += piece
        finally:
            writer.close()
        return Said(received, [int(status) for status in _STATUS.findall(received)])

    async def ask(self, raw: bytes) -> Answer:
        """Send one GET on a connection of its own, and read the answer."""
        return await ask(self.front, raw)

    async def honest(self) -> None:
        """An honest client asks, and gets what belongs to it; the origin sees just that."""
        before = len(self.origin.seen)
        target = f"/honest/{next(_NUMBERS)}"
        said = await self.say(
            f"GET {target} HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n".encode()
        )
        assert said.statuses == [200]
        assert said.raw.endswith(f"\r\n\r\nfor GET {target}".encode())
        assert [seen.target for seen in self.origin.seen[before:]] == [target.encode()]
        assert not self.origin.faults


async def ask(front: Front, raw: bytes) -> Answer:
    """Send one GET on a connection of its own, and read the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(raw)
            return await read_answer(reader, "GET")
    finally:
        writer.close()


@asynccontextmanager
async def on_stage(
    answer: Callable[[Received], bytes | None] = echo, **options: Any
) -> AsyncIterator[Stage]:
    """A proxy with these options of `fronted`, before an origin that answers so."""
    origin = StrictOrigin(answer)
    await origin.start()
    try:
        async with fronted(
            OriginOptions(url=f"http://127.0.0.1:{origin.port}"), **options
        ) as front:
            yield Stage(origin, front)
    finally:
        await origin.stop()
