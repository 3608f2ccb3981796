"""What requests are called, so that people can speak of one."""

from random import Random
from string import ascii_letters, digits
from typing import Final

from proxy.rfc9111.messages import Headers

FIELD = "X-Request-Id"
"""By which clients, and proxies in front, say what they call a request."""

ANSWERED = "Warmfront-Request-Id"
"""By which they are told what it is called here."""

_MADE_AT_ONCE: Final = 256

_SANE: Final = (ascii_letters + digits + "._:=/+@-").encode()
"""Nothing that a log or a shell could take for something else."""

_LONGEST: Final = 128


_BEFORE: Final = f"{ANSWERED}: ".encode()
_AFTER: Final = b"\r\n\r\n"


class RequestIds:
    """Names requests: as their client does, or by a number that tells nothing, not even a count."""

    def __init__(self) -> None:
        self._random = Random()  # noqa: S311 - it only has to be another each time
        self._made: list[bytes] = []

    def name(self, headers: Headers) -> bytes:
        """What a request with these fields is called."""
        given = headers.get(FIELD)
        name = None if given is None else name_given(given.encode("latin-1", "replace"))
        return self.make() if name is None else name

    def make(self) -> bytes:
        """A name that no other request has."""
        if not self._made:  # many at once take a sixth of the time of single ones
            numbers = self._random.randbytes(8 * _MADE_AT_ONCE)
            self._made = numbers.hex("|", 8).encode().split(b"|")
        return self._made.pop()


def name_given(given: bytes) -> bytes | None:
    """What a client calls its request by this value of FIELD; None where that will not do."""
    name = given.strip(b" \t")
    sane = name and len(name) <= _LONGEST and not name.translate(None, _SANE)
    return name if sane else None


def ending_of(name: bytes) -> bytes:
    """The end of a head that tells what the request is called."""
    return _BEFORE + name + _AFTER
