"""Request heads: what passes, byte for byte, and what is refused, and with what."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.heads import RequestHead, find_end, parse_head
from proxy.server.options import ServerOptions
from proxy.server.rejection import RequestRejected

LIMITS = ServerOptions()


def read(text: str, limits: ServerOptions = LIMITS) -> RequestHead | None:
    """The head; None when it is not complete and may become one."""
    data = text.encode("latin-1")
    if find_end(data, 0, 0, limits) < 0:
        return None
    return parse_head(data, limits)


def accept(text: str, limits: ServerOptions = LIMITS) -> RequestHead:
    head = read(text, limits)
    assert head is not None
    return head


def get(*lines: str, line: str = "GET / HTTP/1.1", host: str = "Host: a.example") -> RequestHead:
    fields = "".join(f"{field}\r\n" for field in (host, *lines) if field)
    return accept(f"{line}\r\n{fields}\r\n")


def refusal(text: str, limits: ServerOptions = LIMITS) -> int:
    with pytest.raises(RequestRejected) as caught:
        read(text, limits)
    return caught.value.status


def test_a_head_is_kept_as_it_came() -> None:
    head = accept(
        "GeT-it //a/../b;c?%7e%zz=\xe9 HTTP/1.1\r\nhOST:a.example\r\nX-Two: 1\r\n"
        "ETag:   \t\xff a  b \t\r\nx-two:\r\n\r\n"
    )
    assert (head.method, head.target, head.version) == (
        "GeT-it",
        "//a/../b;c?%7e%zz=\xe9",
        (1, 1),
    )
    assert list(head.headers.items()) == [
        ("hOST", "a.example"),
        ("X-Two", "1"),
        ("ETag", "\xff a  b"),
        ("x-two", ""),
    ]


@pytest.mark.parametrize("method", ["GET", "BAN", "M-SEARCH", "get", "!#$%&'*+-.^_`|~0", "X" * 99])
def test_any_token_is_a_method(method: str) -> None:
    assert get(line=f"{method} / HTTP/1.1").method == method


@pytest.mark.parametrize(
    ("method", "target", "authority", "expected"),
    [
        ("GET", "/a?", "a.example", "/a?"),
        ("GET", "//a/b", "a.example", "//a/b"),
        ("GET", "/%7e%2F%zz", "a.example", "/%7e%2F%zz"),
        ("GET", "/a;b/../c", "a.example", "/a;b/../c"),
        ("GET", "/\x80\xff|\\^`{}<>\"[]'", "a.example", "/\x80\xff|\\^`{}<>\"[]'"),
        ("OPTIONS", "*", "a.example", "*"),
        ("GET", "http://B.example/x?y", "B.example", "/x?y"),
        ("GET", "HTTPS://b.example:8443", "b.example:8443", "/"),
        ("GET", "http://b.example?y", "b.example", "/?y"),
        ("GET", "http://[::1]:80/", "[::1]:80", "/"),
        ("OPTIONS", "http://b.example", "b.example", "*"),
        ("OPTIONS", "http://b.example/", "b.example", "/"),
    ],
)
def test_target_forms(method: str, target: str, authority: str, expected: str) -> None:
    head = get(line=f"{method} {target} HTTP/1.1")
    assert (head.authority, head.target) == (authority, expected)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param("GET  / HTTP/1.1", 400, id="9112-3-two spaces"),
        pytest.param("GET / HTTP/1.1 ", 400, id="9112-3-space at the end"),
        pytest.param(" GET / HTTP/1.1", 400, id="9112-3-space at the start"),
        pytest.param("GET\t/ HTTP/1.1", 400, id="9112-3-tab"),
        pytest.param("GET /", 400, id="9112-3-HTTP 0.9"),
        pytest.param("GET HTTP/1.1", 400, id="9112-3-no target"),
        pytest.param("G(T / HTTP/1.1", 400, id="9110-9.1-no token"),
        pytest.param("G\xc9T / HTTP/1.1", 400, id="9110-9.1-not ASCII"),
        pytest.param("GET / http/1.1", 400, id="9112-2.3-lower case"),
        pytest.param("GET / HTTP/1.1x", 400, id="9112-2.3-more"),
        pytest.param("GET / HTTP/11.1", 400, id="9112-2.3-two digits"),
        pytest.param("GET / HTTP/\xb2.\xb9", 400, id="9112-2.3-not ASCII digits"),
        pytest.param("GET / HTTP/0.9", 505, id="9112-2.3-0.9"),
        pytest.param("GET / HTTP/2.0", 505, id="9112-2.3-2.0"),
        pytest.param("PRI * HTTP/2.0", 505, id="9113-3.4-preface"),
        pytest.param("CONNECT a.example:443 HTTP/1.1", 501, id="9110-9.3.6-CONNECT"),
        pytest.param("CONNECT / HTTP/1.1", 501, id="9110-9.3.6-CONNECT origin-form"),
        pytest.param("GET * HTTP/1.1", 400, id="9112-3.2.4-asterisk for GET"),
        pytest.param("GET a.example:80 HTTP/1.1", 400, id="9112-3.2.3-authority-form"),
        pytest.param("GET a HTTP/1.1", 400, id="9112-3.2-relative"),
        pytest.param("GET /a#b HTTP/1.1", 400, id="9112-3.2-fragment"),
        pytest.param("GET http://b.example/#b HTTP/1.1", 400, id="9112-3.2-fragment absolute"),
        pytest.param("GET ftp://b.example/ HTTP/1.1", 400, id="9112-3.2.2-other scheme"),
        pytest.param("GET http:///a HTTP/1.1", 400, id="9110-4.2.1-no host"),
        pytest.param("GET http:/a HTTP/1.1", 400, id="9110-4.2.1-no authority"),
        pytest.param("GET http://u@b.example/ HTTP/1.1", 400, id="9110-4.2.4-userinfo"),
        pytest.param("GET http://u:p@b.example/ HTTP/1.1", 400, id="9110-4.2.4-password"),
        pytest.param("GET http://b.example:99999/ HTTP/1.1", 400, id="3986-3.2.3-port"),
    ],
)
def test_refused_request_lines(line: str, status: int) -> None:
    assert refusal(f"{line}\r\nHost: a.example\r\n\r\n") == status


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("X : y", id="5.1-space before the colon"),
        pytest.param("X\t: y", id="5.1-tab before the colon"),
        pytest.param(" X: y", id="5.2-folded"),
        pytest.param("\tX: y", id="5.2-folded by a tab"),
        pytest.param("X: y\r\n z", id="5.2-folded second line"),
        pytest.param("X", id="5-no colon"),
        pytest.param(": y", id="5-no name"),
        pytest.param("X(: y", id="5-no token"),
        pytest.param("X\xe9: y", id="5-name not ASCII"),
        pytest.param("X: a\0b", id="9110-5.5-NUL"),
        pytest.param("X: a\x01b", id="9110-5.5-control"),
        pytest.param("X: a\x7fb", id="9110-5.5-DEL"),
        pytest.param("X: a\rb", id="2.2-bare CR"),
        pytest.param("X: a\nY: b", id="2.2-bare LF"),
        pytest.param("X: a\r\r", id="2.2-two CR"),
        pytest.param("Content-Length: 1\r\nContent-Length: 1", id="6.3-repeated"),
        pytest.param("Content-Length: 1\r\nContent-Length: 2", id="6.3-contradictory"),
        pytest.param("Content-Length: 1, 1", id="6.3-list"),
        pytest.param("Content-Length: +1", id="9110-8.6-sign"),
        pytest.param("Content-Length: -1", id="9110-8.6-negative"),
        pytest.param("Content-Length: 0x1", id="9110-8.6-hexadecimal"),
        pytest.param("Content-Length: 1_0", id="9110-8.6-underscore"),
        pytest.param("Content-Length: 1 0", id="9110-8.6-space"),
        pytest.param("Content-Length: \xb2", id="9110-8.6-superscript"),
        pytest.param("Content-Length:", id="9110-8.6-empty"),
        pytest.param("Content-Length: " + "9" * 19, id="9110-8.6-huge"),
        pytest.param("Content-Length: 1\r\nTransfer-Encoding: chunked", id="6.1-both"),
        pytest.param("Transfer-Encoding: chunked\r\nContent-Length: 1", id="6.1-both, reversed"),
        pytest.param("Transfer-Encoding: identity", id="6.1-identity"),
        pytest.param("Transfer-Encoding: gzip, chunked", id="6.1-two codings"),
        pytest.param("Transfer-Encoding: chunked, gzip", id="6.3-not final"),
        pytest.param("Transfer-Encoding: chunked, chunked", id="6.1-twice"),
        pytest.param("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", id="6.1-two lines"),
        pytest.param("Transfer-Encoding: xchunked", id="6.1-unknown"),
        pytest.param("Transfer-Encoding: chunked;a=b", id="6.1-parameter"),
        pytest.param('Transfer-Encoding: "chunked"', id="6.1-quoted"),
        pytest.param("Transfer-Encoding:", id="6.1-empty"),
        pytest.param("Host: a.example", id="3.2-repeated Host"),
        pytest.param("Host: b.example", id="3.2-another Host"),
    ],
)
def test_refused_fields(line: str) -> None:
    assert refusal(f"GET / HTTP/1.1\r\nHost: a.example\r\n{line}\r\n\r\n") == 400


@pytest.mark.parametrize(
    "host",
    [
        "",
        "Host:",
        "Host: a b",
        "Host: a/b",
        "Host: a?b",
        "Host: a#b",
        "Host: a@b",
        "Host: a,b",
        "Host: a\\b",
        "Host: a%zz",
        "Host: a%:80",
        "Host: \xe9.example",
        "Host: a:b",
        "Host: a:1:2",
        "Host: a:+1",
        "Host: a:65536",
        "Host: :80",
        "Host: ::1",
        "Host: [::1",
        "Host: [1:2]",
        "Host: [g::]",
        "Host: [::1]x",
        "Host: http://a",
    ],
)
def test_refused_hosts(host: str) -> None:
    assert refusal(f"GET / HTTP/1.1\r\n{host}\r\n\r\n".replace("\r\n\r\n\r\n", "\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "host",
    ["a", "A.Example", "a.example.", "a_b.example", "a:", "a:80", "127.0.0.1:8080", "[::1]",
     "[::ffff:1.2.3.4]:80", "x%2d", "a!$&'()*+;=~"],
)  # fmt: skip
def test_valid_hosts(host: str) -> None:
    assert get(host=f"Host: {host}").authority == host


def test_an_invalid_host_is_refused_even_where_the_target_wins() -> None:
    assert refusal("GET http://b.example/ HTTP/1.1\r\nHost: a b\r\n\r\n") == 400
    assert refusal("GET http://b.example/ HTTP/1.1\r\n\r\n") == 400


def test_http_1_0_needs_no_host_but_a_valid_one() -> None:
    assert get(line="GET / HTTP/1.0", host="").authority == ""
    assert get(line="GET / HTTP/1.0").authority == "a.example"
    assert refusal("GET / HTTP/1.0\r\nHost: a b\r\n\r\n") == 400
    assert refusal("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n") == 400


def test_higher_minor_versions_are_read_as_1_1() -> None:
    assert get(line="GET / HTTP/1.9").version == (1, 1)


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ((), 0),
        (("Content-Length: 0",), 0),
        (("content-length: 17 ",), 17),
        (("Content-Length: 007",), 7),
        (("Transfer-Encoding: chunked",), None),
        (("transfer-encoding:CHUNKED",), None),
    ],
)
def test_content_length(lines: tuple[str, ...], length: int | None) -> None:
    head = get(*lines)
    assert head.length == length
    assert head.has_content == (length != 0)


def test_transfer_encoding_in_http_1_0_is_refused() -> None:
    assert refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400


@pytest.mark.parametrize(
    ("version", "lines", "keep_alive"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: close",), False),
        ("1.1", ("Connection: x, CLOSE",), False),
        ("1.1", ("Connection: x", "Connection: close"), False),
        ("1.1", ("Connection: closed",), True),
        ("1.0", (), False),
        ("1.0", ("Connection: Keep-Alive",), True),
        ("1.0", ("Connection: keep-alive, close",), False),
    ],
)
def test_persistence(version: str, lines: tuple[str, ...], *, keep_alive: bool) -> None:
    assert get(*lines, line=f"GET / HTTP/{version}").keep_alive is keep_alive


@pytest.mark.parametrize(
    ("version", "lines", "upgrade"),
    [
        ("1.1", ("Upgrade: websocket", "Connection: keep-alive, Upgrade"), True),
        ("1.1", ("Upgrade: h2c", "Connection: upgrade, HTTP2-Settings"), False),
        ("1.1", ("Upgrade: H2C ", "Connection: upgrade"), False),
        ("1.1", ("Upgrade: websocket, h2c", "Connection: upgrade"), False),
        ("1.1", ("Upgrade: websocket", "Upgrade: http/2.0", "Connection: upgrade"), False),
        ("1.1", ("Upgrade: TLS/1.2", "Connection: upgrade"), False),
        ("1.1", ("Upgrade: h2cx, echo/1", "Connection: upgrade"), True),
        ("1.1", ("Upgrade: websocket",), False),
        ("1.1", ("Connection: upgrade",), False),
        ("1.0", ("Upgrade: websocket", "Connection: upgrade"), False),
    ],
)
def test_upgrade(version: str, lines: tuple[str, ...], *, upgrade: bool) -> None:
    assert get(*lines, line=f"GET / HTTP/{version}").upgrade is upgrade


@pytest.mark.parametrize(
    ("version", "lines", "expects"),
    [
        ("1.1", ("Expect: 100-Continue", "Content-Length: 1"), True),
        ("1.1", ("Expect: 100-continue", "Transfer-Encoding: chunked"), True),
        ("1.1", ("Expect: 100-continue",), False),
        ("1.0", ("Expect: 100-continue", "Content-Length: 1"), False),
        ("1.0", ("Expect: coffee",), False),
    ],
)
def test_expectations(version: str, lines: tuple[str, ...], *, expects: bool) -> None:
    assert get(*lines, line=f"POST / HTTP/{version}").expects_continue is expects


@pytest.mark.parametrize("value", ["coffee", "100-continue, coffee", ""])
def test_other_expectations_fail(value: str) -> None:
    assert refusal(f"GET / HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\n\r\n") == 417


class TestLimits:
    limits = ServerOptions(request_line=20, header_size=40, headers=3)

    def test_request_line(self) -> None:
        assert accept("GET /abcdef HTTP/1.1\r\nHost: a\r\n\r\n", self.limits).target == "/abcdef"
        assert refusal("GET /abcdefg HTTP/1.1\r\nHost: a\r\n\r\n", self.limits) == 414

    def test_an_endless_request_line(self) -> None:
        assert find_end(b"GET /abcdef HTTP/1.1\r", 0, 0, self.limits) == -1
        assert refusal("GET /" + "a" * 17, self.limits) == 414

    def test_header_size(self) -> None:
        fits = "Host: a\r\nX: " + "x" * 26
        assert accept(f"GET / HTTP/1.1\r\n{fits}\r\n\r\n", self.limits).headers["X"] == "x" * 26
        assert refusal(f"GET / HTTP/1.1\r\n{fits}x\r\n\r\n", self.limits) == 431

    def test_an_endless_header(self) -> None:
        assert refusal("GET / HTTP/1.1\r\nX: " + "x" * 50, self.limits) == 431

    def test_count(self) -> None:
        assert (
            len(accept("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nX:\r\n\r\n", self.limits).headers) == 3
        )
        assert refusal("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nX:\r\nX:\r\n\r\n", self.limits) == 431


@pytest.mark.parametrize(
    "start",
    ["GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nX: a\rb", "GET / HTTP/1.1\r\nX\0", "\x16\x03\x01\x02"],
)
def test_what_can_never_be_a_head_is_refused_at_once(start: str) -> None:
    assert refusal(start) == 400


def test_a_cr_at_the_end_may_still_be_half_of_a_line_end() -> None:
    assert find_end(b"GET / HTTP/1.1\r", 0, 0, LIMITS) == -1
    with pytest.raises(RequestRejected):
        find_end(b"GET / HTTP/1.1\rX", 0, 15, LIMITS)


def test_no_detail_repeats_what_the_client_sent() -> None:
    with pytest.raises(RequestRejected) as caught:
        parse_head(b"GET /<script> HTTP/1.1\r\nHost: a\r\n<script>: 1\r\n\r\n", LIMITS)
    assert "script" not in caught.value.detail


@given(st.text(st.characters(max_codepoint=255)))
def test_anything_is_either_a_head_or_refused(text: str) -> None:
    with contextlib.suppress(RequestRejected):
        head = parse_head(f"{text}\r\n\r\n".encode("latin-1"), LIMITS)
        assert text.startswith(f"{head.method} ")


@given(
    st.lists(
        st.tuples(
            st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1).filter(
                lambda name: name.lower() not in {"host", "te", "expect"}
            ),
            st.text(
                st.characters(
                    max_codepoint=255, exclude_characters="\x7f", exclude_categories=()
                ).filter(lambda char: char >= " " or char == "\t")
            ).map(lambda value: value.strip(" \t")),
        ),
        max_size=20,
    )
)
def test_fields_survive_byte_for_byte(fields: list[tuple[str, str]]) -> None:
    lines = [f"{name}: {value}" for name, value in fields]
    assert list(get(*lines).headers.items())[1:] == fields
