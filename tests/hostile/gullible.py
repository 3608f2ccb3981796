"""An origin that believes whatever anybody tells it, as frameworks and their plug-ins do.

It makes its links of the first host that it finds anywhere, takes the method and the path from
fields, knows these by names in which `_` is `-` (as CGI and WSGI have them), and so is all else
that is no letter or digit (as lighttpd has it), decodes paths before it looks at them, splits
queries at semicolons too, refuses what it finds too large or too strange, and calls all of that
fresh for an hour.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import unquote

from tests.hostile.strict import Received

FRESH = b"Cache-Control: max-age=3600"
_HOSTS = (b"x-host", b"x-original-host", b"x-http-host-override", b"x-forwarded-server")
_SCHEMES = (b"x-forwarded-scheme", b"x-forwarded-protocol", b"x-url-scheme", b"x-scheme")
_PATHS = (b"x-original-url", b"x-rewrite-url", b"x-original-uri")
_METHODS = (b"x-http-method-override", b"x-http-method", b"x-method-override")


def believe(request: Received) -> bytes:
    """The response to what it takes the request for."""
    first = _Fields(request)
    status = _error(request, first)
    if status is not None:
        return _response(status, b"error", FRESH)
    method = first.of(*_METHODS) or request.method
    path = _resolve((first.of(*_PATHS) or request.target).partition(b"?")[0])
    if path.startswith("/account"):
        return _response(200, b"the secret of " + first.of(b"cookie"))  # and nothing about caching
    said = b" ".join(
        [
            method,
            first.scheme + b"://" + first.host + b":" + first.of(b"x-forwarded-port"),
            first.of(b"x-forwarded-prefix") + first.of(b"x-forwarded-path") + path.encode(),
            b"id=" + _parameter(request.target, b"id"),
            b"language=" + (_cookie(first.of(b"cookie")) or first.of(b"accept-language")),
            b"body=" + request.body,
        ]
    )
    return _response(200, said, FRESH, b"Vary: Accept-Language")


class _Fields:
    def __init__(self, request: Received) -> None:
        self._request = request

    def of(self, *names: bytes) -> bytes:
        """The first value of the first name that is there; b"" if none is."""
        return next((value for name in names for value in self._values(name)), b"")

    def _values(self, name: bytes) -> Iterator[bytes]:
        fields = self._request.fields
        return (value for known, value in fields if re.sub(rb"\W|_", b"-", known.lower()) == name)

    @property
    def host(self) -> bytes:
        forwarded = re.search(rb'(?i)host="?([^;,"]*)', self.of(b"forwarded"))
        told = self.of(*_HOSTS) or (forwarded[1] if forwarded else b"")
        return told or self.of(b"x-forwarded-host", b"host")

    @property
    def scheme(self) -> bytes:
        if b"on" in {self.of(b"x-forwarded-ssl"), self.of(b"front-end-https")}:
            return b"https"
        forwarded = re.search(rb"(?i)proto=([a-z]*)", self.of(b"forwarded"))
        told = self.of(*_SCHEMES) or (forwarded[1] if forwarded else b"")
        return told or self.of(b"x-forwarded-proto")


def _error(request: Received, first: _Fields) -> int | None:
    values = b"".join(value for _, value in request.fields)
    if len(request.target) > 4000:
        return 414
    if len(values) > 8000 or re.search(rb"[^ -~]", values):
        return 400
    for name, status in ((b"user-agent", 403), (b"accept", 406), (b"range", 400)):
        if b"evil" in first.of(name):
            return status
    if request.method == b"GET" and first.of(*_METHODS) == b"BREW":
        return 405
    return None


def _resolve(path: bytes) -> str:
    """Decode, cut off parameters and what stands behind a NUL, and walk."""
    text = unquote(path.decode("latin-1")).replace("\\", "/").partition("\0")[0].partition(";")[0]
    walked: list[str] = []
    for segment in text.split("/"):
        if segment == "..":
            walked[-1:] = []
        elif segment not in {"", "."}:
            walked.append(segment)
    return "/" + "/".join(walked)


def _parameter(target: bytes, name: bytes) -> bytes:
    query = target.partition(b"?")[2]
    pairs = (pair.partition(b"=") for pair in re.split(b"[&;]", query))
    return b"".join(value for known, _, value in pairs if unquote(known) == name.decode())


def _cookie(value: bytes) -> bytes:
    found = re.search(rb"(?i)(?:^|[;,\s])language\s*=(\w+)", value)
    return found[1] if found else b""


def _response(status: int, body: bytes, *fields: bytes) -> bytes:
    line = b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())
    return b"\r\n".join([line, *fields, b"Content-Length: %d" % len(body), b"", body])
