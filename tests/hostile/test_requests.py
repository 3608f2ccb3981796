"""Hostile requests, through the whole proxy: refused, and nobody behind it knows of them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from proxy.events import Answered, Refused
from proxy.routes import HostPattern
from proxy.server import ServerOptions
from tests.hostile import corpus
from tests.hostile.corpus import SMUGGLED, TE, ZERO, Hostile, get, post
from tests.hostile.stage import CANARY, Stage, on_stage
from tests.hostile.strict import Received

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with on_stage() as stage:
        yield stage


def named(rows: list[Hostile]) -> list[object]:
    assert len({row.name for row in rows}) == len(rows)
    return [pytest.param(row, id=row.name) for row in rows]


@pytest.mark.parametrize("row", named(corpus.HEADS))
async def test_a_head_is_refused(stage: Stage, row: Hostile) -> None:
    before = len(stage.origin.seen)
    said = await stage.say(row.raw + CANARY)
    (status,) = said.statuses
    assert status in row.statuses
    assert said.closes
    assert said.dated
    assert len(stage.origin.seen) == before
    told = stage.front.events[-1]
    assert isinstance(told, Refused)
    assert told.status == status
    await stage.honest()


@pytest.mark.parametrize("row", named(corpus.CHUNKS))
async def test_a_body_is_refused(stage: Stage, row: Hostile) -> None:
    """No request with such a body is complete for the origin, and nothing stands behind it."""
    before = len(stage.origin.seen)
    said = await stage.say(row.raw + CANARY)
    assert said.statuses in ([400], [])
    assert len(stage.origin.seen) == before
    await stage.honest()


CL = b"Content-Length: %d"


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        pytest.param(
            get(line=b"GET http://other.example/a?b HTTP/1.1"),
            [("GET", "/a?b", "other.example", b"")],
            id="3.2.2-the target's authority wins over Host",
        ),
        pytest.param(
            get(line=b"GET http://OTHER.example:80?b HTTP/1.1"),
            [("GET", "/?b", "other.example", b"")],
            id="3.2.2-an empty path",
        ),
        pytest.param(
            get(line=b"OPTIONS http://other.example HTTP/1.1"),
            [("OPTIONS", "*", "other.example", b"")],
            id="3.2.4-the whole server",
        ),
        pytest.param(
            post(CL % len(SMUGGLED), body=SMUGGLED),
            [("POST", "/", "api.example", SMUGGLED)],
            id="6.3-a body that looks like a request",
        ),
        pytest.param(
            get(CL % len(SMUGGLED)) + SMUGGLED,
            [("GET", "/", "api.example", SMUGGLED)],
            id="9110-9.3.1-GET with a body",
        ),
        pytest.param(
            get(b"X-A: b") + get(line=b"GET /second HTTP/1.1"),
            [("GET", "/", "api.example", b""), ("GET", "/second", "api.example", b"")],
            id="9.3.2-two in one piece",
        ),
        pytest.param(
            b"\r\n" + get(), [("GET", "/", "api.example", b"")], id="2.2-an empty line in front"
        ),
        pytest.param(
            get(host=b"hOsT:\t api.example \t"),
            [("GET", "/", "api.example", b"")],
            id="5.1-white space around a value",
        ),
        pytest.param(
            get(line=b"GET / HTTP/1.9"), [("GET", "/", "api.example", b"")], id="2.3-version 1.9"
        ),
        pytest.param(
            get(b"Content-Length: 005") + b"12345",
            [("GET", "/", "api.example", b"12345")],
            id="6.3-leading zeros",
        ),
        pytest.param(
            get(b"Transfer_Encoding: chunked", b"X: Transfer-Encoding"),
            [("GET", "/", "api.example", b"")],
            id="6.1-what only looks like a coding",
        ),
    ],
)
async def test_what_is_odd_and_clear_passes(
    stage: Stage, raw: bytes, seen: list[tuple[str, str, str, bytes]]
) -> None:
    before = len(stage.origin.seen)
    said = await stage.say(raw + get(b"Connection: close", line=b"GET /last HTTP/1.1"))
    assert said.statuses == [200] * (len(seen) + 1)

    def summary(one: Received) -> tuple[str, str, str, bytes]:
        (host,) = one.values(b"host")
        return one.method.decode(), one.target.decode(), host.decode(), one.body

    *arrived, last = map(summary, stage.origin.seen[before:])
    assert arrived == seen
    assert last == ("GET", "/last", "api.example", b"")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(get()[:-2], id="a head without its end"),
        pytest.param(post(CL % 5, body=b"123"), id="a body that is too short"),
        pytest.param(post(TE, body=b"5\r\n12"), id="a chunk that is too short"),
        pytest.param(post(TE, body=b"5\r\n12345\r\n"), id="no last chunk"),
        pytest.param(post(TE, body=ZERO[:-2]), id="no end of the trailers"),
    ],
)
async def test_half_a_request_is_none(stage: Stage, raw: bytes) -> None:
    before = len(stage.origin.seen)
    said = await stage.say(raw, eof=True)
    assert all(status >= 400 for status in said.statuses)
    assert len(stage.origin.seen) == before
    await stage.honest()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(get()[:-2], 408, id="a head without its end"),
        pytest.param(post(CL % 5, body=b"123"), 408, id="a body that stops"),
        pytest.param(post(TE, body=b"5\r\n12"), 408, id="a chunk that stops"),
        pytest.param(post(CL % 1001), 413, id="a body that is too large"),
        pytest.param(post(CL % 1001, b"Expect: 100-continue"), 413, id="and is announced"),
        pytest.param(post(TE, body=b"400\r\n" + b"x" * 0x400), 413, id="and is chunked"),
        pytest.param(get(host=b"Host: evil.example"), 421, id="for another host"),
        pytest.param(get(line=b"GET http://evil.example/ HTTP/1.1"), 421, id="absolute form"),
    ],
)
async def test_limits(raw: bytes, status: int) -> None:
    limits = ServerOptions(
        header_timeout=0.3,
        body_idle=0.3,
        body_size=1000,
        allowed_hosts=(HostPattern("api.example"),),
    )
    async with on_stage(server=limits) as stage:
        said = await stage.say(raw)
        assert said.statuses == [status]
        assert said.closes
        assert not stage.origin.seen
        assert not any(isinstance(event, Answered) for event in stage.front.events)
        assert sum(isinstance(event, Refused) for event in stage.front.events) == 1
        await stage.honest()
