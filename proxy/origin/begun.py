"""A request to one origin that has begun: whom it goes to, and what has come of it.

Whoever has one that is not sent sends it, by OriginClient.fetch. One that `send_now` has sent is
waited for by nobody: either its first bytes are a usual answer and all of it (`give`), or something
else comes of it, and `response` has that (`settled`). Whoever does not want to go on like this asks
for the `response` before, and waits as for any other.
"""

from typing import Protocol

from proxy.exchange import SendInterim
from proxy.origin.lean_connection import LeanConnection, Taker
from proxy.origin.member import Member
from proxy.origin.response import OriginResponse


class Sender(Taker, Protocol):
    """Who sends a request, and does not wait for the answer."""

    def settled(self) -> None:
        """Something else has come of it: `Begun.response` has it."""
        ...


class Begun:
    """See the module.

    Attributes:
        member: The origin.
        ticket: Under which it knows of the request.
        trial: Its breaker let this through to see whether the origin is back.
        sent: All of the request is on its way.
    """

    __slots__ = ("_connection", "_outcome", "_sender", "member", "sent", "ticket", "trial")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.trial = member.breaker.trying
        self.ticket = member.begin()
        self.sent = False
        self._connection: LeanConnection | None = None
        self._outcome: OriginResponse | Exception | None = None
        self._sender: Sender | None = None

    def send_now(
        self, head: bytes, sender: Sender, *, head_only: bool, on_interim: SendInterim
    ) -> None:
        """Send it, if a connection is idle now."""
        connection = self.member.client.take_now()
        if connection is None:
            return
        self.sent = True
        self._connection, self._sender = connection, sender
        connection.send(head, head_only=head_only, on_interim=on_interim, told=self, taker=sender)

    def completed(self, status: int) -> None:
        """The answer was given, whole."""
        self._connection = self._sender = None
        member = self.member
        member.completed(member.answered(self.ticket, status))

    def abandon(self) -> None:
        """Nobody wants the answer: to what was sent, and has not been answered."""
        connection, self._connection, self._sender = self._connection, None, None
        if connection is not None:
            connection.drop()
        self.member.abandoned(self.ticket)

    async def response(self) -> OriginResponse:
        """What came of what was sent; waits for the final head where nothing has yet.

        Raises:
            OriginError: No usable response.
        """
        connection, self._connection = self._connection, None
        outcome, self._outcome = self._outcome, None
        self._sender = None
        if isinstance(outcome, OriginResponse):
            return outcome
        if outcome is not None:
            try:
                raise outcome
            finally:
                del outcome  # which leads back here
        assert connection is not None  # noqa: S101 - it is awaited once
        return await connection.answer()

    # For the connection, see Told.

    def done(self) -> bool:
        """Nobody wants to know any more."""
        return False

    def set_result(self, result: OriginResponse) -> None:
        """The final head has come, with a body that is not whole, or not simple."""
        self._settle(result)

    def set_exception(self, exception: Exception) -> None:
        """It has not, and will not."""
        self._settle(exception)

    def _settle(self, outcome: OriginResponse | Exception) -> None:
        self._outcome, self._connection = outcome, None
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.settled()
