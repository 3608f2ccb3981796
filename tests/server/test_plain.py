"""What counts as a plain head, and that it means what the real parser says."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.exchange import Watched
from proxy.server.heads import RequestHead, parse_head
from proxy.server.options import ServerOptions
from proxy.server.plain import Gist, compile_grammar, head_of, watched_names
from proxy.server.rejection import RequestRejected

LIMITS = ServerOptions()
WATCHED = Watched(
    values=frozenset({"accept-encoding", "if-none-match", "range", "host", "x.odd|na+me"}),
    present=frozenset({"cookie", "accept-encoding"}),
)
SCAN = compile_grammar(WATCHED, longest=1000, lines=12)
HOST = b"Host: a.example"


def scan(*lines: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = HOST) -> Gist | None:
    return SCAN(b"\r\n".join([line, *filter(None, [host]), *lines, b"", b""]))


def test_a_gist_is_the_place_and_the_watched_fields_in_a_fixed_order() -> None:
    assert watched_names(WATCHED) == ("cookie", "accept-encoding", "if-none-match", "x.odd|na+me")
    gist = scan(
        b"User-Agent: x",
        b"X.ODD|na+me:",
        b"cOOKIE: secret=1",
        b'If-None-Match: "a", W/"\xff"',
        line=b"HEAD //a?b=%20 HTTP/1.1",
    )
    assert gist == (b"HEAD", b"//a?b=%20", b" a.example", b"", None, b' "a", W/"\xff"', b"")


@pytest.mark.parametrize(
    "line",
    [
        b"accept: */*",
        b"connection:keep-alive",
        b"CONNECTION: \t Keep-Alive \t",
        b"cookies: not the field that is watched",
        b"range-unit: bytes",
        b"if-none-matches: x",
        b"te: trailers",
        b"!#$%&'*+-.^_`|~0:\xff\x80\t~",
        b"cache-control: no-cache",
    ],
)
def test_it_may_say_much_that_does_not_matter(line: bytes) -> None:
    assert scan(line) is not None


@pytest.mark.parametrize(
    "line",
    [
        b"range: bytes=0-1",
        b"RANGE:",
        b"content-length: 0",
        b"transfer-encoding: chunked",
        b"expect: 100-continue",
        b"upgrade: websocket",
        b"if-match: *",
        b"if-unmodified-since: x",
        b"if-range: x",
        b"connection: close",
        b"connection: keep-alive, x",
        b"connection:",
        b"host: a.example",
        b"no colon",
        b"space : before",
        b" folded: x",
        b"control: \x00",
        b"control: \x7f",
        b"bare: \r x",
        b"bare: \n x",
        b": no name",
        b"n\xe4me: x",
    ],
)
def test_what_is_no_field_line_or_needs_a_closer_look_is_not_plain(line: bytes) -> None:
    assert scan(line) is None


def test_a_watched_field_on_two_lines_is_not_plain() -> None:
    assert scan(b"cookie: a", b"x: y", b"Cookie: b") is None
    assert scan(b"x: y", b"x: y") is not None


@pytest.mark.parametrize(
    "line",
    [
        b"POST / HTTP/1.1",
        b"get / HTTP/1.1",
        b"GET / HTTP/1.0",
        b"GET / HTTP/1.2",
        b"GET /a#b HTTP/1.1",
        b"GET http://a.example/ HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET / /  HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"\r\nGET / HTTP/1.1",
    ],
)
def test_other_request_lines_are_not_plain(line: bytes) -> None:
    assert scan(line=line) is None


def test_exactly_one_whole_head_is_plain() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    assert SCAN(head) is not None
    assert SCAN(head[:-1]) is None
    assert SCAN(head + b"G") is None
    assert SCAN(head + head) is None
    assert SCAN(b"") is None
    assert scan(host=b"") is None


def test_sizes_are_bounded() -> None:
    assert scan(*[b"a: b"] * 11) is not None
    assert scan(*[b"a: b"] * 12) is None
    room = 1000 - len(b"GET / HTTP/1.1\r\nHost: a.example\r\na: \r\n\r\n")
    assert scan(b"a: " + b"x" * room) is not None
    assert scan(b"a: " + b"x" * (room + 1)) is None


_NAMES = st.sampled_from(
    [
        *(b"cookie", b"Accept-Encoding", b"IF-NONE-MATCH", b"X.Odd|Na+Me", b"range", b"connection"),
        *(b"host", b"content-length", b"expect", b"upgrade", b"x", b"user-agent", b"a b", b""),
    ]
)
_VALUES = st.one_of(
    st.sampled_from([b"keep-alive", b" a.example", b"0", b"close", b"\tx\t"]),
    st.text(st.characters(max_codepoint=255), max_size=8).map(lambda text: text.encode("latin-1")),
)
_LINES = st.lists(st.builds(lambda name, value: name + b":" + value, _NAMES, _VALUES), max_size=6)
_REQUEST_LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"HEAD /a?b HTTP/1.1", b"GET /# HTTP/1.1", b"GET http://b/ HTTP/1.1"]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Nearly always heads, now and then with a byte changed, dropped or added."""
    head = b"\r\n".join([draw(_REQUEST_LINES), draw(st.sampled_from([HOST, b"host:[::1]:80"]))])
    head += b"".join(b"\r\n" + line for line in draw(_LINES)) + b"\r\n\r\n"
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(head)))
        head = head[:at] + draw(st.binary(max_size=2)) + head[at + draw(st.integers(0, 2)) :]
    return head


def read(data: bytes) -> RequestHead | None:
    try:
        return parse_head(data, LIMITS)
    except RequestRejected:
        return None


@given(heads())
@example(b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: a\r\nx:y\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a.example, b\r\n\r\n")
def test_a_plain_head_is_one_for_the_parser_and_its_gist_says_the_same(data: bytes) -> None:
    gist = SCAN(data)
    if gist is None:
        return
    whole, reduced = read(data), read(head_of(gist, WATCHED))
    if whole is None or reduced is None:  # the grammar does not look into Host
        assert whole is reduced
        assert read(data.replace(gist[2] + b"\r\n", b"valid\r\n", 1)) is not None
        return
    assert whole.method.encode() == gist[0]
    assert whole.target.encode("latin-1") == gist[1]
    assert (whole.length, whole.keep_alive, whole.upgrade) == (0, True, False)
    assert replace(whole, headers=reduced.headers) == reduced
    for name in watched_names(WATCHED):
        assert (name in whole.headers) == (name in reduced.headers)
        if name in WATCHED.values:
            assert whole.headers.getall(name, []) == reduced.headers.getall(name, [])
