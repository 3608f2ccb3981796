"""What requests are called, so that people can speak of one."""

import re
from random import Random

from proxy.rfc9111.messages import Headers

FIELD = "X-Request-Id"
"""By which clients, and proxies in front, say what they call a request."""

ANSWERED = "Warmfront-Request-Id"
"""By which they are told what it is called here."""

_SANE = re.compile(r"[A-Za-z0-9._:=/+@-]{1,128}")
"""Nothing that a log or a shell could take for something else."""


class RequestIds:
    """Names requests: as their client does, or by a number that tells nothing, not even a count."""

    def __init__(self) -> None:
        self._bits = Random().getrandbits  # noqa: S311 - it only has to be another each time

    def name(self, headers: Headers) -> str:
        """What a request with these fields is called."""
        given = headers.get(FIELD)
        if given is not None and _SANE.fullmatch(given):
            return given
        return f"{self._bits(64):016x}"

    def line(self, given: bytes | None) -> bytes:
        """The line of ANSWERED for a request that its client gives this name, if any."""
        if given is not None:
            name = given.strip(b" \t").decode("latin-1")
            if _SANE.fullmatch(name):
                return line_of(name)
        return b"Warmfront-Request-Id: %016x\r\n" % self._bits(64)


def line_of(name: str) -> bytes:
    """The line of ANSWERED that tells a request's name."""
    return f"{ANSWERED}: {name}\r\n".encode("latin-1", "replace")
