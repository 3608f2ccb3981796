"""Faulty origins: what they say badly reaches nobody as if it were whole, and is never stored."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
import pytest_asyncio

from proxy.origin import OriginOptions
from proxy.rfc9111.policy import Policy
from tests.apparatus import Answer, Front, fronted
from tests.hostile.stage import ask
from tests.hostile.strict import Received, ok, read

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRESH = b"Cache-Control: max-age=60"
POISON = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\npoison"


class Faulty(NamedTuple):
    """Attributes:
    name: What is wrong with it.
    raw: What the origin says.
    status: What the client gets; None where its message must break off, after whatever head.
    closes: The origin closes the connection behind it; else it waits.
    """

    name: str
    raw: bytes
    status: int | None = 502
    closes: bool = True


def head(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([line, FRESH, *fields, b"", b""])


TE = b"Transfer-Encoding: chunked"
CHUNKED = head(TE)
CL = b"Content-Length: 4"

HEADS = [
    Faulty("nothing", b""),
    Faulty("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n"),
    Faulty("no status line", b"Content-Length: 4\r\n\r\nmine"),
    Faulty("HTTP/0.9", b"<html>mine</html>"),
    Faulty("another protocol", head(CL, line=b"ICY 200 OK") + b"mine"),
    Faulty("no status", head(CL, line=b"HTTP/1.1 OK") + b"mine"),
    Faulty("a status of two digits", head(CL, line=b"HTTP/1.1 20 OK") + b"mine"),
    Faulty("a status of four digits", head(CL, line=b"HTTP/1.1 2000 OK") + b"mine"),
    Faulty("a negative status", head(CL, line=b"HTTP/1.1 -20 OK") + b"mine"),
    Faulty("status 099", head(CL, line=b"HTTP/1.1 099 OK") + b"mine"),
    Faulty("cut in the head", head(CL)[:-9]),
    Faulty("a blank before a colon", head(b"Content-Length : 4") + b"mine"),
    Faulty("a name that is no token", head(b"A(b): c", CL) + b"mine"),
    Faulty("a field without a colon", head(b"A", CL) + b"mine"),
    Faulty("NUL in a field", head(b"A: \0", CL) + b"mine"),
    Faulty("CR in a field", head(b"A: b\rC: d", CL) + b"mine"),
    Faulty("too large a head", head(b"A: " + b"b" * 300_000, CL) + b"mine"),
    Faulty("CL and TE", head(CL, TE) + b"4\r\nmine\r\n0\r\n\r\n"),
    Faulty("two different lengths", head(CL, b"Content-Length: 5") + b"mine!"),
    Faulty("a list of different lengths", head(b"Content-Length: 4, 5") + b"mine!"),
    Faulty("a negative length", head(b"Content-Length: -4") + b"mine"),
    Faulty("a length with a sign", head(b"Content-Length: +4") + b"mine"),
    Faulty("a length in words", head(b"Content-Length: four") + b"mine"),
    Faulty("an empty length", head(b"Content-Length:") + b"mine"),
    Faulty(
        "chunked twice", head(b"Transfer-Encoding: chunked, chunked") + b"4\r\nmine\r\n0\r\n\r\n"
    ),
    Faulty("a coding behind chunked", head(b"Transfer-Encoding: chunked, gzip") + b"mine"),
    Faulty("101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    Faulty("interim responses without end", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000),
]

BODIES = [
    Faulty("shorter than its length", head(b"Content-Length: 9") + b"mine", None),
    Faulty("cut in a chunk", CHUNKED + b"9\r\nmine", None),
    Faulty("cut behind a chunk", CHUNKED + b"4\r\nmine\r\n", None),
    Faulty("cut in the trailers", CHUNKED + b"4\r\nmine\r\n0\r\n", None),
    Faulty("a chunk size that is none", CHUNKED + b"4\r\nmine\r\nx\r\n\r\n", None),
    Faulty("a negative chunk size", CHUNKED + b"4\r\nmine\r\n-1\r\n\r\n", None),
    Faulty("a chunk size too large", CHUNKED + b"fffffffffffffffff\r\nmine\r\n", None),
    Faulty("a longer chunk than announced", CHUNKED + b"4\r\nmine!\r\n0\r\n\r\n", None),
    Faulty("nothing behind the head", head(CL), None),
]

SURPLUS = [
    Faulty("a response behind a sized one", head(CL) + b"mine" + POISON, 200, closes=False),
    Faulty(
        "another behind a chunked one",
        CHUNKED + b"4\r\nmine\r\n0\r\n\r\n" + POISON,
        200,
        closes=False,
    ),
    Faulty("half a response behind one", head(CL) + b"mine" + POISON[:30], 200, closes=False),
    Faulty("a line behind one", head(CL) + b"mine\r\n", 200, closes=False),
    Faulty("a body with 204", head(line=b"HTTP/1.1 204 No Content") + POISON, 204, closes=False),
    Faulty("a body with 304", head(line=b"HTTP/1.1 304 Not Modified") + POISON, 304, closes=False),
]


@dataclass
class FaultyOrigin:
    """Answers as `rows` say for their targets, and all others honestly."""

    rows: dict[bytes, Faulty] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received, answered = b"", 0
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                received += piece
                for request in read(received)[answered:]:
                    answered += 1
                    if not self._answer(request, writer):
                        writer.close()
                        return
                await writer.drain()
        writer.close()

    def _answer(self, request: Received, writer: asyncio.StreamWriter) -> bool:
        self.asked.append(request.target)
        row = self.rows.get(request.target)
        if row is None:
            writer.write(ok(b"for " + request.target, FRESH))
            return True
        writer.write(row.raw)
        return not row.closes


@dataclass
class Faults:
    """The proxy before such an origin."""

    origin: FaultyOrigin
    front: Front

    async def ask(self, target: bytes) -> Answer:
        return await ask(self.front, b"GET " + target + b" HTTP/1.1\r\nHost: api.example\r\n\r\n")


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["lean", "aiohttp"])
async def faults(request: pytest.FixtureRequest) -> AsyncIterator[Faults]:
    """By either way to the origin."""
    origin = FaultyOrigin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    # Whatever comes is worth storing, if it is whole.
    policy = Policy(default_ttl=60.0, negative_ttl={502: 60.0})
    options = OriginOptions(url=f"http://127.0.0.1:{port}", lean=request.param == "lean")
    async with server, fronted(options, policy) as front:
        yield Faults(origin, front)


def named(rows: list[Faulty]) -> Callable[[Callable[..., object]], Callable[..., object]]:
    assert len({row.name for row in rows}) == len(rows)
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in rows])


@named([*HEADS, *BODIES, *SURPLUS])
async def test_a_fault_stays_with_who_caused_it(faults: Faults, row: Faulty) -> None:
    target = b"/" + row.name.replace(" ", "-").encode()
    faults.origin.rows[target] = row
    before = len(faults.origin.asked)
    first = await faults.ask(target)
    if row.status is None:
        assert first.status == 502 or not first.complete
    else:
        assert first.status == row.status
        assert first.body in {b"mine", b""} or row.status == 502
    del faults.origin.rows[target]
    assert set(faults.origin.asked[before:]) == {target}
    if row.status in {None, 502}:
        again = await faults.ask(target)
        assert (again.status, again.body) == (200, b"for " + target)
        assert not again.hit
        assert (await faults.ask(target)).hit
    other = await faults.ask(target + b"/other")
    assert (other.status, other.body) == (200, b"for " + target + b"/other")
