"""Accepting connections: until nobody waits any more, and with no descriptor left too.

The loops accept by themselves, but when descriptors run out one of them says so once a second for
each socket and the other never does; and what has not been accepted when a listening socket is
closed is reset. So this is done here:

- Out of descriptors, one is given up that was kept back for that, and whoever waits is answered
  503 and let go. Nothing spins, and the log tells the beginning and the end of it.
- Before the socket is closed it is accepted from until nobody waits.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from proxy.server.writing import problem_bytes

_logger = logging.getLogger(__name__)

_AT_ONCE: Final = 64
"""Connections that are accepted before the loop turns to others."""

_LAST_ROUNDS: Final = 64
"""More than a queue holds: where another process takes new ones too, they never end."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE: Final = 0.1
_OVER: Final = 5.0
"""Seconds without a shortage after which it is over."""

_GREETING: Final = 65536


class Shortage:
    """Tells once that something has run short, and once that it is over."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._refused = 0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def note(self) -> None:
        """A connection was refused for it."""
        loop = asyncio.get_running_loop()
        self._refused += 1
        self._last = loop.time()
        if self._timer is None:
            _logger.warning("%s: further ones are refused", self._what)
            self._timer = loop.call_later(_OVER, self._check)

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._last + _OVER - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._check)
            return
        self._timer = None
        _logger.info("No longer: %s; %d were refused", self._what, self._refused)
        self._refused = 0


class Door:
    """Accepts from one listening socket and hands each connection to `welcome`.

    Args:
        sock: Is this object's own from now on.
        plain: Whoever is let go understands a 503 without TLS.
        shortage: Is told of every connection for which there was no descriptor.
    """

    def __init__(
        self,
        sock: socket.socket,
        welcome: Callable[[socket.socket], None],
        *,
        plain: bool,
        shortage: Shortage,
    ) -> None:
        sock.settimeout(0)
        self.sock = sock
        self._welcome = welcome
        self._plain = plain
        self._shortage = shortage
        self._loop = asyncio.get_running_loop()
        self._reserve: int | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._closing = False

    def open(self) -> None:
        """Accept from now on."""
        self._keep_back()
        self._loop.add_reader(self.sock, self._accept)

    def close(self) -> None:
        """Welcome all who wait, and let nobody in any more."""
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self.sock)
        if self._pause is not None:
            self._pause.cancel()
        for _ in range(_LAST_ROUNDS):
            if not self._accept():
                break
        self.sock.close()
        self._give_up()

    def _accept(self) -> bool:
        """Accept some; returns whether more may be waiting."""
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self.sock.accept()
            except BlockingIOError:
                return False
            except ConnectionAbortedError:
                continue
            except OSError as error:
                return self._shed(error)
            self._welcome(connection)
        return True

    def _shed(self, error: OSError) -> bool:
        """Let some go for whom there is no descriptor, or wait a moment; returns as `_accept`."""
        if error.errno not in _EXHAUSTED:
            _logger.error("Cannot accept connections: %s", error)
            self._rest()
            return False
        if self._reserve is None:
            self._rest()
            return False
        self._give_up()
        try:
            for _ in range(_AT_ONCE):
                connection, _ = self.sock.accept()
                self._shortage.note()
                refuse(connection, "The proxy has no descriptor left.", plain=self._plain)
        except BlockingIOError:
            return False
        except OSError:  # somebody else was quicker
            self._rest()
            return False
        finally:
            self._keep_back()
        return True

    def _rest(self) -> None:
        """Accept nothing for a moment."""
        if not self._closing:
            self._loop.remove_reader(self.sock)
            self._pause = self._loop.call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self.open()

    def _keep_back(self) -> None:
        if self._reserve is None:
            with suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _give_up(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


def refuse(connection: socket.socket, why: str, *, plain: bool) -> None:
    """Answer 503 without a look at the request, and close."""
    with connection, suppress(OSError):
        connection.settimeout(0)
        if plain:
            connection.send(problem_bytes(503, why))
        connection.recv(_GREETING)  # closed with bytes unread it would be reset
