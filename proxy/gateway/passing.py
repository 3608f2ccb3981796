"""Requests passed on as soon as they are read, and answers as soon as they come.

`Passings.of` goes the way of `Gateway.respond`, by the same functions, as far as it is the same for
all requests that are alike: the route, why the store has no part in it, what is added to a head on
its way to the origin, and to one on its way to the client. What is left for each of them is to
write the rest of its head, and that of its answer:

    request   -- splicer --> lines + ours of the client's address --> Begun.send_now
    response  -- splicer --> lines + ours of its status           --> Reply.give

Where a head is not simple, no connection idle, an answer not whole, or the client gone, a task
goes on from there, by `Gateway.go_on`: the origin is asked once, whoever waits for it.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Final

from proxy.events import Answered, Emit, OriginAnswered
from proxy.exchange import Client, Incoming, Outgoing, Reply, no_interim
from proxy.gateway import forwarding
from proxy.gateway.contacting import Upstream, pass_on_interim
from proxy.gateway.decisions import Decision, Decisions
from proxy.gateway.splices import Outward, Splices, field_lines, is_simple
from proxy.gateway.steps import Answer, Beginning, Bypass, Exchange, Fetched, bypassed
from proxy.origin import Begun, LeanBody, OriginGroup, OriginResponse
from proxy.purging import PurgeLog
from proxy.request_ids import RequestIds, ending_of, name_given
from proxy.rfc9111 import keys
from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers, Request, Response
from proxy.rfc9111.reasons import Reason
from proxy.routes import RouteTable
from proxy.splicing import Spliced
from proxy.stores import CacheKey

_logger = logging.getLogger(__name__)

_CRLF: Final = b"\r\n"
_HTTP_1_1: Final = (1, 1)


class Passings:
    """Knows what is passed on at once, and how.

    Args:
        upstreams: Where the requests of a route go, by the name that it gives.
        relay: Makes the answer of what the origin answered, as for every other request.
        dress: Its fields on their way out, the same.
        go_on: Answers a request whose way to the origin has begun.
        clock: POSIX time.
        ids: Names requests.
        decisions: Where decisions are kept; None where they are not, and clients get no names.
        named: Whether anybody wants to know names.

    Attributes:
        splices: What heads become on their way.
    """

    def __init__(
        self,
        *,
        routes: RouteTable,
        upstreams: Mapping[str, Upstream],
        relay: Callable[[Exchange, Fetched, Reason], Answer],
        dress: Callable[[Exchange, Answer, str, float], Headers],
        go_on: Callable[[Incoming, Beginning], Awaitable[Outgoing]],
        log: PurgeLog,
        clock: Callable[[], float],
        emit: Emit,
        ids: RequestIds,
        decisions: Decisions | None,
        named: bool,
    ) -> None:
        self._routes = routes
        self._upstreams = upstreams
        self.relay = relay
        self.dress = dress
        self.go_on = go_on
        self.log = log
        self.clock = clock
        self.emit = emit
        self._make_name = ids.make if named else None
        self.decisions = decisions
        self.splices = Splices()

    def of(self, request: Request, depends_on: frozenset[str]) -> "Passing | None":
        """How requests like this one are passed on at once; None where that cannot be.

        Args:
            request: A GET or HEAD without content, reduced to what is watched.
            depends_on: See Passing.
        """
        matched = self._routes.find(request)
        route = matched.route
        upstream = self._upstreams[route.origin]
        group = upstream.origin
        if not isinstance(group, OriginGroup) or not is_simple(route):
            return None
        incoming = Incoming(request, Client("", _HTTP_1_1), None, no_interim)
        key = CacheKey.of(keys.primary_key(request, route.policy.key))
        exchange = Exchange(incoming, matched, key, self.clock())
        exchange.verdict = bypass = bypassed(exchange)
        if bypass is None or bypass.reason is not Reason.CACHE_OFF:
            return None
        try:
            passing = Passing(self, exchange, upstream.forwarding, group, depends_on)
            passing.kind(HTTPStatus.OK)
        except ValueError:  # the settings have it write what cannot be written
            return None
        return passing

    def name(self, given: bytes | None) -> bytes:
        """What a request is called whose client calls it so, if that is of interest."""
        if self._make_name is None:
            return b""
        return (None if given is None else name_given(given)) or self._make_name()


class Passing:
    """What is the same for all requests that are passed on alike. See exchange.Passing.

    Attributes:
        spliced: See Splicer.response.
        group: Of origins that they go to.
        head_only: They are HEAD.
    """

    __slots__ = (
        "_exchange",
        "_key",
        "_kinds",
        "_outward",
        "_passings",
        "depends_on",
        "group",
        "head_only",
        "spliced",
    )

    def __init__(
        self,
        passings: Passings,
        exchange: Exchange,
        upstream: forwarding.ForwardingOptions,
        group: OriginGroup,
        depends_on: frozenset[str],
    ) -> None:
        route, request = exchange.matched.route, exchange.request
        self._passings = passings
        self._exchange = exchange
        self.group = group
        self._key = exchange.key.url
        self._kinds: dict[int, _Kind] = {}
        self._outward = Outward(passings.splices, request, route.origin, upstream)
        named = passings.decisions is not None
        self.spliced = passings.splices.to_client(route, named=named).response
        self.depends_on = depends_on
        self.head_only = request.method == "HEAD"

    def start(
        self, head: bytes, name: bytes | None, address: str, reply: Reply
    ) -> "Passage | None":
        """See exchange.Passing."""
        passings = self._passings
        outward = self._outward.head(head, address)
        if outward is None:
            return None
        begun = self.group.begin_now(self._key)
        if begun is None:
            return None
        passage = Passage(passings, self, begun, reply, name)
        on_interim = partial(pass_on_interim, reply.send_interim)
        begun.send_now(outward, passage, head_only=self.head_only, on_interim=on_interim)
        return passage

    def kind(self, status: int) -> "_Kind":
        """What all answers with this status have in common."""
        kind = self._kinds.get(status)
        if kind is None:
            kind = self._kinds[status] = _Kind(self._passings, self._exchange, status)
        return kind


class Passage:
    """One request on its way. See exchange.Passage, and Sender."""

    __slots__ = ("_begun", "_born", "_name", "_passing", "_passings", "_reply", "_started")

    def __init__(
        self,
        passings: Passings,
        passing: Passing,
        begun: Begun,
        reply: Reply,
        name: bytes | None,
    ) -> None:
        self._passings = passings
        self._passing = passing
        self._begun = begun
        self._reply = reply
        self._name = name
        self._started = passings.clock()
        self._born = passings.log.state.position

    @property
    def sent(self) -> bool:
        """See exchange.Passage."""
        return self._begun.sent

    def recognise(self, data: bytes) -> Spliced | None:
        """See Taker."""
        passing = self._passing
        return passing.spliced(data, passing.head_only) if self._reply.usual else None

    def give(self, spliced: Spliced, data: bytes) -> None:
        """See Taker."""
        try:
            self._give(spliced, data)
        except Exception:
            _logger.exception("An answer could not be passed on")
            self._reply.break_off()

    def _give(self, spliced: Spliced, data: bytes) -> None:
        passings = self._passings
        head, end, status, length, dated = spliced
        now = passings.clock()
        self._begun.completed(status)
        kind = self._passing.kind(status)
        name = passings.name(self._name)
        self._reply.give(
            b"".join(
                (
                    head,
                    b"" if dated else b"Date: %b\r\n" % format_http_date(now).encode(),
                    kind.lines,
                    _CRLF if passings.decisions is None else ending_of(name),
                )
            ),
            data,
            end,
        )
        kind.tell(name, now, now - self._started, length)

    def settled(self) -> None:
        """See Sender."""
        self._reply.hand_over()

    def abandon(self) -> None:
        """See exchange.Passage."""
        self._begun.abandon()

    async def respond(self, incoming: Incoming) -> Outgoing:
        """See exchange.Passage."""
        beginning = Beginning(self._passing.group, self._begun, self._started, self._born)
        return await self._passings.go_on(incoming, beginning)


class _Kind:
    """All answers with one status to requests that are alike.

    Attributes:
        lines: Of their heads, behind those of the origin and Date.
    """

    __slots__ = ("_about", "_decision", "_passings", "lines")

    def __init__(self, passings: Passings, exchange: Exchange, status: int) -> None:
        headers = Headers([("Date", "")])
        origin = OriginResponse(status, "", headers, 0, 0.0, 0.0, LeanBody(b""), content=b"")
        fetched = Fetched(origin, Response(status, "", headers), 0.0, 0.0, 0)
        assert isinstance(exchange.verdict, Bypass)  # noqa: S101 - else it would not be here
        answer = passings.relay(exchange, fetched, exchange.verdict.reason)
        cache_status = answer.cache_status
        told = cache_status.render()
        fields = passings.dress(exchange, answer, told, exchange.started)
        self._passings = passings
        self._decision = Decision.of(exchange, answer)
        self._about = (
            *(exchange.request.method, exchange.uri, status, told),
            *(exchange.matched.route, cache_status.outcome, cache_status.detail),
            exchange.key_hash,
        )
        self.lines = field_lines(list(fields.items())[1:])

    def tell(self, name: bytes, now: float, seconds: float, length: int | None) -> None:
        """One was given."""
        method, uri, status, cache_status, route, outcome, reason, key = self._about
        passings = self._passings
        if passings.decisions is not None:
            passings.decisions.note(name, now, self._decision)
        passings.emit(OriginAnswered(route.origin, status, seconds, validates=False))
        passings.emit(
            Answered(
                method,
                uri,
                status,
                cache_status,
                seconds,
                route.name,
                outcome,
                reason,
                seconds,
                length,
                key,
                name.decode(),
            )
        )
