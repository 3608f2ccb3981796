import pytest

from proxy.origin import Endpoint, OriginOptions, parse_origin_url


@pytest.mark.parametrize(
    ("url", "endpoint", "authority"),
    [
        ("http://api", Endpoint("http", "api", 80), "api"),
        ("http://API:8000/", Endpoint("http", "api", 8000), "api:8000"),
        ("https://api", Endpoint("https", "api", 443), "api"),
        ("https://api:80", Endpoint("https", "api", 80), "api:80"),
        ("http://[::1]:8000", Endpoint("http", "::1", 8000), "[::1]:8000"),
        ("http://[::1]", Endpoint("http", "::1", 80), "[::1]"),
        ("http://[::ffff:1.2.3.4]", Endpoint("http", "::ffff:1.2.3.4", 80), "[::ffff:1.2.3.4]"),
        ("http://127.0.0.1:80", Endpoint("http", "127.0.0.1", 80), "127.0.0.1"),
        ("unix:///run/api.sock", Endpoint("unix", "", 0, "/run/api.sock"), "localhost"),
    ],
)
def test_an_origin_url_names_an_endpoint(url: str, endpoint: Endpoint, authority: str) -> None:
    assert OriginOptions(url).endpoint == endpoint
    assert endpoint.authority == authority


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("http://api/base", "base path", id="base path"),
        pytest.param("http://api//", "base path", id="two slashes"),
        pytest.param("http://api?", "query", id="empty query"),
        pytest.param("http://api/#a", "fragment", id="fragment"),
        pytest.param("http://me:pw@api", "password", id="userinfo"),
        pytest.param("http://", "host or port", id="no host"),
        pytest.param("http://api:0", "host or port", id="port zero"),
        pytest.param("http://api:99999", "out of range", id="port too large"),
        pytest.param("http://api:x", "Port could not", id="port not a number"),
        pytest.param("http://127.1:80", "four numbers", id="two numbers"),
        pytest.param("http://api.5", "four numbers", id="a name that ends in a number"),
        pytest.param("http://[::1", "IPv6", id="open bracket"),
        pytest.param("api:8000", "must begin", id="no scheme"),
        pytest.param("ftp://api", "must begin", id="other scheme"),
        pytest.param("unix://run/api.sock", "unix:///", id="relative socket"),
        pytest.param("unix:///", "unix:///", id="no socket"),
    ],
)
def test_an_unusable_url_is_refused_with_a_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        parse_origin_url(url)
    assert url in str(raised.value)
