"""Asking the origin: one request out, one answer head back."""

from collections.abc import Callable
from functools import partial

from proxy.exchange import Incoming
from proxy.gateway import forwarding
from proxy.gateway.steps import Exchange, Fetched
from proxy.origin import OriginClient, Outbound
from proxy.purging import PurgeLog
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers, Response


class Contact:
    """Sends requests to the origin as an intermediary does.

    Args:
        clock: POSIX time.
    """

    def __init__(
        self,
        origin: OriginClient,
        log: PurgeLog,
        options: forwarding.ForwardingOptions,
        clock: Callable[[], float],
    ) -> None:
        self._origin = origin
        self._log = log
        self._options = options
        self._clock = clock

    async def ask(self, exchange: Exchange, headers: Headers) -> Fetched:
        """Send the request with these fields. Raises OriginError."""
        incoming, request = exchange.incoming, exchange.request
        outbound = Outbound(
            method=request.method,
            target=request.target,
            headers=forwarding.to_origin(incoming, headers, self._options),
            body=incoming.body,
            on_interim=partial(_pass_on_interim, incoming),
            expects_continue=incoming.expects_continue,
            upgrade=incoming.upgrade,
        )
        born, request_time = self._log.state.position, self._clock()
        origin = await self._origin.fetch(outbound)
        response_time = self._clock()
        headers = forwarding.end_to_end(origin.headers)
        if "Date" not in headers:
            headers["Date"] = format_http_date(response_time)  # RFC 9110 §6.6.1
        response = Response(origin.status, origin.reason, headers)
        return Fetched(origin, response, request_time, response_time, born)


def _pass_on_interim(incoming: Incoming, status: int, reason: str, headers: Headers) -> None:
    incoming.send_interim(status, reason, forwarding.end_to_end(headers))
