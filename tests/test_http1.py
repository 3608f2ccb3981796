"""The chunked coding: content, ends, and what is refused; each also byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import http1
from proxy.http1 import ChunkedDecoder, ChunkedError


def decode(data: bytes, size: int) -> tuple[bytes, bytes | None]:
    """Content and rest (None: not at the end) of `data`, fed in pieces of `size`."""
    decoder = ChunkedDecoder()
    content = b""
    for start in range(0, len(data), size):
        content += decoder.feed(data[start : start + size])
        if decoder.done:
            return content, decoder.rest + data[start + size :]
    return content, None


PIECES = [1, 2, 3, 1000]


@pytest.mark.parametrize("size", PIECES)
@pytest.mark.parametrize(
    ("data", "content", "rest"),
    [
        pytest.param(b"0\r\n\r\n", b"", b"", id="7.1-empty"),
        pytest.param(b"3\r\nabc\r\n0\r\n\r\n", b"abc", b"", id="7.1-one"),
        pytest.param(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET", b"abcde", b"GET", id="7.1-rest"),
        pytest.param(b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, b"",
                     id="7.1-either case"),
        pytest.param(b"0003\r\n\r\n\r\r\n000\r\n\r\n", b"\r\n\r", b"", id="7.1-leading zeros"),
        pytest.param(b"3;a\r\nabc\r\n0;b=c\r\n\r\n", b"abc", b"", id="7.1.1-extensions"),
        pytest.param(b'3 ; a = "x\\"; y" ;b\r\nabc\r\n0\r\n\r\n', b"abc", b"",
                     id="7.1.1-quoted and spaced"),
        pytest.param(b"0\r\nX-A: b\r\nY:\r\n\r\nmore", b"", b"more", id="7.1.2-trailers"),
        pytest.param(b"3\r\nab", b"ab", None, id="7.1-unfinished"),
        pytest.param(b"3\r\nabc\r\n0\r\n", b"abc", None, id="7.1-no end"),
    ],
)  # fmt: skip
def test_decoding(data: bytes, content: bytes, rest: bytes | None, size: int) -> None:
    assert decode(data, size) == (content, rest)


@pytest.mark.parametrize("size", PIECES)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\n", id="7.1-no size"),
        pytest.param(b"g\r\n", id="7.1-no digit"),
        pytest.param(b"0x3\r\n", id="7.1-prefix"),
        pytest.param(b"+3\r\n", id="7.1-sign"),
        pytest.param(b"-3\r\n", id="7.1-negative"),
        pytest.param(b"1_0\r\n", id="7.1-underscore"),
        pytest.param(b" 3\r\n", id="7.1-space before"),
        pytest.param(b"3 \r\n", id="7.1-space after"),
        pytest.param(b"\xb2\r\n", id="7.1-superscript"),
        pytest.param(b"0" * 17 + b"\r\n", id="7.1-too many digits"),
        pytest.param(b"3\nabc\r\n", id="7.1-bare LF"),
        pytest.param(b"3\rabc\r\n", id="7.1-bare CR"),
        pytest.param(b"3\r\nabcd\r\n", id="7.1-longer than its size"),
        pytest.param(b"3\r\nabc\n0\r\n", id="7.1-bare LF after data"),
        pytest.param(b"3\r\nabc0\r\n\r\n", id="7.1-no CRLF after data"),
        pytest.param(b"3;\r\n", id="7.1.1-empty extension"),
        pytest.param(b"3;a=\r\n", id="7.1.1-no value"),
        pytest.param(b'3;a="\r\n', id="7.1.1-open quote"),
        pytest.param(b"3;a=b\0\r\n", id="7.1.1-NUL"),
        pytest.param(b"3;a\nb\r\n", id="7.1.1-bare LF"),
        pytest.param(b"0\r\nX : y\r\n\r\n", id="7.1.2-space before the colon"),
        pytest.param(b"0\r\n folded\r\n\r\n", id="7.1.2-folded"),
        pytest.param(b"0\r\nX: \0\r\n\r\n", id="7.1.2-NUL"),
        pytest.param(b"0\r\nGET / HTTP/1.1\r\n\r\n", id="7.1.2-a request line"),
        pytest.param(b"0\r\nX: y\n\r\n", id="7.1.2-bare LF"),
    ],
)
def test_refused(data: bytes, size: int) -> None:
    with pytest.raises(ChunkedError):
        decode(data, size)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_size_line_is_bounded(size: int) -> None:
    assert decode(b"1;" + b"a" * (http1.MAX_LINE - 4) + b"\r\nx", size) == (b"x", None)
    with pytest.raises(ChunkedError):
        decode(b"1;" + b"a" * http1.MAX_LINE, size)


@pytest.mark.parametrize("size", [7, 1 << 20])
def test_extensions_are_bounded_in_all(size: int) -> None:
    one = b"1;" + b"a" * 127 + b"\r\nx\r\n"
    fitting = http1.MAX_EXTENSIONS // 128
    assert decode(one * fitting, size) == (b"x" * fitting, None)
    with pytest.raises(ChunkedError):
        decode(one * (fitting + 1), size)


@pytest.mark.parametrize("size", [7, 1 << 20])
def test_trailers_are_bounded_in_all(size: int) -> None:
    line = b"X: " + b"y" * 123 + b"\r\n"
    fitting = http1.MAX_TRAILERS // 128
    assert decode(b"0\r\n" + line * fitting + b"\r\n", size) == (b"", b"")
    with pytest.raises(ChunkedError):
        decode(b"0\r\n" + line * (fitting + 1), size)


def test_one_long_trailer_is_bounded_before_its_end() -> None:
    with pytest.raises(ChunkedError):
        decode(b"0\r\nX: " + b"y" * http1.MAX_TRAILERS, 100)


def test_a_whole_piece_is_not_copied() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(b"1000000\r\n")
    piece = bytes(65536)
    assert decoder.feed(piece) is piece


@given(st.lists(st.binary(min_size=1)), st.integers(1, 40), st.binary())
def test_round_trip_in_any_pieces(parts: list[bytes], size: int, behind: bytes) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    assert decode(wire + behind, size) == (b"".join(parts), behind)


@given(st.binary(), st.integers(1, 8))
def test_anything_is_decoded_or_refused_the_same_way_in_pieces(data: bytes, size: int) -> None:
    def outcome(pieces: int) -> object:
        try:
            return decode(data, pieces)
        except ChunkedError:
            return None

    assert outcome(size) == outcome(len(data) or 1)
