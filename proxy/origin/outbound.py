"""The request on its way out."""

from dataclasses import dataclass

from multidict import istr

from proxy.exchange import Body, SendInterim
from proxy.rfc9111.messages import Headers

_FRAMING = (istr("Content-Length"), istr("Transfer-Encoding"), istr("Connection"))

# Methods that define content: some servers answer 411 when its length is not stated
# (RFC 9110 §8.6).
_EXPECT_CONTENT = frozenset({"POST", "PUT", "PATCH"})

# RFC 9110 §9.2.2; others that the registry lists as idempotent are rarer than a wrong guess
# would be costly.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


@dataclass(slots=True)
class Outbound:
    """One request for the origin.

    Attributes:
        target: Request target byte for byte.
        headers: Final field lines, Host included, in wire order and case; framing fields
            (Content-Length, Transfer-Encoding, Connection) excluded.
        body: None when the message has no body.
        on_interim: Gets every 1xx but 101; a 100 only when `expects_continue`.
        expects_continue: `headers` say Expect: 100-continue.
        upgrade: Ask for the protocols in the Upgrade field.
        key: What the request is about, for balancing by hash: equal keys go to one origin.
    """

    method: str
    target: str
    headers: Headers
    body: Body | None = None
    on_interim: SendInterim | None = None
    expects_continue: bool = False
    upgrade: bool = False
    key: str = ""

    @property
    def replayable(self) -> bool:
        """Sending it twice does what sending it once does (RFC 9110 §9.2.2)."""
        return self.body is None and not self.upgrade and self.method in _IDEMPOTENT


def render_head(outbound: Outbound) -> bytes:
    """The head's bytes, with framing fields that fit the body (RFC 9112 §6).

    Raises ValueError if a part contains a line break or NUL, or `headers` bring framing of their
    own: both would let one request look like two.
    """
    for name in _FRAMING:
        if name in outbound.headers:
            raise ValueError(f"{name} is the origin client's business")
    lines = [
        f"{outbound.method} {outbound.target} HTTP/1.1",
        *map(": ".join, outbound.headers.items()),
    ]
    if outbound.upgrade:
        lines.append("Connection: upgrade")
    if (framing := _framing(outbound)) is not None:
        lines.append(framing)
    text = "\r\n".join(lines) + "\r\n\r\n"
    breaks = len(lines) + 1
    if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text:
        raise ValueError("line break or NUL inside a request head")
    return text.encode("latin-1")


def _framing(outbound: Outbound) -> str | None:
    if outbound.body is None:
        return "Content-Length: 0" if outbound.method in _EXPECT_CONTENT else None
    if outbound.body.length is None:
        return "Transfer-Encoding: chunked"
    return f"Content-Length: {outbound.body.length}"
