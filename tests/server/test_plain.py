"""What counts as a plain head, and that it means what the real parser says."""

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase, digits
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.exchange import Watched
from proxy.server import plain
from proxy.server.heads import RequestHead, parse_head
from proxy.server.options import ServerOptions
from proxy.server.plain import (
    Expression,
    Place,
    Scan,
    compile_grammar,
    head_of,
    member_of,
    watched_names,
)
from proxy.server.rejection import RequestRejected

LIMITS = ServerOptions()
WATCHED = Watched(
    values=frozenset(
        {"accept-encoding", "if-none-match", "range", "host", "x-odd-name", "x.odd", "x_odd"}
    ),
    present=frozenset({"cookie", "accept-encoding"}),
    name="x-odd-name",
)
PYTHON = Expression(WATCHED, longest=1000, lines=12)
C = compile_grammar(WATCHED, longest=1000, lines=12)
HOST = b"Host: a.example"

needs_compiler = pytest.mark.skipif(not plain.ACCELERATED, reason="built without a C compiler")


@pytest.fixture(
    params=[
        pytest.param(PYTHON, id="Python"),
        pytest.param(C, id="C", marks=needs_compiler),
    ]
)
def scan(request: pytest.FixtureRequest) -> Scan:
    compiled: Scan = request.param
    return compiled


def head(*lines: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = HOST) -> bytes:
    return b"\r\n".join([line, *filter(None, [host]), *lines, b"", b""])


def test_a_gist_is_the_place_and_the_watched_fields_in_a_fixed_order(scan: Scan) -> None:
    assert watched_names(WATCHED) == ("cookie", "accept-encoding", "if-none-match", "x-odd-name")
    gist = scan(
        head(
            b"User-Agent: x",
            b"X-ODD-name:",
            b"cOOKIE: secret=1",
            b'If-None-Match: "a", W/"\xff"',
            line=b"HEAD //a?b=%20 HTTP/1.1",
        )
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
        b"-x-09:\xff\x80\t~",
        b"cache-control: no-cache",
    ],
)
def test_it_may_say_much_that_does_not_matter(scan: Scan, line: bytes) -> None:
    assert scan(head(line)) is not None


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
        b"x_y: to an application it may be any other",
        b"x_odd: watched or not",
        *(b"x%by: the same" % bytes([c]) for c in b"!#$%&'*+.^`|~"),
        b"x.odd: watched or not",
    ],
)
def test_what_is_no_field_line_or_needs_a_closer_look_is_not_plain(scan: Scan, line: bytes) -> None:
    assert scan(head(line)) is None


def test_a_watched_field_on_two_lines_is_not_plain(scan: Scan) -> None:
    assert scan(head(b"cookie: a", b"x: y", b"Cookie: b")) is None
    assert scan(head(b"x: y", b"x: y")) is not None


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
def test_other_request_lines_are_not_plain(scan: Scan, line: bytes) -> None:
    assert scan(head(line=line)) is None


def test_exactly_one_whole_head_is_plain(scan: Scan) -> None:
    whole = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    assert scan(whole) is not None
    assert scan(whole[:-1]) is None
    assert scan(whole + b"G") is None
    assert scan(whole + whole) is None
    assert scan(b"") is None
    assert scan(head(host=b"")) is None
    for name in (b"Range", b"Connection", b"Host", b"Content-Length", b"Cookie", b"X"):
        assert scan(whole[:-2] + name + b":\r\n") is None
        assert scan(whole[:-2] + b"Cookie: a\r\n" + name + b":\r\n") is None


def test_sizes_are_bounded(scan: Scan) -> None:
    assert scan(head(*[b"a: b"] * 11)) is not None
    assert scan(head(*[b"a: b"] * 12)) is None
    room = 1000 - len(b"GET / HTTP/1.1\r\nHost: a.example\r\na: \r\n\r\n")
    assert scan(head(b"a: " + b"x" * room)) is not None
    assert scan(head(b"a: " + b"x" * (room + 1))) is None


