"""The connections for requests without a body."""

import asyncio
import contextlib
from collections import deque
from math import inf
from operator import itemgetter
from typing import Final

from proxy.origin.dialling import Dialler, connect_failure, connect_timeout
from proxy.origin.errors import OriginError
from proxy.origin.lean_body import LeanBody
from proxy.origin.lean_connection import LeanConnection
from proxy.origin.options import OriginOptions
from proxy.origin.slots import PATIENCE, Slots
from proxy.origin.waits import Waits
from proxy.rfc9111.reasons import Reason

_CLOSE_TIME: Final = 1.0

_REST: Final = 1.0
"""Seconds without a byte after which nothing more is expected of an exchange."""

_MOST_RESTING: Final = 16
"""Connections that rest at a time; others are closed instead."""


class LeanPool:
    """Keeps connections for reuse, the last one used first. Must be made while a loop runs.

    Args:
        slots: How many exchanges may run at a time.

    Attributes:
        heads: Bounds the wait for response heads.
        bodies: Bounds each wait for more of a body.
    """

    def __init__(self, options: OriginOptions, dialler: Dialler, slots: Slots) -> None:
        self.options = options
        self.heads: Waits[LeanConnection] = Waits(options.header_timeout, LeanConnection.overdue)
        self.bodies: Waits[LeanBody] = Waits(options.idle_timeout, LeanBody.overdue)
        self._dialler = dialler
        self._slots = slots
        slots.make_room = self._make_room
        self._secure = options.endpoint.scheme == "https"
        self._loop = asyncio.get_running_loop()
        self._idle: deque[LeanConnection] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._resting = 0
        self._open: set[LeanConnection] = set()
        self._closed = False
        self._emptied = asyncio.Event()

    @property
    def size(self) -> tuple[int, int]:
        """How many connections are open, and how many of them are idle."""
        return len(self._open), len(self._idle)

    def take(self, max_idle: float) -> LeanConnection | None:
        """A connection that was idle for at most `max_idle` seconds, if there is one now.

        It holds a slot until it is given back.
        """
        if not self._idle or not self._slots.free:
            return None
        connection = self._reuse(max_idle)
        if connection is not None:
            self._slots.take_now()
        return connection

    async def open(self, max_idle: float) -> LeanConnection:
        """As `take`, with patience: a connection that becomes free, or a new one.

        Raises OriginError: ORIGIN_REFUSED, _UNREACHABLE, _TLS or _CONNECT_TIMEOUT.
        """
        seconds = self.options.connect_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._slots.take()
                try:
                    return self._reuse(max_idle) or await self._dial()
                except BaseException:
                    self._slots.give_back()
                    raise
        except TimeoutError:
            raise connect_timeout(seconds) from None
        except (OSError, UnicodeError) as error:
            raise connect_failure(error, secure=self._secure) from error

    def _make_room(self) -> None:
        """Give up the exchange whose reader the origin has waited for the longest."""
        slow = [(one.slow_since, one) for one in self._open if one.slow_since is not None]
        since, slowest = min(slow, key=itemgetter(0), default=(inf, None))
        if slowest is not None and self._loop.time() - since >= PATIENCE:
            slowest.give_up()

    def _reuse(self, max_idle: float) -> LeanConnection | None:
        now = self._loop.time()
        while self._idle:
            connection = self._idle.pop()
            since = connection.idle_since
            if since is not None and now - since <= max_idle and connection.quiet():
                return connection
            connection.drop()
        return None

    async def _dial(self) -> LeanConnection:
        self._check_not_closed()
        connection = await self._dialler.dial(lambda: LeanConnection(self))
        try:
            self._check_not_closed()
        except OriginError:
            connection.drop()
            raise
        if connection.closed:
            raise OriginError(Reason.ORIGIN_BROKEN, "the connection closed before the request")
        self._open.add(connection)
        self._emptied.clear()
        return connection

    def _check_not_closed(self) -> None:
        if self._closed:
            raise OriginError(Reason.ORIGIN_UNREACHABLE, "the client is closed")

    def take_back(
        self, connection: LeanConnection, *, reusable: bool, suspect: bool = False
    ) -> None:
        """The exchange on `connection` is over; it is kept if it may be reused.

        Args:
            connection: It has nothing to do any more.
            reusable: It may be asked again.
            suspect: Not before some time has shown that nothing more comes of this exchange.
        """
        if reusable and not suspect:
            self._keep(connection)
        elif reusable and self._resting < _MOST_RESTING:
            self._resting += 1
            self._loop.call_later(_REST, self._rested, connection)
        elif reusable:
            connection.drop()
        self._slots.give_back()

    def take_answered(self, connection: LeanConnection) -> None:
        """The same for one whose head was waited for, with nothing wrong about it."""
        self.heads.stop(connection)
        self._keep(connection)
        self._slots.give_back()

    def _keep(self, connection: LeanConnection) -> None:
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweep_at(self._loop.time() + self.options.keepalive)

    def _rested(self, connection: LeanConnection) -> None:
        """Nothing has come, or that has closed it."""
        self._resting -= 1
        if not connection.closed:
            self._keep(connection)

    def lost(self, connection: LeanConnection) -> None:
        """A connection is no more."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._open:
            self._emptied.set()

    def _sweep_at(self, when: float) -> None:
        self._sweeper = self._loop.call_at(when, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long; the oldest stands first."""
        self._sweeper = None
        keepalive, now = self.options.keepalive, self._loop.time()
        while self._idle:
            since = self._idle[0].idle_since or 0.0
            if since + keepalive > now:
                self._sweep_at(since + keepalive)
                return
            self._idle.popleft().drop()

    async def close(self) -> None:
        """Close every connection, also those in use."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._open):
            connection.drop()
        self.heads.close()
        self.bodies.close()
        if self._open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIME):
                    await self._emptied.wait()
