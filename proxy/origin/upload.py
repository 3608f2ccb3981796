"""A request body on its way to the origin, while the response is already being read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from proxy.exchange import Body, BodyAborted
from proxy.origin.connection import Connection
from proxy.origin.deadline import HeadDeadline
from proxy.rfc9111.reasons import Reason

# A server may be silent about Expect; after this long the body is sent anyway
# (RFC 9110 §10.1.1).
CONTINUE_TIMEOUT = 1.0


class Upload:
    """Sends a body in a task of its own.

    Reading the client's part pauses the deadline for the response head, sending to the origin
    restarts it. A failure of the client's part fails the whole exchange with that error; a
    failure to send is silent, since the reading side learns the same and may find an answer.

    Attributes:
        started: The body is being sent, or was; False while waiting for 100 (Continue).
        finished: All of the body went out.
    """

    def __init__(
        self, connection: Connection, body: Body, deadline: HeadDeadline, *, await_continue: bool
    ) -> None:
        self.started = False
        self.finished = False
        self._connection = connection
        self._body = body
        self._deadline = deadline
        self._allowed = asyncio.Event()
        if not await_continue:
            self._allowed.set()
        self._task = asyncio.create_task(self._run())

    def allow(self) -> None:
        """The origin said 100 (Continue)."""
        self._allowed.set()

    async def stop(self) -> None:
        """Send no more; returns when nothing reads the client's body any longer."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONTINUE_TIMEOUT):
                await self._allowed.wait()
        self.started = True
        pieces = aiter(self._body)
        try:
            self.finished = await self._send(pieces)
        except Exception as error:  # noqa: BLE001 - it is raised again on the reading side
            self._connection.fail(error)
        finally:
            self._deadline.restart()
            if (close := getattr(pieces, "aclose", None)) is not None:
                await close()

    async def _send(self, pieces: AsyncIterator[bytes]) -> bool:
        """Send until the body ends (True) or the origin is gone (False)."""
        left = self._body.length
        while (piece := await self._next(pieces)) is not None:
            if left is None:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            elif (left := left - len(piece)) < 0:
                raise BodyAborted(Reason.REQUEST_INCOMPLETE)
            if not await self._pass_on(piece):
                return False
        if left is None:
            return await self._pass_on(b"0\r\n\r\n")
        if left:
            raise BodyAborted(Reason.REQUEST_INCOMPLETE)
        return True

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        self._deadline.pause()
        while (piece := await anext(pieces, None)) is not None:
            if piece:
                break
        self._deadline.restart()
        return piece

    async def _pass_on(self, data: bytes) -> bool:
        try:
            self._connection.send(data)
            await self._connection.drain()
        except ConnectionError:
            return False
        return True
