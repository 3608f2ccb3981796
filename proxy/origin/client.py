"""One request to the origin and back."""

from proxy.clock import wall
from proxy.origin.connection import Connection, Pool
from proxy.origin.deadline import HeadDeadline
from proxy.origin.errors import OriginError
from proxy.origin.heads import Head, malformed
from proxy.origin.options import Endpoint, OriginOptions
from proxy.origin.outbound import Outbound, render_head
from proxy.origin.response import OriginResponse, ResponseBody, Tunnel
from proxy.origin.upload import Upload
from proxy.rfc9111.reasons import Reason

# A request that cannot be sent twice gets a connection that was busy a moment ago, or a new one:
# the shortest keep-alive among common servers is 2 s, and one that expires just now would turn
# into an error for the client.
_MAX_IDLE_ONE_SHOT = 1.0

_CONTINUE = 100
_SWITCHING_PROTOCOLS = 101
_FIRST_ERROR = 400


class OriginClient:
    """Sends requests to one origin. Must be made while an event loop runs; end with `close`."""

    def __init__(self, options: OriginOptions) -> None:
        self._options = options
        self._pool = Pool(options)

    @property
    def endpoint(self) -> Endpoint:
        """Where requests go."""
        return self._options.endpoint

    async def fetch(self, outbound: Outbound) -> OriginResponse:
        """Send a request and wait for the final response head.

        Raises:
            OriginError: No usable response.
            ValueError: The request cannot be sent as it is.
            Exception: Whatever iterating the request body raised.
        """
        head = render_head(outbound)
        max_idle = self._options.keepalive if outbound.replayable else _MAX_IDLE_ONE_SHOT
        while True:
            connection = await self._pool.acquire(max_idle)
            try:
                return await self._exchange(connection, outbound, head)
            except OriginError as error:
                broken = error.reason is Reason.ORIGIN_BROKEN
                if not (broken and connection.stale and outbound.replayable):
                    raise
            # The origin closed the connection while it lay idle (RFC 9112 §9.3.1). Where one
            # did, its siblings are suspect: accept a new one only.
            max_idle = -1.0

    async def close(self) -> None:
        """Close all connections; responses still being read are cut short."""
        await self._pool.close()

    async def _exchange(
        self, connection: Connection, outbound: Outbound, head: bytes
    ) -> OriginResponse:
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
        body = ResponseBody(connection, self._options.idle_timeout, upload)
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
