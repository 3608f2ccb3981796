"""A request body on its way to the origin, while the response is already being read."""

import asyncio
import contextlib

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
        self._left = body.length
        self._pieces = aiter(body)
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
        try:
            self.finished = await self._send()
        except Exception as error:  # noqa: BLE001 - it is raised again on the reading side
            self._connection.fail(error)
        finally:
            self._deadline.restart()
            if (close := getattr(self._pieces, "aclose", None)) is not None:
                await close()

    async def _send(self) -> bool:
        """Send until the body ends (True) or the origin is gone (False)."""
        while piece := await self._next():
            if self._left is None:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            elif len(piece) > self._left:
                raise BodyAborted(Reason.REQUEST_INCOMPLETE)
            else:
                self._left -= len(piece)
            if not await self._pass_on(piece):
                return False
        if self._left is None:
            return await self._pass_on(b"0\r\n\r\n")
        if self._left:
            raise BodyAborted(Reason.REQUEST_INCOMPLETE)
        return True

    async def _next(self) -> bytes:
        """The next piece; b"" at the end only, for an empty chunk would end the message."""
        self._deadline.pause()
        try:
            while not (piece := await anext(self._pieces)):
                pass
        except StopAsyncIteration:
            piece = b""
        self._deadline.restart()
        return piece

    async def _pass_on(self, data: bytes) -> bool:
        await self._connection.hear()
        try:
            self._connection.send(data)
            await self._connection.drain()
        except ConnectionError:
            return False
        return True
