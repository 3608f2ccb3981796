"""What a response head must be to be believed (RFC 9112 §4 to §6).

The parser has the grammar; these are the rules it leaves to its user. A head that breaks one is
not repaired but refused: the next reader in line may see a different message in it.
"""

import re
from dataclasses import dataclass

from multidict import CIMultiDict

from proxy.origin.errors import OriginError
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason

# Control bytes (RFC 9110 §5.5), or white space before the first field (§2.2).
_FOREIGN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\A[^\n]*\n[ \t]")
_DIGITS = re.compile(r"[0-9]{1,19}")
_BODILESS = frozenset({204, 304})
_SUPPORTED_VERSIONS = frozenset({(1, 0), (1, 1)})
_FIRST_STATUS = 100
_FIRST_FINAL = 200


@dataclass(frozen=True, slots=True)
class Head:
    """A checked response head.

    Attributes:
        headers: As received, framing and hop-by-hop fields included.
        length: Bytes of body to come; None when only its end will tell.
        persistent: The connection outlives this message (RFC 9112 §9.3).
    """

    status: int
    reason: str
    headers: Headers
    length: int | None
    persistent: bool

    @property
    def interim(self) -> bool:
        """1xx: another head follows (RFC 9110 §15.2)."""
        return self.status < _FIRST_FINAL


def malformed(detail: str) -> OriginError:
    """The error for a response that is not valid HTTP/1.1."""
    return OriginError(Reason.ORIGIN_MALFORMED, detail)


def check_raw_head(raw: bytes) -> None:
    """Refuse what the parser would let pass or mend; line ends may stay."""
    if (found := _FOREIGN.search(raw)) is not None:
        raise malformed(f"foreign bytes in the head: {found[0][-40:]!r}")


def check_head(
    *,
    version: tuple[int, int],
    status: int,
    reason: str,
    fields: tuple[tuple[bytes, bytes], ...],
    persistent: bool,
    head_only: bool,
) -> Head:
    """Make a Head of what the parser found, or raise OriginError(ORIGIN_MALFORMED).

    Args:
        version: HTTP version of the message.
        status: Status code.
        reason: Reason phrase as latin-1 text.
        fields: Raw field lines in wire order.
        persistent: The parser expects another message on this connection.
        head_only: The request was HEAD.
    """
    if version not in _SUPPORTED_VERSIONS:
        raise malformed(f"HTTP version {version[0]}.{version[1]}")
    if status < _FIRST_STATUS:
        raise malformed(f"status {status}")
    headers: Headers = CIMultiDict(
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
    )
    length = _body_length(status, headers, version=version)
    if head_only or status in _BODILESS or status < _FIRST_FINAL:
        length = 0
    return Head(status, reason, headers, length, persistent)


def _body_length(status: int, headers: Headers, *, version: tuple[int, int]) -> int | None:
    """Content-Length, or None; refuses framing that two readers could read differently (§6.3)."""
    codings = headers.getall("Transfer-Encoding", ())
    lengths = headers.getall("Content-Length", ())
    if status < _FIRST_FINAL and (codings or lengths):
        raise malformed(f"a {status} with framing fields")
    if codings:
        # A coding that this end does not undo would be delivered as if it were the content.
        if len(codings) > 1 or codings[0].lower() != "chunked":
            raise malformed(f"Transfer-Encoding: {', '.join(codings)}")
        if lengths or version == (1, 0):
            raise malformed("Transfer-Encoding beside Content-Length, or in HTTP/1.0")
        return None
    if not lengths:
        return None
    if len(lengths) > 1 or _DIGITS.fullmatch(lengths[0]) is None:
        raise malformed(f"Content-Length: {', '.join(lengths)}")
    return int(lengths[0])
