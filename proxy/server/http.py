"""One request and its answer: RequestHead -> Incoming, Outgoing -> bytes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from aiohttp import EMPTY_PAYLOAD, StreamReader

from proxy.events import Emit, Refused
from proxy.exchange import BodyAborted, Client, Incoming, Outgoing, Respond
from proxy.rfc9111.keys import normalise_authority
from proxy.rfc9111.messages import Headers, Request
from proxy.server import tunnel, writing
from proxy.server.heads import RequestHead
from proxy.server.options import ServerOptions
from proxy.server.protocol import Connection
from proxy.server.upload import Upload
from proxy.server.writing import Framing

_logger = logging.getLogger(__name__)

_SLICE: Final = 256 * 1024
"""A stored body goes to the transport in such pieces: what a slow reader leaves of one is kept."""

_JOINED: Final = 64 * 1024
"""So much of a body leaves in one piece with the head."""

_NOTHING: Final = Upload(EMPTY_PAYLOAD, 0, None, idle=0, rate=0)
"""The body of all requests that have none."""

_CONTINUE: Final = 100
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_FINAL: Final = 200
_HTTP_1_1: Final = (1, 1)


class HttpHandler:
    """Answers requests with what `respond` says."""

    def __init__(self, respond: Respond, options: ServerOptions, emit: Emit) -> None:
        self._respond = respond
        self._options = options
        self._emit = emit

    async def serve(
        self,
        connection: Connection,
        head: RequestHead,
        payload: StreamReader,
        respond: Respond | None = None,
    ) -> bool:
        """Answer one request; returns whether the connection can carry another.

        Args:
            connection: Where it came from.
            head: Its head.
            payload: Its body.
            respond: Says what the answer is, if that is not for who says it for all others.
        """
        exchange = _Exchange(connection, head, payload, self._options)
        outgoing = await self._ask(exchange, exchange.incoming(), respond or self._respond)
        try:
            return await exchange.deliver(outgoing)
        except ConnectionError:
            return False
        finally:
            exchange.upload.end()
            await _close(outgoing)

    async def _ask(self, exchange: "_Exchange", incoming: Incoming, respond: Respond) -> Outgoing:
        """The client's loss does not cancel this: an unsafe request must still invalidate."""
        try:
            return await respond(incoming)
        except BodyAborted as aborted:
            fault = exchange.upload.fault
            if fault is not None:
                self._emit(Refused(fault.status, fault.detail, incoming.client.address))
                return writing.problem(fault.status, fault.detail)
            _logger.info("A request was aborted: %s", aborted)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            _logger.exception("What an answer waited for was cancelled")
        except Exception:
            _logger.exception("No answer to a %s request", incoming.request.method)
        return writing.problem(500, "The proxy failed to answer this request.")


