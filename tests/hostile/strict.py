"""A strict reader of RFC 9112, which shares nothing with the one that it judges.

It reads what reaches an origin. It is slow, goes through bytes one by one, and forgives nothing
by which two readers could come to see different messages. Targets may hold what browsers leave
unencoded there: visible characters and bytes above ASCII, which delimit nothing.
"""

import asyncio
import ipaddress
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
VISIBLE = frozenset(range(0x21, 0x7F)) | frozenset(range(0x80, 0x100))
TEXT = VISIBLE | frozenset(b" \t")
DIGITS = frozenset(b"0123456789")
HEX = frozenset(b"0123456789abcdefABCDEF")
HOST = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+;=")


class NotStrict(Exception):  # noqa: N818 - a verdict
    """A strict sender would not have sent this; the text says why."""


@dataclass(frozen=True)
class Received:
    """A whole request."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """The values of these fields; the name in lower case."""
        return [value for known, value in self.fields if known.lower() == name]


def read(data: bytes) -> list[Received]:
    """The whole requests at the start of `data`; raises NotStrict. A begun one is no fault."""
    found: list[Received] = []
    while (end := data.find(b"\r\n\r\n")) >= 0:
        method, target, fields = _head(data[:end])
        body = _body(fields, data[end + 4 :])
        if body is None:
            return found
        content, data = body
        found.append(Received(method, target, fields, content))
    _need("\n" not in data.decode("latin-1").replace("\r\n", ""), "a bare LF")
    return found


def understood(data: bytes) -> list[Received]:
    """What a strict server takes from a client that sends `data`: all up to the first fault.

    Besides what an origin gets from a strict proxy, that is absolute-form, other minor versions,
    HTTP/1.0 without Host, and empty lines in front.
    """
    found: list[Received] = []
    with suppress(NotStrict, ValueError):
        while True:
            data = re.sub(rb"\A(?:\r\n)+", b"", data)
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                break
            line, feed, lines = head.partition(b"\r\n")
            modern = re.search(rb" HTTP/1\.[1-9]\Z", line) is not None
            line = re.sub(rb" HTTP/1\.\d\Z", b" HTTP/1.1", line)
            line = re.sub(rb"\A([^ ]+) https?://[^/?#@ ]+(?=[/? ])", rb"\1 ", line)
            line = re.sub(rb"\A([^ ]+) (?=[? ])", rb"\1 /", line)
            if not modern and not re.search(rb"(?im)^host *:", lines):
                lines, feed = b"Host: none" + (b"\r\n" + lines if feed else b""), b"\r\n"
            method, target, fields = _head(line + feed + lines)
            names = {name.lower() for name, _ in fields}
            _need(modern or b"transfer-encoding" not in names, "a coding in HTTP/1.0")
            body = _body(fields, rest)
            if body is None:
                break
            content, data = body
            found.append(Received(method, target, fields, content))
    return found


def _need(truth: bool, why: str) -> None:  # noqa: FBT001 - an assertion
    if not truth:
        raise NotStrict(why)


def _head(head: bytes) -> tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...]]:
    line, *lines = head.split(b"\r\n")
    parts = line.split(b" ")
    _need(len(parts) == 3, "the request line has not three parts")
    method, target, version = parts
    _need(bool(method) and TOKEN.issuperset(method), "the method is no token")
    _need(VISIBLE.issuperset(target) and b"#" not in target, "the target has odd characters")
    whole_server = target == b"*" and method == b"OPTIONS"
    _need(target.startswith(b"/") or whole_server, "the target is not in origin-form")
    _need(version == b"HTTP/1.1", "another version")
    fields = tuple(map(_field, lines))
    hosts = [value for name, value in fields if name.lower() == b"host"]
    _need(len(hosts) == 1, "not one Host")
    _check_host(hosts[0])
    return method, target, fields


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    _need(bool(colon) and bool(name) and TOKEN.issuperset(name), "the name of a field is no token")
    _need(TEXT.issuperset(value), "a control byte in a value")
    return name, value.strip(b" \t")


def _check_host(value: bytes) -> None:
    name, bracket, port = value.rpartition(b"]")
    if bracket:
        _need(name.startswith(b"["), "Host has half a pair of brackets")
        ipaddress.IPv6Address(name[1:].decode())
        _need(port == b"" or port.startswith(b":"), "something behind an IPv6 address")
        port = port[1:]
    else:
        name, _, port = value.partition(b":")
        _need(bool(name) and HOST.issuperset(name), "Host is no host")
    _need(DIGITS.issuperset(port), "the port is no number")


def _body(fields: tuple[tuple[bytes, bytes], ...], data: bytes) -> tuple[bytes, bytes] | None:
    """The content, and what follows; None while it is not complete."""
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    _need(len(lengths) + len(codings) <= 1, "several framing fields")
    if codings:
        _need(codings[0].lower() == b"chunked", "another coding than chunked")
        return _chunks(data)
    if lengths:
        _need(bool(lengths[0]) and DIGITS.issuperset(lengths[0]), "Content-Length is no number")
        length = int(lengths[0])
        return (data[:length], data[length:]) if len(data) >= length else None
    return b"", data


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    content = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            _need(b"\n" not in line, "a bare LF in a chunk's size")
            return None
        size, _, extensions = line.partition(b";")
        _need(bool(size) and HEX.issuperset(size), "a chunk's size is no number")
        _need(TEXT.issuperset(extensions), "a control byte in an extension")
        if int(size, 16) == 0:
            break
        if len(data) < int(size, 16) + 2:
            return None
        content, data = content + data[: int(size, 16)], data[int(size, 16) :]
        _need(data.startswith(b"\r\n"), "a chunk is longer than its size")
        data = data[2:]
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        if not line:
            return content, data
        _field(line)


@dataclass
class StrictOrigin:
    """An origin that reads strictly, and remembers what no strict sender would have sent.

    Attributes:
        answer: Makes the response to each whole request; None closes the connection instead.
        seen: Whole requests, in order.
        faults: Why it closed connections.
    """

    answer: Callable[[Received], bytes | None]
    seen: list[Received] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        received, answered = b"", 0
        try:
            while piece := await reader.read(65536):
                received += piece
                whole = read(received)
                for request in whole[answered:]:
                    self.seen.append(request)
                    answer = self.answer(request)
                    if answer is None:
                        return
                    writer.write(answer)
                answered = len(whole)
                await writer.drain()
        except (NotStrict, ValueError) as fault:
            self.faults.append(str(fault))
        except ConnectionError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()


def ok(body: bytes, *fields: bytes) -> bytes:
    """A response with Content-Length."""
    lines = [b"HTTP/1.1 200 OK", *fields, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


def echo(request: Received) -> bytes:
    """Name what was asked for."""
    return ok(b"for " + request.method + b" " + request.target + request.body)