_NAMES = st.sampled_from(
    [
        *(b"cookie", b"Accept-Encoding", b"IF-NONE-MATCH", b"X-Odd-Name", b"range", b"connection"),
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
    gist = PYTHON(data)
    assert C(data) == gist
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
    assert whole._replace(headers=reduced.headers) == reduced
    for name in watched_names(WATCHED):
        assert (name in whole.headers) == (name in reduced.headers)
        if name in WATCHED.values:
            assert whole.headers.getall(name, []) == reduced.headers.getall(name, [])


@pytest.mark.parametrize("name", ["1-id", "-id", "0", "-"])
@pytest.mark.parametrize("compiled", [Expression, compile_grammar])
def test_names_need_not_begin_with_a_letter(compiled: Callable[..., Scan], name: str) -> None:
    scan = compiled(Watched(frozenset({name})), longest=1000, lines=12)
    line = name.upper().encode() + b": x"
    assert scan(head(line)) == (b"GET", b"/", b" a.example", b" x")
    assert scan(head(line, b"2-id: y")) == (b"GET", b"/", b" a.example", b" x")
    assert scan(head(line, line)) is None


@pytest.mark.parametrize("compiled", [Expression, compile_grammar])
def test_names_may_begin_with_all_there_is(compiled: Callable[..., Scan]) -> None:
    watched = Watched(frozenset(f"{c}-id" for c in ascii_lowercase + digits + "-"))
    scan = compiled(watched, longest=1000, lines=12)
    gist = scan(head(b"A-Id: x", b"other: y"))
    assert gist is not None
    assert gist[member_of(watched)["a-id"]] == b" x"
    assert scan(head(b"A-Id: x", b"a-id: y")) is None


@given(
    st.sets(st.sampled_from(["a", "ab", "ba", "cookie", "range", "host", "a-b", "1x", "-", "-a"])),
    st.sets(st.sampled_from(["a", "aa", "te", "connection", "1"])),
    st.integers(0, 6),
    st.integers(0, 200),
    heads(),
)
def test_python_and_c_read_alike_whatever_is_watched(
    values: set[str], present: set[str], lines: int, longest: int, data: bytes
) -> None:
    watched = Watched(frozenset(values), frozenset(present))
    in_python = Expression(watched, longest=longest, lines=lines)
    in_c = compile_grammar(watched, longest=longest, lines=lines)
    data = data.replace(b"user-agent", b"AA").replace(b"Cookie", b"a-B")
    data = data.replace(b"X-Odd-Name", b"1X").replace(b"expect", b"-")
    for some in (data, data[:-1], data[:-2], data + b"\n", data + data):
        assert in_python(some) == in_c(some)


@dataclass
class Known:
    """A place."""

    known: dict[Any, Any]
    members: bytes


@given(heads(), heads(), st.frozensets(st.integers(0, 6)))
def test_keys_are_equal_for_gists_that_agree_and_for_no_others(
    one: bytes, other: bytes, chosen: frozenset[int]
) -> None:
    first, second = PYTHON(one), PYTHON(other)
    members = bytes(sorted(chosen))
    if first is None or second is None:
        return
    for scan in (PYTHON, C):
        alike = scan.place_key(first) == scan.place_key(second)
        assert alike == (first[:3] == second[:3])
        alike = scan.known_key(first, members) == scan.known_key(second, members)
        assert alike == all(first[member] == second[member] for member in members)


@given(heads(), heads(), st.frozensets(st.integers(0, 6)))
def test_what_is_known_of_a_gist_is_found_by_every_head_that_agrees(
    one: bytes, other: bytes, chosen: frozenset[int]
) -> None:
    members = bytes(sorted(chosen))
    for scan in (PYTHON, C):
        gist, asked = scan(one), scan(other)
        places: dict[Any, Place] = {}
        assert scan.find(one, places) is None
        if gist is None:
            continue
        place = Known({}, members)
        places[scan.place_key(gist)] = place
        assert scan.find(one, places) is None
        place.known[scan.known_key(gist, members)] = "known"
        assert scan.find(one, places) == ("known", gist[6])
        if asked is None or asked[:3] != gist[:3]:
            assert scan.find(other, places) is None
        elif all(asked[member] == gist[member] for member in members):
            assert scan.find(other, places) == ("known", asked[6])
        else:
            assert scan.find(other, places) is None


def test_a_member_that_is_empty_is_not_one_that_is_absent(scan: Scan) -> None:
    lines = ((), (b"Cookie: a",), (b"Accept-Encoding:",), (b"If-None-Match:",))
    gists = [scan(head(*given)) for given in lines]
    keys = {scan.known_key(gist, bytes(range(7))) for gist in gists if gist is not None}
    assert len(keys) == len(lines)


def test_nobody_asks_for_names_then_none_is_found() -> None:
    for scan in (
        Expression(Watched(frozenset({"x"})), longest=1000, lines=12),
        compile_grammar(Watched(frozenset({"x"})), longest=1000, lines=12),
    ):
        gist = scan(head(b"x: y"))
        assert gist is not None
        place = Known({scan.known_key(gist, b""): "known"}, b"")
        assert scan.find(head(b"x: y"), {scan.place_key(gist): place}) == ("known", None)


@given(st.binary(max_size=80))
def test_python_and_c_read_alike_whatever_comes(data: bytes) -> None:
    assert PYTHON(data) == C(data)
    whole = b"GET / HTTP/1.1\r\nHost: a\r\n" + data
    assert PYTHON(whole) == C(whole)


def test_more_names_than_c_has_room_for_are_read_in_python() -> None:
    long = "x" * 65
    scan = compile_grammar(Watched(frozenset({long})), longest=1000, lines=12)
    assert scan(head(long.encode() + b": y")) == (b"GET", b"/", b" a.example", b" y")
    many = Watched(frozenset(f"x-{i}" for i in range(200)))
    assert compile_grammar(many, longest=1000, lines=12)(head(b"X-7: y")) is not None


GIST = (b"GET", b"/", b" a", None, None, None, None)


@needs_compiler
@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("find", ()),
        ("find", (b"", None)),
        ("find", ("text", {})),
        ("place_key", (None,)),
        ("place_key", (GIST[:6],)),
        ("place_key", ((b"GET", None, *GIST[2:]),)),
        ("place_key", ((*GIST[:6], "text"),)),
        ("known_key", (GIST,)),
        ("known_key", (GIST[:6], b"")),
        ("known_key", (GIST, (1,))),
        ("known_key", (GIST, b"\x07")),
        ("find", (head(), {b"GET /  a.example": None})),
        ("find", (head(), {b"GET /  a.example": Known({}, b"\x07")})),
        ("find", (head(), {b"GET /  a.example": Known([], b"")})),  # type: ignore[arg-type]
        ("find", (head(), {b"GET /  a.example": Known({}, None)})),  # type: ignore[arg-type]
    ],
)
def test_c_refuses_what_makes_no_key(method: str, wrong: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, IndexError, AttributeError)):
        getattr(C, method)(*wrong)


