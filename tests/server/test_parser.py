"""The parser: requests in a row, however the bytes are cut."""

import itertools
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.heads import RequestHead
from proxy.server.options import ServerOptions
from proxy.server.parser import END, RequestParser
from proxy.server.rejection import RequestRejected

Summary: TypeAlias = list[tuple[str, str, bytes] | str]

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
SIZED = b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /"
CHUNKED = (
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\n\r\nG\r\n4\r\nET /\r\n0\r\nTrailer: z\r\n\r\n"
)


def requests(*pieces: bytes, limits: ServerOptions | None = None) -> Summary:
    """What a parser makes of the pieces: (method, target, content) each, "refused" at last."""
    parser = RequestParser(limits or ServerOptions())
    found: Summary = []
    head: RequestHead | None = None
    content = b""
    for piece in pieces:
        parser.receive(piece)
        try:
            while (event := parser.next_event()) is not None:
                if isinstance(event, RequestHead):
                    head, content = event, b""
                elif isinstance(event, bytes):
                    assert event
                    content += event
                else:
                    assert event is END
                    assert head is not None
                    found.append((head.method, head.target, content))
                    head = None
        except RequestRejected:
            found.append("refused")
    if head is not None:
        found.append("unfinished")
    return found


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def test_requests_in_a_row() -> None:
    data = GET % 1 + SIZED + CHUNKED + GET % 2
    expected: Summary = [
        ("GET", "/1", b""),
        ("POST", "/s", b"GET /"),
        ("POST", "/c", b"\r\nGET /"),
        ("GET", "/2", b""),
    ]
    assert requests(data) == expected
    assert requests(*byte_by_byte(data)) == expected


STREAMS = [
    GET % 1,
    GET % 1 + GET % 2,
    SIZED + GET % 2,
    CHUNKED + SIZED,
    b"\r\n\r\n" + GET % 1 + b"\r\n" + GET % 2,
    GET % 1 + b"GET / HTTP/1.1\nHost: a\n\n" + GET % 2,
    GET % 1 + b"GET / HTTP/1.1\r\nX : y\r\n\r\n" + GET % 2,
    CHUNKED[:-20] + b"X" + GET % 2,
    SIZED[:-2],
    b"\r\n" * 5 + GET % 1,
    GET % 1 + b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n" + GET % 2,
]


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 400)))
def test_where_the_bytes_are_cut_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[first:last] for first, last in itertools.pairwise(edges)]
    assert requests(*pieces) == requests(stream)


@pytest.mark.parametrize("stream", STREAMS)
def test_byte_by_byte_changes_nothing(stream: bytes) -> None:
    assert requests(*byte_by_byte(stream)) == requests(stream)


@given(st.binary(), st.lists(st.integers(0, 100)))
def test_garbage_is_cut_like_anything_else(garbage: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(garbage)), len(garbage)]
    pieces = [garbage[first:last] for first, last in itertools.pairwise(edges)]
    assert requests(*pieces) == requests(garbage)


def test_nothing_is_parsed_after_a_refusal() -> None:
    parser = RequestParser(ServerOptions())
    parser.receive(b"BAD\r\n\r\n" + GET % 1)
    with pytest.raises(RequestRejected):
        parser.next_event()
    parser.receive(GET % 2)
    assert parser.next_event() is None
    assert parser.buffered == 0
    assert not parser.idle


@pytest.mark.parametrize(("method", "to_head"), [(b"HEAD", True), (b"GET", False)])
def test_a_refusal_knows_whether_its_answer_has_content(method: bytes, *, to_head: bool) -> None:
    parser = RequestParser(ServerOptions())
    parser.receive(method + b" / HTTP/1.1\r\n\r\n")
    with pytest.raises(RequestRejected) as caught:
        parser.next_event()
    assert caught.value.to_head is to_head


def test_a_few_empty_lines_before_a_request_are_tolerated() -> None:
    assert requests(b"\r\n" * 4 + GET % 1 + b"\r\n" * 4 + GET % 2) == [
        ("GET", "/1", b""),
        ("GET", "/2", b""),
    ]
    assert requests(b"\r\n" * 5 + GET % 1) == ["refused"]


def test_idle_is_exactly_between_two_requests() -> None:
    parser = RequestParser(ServerOptions())
    assert parser.idle
    seen = []
    for byte in byte_by_byte(SIZED):
        parser.receive(byte)
        while parser.next_event() is not None:
            pass
        seen.append(parser.idle)
    assert seen == [False] * (len(SIZED) - 1) + [True]


def test_an_empty_line_between_requests_leaves_the_parser_idle() -> None:
    parser = RequestParser(ServerOptions())
    parser.receive(b"\r\n")
    assert parser.next_event() is None
    assert parser.idle


def test_the_caller_can_stop_between_two_requests() -> None:
    parser = RequestParser(ServerOptions())
    parser.receive(GET % 1 + b"rest")
    assert isinstance(parser.next_event(), RequestHead)
    assert parser.next_event() is END
    assert parser.between_requests
    assert parser.buffered == 4
    assert parser.take_rest() == b"rest"
    assert parser.idle


def test_a_large_body_passes_through_without_being_held() -> None:
    parser = RequestParser(ServerOptions())
    parser.receive(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    parser.next_event()
    piece = bytes(100_000)
    for _ in range(10):
        parser.receive(piece)
        assert parser.next_event() is piece
        assert parser.buffered == 0
    assert parser.next_event() is END


WHOLE = GET % 1


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        pytest.param(WHOLE, True, id="a request"),
        pytest.param(b"OPTIONS * HTTP/1.0\r\nHost: a\r\n\r\n", True, id="of another kind"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(WHOLE[:-1], False, id="less than one"),
        pytest.param(WHOLE + b"G", False, id="more than one"),
        pytest.param(WHOLE + WHOLE, False, id="two"),
        pytest.param(b"\r\n" + WHOLE, False, id="with an empty line before it"),
        pytest.param(b"\r\n\r\n", False, id="empty lines alone"),
        pytest.param(SIZED, False, id="with its content"),
        pytest.param(SIZED.removesuffix(b"GET /"), False, id="with content to come"),
        pytest.param(CHUNKED, False, id="chunked"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", False, id="without Host"),
        pytest.param(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 9000), False, id="too long"),
    ],
)
def test_a_whole_request_is_read_at_once_as_in_pieces(data: bytes, *, whole: bool) -> None:
    parser = RequestParser(ServerOptions())
    head = parser.read_whole(data)
    assert (head is not None) == whole
    assert parser.untouched
    if head is not None:
        parser.receive(data)
        assert [parser.next_event() for _ in range(3)] == [head, END, None]
        assert parser.untouched


@given(st.sampled_from((b"", WHOLE, SIZED)), st.binary())
def test_what_is_read_at_once_is_what_the_parser_reads(start: bytes, garbage: bytes) -> None:
    data = start + garbage
    parser = RequestParser(ServerOptions())
    if (head := parser.read_whole(data)) is not None:
        parser.receive(data)
        assert [parser.next_event() for _ in range(3)] == [head, END, None]
