"""Anything at all, always the same: the parser, the listener, and answers of origins.

What breaks here becomes a row of the battery.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.origin import OriginOptions
from proxy.server import ServerOptions
from proxy.server.heads import RequestHead
from proxy.server.parser import END, RequestParser
from proxy.server.rejection import RequestRejected
from tests.apparatus import fronted
from tests.hostile.mutants import ODD, SEEDS, mutants, mutated
from tests.hostile.stage import Stage, on_stage
from tests.hostile.strict import echo, understood
from tests.hostile.test_responses import BODIES, HEADS, SURPLUS, Faults, Faulty, FaultyOrigin

IMPATIENT = ServerOptions(header_timeout=0.3, body_idle=0.3)
AT_ONCE = 16

_PIECES = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"OPTIONS ", b"/", b"/a?b", b"*", b"http://a", b" HTTP/1.1", b"\r\n"),
        *(b"Host: a", b"Host: [::1]:80", b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        *(b"Connection: close", b"Expect: 100-continue", b"X: y", b"3", b";a=b", b"abc", b"0"),
        *ODD,
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A request or two with bytes exchanged, dropped and put in."""
    data = b"".join(draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 2))
        data = data[:start] + draw(st.sampled_from([b"", *ODD])) + data[end:]
    return data


def parsed(data: bytes, size: int) -> list[tuple[str, str, bytes]]:
    """The whole requests that our parser finds in pieces of this size."""
    parser = RequestParser(ServerOptions())
    found: list[tuple[str, str, bytes]] = []
    head, body = None, b""
    try:
        for start in range(0, len(data), size):
            parser.receive(data[start : start + size])
            while (event := parser.next_event()) is not None:
                if isinstance(event, RequestHead):
                    head, body = event, b""
                elif event is END and head is not None:
                    found.append((head.method, head.target, body))
                elif isinstance(event, bytes):
                    body += event
    except RequestRejected:
        assert parser.next_event() is None
    return found


@settings(derandomize=True, max_examples=500, deadline=None)
@given(
    st.one_of(damaged(), st.lists(_PIECES, max_size=25).map(b"".join), st.binary(max_size=200)),
    st.integers(1, 40),
)
def test_our_parser_sees_no_request_that_a_strict_reader_does_not(data: bytes, size: int) -> None:
    found = parsed(data, size)
    assert found == parsed(data, len(data) or 1)
    strict = [
        (one.method.decode(), one.target.decode("latin-1"), one.body) for one in understood(data)
    ]
    assert found == strict[: len(found)]


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage(echo, server=IMPATIENT) as stage:
        yield stage


async def test_the_listener_survives(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    todo = iter(mutants(300, seed=2))

    async def client() -> None:
        for _, raw in todo:
            await stage.say(raw + b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    assert not stage.origin.faults
    await stage.honest()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_so_does_the_way_to_the_origin(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an origin says, the client gets an answer, and the next one gets its own."""
    rows = [row for row in (*HEADS, *BODIES, *SURPLUS) if 40 < len(row.raw) < 1000]
    origin = FaultyOrigin()
    async with (
        await asyncio.start_server(origin.serve, "127.0.0.1", 0) as server,
        fronted(
            OriginOptions(
                url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
                header_timeout=0.5,
                idle_timeout=0.5,
            )
        ) as front,
    ):
        faults = Faults(origin, front)
        wrong = iter(mutated([row.raw for row in rows] + WELL_FORMED, 300, seed=3))

        async def client() -> None:
            for number, (_, raw) in enumerate(wrong):
                target = b"/%d/%d" % (id(raw), number)
                origin.rows[target] = Faulty("", raw)
                first = await faults.ask(target)
                del origin.rows[target]
                assert 200 <= first.status <= 999
                second = await faults.ask(target)
                whole_and_stored = second.hit and first.complete
                assert whole_and_stored or second.body == b"for " + target

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


WELL_FORMED = [
    b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 4\r\n\r\nmine",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nmine\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nCache-Control: max-age=9\r\n\r\nmine",
    b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nmine",
    b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
]
