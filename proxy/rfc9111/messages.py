"""Message heads, as the core sees them: no bodies, no framing."""

from dataclasses import dataclass
from typing import TypeAlias

from multidict import CIMultiDict

Headers: TypeAlias = CIMultiDict[str]
"""Field lines in wire order, names in wire case, values as latin-1 text; never changed in place."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request head.

    Attributes:
        method: As received; methods are case-sensitive (RFC 9110 §9.1).
        scheme: `http` or `https`, by which the client reached this cache.
        authority: Normalised `host[:port]`: lower case, no default port.
        target: Request-target byte for byte in origin-form (`/a/b?c`) or `*`.
        headers: All fields as received.
    """

    method: str
    scheme: str
    authority: str
    target: str
    headers: Headers

    @property
    def uri(self) -> str:
        """The target URI (RFC 9110 §7.1)."""
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True)
class Response:
    """A final response head, hop-by-hop fields already removed."""

    status: int
    reason: str
    headers: Headers


def field_value(headers: Headers, name: str) -> str | None:
    """All lines of `name` joined with a comma (RFC 9110 §5.3), or None if there is none."""
    lines = headers.getall(name, None)
    if lines is None:
        return None
    return lines[0] if len(lines) == 1 else ", ".join(lines)
