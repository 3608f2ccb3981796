"""What requests are called, so that people can speak of one."""

import re
import secrets
from itertools import count

from proxy.rfc9111.messages import Headers

FIELD = "X-Request-Id"
"""By which clients, and proxies in front, say what they call a request."""

_SANE = re.compile(r"[A-Za-z0-9._:=/+@-]{1,128}")
"""Nothing that a log or a shell could take for something else."""


class RequestIds:
    """Names requests: as their client does, or by a number that no other process uses."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(4)
        self._numbers = count(1)

    def name(self, headers: Headers) -> str:
        """What a request with these fields is called."""
        given = headers.get(FIELD)
        if given is not None and _SANE.fullmatch(given):
            return given
        return f"{self._process}-{next(self._numbers):x}"
