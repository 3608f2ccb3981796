import pytest

from proxy.exchange import Client, Incoming
from proxy.gateway import forwarding
from proxy.gateway.forwarding import ForwardingOptions
from proxy.rfc9111.messages import Headers, Request
from tests.gateway.conftest import ChunkedBody

PLAIN = ForwardingOptions(
    origin_authority="origin:8000", via=False, x_forwarded=False, forwarded=False
)


def incoming(
    *lines: tuple[str, str],
    method: str = "GET",
    target: str = "/",
    authority: str = "api.example",
    address: str = "192.0.2.7",
    scheme: str = "http",
    **extra: object,
) -> Incoming:
    request = Request(method, scheme, authority, target, Headers(lines))
    return Incoming(
        request,
        Client(address, (1, 1)),
        extra.pop("body", None),  # type: ignore[arg-type]
        lambda _status, _reason, _headers: None,
        **extra,  # type: ignore[arg-type]
    )


def sent(message: Incoming, options: ForwardingOptions = PLAIN) -> list[tuple[str, str]]:
    return list(forwarding.to_origin(message, message.request.headers, options).items())


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        pytest.param(
            [
                ("Connection", "close, X-Own"),
                ("x-own", "1"),
                ("Keep-Alive", "timeout=5"),
                ("Proxy-Connection", "keep-alive"),
                ("TE", "trailers"),
                ("Trailer", "X-T"),
                ("Transfer-Encoding", "chunked"),
                ("Upgrade", "h2c"),
                ("X-Kept", "2"),
            ],
            [("X-Kept", "2")],
            id="9110-7.6.1-hop-by-hop",
        ),
        pytest.param(
            [("Connection", "a"), ("A", "1"), ("connection", " b ,,"), ("B", "2"), ("c", "3")],
            [("c", "3")],
            id="9110-7.6.1-several Connection lines",
        ),
        pytest.param(
            [
                ("Connection", "Host, Content-Length, Cache-Control, vary, Cache-Tag, Set-Cookie"),
                *(("Cache-Control", "private"), ("Vary", "Cookie"), ("Cache-Tag", "a")),
                ("Set-Cookie", "b=c"),
            ],
            [
                *(("Cache-Control", "private"), ("Vary", "Cookie"), ("Cache-Tag", "a")),
                ("Set-Cookie", "b=c"),
            ],
            id="9110-7.6.1-Connection cannot drop what decides",
        ),
        pytest.param(
            [("x-B", "1"), ("X-a", "\xe9"), ("x-b", ""), ("X-A", "2")],
            [("x-B", "1"), ("X-a", "\xe9"), ("x-b", ""), ("X-A", "2")],
            id="9110-5.3-order, case, repeats and bytes stay",
        ),
    ],
)
def test_end_to_end_fields(lines: list[tuple[str, str]], kept: list[tuple[str, str]]) -> None:
    headers = Headers(lines)
    assert list(forwarding.end_to_end(headers).items()) == kept
    assert list(headers.items()) == lines


@pytest.mark.parametrize(
    ("host", "received", "expected"),
    [
        pytest.param("preserve", "Api.Example", "Api.Example", id="as received"),
        pytest.param("preserve", "Api.Example:80", "Api.Example:80", id="a port that need not be"),
        pytest.param("preserve", "other", "api.example", id="9112-3.2.2-target wins over Host"),
        pytest.param("origin", "api.example", "origin:8000", id="the origin's own"),
        pytest.param("backend.internal", "api.example", "backend.internal", id="a given name"),
    ],
)
def test_host(host: str, received: str, expected: str) -> None:
    options = ForwardingOptions(
        host=host, origin_authority="origin:8000", via=False, x_forwarded=False, forwarded=False
    )
    lines = sent(incoming(("A", "1"), ("Host", received), ("B", "2")), options)
    assert lines == [("A", "1"), ("Host", expected), ("B", "2")]


def test_a_missing_host_is_added_in_front() -> None:
    assert sent(incoming(("A", "1"))) == [("Host", "api.example"), ("A", "1")]


def test_an_http_1_0_request_without_any_host_gets_the_origins() -> None:
    headers = sent(incoming(("A", "1"), authority=""))
    assert headers == [("Host", PLAIN.origin_authority), ("A", "1")]


def test_who_is_asking_is_told() -> None:
    options = ForwardingOptions(origin_authority="origin:8000")
    message = incoming(
        ("Host", "api.example"),
        ("Via", "1.0 edge"),
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-Proto", "gopher"),
        ("Forwarded", "for=198.51.100.1"),
    )
    assert sent(message, options) == [
        ("Host", "api.example"),
        ("Via", "1.0 edge"),
        ("Via", "1.1 warmfront"),
        ("X-Forwarded-For", "198.51.100.1, 192.0.2.7"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "api.example"),
        ("Forwarded", "for=198.51.100.1, for=192.0.2.7;host=api.example;proto=http"),
    ]


@pytest.mark.parametrize(
    ("others", "left"),
    [
        (["host=evil;proto=https"], ""),
        (["for=192.0.2.1;Host=evil;by=x"], "for=192.0.2.1;by=x, "),
        (['for="[::1]:80";host="x"', "proto=https ; for=_b"], 'for="[::1]:80", for=_b, '),
        (['for="_a;host=evil"'], ""),
        (["for=_a,,for=_b;"], "for=_a, for=_b, "),
        (["for=_a;host"], ""),
        (['for="_a;host=evil'], ""),
        (["for=[::1]"], ""),
        (["for = _a"], ""),
        pytest.param(["xhost=evil;for=_a;x-proto=https"], "for=_a, ", id="who-looks-anywhere"),
        pytest.param(["secret=x"], "", id="nothing-of-the-way"),
    ],
)
def test_forwarded_tells_one_target_only(others: list[str], left: str) -> None:
    options = ForwardingOptions(origin_authority="o", via=False, x_forwarded=False)
    message = incoming(("Host", "api.example"), *(("Forwarded", line) for line in others))
    assert sent(message, options)[1:] == [
        ("Forwarded", f"{left}for=192.0.2.7;host=api.example;proto=http")
    ]


