"""Splicing heads: in C and in Python the same, and the same as taking them apart."""

from collections.abc import Iterable
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import splicing
from proxy.gateway import forwarding
from proxy.origin.heads import parse_head
from proxy.splicing import LONGEST, LONGEST_NOTED, MOST_LINES, PythonSplicer, Splicer

DROPPED = ("te", "x-gone")
REFUSED = ("transfer-encoding", "x-odd")
NOTED = ("x-said", "x-gone", "date")


class Make(Protocol):
    def __call__(
        self,
        dropped: Iterable[str] = DROPPED,
        refused: Iterable[str] = REFUSED,
        noted: Iterable[str] = NOTED,
        host: Any = None,
    ) -> Splicer: ...


def in_python(
    dropped: Iterable[str] = DROPPED,
    refused: Iterable[str] = REFUSED,
    noted: Iterable[str] = NOTED,
    host: str | None = None,
) -> Splicer:
    return PythonSplicer(dropped, refused, noted, host)


def in_c(
    dropped: Iterable[str] = DROPPED,
    refused: Iterable[str] = REFUSED,
    noted: Iterable[str] = NOTED,
    host: str | None = None,
) -> Splicer:
    if not splicing.ACCELERATED:
        pytest.skip("it is not built")
    made = splicing.splicer(dropped=dropped, refused=refused, noted=noted, host=host)
    assert not isinstance(made, PythonSplicer)
    return made