@needs_compiler
@pytest.mark.parametrize("wrong", [(), ("text",), (b"a", b"b"), (None,), (bytearray(b"a"),)])
def test_c_takes_the_bytes_of_one_head(wrong: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match="the bytes of one head"):
        C(*wrong)  # type: ignore[arg-type]


@needs_compiler
@pytest.mark.parametrize(
    "wrong",
    [
        {"refused": ("text",)},
        {"refused": [b"list"]},
        {"values": (b"",)},
        {"present": (b"x" * 65,)},
        {"values": (b"x",) * 127},
        {"lines": "many"},
        {"name": 3},
        {"more": 1},
    ],
)
def test_c_says_what_it_cannot_watch(wrong: dict[str, Any]) -> None:
    from proxy.server._plain import Scanner  # noqa: PLC0415 - it may not be there

    right: dict[str, Any] = {"refused": (), "present": (), "values": ()}
    right |= {"longest": 1, "lines": 1, "name": -1}
    Scanner(**right)
    with pytest.raises((TypeError, ValueError)):
        Scanner(**{**right, **wrong})


@needs_compiler
def test_c_keeps_nothing_of_what_it_has_read() -> None:
    known = head(b"Cookie: a", b"If-None-Match: b")
    broken = head(b"Cookie: a", b"If-None-Match: b", b"If-None-Match: c")
    counted = []
    for _ in range(3):
        for _ in range(1000):
            compile_grammar(WATCHED, longest=1000, lines=12)
            gist = C(known)
            C(broken)
            assert gist is not None
            place = Known({C.known_key(gist, b"\x03\x06"): "known"}, b"\x03\x06")
            assert C.find(known, {C.place_key(gist): place}) is not None
            assert C.find(broken, {C.place_key(gist): place}) is None
        gc.collect()
        counted.append(sys.getallocatedblocks())
    assert counted[2] - counted[1] < 500
