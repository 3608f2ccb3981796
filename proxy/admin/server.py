"""The admin listener: guards, tokens, routing, and what becomes of errors.

It stands on the same strict listener as the public side, since aiohttp's server refuses methods
that it does not know, and purging clients use several.
"""

import logging
import math
import socket
from collections.abc import Sequence
from http import HTTPStatus
from time import monotonic
from typing import Final

from proxy import token_file
from proxy.admin import explaining, guards, native, openapi, problems, reload
from proxy.admin.attempts import Attempts
from proxy.admin.control import Control, LogUnreachable
from proxy.admin.dashboard import Dashboard
from proxy.admin.desk import Desk
from proxy.admin.operations import (
    Ask,
    Found,
    NotFound,
    Operation,
    Router,
    admitted,
    not_found,
)
from proxy.admin.options import AdminOptions, Role, TokenSpec
from proxy.admin.problems import Fault, Refusal
from proxy.admin.recent import Recent
from proxy.admin.shims import akamai, cloudflare, fastly, souin, varnish
from proxy.admin.tokens import Caller, Tokens, presented
from proxy.admin.warming import WarmJobs
from proxy.clock import wall
from proxy.exchange import Incoming, Outgoing
from proxy.server import Listener, sockets
from proxy.token_file import KeptToken

_logger = logging.getLogger(__name__)

OPERATIONS: Final[Sequence[Operation]] = (
    *native.OPERATIONS,
    *explaining.OPERATIONS,
    *reload.OPERATIONS,
    *cloudflare.OPERATIONS,
    *akamai.OPERATIONS,
    *souin.OPERATIONS,
    *fastly.OPERATIONS,
    *varnish.OPERATIONS,  # last: a PURGE may have any path
)


class AdminServer:
    """The admin API on its own addresses.

    Attributes:
        made_token: What was found or made, where no tokens were given; show it once if it was
            `created` just now.
        ports: The TCP ports of `listen`, in order; 0 for a Unix socket.

    Raises:
        ValueError: The same token stands twice.
    """

    def __init__(self, control: Control, options: AdminOptions) -> None:
        self._options = options
        self._tokens = Tokens(options.tokens) if options.tokens else None
        self._recent = Recent(control, clock=wall)
        described = openapi.document(OPERATIONS)
        self._desk = Desk(control, options, WarmJobs(control.warm), self._recent, described)
        self._attempts = Attempts()
        documented = [one for one in OPERATIONS if one.documented is not None]
        self._dashboard = Dashboard(self._known, self._attempts, self._recent, documented)
        self._router = Router(self._operations(options))
        self._listener = Listener(self.respond, options.server)
        self.made_token: KeptToken | None = None
        self.ports = self._desk.ports

    async def start(self, handed_down: list[socket.socket] | None = None) -> None:
        """Listen.

        Args:
            handed_down: Listening sockets; those for our addresses are taken out and used.

        Raises:
            TokenFileError: The token cannot be kept safely.
            OSError: An address cannot be bound, or the token file cannot be made.
        """
        self.reload(self._options)
        self._recent.start()
        try:
            for address in self._options.listen:
                given = sockets.take([] if handed_down is None else handed_down, address)
                await self._listener.start(address, handed_down=given)
                self.ports.append(self._listener.port)
        except BaseException:
            await self.close()
            raise

    def reload(self, options: AdminOptions) -> None:
        """Apply new tokens and hosts from now on; the addresses and the listener's limits stay.

        Raises:
            TokenFileError, OSError, ValueError: See above. Nothing has changed then.
        """
        tokens = options.tokens
        made: KeptToken | None = None
        if not tokens:
            made = token_file.ensure(options.token_file or token_file.default_path())
            tokens = (TokenSpec(made.token),)
        self._tokens = Tokens(tokens)
        self.made_token = made
        self._router = Router(self._operations(options))
        if options.tokens != self._options.tokens or not options.dashboard:
            self._dashboard.sessions.end_all()
        self._options = self._desk.options = options

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - it ends in force
        """Accept nothing more, let running requests finish for so many seconds, close."""
        await self._recent.close()  # with it the dashboard's streams end
        await self._listener.drain(timeout)
        await self._desk.jobs.close()

    async def close(self) -> None:
        """Close at once."""
        await self.drain(0)

    async def respond(self, incoming: Incoming) -> Outgoing:
        """Answer one request."""
        refuse: problems.Style = problems.render
        try:
            guards.check(incoming, self._options.allowed_hosts)
            path, _, query = incoming.request.target.partition("?")
            found = self._router.find(incoming.request.method, path)
            if isinstance(found, Found):
                refuse = found.operation.refuse
            caller = self._admit(incoming, found)
            if isinstance(found, NotFound):
                raise not_found(found)
            ask = Ask(self._desk, incoming, found.captured, query, caller)
            return await found.operation.handler(ask)
        except Refusal as refusal:
            return refuse(refusal)
        except LogUnreachable:
            _logger.warning("The purge log cannot be reached: a request was answered 503")
            return refuse(_unreachable())

    def _known(self, token: str) -> Caller | None:
        return self._tokens.known(token) if self._tokens else None

    def _admit(self, incoming: Incoming, found: Found | NotFound) -> Caller | None:
        """Who asks; raises Refusal (401, 403). What does not exist is nobody else's business."""
        role = found.operation.role if isinstance(found, Found) else Role.READ
        if role is None:
            return None
        caller = self._tokens.caller(incoming.request.headers) if self._tokens else None
        if caller is None:
            address = incoming.client.address
            if presented(incoming.request.headers) is not None:
                wait = self._attempts.failed(address, monotonic())
                if wait:
                    raise _too_many_attempts(wait)
            _logger.info("No valid token from %s", address or "a Unix socket")
            raise _unauthorized()
        return admitted(caller, role)

    def _operations(self, options: AdminOptions) -> Sequence[Operation]:
        return (*self._dashboard.operations, *OPERATIONS) if options.dashboard else OPERATIONS


def _unauthorized() -> Refusal:
    fault = Fault(
        where="header Authorization",
        what="no known token",
        how="send Authorization: Bearer TOKEN, with one of admin.tokens or of the token file",
    )
    return Refusal(
        HTTPStatus.UNAUTHORIZED,
        "A valid token is needed.",
        [fault],
        [("WWW-Authenticate", 'Bearer realm="warmfront"')],
    )


def _too_many_attempts(wait: float) -> Refusal:
    fault = Fault(
        where="header Authorization",
        what="too many unknown tokens from this address",
        how="wait, and send one of admin.tokens or of the token file",
    )
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many unknown tokens.",
        [fault],
        [("Retry-After", str(math.ceil(wait)))],
    )


def _unreachable() -> Refusal:
    fault = Fault(
        where="purge log",
        what="unreachable: other processes may still serve what was to be forgotten",
        how="repeat the request until it is acknowledged",
    )
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The purge log cannot be reached.",
        [fault],
        [("Retry-After", "1")],
    )
