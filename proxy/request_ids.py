"""What requests are called, so that people can speak of one."""

import re
from random import Random
from typing import Final

from proxy.rfc9111.messages import Headers

FIELD = "X-Request-Id"
"""By which clients, and proxies in front, say what they call a request."""

ANSWERED = "Warmfront-Request-Id"
"""By which they are told what it is called here."""

_MADE_AT_ONCE: Final = 256

_SANE = re.compile(r"[A-Za-z0-9._:=/+@-]{1,128}")
"""Nothing that a log or a shell could take for something else."""


class RequestIds:
    """Names requests: as their client does, or by a number that tells nothing, not even a count."""

    def __init__(self) -> None:
        self._random = Random()  # noqa: S311 - it only has to be another each time
        self._lines: list[bytes] = []

    def name(self, headers: Headers) -> str:
        """What a request with these fields is called."""
        given = headers.get(FIELD)
        if given is not None and _SANE.fullmatch(given):
            return given
        return f"{self._random.getrandbits(64):016x}"

    def line(self, given: bytes | None) -> bytes:
        """The line of ANSWERED for a request that its client gives this name, if any."""
        if given is not None:
            name = given.strip(b" \t").decode("latin-1")
            if _SANE.fullmatch(name):
                return line_of(name)
        if not self._lines:
            self._lines = _lines(self._random.randbytes(8 * _MADE_AT_ONCE))
        return self._lines.pop()


def _lines(numbers: bytes) -> list[bytes]:
    """A line for each eight bytes; many at once take a sixth of the time that single ones do."""
    names = numbers.hex("|", 8).replace("|", f"\r\n|{ANSWERED}: ")
    return f"{ANSWERED}: {names}\r\n".encode().split(b"|")


def line_of(name: str) -> bytes:
    """The line of ANSWERED that tells a request's name."""
    return f"{ANSWERED}: {name}\r\n".encode("latin-1", "replace")
