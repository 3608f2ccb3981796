"""The request of a connection that was passed on as soon as it was read, and what comes of it."""

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from proxy.exchange import Passage
from proxy.rfc9111.messages import Headers
from proxy.server.heads import parse_head
from proxy.server.options import ServerOptions
from proxy.server.writing import interim_head

if TYPE_CHECKING:
    from proxy.server.protocol import Connection

_COPIED: Final = 16 * 1024
"""Bytes of content up to which a copy is cheaper than a view."""


class PassedOn:
    """Where the answer goes, see Reply; one for each connection, which has one request at a time.

    Whatever ends the wait for a usual answer, the request leaves here once: answered by `give`,
    served by a task (`hand_over`), or forgotten.
    """

    __slots__ = ("_connection", "_data", "_options", "_passage")

    def __init__(self, connection: "Connection", options: ServerOptions) -> None:
        self._connection = connection
        self._options = options
        self._passage: Passage | None = None
        self._data = b""

    def begin(self, passage: Passage, data: bytes) -> None:
        """Wait for what comes of a request, whose head is `data`."""
        self._passage, self._data = passage, data
        if not passage.sent:
            self.hand_over()

    def abandon(self) -> None:
        """Forget it, if there is one."""
        passage, self._passage = self._passage, None
        if passage is not None:
            passage.abandon()

    @property
    def usual(self) -> bool:
        """See Reply."""
        return self._passage is not None and self._connection.persists

    def give(self, head: bytes, data: bytes, start: int) -> None:
        """See Reply."""
        self._passage, self._data = None, b""
        small = len(data) - start <= _COPIED
        self._connection.answer(head, data[start:] if small else memoryview(data)[start:], data)

    def send_interim(self, status: int, reason: str, headers: Headers) -> None:
        """See Reply."""
        with suppress(ConnectionError):
            self._connection.write(interim_head(status, reason, headers))

    def break_off(self) -> None:
        """See Reply."""
        self._passage, self._data = None, b""
        self._connection.abort()

    def hand_over(self) -> None:
        """See Reply; does nothing if there is none."""
        passage, self._passage = self._passage, None
        data, self._data = self._data, b""
        if passage is not None:
            head = parse_head(data, self._options)
            self._connection.serve_without_content(head, passage.respond)
