"""How asking the origin can fail."""

from proxy.rfc9111.reasons import Reason

_OVERDUE = frozenset(
    {
        Reason.ORIGIN_CONNECT_TIMEOUT,
        Reason.ORIGIN_HEADER_TIMEOUT,
        Reason.ORIGIN_TOTAL_TIMEOUT,
    }
)
_NOT_ASKED = frozenset({Reason.ORIGIN_OVERLOADED, Reason.ORIGIN_DOWN})
_UNSENT = _NOT_ASKED | {
    Reason.ORIGIN_REFUSED,
    Reason.ORIGIN_UNREACHABLE,
    Reason.ORIGIN_TLS,
    Reason.ORIGIN_CONNECT_TIMEOUT,
}


class OriginError(Exception):
    """No usable response came from the origin.

    Attributes:
        reason: One of Reason.ORIGIN_*.
        detail: What happened in detail; for the log, never for the client.
        retry_after: Seconds after which a client may try again, where that is known.
        sent_before: An earlier try did send it, and may have had effect.
    """

    def __init__(self, reason: Reason, detail: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(f"{reason.explanation} {detail}".rstrip())
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.sent_before = False

    @property
    def status(self) -> int:
        """503 where no origin was asked, 504 where time ran out, else 502 (RFC 9110 §15.6)."""
        if self.reason in _NOT_ASKED:
            return 503
        return 504 if self.reason in _OVERDUE else 502

    @property
    def unsent(self) -> bool:
        """Not one byte of the request went out: the origin cannot have acted on it."""
        return self.reason in _UNSENT and not self.sent_before


class StaleConnectionError(OriginError):
    """A reused connection closed without one byte of answer.

    The origin had most likely closed it while it lay idle (RFC 9112 §9.3.1).
    """

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.ORIGIN_BROKEN, detail)