@pytest.fixture(params=[in_python, in_c], ids=["python", "c"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    made()
    return made


def asked(*lines: bytes) -> bytes:
    return b"\r\n".join((b"GET /a HTTP/1.1", *lines, b"", b""))


def answer(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join((status, *lines, b"", body))


class TestRequests:
    @pytest.mark.parametrize(
        ("line", "passed"),
        [
            pytest.param(b"X: a", b"X: a", id="9112-5-as it came"),
            pytest.param(b"x:a", b"x: a", id="9112-5-without a blank"),
            pytest.param(b"X: \ta b \t", b"X: a b", id="9112-5.1-white space around"),
            pytest.param(b"X:", b"X: ", id="9112-5-empty"),
            pytest.param(b"X: \t ", b"X: ", id="9112-5-white space only"),
            pytest.param(b"X: \xff\xfe", b"X: \xff\xfe", id="9110-5.5-obs-text"),
            pytest.param(b"X: a:b", b"X: a:b", id="9112-5-a colon in the value"),
            pytest.param(b"tE: trailers", None, id="9110-7.6.1-dropped"),
            pytest.param(b"Connection: Keep-Alive", None, id="9110-7.6.1-keep-alive"),
            pytest.param(b"CONNECTION:keep-alive ", None, id="9110-7.6.1-odd spelling"),
            pytest.param(b"Teg: 1", b"Teg: 1", id="another name"),
            pytest.param(b"Date: a", b"Date: a", id="9110-6.6.1-date"),
        ],
    )
    def test_lines_go_on_or_are_dropped(
        self, make: Make, line: bytes, passed: bytes | None
    ) -> None:
        kept = [b"Host: h", b"A: 1", *([] if passed is None else [passed]), b"B: 2"]
        head = make().request(asked(b"Host: h", b"A: 1", line, b"B: 2"))
        assert head == asked(*kept).removesuffix(b"\r\n")

    @pytest.mark.parametrize(
        "line",
        [
            pytest.param(b"X-Odd: 1", id="refused"),
            pytest.param(b"Transfer-encoding: chunked", id="9112-6.1-refused"),
            pytest.param(b"Connection: close", id="9110-7.6.1-close"),
            pytest.param(b"Connection: keep-alive, X", id="9110-7.6.1-more"),
            pytest.param(b"Connection:", id="9110-7.6.1-empty"),
            pytest.param(b"Content-Length: 0", id="9112-6.2-length"),
            pytest.param(b"Host: other", id="9112-3.2-two hosts"),
            pytest.param(b" folded", id="9112-5.2-folded"),
            pytest.param(b"X : 1", id="9112-5.1-blank before the colon"),
            pytest.param(b"X", id="9112-5-no colon"),
            pytest.param(b": 1", id="9112-5-no name"),
            pytest.param(b"X: a\nb", id="9112-2.2-bare LF"),
            pytest.param(b"X: a\rb", id="9112-2.2-bare CR"),
            pytest.param(b"X: a\0b", id="9110-5.5-NUL"),
            pytest.param(b"X: a\x7fb", id="9110-5.5-DEL"),
        ],
    )
    def test_what_is_not_simple_is_refused(self, make: Make, line: bytes) -> None:
        assert make().request(asked(b"Host: h", line)) is None

    def test_host_may_be_another_in_its_place(self, make: Make) -> None:
        head = make(host="other:1").request(asked(b"A: 1", b"hOST:h", b"B: 2"))
        assert head == asked(b"A: 1", b"Host: other:1", b"B: 2").removesuffix(b"\r\n")

    @pytest.mark.parametrize(
        "data",
        [b"", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\n", asked()[:-1], asked() + b"x", asked() * 2],
    )
    def test_it_takes_exactly_one_whole_head(self, make: Make, data: bytes) -> None:
        assert make().request(data) is None

    def test_sizes_are_bounded(self, make: Make) -> None:
        splice = make().request
        room = LONGEST - len(asked(b"X:"))
        assert splice(asked(b"X:" + b"x" * room)) is not None
        assert splice(asked(b"X:" + b"x" * (room + 1))) is None
        assert splice(asked(*[b"X:1"] * MOST_LINES)) is not None
        assert splice(asked(*[b"X:1"] * (MOST_LINES + 1))) is None

    def test_lines_may_all_grow(self, make: Make) -> None:
        lines = [b"X:1"] * MOST_LINES
        lines[0] += b"x" * (LONGEST - len(asked(*lines)))
        head = make().request(asked(*lines))
        assert head is not None
        assert len(head) == LONGEST - 2 + MOST_LINES


class TestResponses:
    @pytest.mark.parametrize(
        ("data", "head", "about"),
        [
            pytest.param(
                answer(b"Date:x", b"Content-Length: 2", b"Connection: keep-alive", body=b"ok"),
                b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n",
                (200, 2, True, b"Date: x\r\n"),
                id="9112-6.2-sized",
            ),
            pytest.param(
                answer(b"Content-Length:0", status=b"HTTP/1.1 404"),
                b"HTTP/1.1 404 \r\nContent-Length: 0\r\n",
                (404, 0, False, b""),
                id="9112-4-no reason",
            ),
            pytest.param(
                answer(status=b"HTTP/1.1 204 \t\xff "),
                b"HTTP/1.1 204 \t\xff \r\n",
                (204, None, False, b""),
                id="9112-6.3-204",
            ),
            pytest.param(
                answer(b"Content-Length: 0", b"X-Gone: 1", status=b"HTTP/1.1 304 "),
                b"HTTP/1.1 304 \r\nContent-Length: 0\r\n",
                (304, None, False, b"X-Gone: 1\r\n"),
                id="9112-6.3-304",
            ),
        ],
    )
    def test_whole_ones(
        self, make: Make, data: bytes, head: bytes, about: tuple[int, int | None, bool, bytes]
    ) -> None:
        status, length, dated, noted = about
        end = data.index(b"\r\n\r\n") + 4
        found = make().response(data, False)  # noqa: FBT003
        assert found == (head, end, status, length, dated, noted)

    def test_some_are_noted_in_order_whether_they_go_on_or_not(self, make: Make) -> None:
        said = [b"x-SAID: a", b"X-Gone:b ", b"Content-Length: 0", b"X-Said:\t"]
        found = make().response(answer(*said), False)  # noqa: FBT003
        assert found is not None
        assert found[0].endswith(b"OK\r\nx-SAID: a\r\nContent-Length: 0\r\nX-Said: \r\n")
        assert found[5] == b"x-SAID: a\r\nX-Gone: b\r\nX-Said: \r\n"

    def test_what_is_noted_is_bounded(self, make: Make) -> None:
        splice = make().response
        room = LONGEST_NOTED - 2 * len(b"X-Said: \r\n")
        for more, taken in ((0, True), (1, False)):
            lines = (b"X-Said:" + b"x" * (room - 7), b"X-Said:" + b"y" * (7 + more))
            found = splice(answer(*lines, b"Content-Length: 0"), False)  # noqa: FBT003
            assert (found is not None) == taken

    def test_head_has_no_content(self, make: Make) -> None:
        splice = make().response
        for lines in ((b"Content-Length: 0",), ()):
            found = splice(answer(*lines), True)  # noqa: FBT003
            assert found is not None
            assert found[3] is None
        for body in (b"", b"x"):  # it may follow all the same
            assert splice(answer(b"Content-Length: 1", body=body), True) is None  # noqa: FBT003

    @pytest.mark.parametrize("name", ["host", "date", "te"])
    def test_any_line_may_be_dropped(self, make: Make, name: str) -> None:
        line = name.encode() + b": x"
        found = make(dropped=(name,)).response(answer(line, b"Content-Length: 0"), False)  # noqa: FBT003
        assert found is not None
        assert found[0] == answer(b"Content-Length: 0").removesuffix(b"\r\n")
        assert not found[4]

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(answer(b"Content-Length: 0")[:-1], id="9112-2.1-not all of the head"),
            pytest.param(answer(b"Content-Length: 3", body=b"ok"), id="9112-6.3-too little"),
            pytest.param(answer(b"Content-Length: 1", body=b"ok"), id="9112-6.3-too much"),
            pytest.param(answer(), id="9112-6.3-until close"),
            pytest.param(answer(b"Content-Length: 00"), id="9110-8.6-padded"),
            pytest.param(answer(b"Content-Length: +0"), id="9110-8.6-signed"),
            pytest.param(answer(b"Content-Length:"), id="9110-8.6-empty"),
            pytest.param(answer(b"Content-Length: 0, 0"), id="9110-8.6-list"),
            pytest.param(answer(*[b"Content-Length: 0"] * 2), id="9112-6.3-twice"),
            pytest.param(answer(b"Content-Length: " + b"9" * 20), id="9110-8.6-enormous"),
            pytest.param(answer(b"Content-Length: 0", status=b"HTTP/1.1 204 "), id="9110-8.6-204"),
            pytest.param(
                answer(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), id="9112-7.1-chunked"
            ),
            pytest.param(answer(b"Content-Length: 0", b"Connection: close"), id="9112-9.6-close"),
            pytest.param(answer(status=b"HTTP/1.1 100 "), id="9110-15.2-interim"),
            *(
                pytest.param(answer(b"Content-Length: 0", status=status), id=f"9112-4-{status!r}")
                for status in (
                    *(b"HTTP/1.0 200 OK", b"HTTP/1.2 200 OK", b"HTTP/2 200 OK", b"http/1.1 200 OK"),
                    *(b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 2_0 OK", b"HTTP/1.1 +20"),
                    *(
                        b"HTTP/1.1 000 OK",
                        b"HTTP/1.1 200OK",
                        b"HTTP/1.1  200 OK",
                        b"HTTP/1.1 200\tOK",
                    ),
                    *(b"HTTP/1.1 200 \0", b"HTTP/1.1 200 a\rb", b"HTTP/1.1", b"HTTP/1.1 20"),
                )
            ),
        ],
    )
    def test_others_are_refused(self, make: Make, data: bytes) -> None:
        assert make().response(data, False) is None  # noqa: FBT003


LINE = st.builds(
    lambda name, colon, value: name + colon + value,
    st.sampled_from(
        [
            b"A",
            b"b-c",
            b"Content-Length",
            b"connection",
            b"DATE",
            b"Host",
            b"te",
            b"X-Odd",
            b"X-Said",
            b"x-gone",
            b"",
            b"a b",
        ]
    ),
    st.sampled_from([b":", b": ", b":\t", b" :", b""]),
    st.one_of(
        st.sampled_from(
            [b"0", b"2", b"02", b"keep-alive", b"Keep-Alive ", b"close", b"a b", b"\xff"]
        ),
        st.binary(max_size=3),
    ),
)
LINES = st.lists(LINE, max_size=6)
STATUS = st.builds(
    lambda version, status, reason: version + status + reason,
    st.sampled_from([b"HTTP/1.1 "] * 6 + [b"HTTP/1.0 ", b"HTTP/1.1"]),
    st.sampled_from([b"200", b"404", b"304", b"204", b"100", b"20", b"2000"]),
    st.sampled_from([b"", b" ", b" OK", b" a\tb", b"x"]),
)
NAMES = st.frozensets(
    st.sampled_from(["te", "x-said", "a", "connection", "content-length", "date", "host"]),
    max_size=3,
)


@pytest.mark.skipif(not splicing.ACCELERATED, reason="it is not built")
@given(
    LINES,
    STATUS,
    st.sampled_from([b"", b"ok", b"x" * 10_000]),
    st.booleans(),
    st.tuples(NAMES, NAMES, NAMES, st.none() | st.just("o")),
)
def test_both_do_the_same(
    lines: list[bytes],
    status: bytes,
    body: bytes,
    head_only: bool,  # noqa: FBT001 - drawn
    told: tuple[frozenset[str], frozenset[str], frozenset[str], str | None],
) -> None:
    one, other = in_c(*told), in_python(*told)
    assert one.request(asked(*lines)) == other.request(asked(*lines))
    data = answer(*lines, status=status, body=body)
    assert one.response(data, head_only) == other.response(data, head_only)


@given(LINES, STATUS, st.sampled_from([b"", b"ok"]), st.booleans())
def test_a_spliced_response_is_what_the_parser_reads(
    lines: list[bytes],
    status: bytes,
    body: bytes,
    head_only: bool,  # noqa: FBT001 - drawn
) -> None:
    data = answer(*lines, status=status, body=body)
    spliced = splicing.splicer(dropped=DROPPED, refused=REFUSED, noted=NOTED).response(
        data, head_only
    )
    if spliced is None:
        return
    head, end, code, length, dated, noted = spliced
    read = parse_head(data[:end], head_only=head_only, max_fields=1000)
    assert (read.status, read.length or 0) == (code, len(data) - end)
    assert read.persistent
    assert not read.hollow
    assert (length or 0) == len(data) - end
    assert ("Date" in read.headers) == dated
    kept = forwarding.end_to_end(read.headers)
    kept.popall("X-Gone", None)
    said = [(name, value) for name, value in read.headers.items() if name.lower() in NOTED]
    assert noted == "".join(f"{name}: {value}\r\n" for name, value in said).encode("latin-1")
    text = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
    assert head == f"HTTP/1.1 {read.status} {read.reason}\r\n{text}".encode("latin-1")


class TestMaking:
    def test_too_many_names_are_for_python(self) -> None:
        names = [f"x-{number}" for number in range(200)]
        made = splicing.splicer(dropped=names, refused=())
        assert made.request(asked(b"X-199: 1", b"Y: 1")) == asked(b"Y: 1").removesuffix(b"\r\n")

    @pytest.mark.skipif(not splicing.ACCELERATED, reason="it is not built")
    def test_what_c_refuses(self) -> None:
        from proxy._splice import Splicer as InC  # noqa: PLC0415 - it may not be there

        nothing: dict[str, Any] = {"dropped": (), "refused": (), "noted": (), "host": b""}
        for arguments in (
            {"dropped": (b"x" * 65,)},
            {"dropped": (b"",)},
            {"refused": (b"a",) * 129},
            {"noted": (b"x" * 65,)},
            {"noted": tuple(b"%d" % number for number in range(129))},
            {"host": b"h" * 1025},
        ):
            with pytest.raises(ValueError, match="long"):
                InC(**nothing | arguments)
        for name in ("dropped", "noted"):
            with pytest.raises(TypeError):
                InC(**nothing | {name: ("text",)})
        made: Any = InC(**nothing)
        with pytest.raises(TypeError):
            made.request("text")
        with pytest.raises(TypeError):
            made.response(b"")


def test_the_fallback_is_used_where_c_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splicing, "_splice", None)
    assert isinstance(splicing.splicer(dropped=(), refused=()), PythonSplicer)
