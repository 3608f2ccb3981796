"""A request to one origin that has begun: whom it goes to, and what has come of it.

Whoever has one that is not sent sends it, by OriginClient.fetch. One that `SentNow.send_now` has
sent is waited for by nobody: either its first bytes are a usual answer and all of it (`take`), or
something else comes of it, and `response` has that (`settled`). Whoever does not want to go on like
this asks for the `response` before, and waits as for any other.
"""

from abc import abstractmethod

from proxy.origin.lean_connection import LeanConnection
from proxy.origin.member import Member
from proxy.origin.response import OriginResponse
from proxy.rfc9111.messages import Headers


class Begun:
    """See the module.

    Attributes:
        member: The origin.
        ticket: Under which it knows of the request.
        trial: Its breaker let this through to see whether the origin is back.
        sent: All of the request is on its way.
    """

    __slots__ = ("_connection", "_outcome", "_waits", "member", "sent", "ticket", "trial")

    def __init__(self, member: Member) -> None:
        breaker = member.breaker
        self.member = member
        self.trial = not breaker.up and breaker.trying
        self.ticket = member.begin()
        self.sent = False
        # Once it is sent.
        self._connection: LeanConnection | None = None
        self._outcome: OriginResponse | Exception | None = None
        self._waits = True

    async def response(self) -> OriginResponse:
        """What came of what was sent; waits for the final head where nothing has yet.

        Raises:
            OriginError: No usable response.
        """
        connection, self._connection, self._waits = self._connection, None, False
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, OriginResponse):
            return outcome
        if outcome is not None:
            try:
                raise outcome
            finally:
                del outcome  # which leads back here
        assert connection is not None  # noqa: S101 - it is awaited once
        return await connection.answer()


class SentNow(Begun):
    """One that may be sent as soon as it begins, by who derives of this to be told."""

    __slots__ = ()

    @property
    def waits(self) -> bool:
        """Nothing has come of it, and nobody else waits for that."""
        return self._connection is not None and self._waits

    @abstractmethod
    def take(self, data: bytes) -> bool:
        """Whether these bytes, the first that have come, are a usual answer; then it was given.

        Whoever takes it calls `completed`, and nothing before that.
        """

    @abstractmethod
    def send_interim(self, status: int, reason: str, headers: Headers) -> None:
        """See SendInterim."""

    @abstractmethod
    def settled(self) -> None:
        """Something else has come of it: `response` has it."""

    def send_now(self, head: bytes, *, head_only: bool) -> None:
        """Send it, if a connection is idle now."""
        connection = self.member.client.take_now()
        if connection is not None:
            self.sent = True
            self._connection = connection
            connection.send(
                head, head_only=head_only, on_interim=self.send_interim, told=self, taker=self
            )

    def completed(self, status: int) -> None:
        """The answer is taken, whole: the connection is free."""
        connection, self._connection = self._connection, None
        assert connection is not None  # noqa: S101 - the answer came on it
        connection.free()
        self.member.served(self.ticket, status)

    def abandon(self) -> None:
        """Nobody wants the answer: to what was sent, and has not been answered."""
        connection, self._connection, self._waits = self._connection, None, False
        if connection is not None:
            connection.drop()
        self.member.abandoned(self.ticket)

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
        if self._waits:
            self._waits = False
            self.settled()
