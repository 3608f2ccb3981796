"""Response heads and framing."""

import json
from collections.abc import AsyncIterator

import pytest

from proxy.exchange import Outgoing
from proxy.rfc9111.messages import Headers
from proxy.server.writing import (
    Framing,
    chunk,
    framing_of,
    interim_head,
    problem_bytes,
    response_head,
    switching_head,
)


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


def answer(
    *fields: tuple[str, str],
    status: int = 200,
    body: bytes | None = b"",
    length: int | None = None,
    reason: str = "OK",
) -> Outgoing:
    return Outgoing(
        status, reason, Headers(fields), _nothing() if body is None else body, length=length
    )


def lines(
    outgoing: Outgoing,
    *,
    method: str = "GET",
    version: tuple[int, int] = (1, 1),
    persistent: bool = True,
) -> list[str]:
    framing = framing_of(outgoing, method=method, version=version)
    head = response_head(outgoing, framing, version=version, persistent=persistent)
    assert head.endswith(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n")[1:-2]


def test_the_head_passes_byte_for_byte() -> None:
    outgoing = answer(("ETag", '"a"'), ("x-b", "\xff\t c"), ("X-B", ""), reason="Tr\xe8s bien")
    head = response_head(outgoing, Framing.SIZED, version=(1, 1), persistent=True)
    assert head == (
        b"HTTP/1.1 200 Tr\xe8s bien\r\n"
        b'ETag: "a"\r\nx-b: \xff\t c\r\nX-B: \r\nContent-Length: 0\r\n\r\n'
    )


@pytest.mark.parametrize("status", [201, 206, 299, 304, 418, 599, 999])
def test_any_final_status(status: int) -> None:
    outgoing = answer(status=status, reason="")
    head = response_head(outgoing, Framing.BODILESS, version=(1, 1), persistent=True)
    assert head == b"HTTP/1.1 %d \r\n\r\n" % status


@pytest.mark.parametrize(
    ("outgoing", "method", "version", "framing"),
    [
        pytest.param(answer(body=b"x"), "GET", (1, 1), Framing.SIZED, id="6.2-whole"),
        pytest.param(answer(body=b""), "GET", (1, 1), Framing.SIZED, id="6.2-empty"),
        pytest.param(answer(body=None, length=3), "GET", (1, 1), Framing.SIZED, id="6.2-stream"),
        pytest.param(answer(body=None, length=0), "GET", (1, 0), Framing.SIZED, id="6.2-1.0"),
        pytest.param(answer(body=None), "GET", (1, 1), Framing.CHUNKED, id="6.1-chunked"),
        pytest.param(answer(body=None), "GET", (1, 0), Framing.UNTIL_CLOSE, id="6.3-close"),
        pytest.param(answer(body=None), "HEAD", (1, 1), Framing.BODILESS, id="6.3-HEAD"),
        pytest.param(answer(body=b"x", status=204), "GET", (1, 1), Framing.BODILESS, id="6.3-204"),
        pytest.param(answer(body=b"x", status=304), "GET", (1, 0), Framing.BODILESS, id="6.3-304"),
        pytest.param(answer(body=b"x", status=205), "GET", (1, 1), Framing.SIZED, id="6.3-205"),
    ],
)
def test_framing(
    outgoing: Outgoing, method: str, version: tuple[int, int], framing: Framing
) -> None:
    assert framing_of(outgoing, method=method, version=version) is framing


STALE = (("A", "1"), ("content-length", "99"), ("Transfer-Encoding", "chunked"),
         ("Connection", "close"), ("B", "2"))  # fmt: skip


@pytest.mark.parametrize(
    ("outgoing", "method", "expected"),
    [
        pytest.param(answer(*STALE, body=b"abc"), "GET", ["A: 1", "B: 2", "Content-Length: 3"],
                     id="sized"),
        pytest.param(answer(*STALE, body=None), "GET",
                     ["A: 1", "B: 2", "Transfer-Encoding: chunked"], id="chunked"),
        pytest.param(answer(*STALE, body=b"abc", status=204), "GET", ["A: 1", "B: 2"], id="204"),
        pytest.param(answer(*STALE, status=304), "GET", ["A: 1", "content-length: 99", "B: 2"],
                     id="304 tells the length of the 200"),
        pytest.param(answer(*STALE), "HEAD", ["A: 1", "content-length: 99", "B: 2"],
                     id="HEAD tells the length of the GET"),
        pytest.param(answer(("A", "1")), "HEAD", ["A: 1"], id="HEAD invents no length"),
        pytest.param(answer(("Content-length", "3"), ("A", "1"), body=b"abc"), "GET",
                     ["Content-length: 3", "A: 1"], id="a right length stays where it is"),
        pytest.param(answer(("Content-Length", "3"), ("Content-Length", "3"), body=b"abc"), "GET",
                     ["Content-Length: 3"], id="a repeated length does not"),
    ],
)  # fmt: skip
def test_framing_fields_are_the_server_s_own(
    outgoing: Outgoing, method: str, expected: list[str]
) -> None:
    assert lines(outgoing, method=method) == expected


def test_connection() -> None:
    assert lines(answer(status=204), persistent=True) == []
    assert lines(answer(status=204), persistent=False) == ["Connection: close"]
    assert lines(answer(status=204), version=(1, 0)) == ["Connection: keep-alive"]
    assert lines(answer(status=204), version=(1, 0), persistent=False) == ["Connection: close"]


@pytest.mark.parametrize(
    "outgoing",
    [
        answer(("A", "b\r\nSet-Cookie: c")),
        answer(("A", "b\nc")),
        answer(("A", "b\rc")),
        answer(("A", "b\0c")),
        answer(("A\r\nB", "c")),
        answer(("A", "\u20ac")),
        answer(reason="OK\r\n"),
        answer(status=101),
        answer(status=99),
        answer(status=1000),
    ],
)
def test_what_would_not_be_one_head_is_never_written(outgoing: Outgoing) -> None:
    with pytest.raises(ValueError, match=r"."):
        response_head(outgoing, Framing.SIZED, version=(1, 1), persistent=True)


def test_interim_and_switching_heads() -> None:
    headers = Headers([("Link", "</a>"), ("Content-Length", "3"), ("Connection", "x")])
    assert interim_head(103, "Early Hints", headers) == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    )
    switching = answer(
        ("Upgrade", "websocket"), ("connection", "x"), status=101, reason="Switching Protocols"
    )
    assert switching_head(switching) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    )


def test_a_problem_is_a_whole_message() -> None:
    head, _, body = problem_bytes(400, "Why.").partition(b"\r\n\r\n")
    status_line, date, *fields = head.split(b"\r\n")
    assert status_line == b"HTTP/1.1 400 Bad Request"
    assert date.startswith(b"Date: ")
    assert fields == [
        b"Content-Type: application/problem+json",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
    ]
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "Why.",
    }
    bodiless = problem_bytes(400, "Why.", head_only=True)
    assert bodiless.split(b"\r\n")[2:] == [*fields, b"", b""]


def test_chunk() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