class _Exchange:
    """One request on a connection.

    Attributes:
        upload: Its body.
    """

    def __init__(
        self,
        connection: Connection,
        head: RequestHead,
        payload: StreamReader,
        options: ServerOptions,
    ) -> None:
        self._connection = connection
        self._head = head
        self._answering = False
        self.upload = _NOTHING
        if head.has_content:
            self.upload = Upload(
                payload,
                head.length,
                self._send_continue if head.expects_continue else None,
                idle=options.body_idle,
                rate=options.body_rate,
            )

    def incoming(self) -> Incoming:
        """The request as the gateway gets it; not kept here, to which it leads back."""
        head, connection = self._head, self._connection
        scheme = "http" if connection.ssl_context is None else "https"
        authority = normalise_authority(head.authority, scheme)
        return Incoming(
            Request(head.method, scheme, authority, head.target, head.headers),
            Client(connection.client_address, head.version),
            self.upload if head.has_content else None,
            self._send_interim,
            expects_continue=head.expects_continue,
            upgrade=head.upgrade,
        )

    async def deliver(self, outgoing: Outgoing) -> bool:
        """Write the answer; returns whether the connection can carry another request."""
        self._answering = True
        if outgoing.tunnel is not None:
            return await self._switch(outgoing)
        framing = writing.framing_of(outgoing, method=self._head.method, version=self._head.version)
        persistent = framing is not Framing.UNTIL_CLOSE and self._may_persist(outgoing)
        try:
            head = writing.response_head(
                outgoing, framing, version=self._head.version, persistent=persistent
            )
        except ValueError:
            _logger.exception("An answer cannot be written")
            return await self.deliver(writing.problem(500, "The answer cannot be written."))
        if framing is Framing.BODILESS:
            self._connection.write(head)
        elif isinstance(outgoing.body, bytes):
            await self._send(head, outgoing.body)
        else:
            self._connection.write(head)
            if not await self._stream(outgoing.body, framing, outgoing.length):
                return False
        return await self._settle(persistent=persistent)

    def _may_persist(self, outgoing: Outgoing) -> bool:
        return (
            self._head.keep_alive
            and not outgoing.close
            and not self._connection.closing
            and self.upload.can_be_left
        )

    async def _send(self, head: bytes, body: bytes) -> None:
        """A body that is there as a whole leaves with its head, the most of it uncopied."""
        self._connection.write(head + body[:_JOINED])
        await self._connection.drained(body)
        rest = memoryview(body)
        for start in range(_JOINED, len(body), _SLICE):
            self._connection.write(rest[start : start + _SLICE])
            await self._connection.drained(body)

    async def _stream(
        self, body: AsyncIterator[bytes], framing: Framing, length: int | None
    ) -> bool:
        """Pass pieces on as they come; False, and the connection is cut, if they break off."""
        complete = False
        try:
            with self._connection.cancel_on_loss():
                await self._pump(body, framing, length)
            complete = True
        except ConnectionError:
            _logger.debug("A client left in the middle of an answer", exc_info=True)
        except BodyAborted as aborted:
            _logger.info("A response body was aborted: %s", aborted)
        except Exception:
            _logger.exception("A response body failed")
        finally:
            if not complete:
                self._connection.abort(reset=framing is Framing.UNTIL_CLOSE)
        return complete

    async def _pump(self, body: AsyncIterator[bytes], framing: Framing, length: int | None) -> None:
        sent = 0
        async for piece in body:
            if not piece:
                continue  # as a chunk it would end the message
            sent += len(piece)
            if length is not None and sent > length:
                raise ValueError(f"a body is longer than the {length} bytes announced")
            self._connection.write(writing.chunk(piece) if framing is Framing.CHUNKED else piece)
            await self._connection.drained(body)
        if length is not None and sent < length:
            raise ValueError(f"a body ended after {sent} of {length} bytes")
        if framing is Framing.CHUNKED:
            self._connection.write(writing.LAST_CHUNK)

    async def _settle(self, *, persistent: bool) -> bool:
        """See that what is left of the request cannot be taken for another one."""
        if persistent and (self.upload.complete or await self.upload.discard()):
            return not self._connection.half_closed  # whatever else: we said it goes on
        if not self.upload.complete or self._connection.more_input:
            await self._connection.linger()
        return False

    async def _switch(self, outgoing: Outgoing) -> bool:
        """Leave HTTP, after the whole request has been read (RFC 9110 §7.8)."""
        if outgoing.tunnel is None or not self._head.upgrade:
            _logger.error("A tunnel for a request that did not ask for one")
            return await self.deliver(writing.problem(502, "An upgrade nobody asked for."))
        if self.upload.complete or await self.upload.discard():
            self._connection.write(writing.switching_head(outgoing))
            await tunnel.relay(self._connection, outgoing.tunnel)
        return False

    def _send_continue(self) -> None:
        self._send_interim(_CONTINUE, "Continue", Headers())

    def _send_interim(self, status: int, reason: str, headers: Headers) -> None:
        """Pass a 1xx on, unless the client knows none or the final answer has begun."""
        if status == _SWITCHING_PROTOCOLS or not _CONTINUE <= status < _FIRST_FINAL:
            raise ValueError(f"{status} is not an interim response")
        if self._answering or self._head.version != _HTTP_1_1:
            return
        if status == _CONTINUE and not self.upload.continued():
            return
        with suppress(ConnectionError):
            self._connection.write(writing.interim_head(status, reason, headers))


async def _close(outgoing: Outgoing) -> None:
    """Let go of what an answer holds; after its end this does nothing."""
    if outgoing.tunnel is not None:
        outgoing.tunnel.close()
    aclose = getattr(outgoing.body, "aclose", None)
    if aclose is not None:
        try:
            await aclose()
        except Exception:
            _logger.exception("A response body failed to close")