@pytest.mark.parametrize(
    ("authority", "scheme", "port"),
    [
        ("api.example", "http", "80"),
        ("api.example", "https", "443"),
        ("api.example:8080", "http", "8080"),
        ("[::1]:8443", "https", "8443"),
        ("[::1]", "http", "80"),
        ("", "http", "80"),
    ],
)
def test_a_port_that_is_told_is_the_right_one(authority: str, scheme: str, port: str) -> None:
    options = ForwardingOptions(origin_authority="o", via=False, forwarded=False)
    message = incoming(("X-Forwarded-Port", "1337"), authority=authority, scheme=scheme)
    assert ("X-Forwarded-Port", port) in sent(message, options)


def test_forwarded_quotes_what_is_no_token() -> None:
    options = ForwardingOptions(origin_authority="o", via=False, x_forwarded=False)
    message = incoming(("Host", "[::1]:80"), authority="[::1]:8080", address="::1")
    assert ("Forwarded", 'for="[::1]";host="[::1]:8080";proto=http') in sent(message, options)


@pytest.mark.parametrize("authority", ["a;proto=https", "a;for=192.0.2.1", "host=evil"])
def test_forwarded_has_no_host_that_could_be_read_as_something_else(authority: str) -> None:
    options = ForwardingOptions(origin_authority="o", via=False, x_forwarded=False)
    message = incoming(("Host", authority), authority=authority)
    assert sent(message, options)[1:] == [("Forwarded", "for=192.0.2.7;proto=http")]


def test_a_client_on_a_unix_socket_has_no_address_to_tell() -> None:
    options = ForwardingOptions(origin_authority="o", via=False)
    message = incoming(("Host", "api.example"), address="")
    names = [name for name, _ in sent(message, options)]
    assert "X-Forwarded-For" not in names
    assert ("Forwarded", "for=unknown;host=api.example;proto=http") in sent(message, options)


@pytest.mark.parametrize(
    ("expects", "body", "kept"),
    [
        pytest.param(True, ChunkedBody([b"x"]), True, id="9110-10.1.1-with a body"),
        pytest.param(True, None, False, id="9110-10.1.1-without a body it means nothing"),
        pytest.param(False, ChunkedBody([b"x"]), False, id="9110-10.1.1-already met"),
    ],
)
def test_expect(expects: bool, body: ChunkedBody | None, kept: bool) -> None:  # noqa: FBT001
    message = incoming(
        ("Host", "api.example"), ("Expect", "100-continue"), body=body, expects_continue=expects
    )
    assert (("Expect", "100-continue") in sent(message)) is kept


def test_framing_is_left_to_the_origin_client() -> None:
    message = incoming(("Host", "api.example"), ("Content-Length", "3"))
    assert sent(message) == [("Host", "api.example")]


def test_an_upgrade_keeps_its_upgrade_field() -> None:
    message = incoming(
        ("Host", "api.example"), ("Connection", "upgrade"), ("Upgrade", "websocket"), upgrade=True
    )
    assert sent(message) == [("Host", "api.example"), ("Upgrade", "websocket")]


@pytest.mark.parametrize(
    ("method", "value", "last_hop", "forwarded"),
    [
        pytest.param("TRACE", "0", True, None, id="9110-7.6.2-TRACE ends here"),
        pytest.param("OPTIONS", "0", True, None, id="9110-7.6.2-OPTIONS ends here"),
        pytest.param("OPTIONS", "3", False, "2", id="9110-7.6.2-one hop less"),
        pytest.param("OPTIONS", "+3", False, "+3", id="9110-7.6.2-not a number"),
        pytest.param("GET", "0", False, "0", id="9110-7.6.2-other methods ignore it"),
        pytest.param("GET", "9" * 5000, False, "9" * 5000, id="9110-7.6.2-more than int() takes"),
        pytest.param("TRACE", "0" * 5000, True, None, id="9110-7.6.2-a long way to say 0"),
        pytest.param("TRACE", "9" * 5000, False, "9" * 18, id="9110-7.6.2-further than anything"),
    ],
)
def test_max_forwards(method: str, value: str, last_hop: bool, forwarded: str | None) -> None:  # noqa: FBT001
    message = incoming(("Host", "api.example"), ("Max-Forwards", value), method=method)
    assert forwarding.is_last_hop(message.request) is last_hop
    if forwarded is not None:
        assert ("Max-Forwards", forwarded) in sent(message)


def test_last_hop_answers() -> None:
    options = forwarding.last_hop_answer(incoming(method="OPTIONS").request)
    trace = forwarding.last_hop_answer(incoming(method="TRACE").request)
    assert (options.status, trace.status) == (200, 405)
    assert "Allow" in trace.headers


def test_answers_carry_via() -> None:
    headers = Headers({"A": "1"})
    via = ForwardingOptions(origin_authority="o")
    assert list(forwarding.to_client(headers, via).items()) == [
        ("A", "1"),
        ("Via", "1.1 warmfront"),
    ]
    assert list(forwarding.to_client(headers, PLAIN).items()) == [("A", "1")]
