"""Asking the origin: one request out, one answer head back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from proxy.events import Emit, OriginAnswered
from proxy.exchange import SendInterim
from proxy.gateway import forwarding
from proxy.gateway.steps import Exchange, Fetched
from proxy.origin import OriginResponse, Outbound
from proxy.purging import PurgeLog
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers, Response


class Origin(Protocol):
    """Whoever answers for the API: one origin, or a group of them."""

    async def fetch(self, outbound: Outbound) -> OriginResponse:
        """Send a request and wait for the final response head. Raises OriginError."""
        ...


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the requests of a route go, and what they tell about the client there."""

    origin: Origin
    forwarding: forwarding.ForwardingOptions


class Contact:
    """Sends requests to the origin as an intermediary does.

    Args:
        upstream: For routes that name none.
        named: For those that do, by name.
        clock: POSIX time.
        emit: Is told what the origin answered.

    Attributes:
        upstreams: All of them, by name.
    """

    def __init__(
        self,
        upstream: Upstream,
        named: Mapping[str, Upstream],
        log: PurgeLog,
        clock: Callable[[], float],
        emit: Emit,
    ) -> None:
        self.upstreams = {"": upstream, **named}
        self._log = log
        self._clock = clock
        self._emit = emit

    async def ask(
        self, exchange: Exchange, headers: Headers, *, validates: bool = False
    ) -> Fetched:
        """Send the request with these fields.

        Args:
            exchange: The request.
            headers: Its fields, or others in their place.
            validates: They ask whether something stored still holds.

        Raises:
            OriginError: No usable answer.
        """
        incoming, request = exchange.incoming, exchange.request
        upstream = self.upstreams[exchange.matched.route.origin]
        outbound = Outbound(
            method=request.method,
            target=request.target,
            headers=forwarding.to_origin(incoming, headers, upstream.forwarding),
            body=incoming.body,
            on_interim=partial(pass_on_interim, incoming.send_interim),
            expects_continue=incoming.expects_continue,
            upgrade=incoming.upgrade,
            key=exchange.key.url,
        )
        beginning, exchange.beginning = exchange.beginning, None
        if beginning is None:
            born, request_time = self._log.state.position, self._clock()
            origin = await upstream.origin.fetch(outbound)
        else:
            born, request_time = beginning.born, beginning.started
            origin = await beginning.group.fetch(outbound, beginning.begun)
        response_time = self._clock()
        self._tell(exchange, origin.status, response_time - request_time, validates=validates)
        headers = forwarding.end_to_end(origin.headers)
        if "Date" not in headers:
            headers["Date"] = format_http_date(response_time)  # RFC 9110 §6.6.1
        response = Response(origin.status, origin.reason, headers)
        return Fetched(origin, response, request_time, response_time, born)

    def _tell(self, exchange: Exchange, status: int, seconds: float, *, validates: bool) -> None:
        exchange.origin_time = (exchange.origin_time or 0.0) + seconds
        origin = exchange.matched.route.origin
        self._emit(OriginAnswered(origin, status, seconds, validates))


def pass_on_interim(send: SendInterim, status: int, reason: str, headers: Headers) -> None:
    """Send a client what concerns it of a 1xx."""
    send(status, reason, forwarding.end_to_end(headers))
