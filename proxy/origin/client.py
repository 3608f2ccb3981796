"""One request to the origin and back."""

from typing import TYPE_CHECKING

from proxy.clock import wall
from proxy.origin.connection import Connection
from proxy.origin.deadline import HeadDeadline
from proxy.origin.dialling import Dialler, tls_context
from proxy.origin.errors import OriginError, StaleConnectionError
from proxy.origin.heads import Head, malformed
from proxy.origin.lean_connection import LeanConnection
from proxy.origin.lean_pool import LeanPool
from proxy.origin.options import Endpoint, OriginOptions
from proxy.origin.outbound import Outbound, render_head
from proxy.origin.pool import Pool
from proxy.origin.response import ConnectionBody, OriginResponse, Tunnel
from proxy.origin.slots import Slots
from proxy.origin.upload import Upload
from proxy.splicing import LONGEST, MOST_LINES

if TYPE_CHECKING:
    from proxy.origin.begun import Begun

# A request that cannot be sent twice gets a connection that was busy a moment ago, or a new one:
# the shortest keep-alive among common servers is 2 s, and one that expires just now would turn
# into an error for the client.
_MAX_IDLE_ONE_SHOT = 1.0

# Accept a new connection only.
_NEW = -1.0

_CONTINUE = 100
_SWITCHING_PROTOCOLS = 101
_FIRST_ERROR = 400


class OriginClient:
    """Sends requests to one origin. Must be made while an event loop runs; end with `close`.

    A request without a body, which is nearly every one that a cache asks, takes the lean path;
    bodies and upgrades take the one over aiohttp's parts. Both keep the same promises, connect in
    the same way, and share the limit of exchanges at a time.
    """

    def __init__(self, options: OriginOptions) -> None:
        self._options = options
        slots = Slots(options.connections)
        self._dialler = dialler = Dialler(options, tls_context(options))
        self._lean = LeanPool(options, dialler, slots)
        self._pool = Pool(options, dialler, slots)
        long_enough = options.header_size >= LONGEST and options.headers >= MOST_LINES
        self._usual = options.lean and long_enough

    @property
    def endpoint(self) -> Endpoint:
        """Where requests go."""
        return self._options.endpoint

    @property
    def connections(self) -> tuple[int, int]:
        """How many are open on the lean path, and how many of them are idle."""
        return self._lean.size

    def take_now(self) -> LeanConnection | None:
        """An idle connection for a request without a body that may be sent twice, if there is one.

        Whoever takes it uses it.
        """
        return self._lean.take(self._options.keepalive) if self._usual else None

    async def fetch(self, outbound: Outbound, begun: "Begun | None" = None) -> OriginResponse:
        """Send a request and wait for the final response head.

        Args:
            outbound: The request.
            begun: Its beginning, here; it may have been sent already.

        Raises:
            OriginError: No usable response.
            ValueError: The request cannot be sent as it is.
            Exception: Whatever iterating the request body raised.
        """
        head = render_head(outbound)
        lean = self._options.lean and outbound.body is None and not outbound.upgrade
        exchange = self._exchange_lean if lean else self._exchange
        max_idle = self._options.keepalive if outbound.replayable else _MAX_IDLE_ONE_SHOT
        try:
            if begun is not None and begun.sent:
                return await begun.response()
            return await exchange(outbound, head, max_idle)
        except StaleConnectionError:
            if not outbound.replayable:
                raise
        # Where one connection was stale its siblings are suspect.
        try:
            return await exchange(outbound, head, _NEW)
        except OriginError as error:
            error.sent_before = True
            raise

    async def close(self) -> None:
        """Close all connections; responses still being read are cut short."""
        self._dialler.close()
        await self._lean.close()
        await self._pool.close()

    async def _exchange_lean(
        self, outbound: Outbound, head: bytes, max_idle: float
    ) -> OriginResponse:
        connection = self._lean.take(max_idle) or await self._lean.open(max_idle)
        return await connection.ask(outbound, head)

    async def _exchange(self, outbound: Outbound, head: bytes, max_idle: float) -> OriginResponse:
        connection = await self._pool.acquire(max_idle)
        upload: Upload | None = None
        try:
            async with HeadDeadline(self._options.header_timeout) as deadline:
                request_time = wall()
                connection.begin(head, head_only=outbound.method == "HEAD")
                if outbound.body is not None:
                    upload = Upload(
                        connection,
                        outbound.body,
                        deadline,
                        await_continue=outbound.expects_continue,
                    )
                final = await _final_head(connection, outbound, upload)
            response_time = wall()
            return await self._respond(
                connection, outbound, upload, final, (request_time, response_time)
            )
        except BaseException:
            connection.drop()
            if upload is not None:
                await upload.stop()
            raise

    async def _respond(
        self,
        connection: Connection,
        outbound: Outbound,
        upload: Upload | None,
        head: Head,
        times: tuple[float, float],
    ) -> OriginResponse:
        tunnel = _tunnel(connection, outbound, upload, head)
        body = ConnectionBody(connection, self._options.idle_timeout, upload)
        if upload is not None and not upload.finished and _unwanted(head, upload):
            connection.spoil()
            await upload.stop()
        if tunnel is None:
            await body.settle()
        return OriginResponse(
            head.status, head.reason, head.headers, head.length, *times, body=body, tunnel=tunnel
        )


async def _final_head(connection: Connection, outbound: Outbound, upload: Upload | None) -> Head:
    """Read heads up to the final one; pass interim ones on (RFC 9110 §15.2)."""
    while True:
        head = await connection.head()
        if not head.interim or head.status == _SWITCHING_PROTOCOLS:
            return head
        if head.status == _CONTINUE:
            if upload is not None:
                upload.allow()
            if not outbound.expects_continue:
                continue
        if outbound.on_interim is not None:
            outbound.on_interim(head.status, head.reason, head.headers)


def _unwanted(head: Head, upload: Upload) -> bool:
    """The answer came early and does not depend on the rest of the request body.

    An error says so (RFC 9112 §9.5), and so does any final answer in place of 100 (Continue)
    (RFC 9110 §10.1.1). Other answers may be made while the origin reads: both sides stream.
    """
    return head.status >= _FIRST_ERROR or not upload.started


def _tunnel(
    connection: Connection, outbound: Outbound, upload: Upload | None, head: Head
) -> Tunnel | None:
    if head.status != _SWITCHING_PROTOCOLS:
        return None
    if not outbound.upgrade:
        raise malformed("101 without a request to upgrade")
    if upload is not None and not upload.finished:
        raise malformed("101 before the request was whole")
    connection.detach()
    return Tunnel(connection)
