"""Where to listen and where the origin is."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.problems import Refused
from proxy.settings.addresses import (
    TcpAddress,
    UnixAddress,
    parse_authority,
    parse_listen,
    parse_origin,
    parse_origin_host,
    parse_server_name,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", TcpAddress("127.0.0.1", 8080)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("api_1.example.com:65535", TcpAddress("api_1.example.com", 65535)),
        ("[::1]:8080", TcpAddress("::1", 8080)),
        (":8080", TcpAddress("", 8080)),
        ("unix:/run/x.sock", UnixAddress("/run/x.sock")),
        ("unix:///run/x.sock", UnixAddress("/run/x.sock")),
    ],
)
def test_listen_is_read(text: str, address: TcpAddress | UnixAddress) -> None:
    assert parse_listen(text) == address
    assert parse_listen(str(address)) == address


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        ("8080", "'8080' is only a port", "write 127.0.0.1:8080, or :8080 for everywhere"),
        ("localhost", "'localhost' has no port", "write localhost:8080"),
        ("[::1]", "'[::1]' has no port", "write [::1]:8080"),
        ("::1:8080", "'::1' needs brackets", "write [::1]"),
        ("*:8080", "'*:8080' is not an address", "write :8080 for all interfaces"),
        (
            "http://127.0.0.1:8080",
            "'http://127.0.0.1:8080' is a URL",
            "write host:port, such as 127.0.0.1:8080",
        ),
        ("host:", "'host:' has no valid port", "write host:port, such as api:8080"),
        ("host:+80", "'host:+80' has no valid port", "write host:port, such as api:8080"),
        ("host:٨٠", "'host:٨٠' has no valid port", "write host:port, such as api:8080"),
        ("host:65536", "port 65536 does not exist", "write at most 65535"),
        ("300.1.1.1:80", "'300.1.1.1' is not an IP address", None),
        ("[::x]:80", "'[::x]' is not an IP address", None),
        ("a b:80", "'a b' is not a host name", None),
        ("-a:80", "'-a' is not a host name", None),
        ("a..b:80", "'a..b' is not a host name", None),
        ("unix:x.sock", "'unix:x.sock' needs an absolute path", "write unix:/x.sock"),
        ("unix:/", "'unix:/' is not the path of a socket", "write unix:/run/api.sock"),
        (
            "unix:/" + "x" * 107,
            "the path of a Unix socket is longer than 107 bytes",
            "choose a shorter one",
        ),
    ],
)
def test_listen_is_refused(text: str, message: str, suggestion: str | None) -> None:
    _assert_refused(parse_listen, text, message, suggestion)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("HTTP://Api.Example.COM/", "http://api.example.com"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://[::1]", "https://[::1]"),
        ("http://app_1:80", "http://app_1:80"),
        ("unix:/run/api.sock", "unix:///run/api.sock"),
        ("unix:///run/api.sock", "unix:///run/api.sock"),
    ],
)
def test_origin_is_read(text: str, url: str) -> None:
    assert parse_origin(text) == url
    assert parse_origin(url) == url


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        ("127.0.0.1:8000", "'127.0.0.1:8000' is not a URL", "write http://127.0.0.1:8000"),
        ("htps://a", "'htps' is not a scheme of an origin", "did you mean https?"),
        ("redis://a", "'redis' is not a scheme of an origin", "write http, https or unix"),
        (
            "http://api:80/v1",
            "an origin has no path: requests keep the path they came with",
            "write http://api:80",
        ),
        (
            "http://api:80?",
            "an origin has no path: requests keep the path they came with",
            "write http://api:80",
        ),
        (
            "http://user:secret@api",
            "a URL of an origin has no user and password",
            "remove the part before @",
        ),
        ("http://", "'' is not a host name", None),
        ("http://:80", "'' is not a host name", None),
        ("http://api:0", "'api:0' has port 0, where nothing can be reached", None),
        ("http://api:99999", "port 99999 does not exist", "write at most 65535"),
        ("http://[::1", "'http://[::1' is not a URL: its brackets do not match", None),
        (
            "http://a b",
            "'http://a b' is not a URL: it has blanks or non-ASCII characters",
            None,
        ),
        (
            "http://a\n",
            "'http://a\\n' is not a URL: it has blanks or non-ASCII characters",
            None,
        ),
        (
            "http://bücher.example",
            "'http://bücher.example' is not a URL: it has blanks or non-ASCII characters",
            None,
        ),
    ],
)
def test_origin_is_refused(text: str, message: str, suggestion: str | None) -> None:
    _assert_refused(parse_origin, text, message, suggestion)


@pytest.mark.parametrize("text", ["preserve", "origin", "api.example.com", "api:8080", "app"])
def test_origin_host_is_read(text: str) -> None:
    assert parse_origin_host(text) == text


def test_origin_host_that_looks_like_a_slip_is_refused() -> None:
    _assert_refused(
        parse_origin_host,
        "preserved",
        "'preserved' is neither preserve nor origin",
        "did you mean preserve?",
    )


def test_server_name_has_no_port() -> None:
    assert parse_server_name("api.example.com") == "api.example.com"
    with pytest.raises(Refused):
        parse_server_name("api.example.com:443")


@pytest.mark.parametrize(
    "parse", [parse_listen, parse_origin, parse_origin_host, parse_authority, parse_server_name]
)
@given(text=st.text() | st.from_regex(r"(https?://|unix:)?[^/]*(:[0-9]*)?", fullmatch=True))
def test_any_text_is_read_or_refused(parse: Callable[[str], object], text: str) -> None:
    with suppress(Refused):
        assert parse(text)


def _assert_refused(
    parse: Callable[[str], object], text: str, message: str, suggestion: str | None
) -> None:
    with pytest.raises(Refused) as caught:
        parse(text)
    assert (caught.value.message, caught.value.suggestion) == (message, suggestion)
