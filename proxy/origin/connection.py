"""One exchange over aiohttp's protocol: a request, perhaps with a body, and its response."""

import asyncio
import weakref
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError

from proxy.origin.errors import OriginError, StaleConnectionError
from proxy.origin.heads import Head, check_head, malformed
from proxy.origin.protocol import ResponseProtocol
from proxy.rfc9111.reasons import Reason

if TYPE_CHECKING:
    from aiohttp.connector import Connection as PooledConnection

    from proxy.origin.pool import Pool


class Connection:
    """One exchange with the origin on a connection from the pool; ends in `release` or `drop`.

    Everything that reads raises OriginError (ORIGIN_BROKEN, ORIGIN_MALFORMED), or whatever was
    passed to `fail`.
    """

    def __init__(
        self, pool: "Pool", pooled: "PooledConnection", protocol: ResponseProtocol
    ) -> None:
        self._pool = pool
        self._pooled = pooled
        self._protocol = protocol
        self._reused = protocol.idle_since is not None
        self._head_only = False
        # Also of an exchange that nobody ends.
        self._give_back_slot = weakref.finalize(self, pool.slots.give_back)
        self._give_back_slot.atexit = False

    def begin(self, head: bytes, *, head_only: bool) -> None:
        """Send a request head. `head_only`: the method is HEAD."""
        self._head_only = head_only
        self._protocol.begin(head_only=head_only)
        self.send(head)

    def send(self, data: bytes) -> None:
        """Send, or buffer for sending; does nothing when the connection is lost."""
        transport = self._protocol.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    async def hear(self) -> None:
        """Take in what the origin has said by now.

        To be called before sending more of a body: a send that hits a closed connection loses an
        early answer, such as 413, that lies unread in the socket.
        """
        if not self._protocol.quiet():
            # One round of the loop notices the bytes, the next one has read them.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def drain(self) -> None:
        """Wait while the origin is slow to read. Raises ConnectionError when it is gone."""
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the origin closed the connection")
        await self._protocol._drain_helper()  # noqa: SLF001

    async def head(self) -> Head:
        """The next response head, interim or final; StaleConnectionError where none can come."""
        try:
            message, _ = await self._protocol.read()
        except Exception as error:
            failure = _read_error(error)
            untouched = self._reused and not self._protocol.touched
            if untouched and _is_broken(failure):
                raise StaleConnectionError(str(error)) from error
            raise failure from error
        head = self._checked(message)
        if head.hollow or not head.persistent:
            self.spoil()
        return head

    def _checked(self, message: RawResponseMessage) -> Head:
        head = check_head(
            version=(message.version.major, message.version.minor),
            status=message.code,
            reason=message.reason.encode("utf-8", "surrogateescape").decode("latin-1"),
            fields=message.raw_headers,
            persistent=not message.should_close,
            head_only=self._head_only,
        )
        if bool(message.chunked) != ("Transfer-Encoding" in head.headers):
            raise malformed("parser and fields disagree on Transfer-Encoding")
        return head

    def buffered(self) -> bytes:
        """Body bytes that have arrived, even if the rest never will; b"" for none."""
        body = self._protocol.body
        # `read_nowait` would hold back what came before a failure.
        return body._read_nowait(-1) if body is not None and body._buffer else b""  # noqa: SLF001

    @property
    def body_ended(self) -> bool:
        """The body is whole, and `buffered` has given it all."""
        body = self._protocol.body
        return body is None or (body.exception() is None and body.at_eof())

    async def chunk(self) -> bytes:
        """The next bytes of the body or tunnel; b"" at its end."""
        body = self._protocol.body
        if body is None:
            return b""
        try:
            return await body.readany()
        except Exception as error:
            raise _read_error(error) from error

    def fail(self, error: Exception) -> None:
        """Make whoever reads from this connection get `error`, and close it."""
        self._protocol.fail(error)

    def spoil(self) -> None:
        """The connection must not be used again after this exchange."""
        self._protocol.force_close()

    def release(self) -> None:
        """Back to the pool after a whole exchange; closed instead where it cannot be reused."""
        self._protocol.end()
        self._pooled.release()
        self._give_back_slot()

    def drop(self) -> None:
        """Close at once; what was not sent is not sent. May be called again."""
        if self._pooled.protocol is not None:
            self._protocol.abort()
            self._pooled.close()
            self._give_back_slot()

    def detach(self) -> None:
        """Leave the pool: a tunnel lives long and takes no slot from ordinary exchanges."""
        self._pool.detach(self._pooled, self._protocol)
        self._give_back_slot()

    def close_write(self) -> None:
        """Close this end's side of a detached connection; the origin may still send."""
        transport = self._protocol.transport
        if transport is not None and transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()

    def close_tunnel(self) -> None:
        """Close a detached connection after what was written is sent."""
        self._protocol.close()


def _read_error(error: Exception) -> Exception:
    """What a failed read means."""
    if isinstance(error, HttpProcessingError):
        return malformed(str(error.__cause__ or error))
    if isinstance(error, (aiohttp.ClientError, OSError)):
        return OriginError(Reason.ORIGIN_BROKEN, repr(error))
    return error


def _is_broken(error: Exception) -> bool:
    return isinstance(error, OriginError) and error.reason is Reason.ORIGIN_BROKEN
