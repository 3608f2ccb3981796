"""How asking the origin can fail."""

from proxy.rfc9111.reasons import Reason

_TIMEOUTS = frozenset({Reason.ORIGIN_CONNECT_TIMEOUT, Reason.ORIGIN_HEADER_TIMEOUT})


class OriginError(Exception):
    """No usable response came from the origin.

    Attributes:
        reason: One of Reason.ORIGIN_*.
        detail: What happened in detail; for the log, never for the client.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.explanation} {detail}".rstrip())
        self.reason = reason
        self.detail = detail

    @property
    def status(self) -> int:
        """504 where time ran out, else 502 (RFC 9110 §15.6.3, §15.6.5)."""
        return 504 if self.reason in _TIMEOUTS else 502
