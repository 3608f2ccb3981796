import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.invalidation import invalidated_uris, suspect_uris
from proxy.rfc9111.messages import Headers, Request, Response

ORIGIN = "http://example.com"


def request(method: str = "POST", target: str = "/a/b?c=1") -> Request:
    return Request(method, "http", "example.com", target, Headers())


def response(status: int = 200, *fields: tuple[str, str]) -> Response:
    return Response(status, "", Headers(fields))


@pytest.mark.parametrize(
    ("method", "status", "invalidates"),
    [
        pytest.param("POST", 200, True, id="4.4-POST"),
        pytest.param("PUT", 204, True, id="4.4-PUT"),
        pytest.param("PATCH", 200, True, id="4.4-PATCH"),
        pytest.param("DELETE", 202, True, id="4.4-DELETE"),
        pytest.param("M-SEARCH", 200, True, id="4.4-unknown method"),
        pytest.param("get", 200, True, id="4.4-methods are case-sensitive"),
        pytest.param("POST", 303, True, id="4.4-redirection is no error"),
        pytest.param("POST", 299, True, id="4.4-unknown success"),
        pytest.param("POST", 400, False, id="4.4-client error"),
        pytest.param("POST", 500, False, id="4.4-server error"),
        pytest.param("POST", 101, False, id="4.4-not final"),
        pytest.param("GET", 200, False, id="4.4-GET"),
        pytest.param("HEAD", 200, False, id="4.4-HEAD"),
        pytest.param("OPTIONS", 200, False, id="4.4-OPTIONS"),
        pytest.param("TRACE", 200, False, id="4.4-TRACE"),
        pytest.param("PROPFIND", 207, False, id="4.4-registered as safe"),
        pytest.param("QUERY", 200, False, id="4.4-safe with content"),
    ],
)
def test_when_the_target_uri_is_invalidated(method: str, status: int, *, invalidates: bool) -> None:
    expected = (f"{ORIGIN}/a/b?c=1",) if invalidates else ()
    assert invalidated_uris(request(method), response(status)) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param("/x", "/x", id="4.4-absolute path"),
        pytest.param("x?y", "/a/x?y", id="4.4-relative path"),
        pytest.param("../x", "/x", id="4.4-dot segments"),
        pytest.param("?y", "/a/b?y", id="4.4-query only"),
        pytest.param("http://example.com/x", "/x", id="4.4-absolute"),
        pytest.param("http://EXAMPLE.com:80/x", "/x", id="4.4-same origin, spelled otherwise"),
        pytest.param("HTTP://example.com", "/", id="4.4-no path"),
        pytest.param("//example.com/x", "/x", id="4.4-network path"),
        pytest.param("/x#y", "/x", id="4.4-fragment"),
        pytest.param("/%7Ea/\xe9", "/%7Ea/\xe9", id="4.4-nothing is recoded"),
        pytest.param("https://example.com/x", None, id="4.4-other scheme"),
        pytest.param("http://example.com:8080/x", None, id="4.4-other port"),
        pytest.param("http://other.com/x", None, id="4.4-other host"),
        pytest.param("//other.com/x", None, id="4.4-network path elsewhere"),
        pytest.param("http://u@example.com/x", None, id="4.4-user information"),
        pytest.param("mailto:a@example.com", None, id="4.4-no hierarchy"),
        pytest.param("http://[/x", None, id="4.4-no URI"),
        pytest.param("/a/b?c=1", None, id="4.4-the target itself"),
        pytest.param("", None, id="4.4-empty is the target itself"),
    ],
)
@pytest.mark.parametrize("name", ["Location", "Content-Location"])
def test_references(name: str, reference: str, expected: str | None) -> None:
    uris = invalidated_uris(request(), response(201, (name, reference)))
    assert uris == (f"{ORIGIN}/a/b?c=1", *([] if expected is None else [ORIGIN + expected]))


def test_several_references_in_order_and_once() -> None:
    fields = [("Content-Location", "/y"), ("Location", "/x"), ("Location", "/y")]
    uris = invalidated_uris(request(target="/"), response(201, *fields))
    assert uris == (f"{ORIGIN}/", f"{ORIGIN}/x", f"{ORIGIN}/y")


def test_asterisk_names_no_resource() -> None:
    assert invalidated_uris(request("UNKNOWN", "*"), response(200, ("Location", "/x"))) == ()


@pytest.mark.parametrize(
    ("method", "target", "uris"),
    [
        pytest.param("PUT", "/a?b", (f"{ORIGIN}/a?b",), id="4.4-it may have succeeded"),
        pytest.param("GET", "/a?b", (), id="4.4-safe"),
        pytest.param("UNKNOWN", "*", (), id="4.4-no resource"),
    ],
)
def test_what_a_lost_answer_puts_in_doubt(method: str, target: str, uris: tuple[str, ...]) -> None:
    assert suspect_uris(request(method, target)) == uris


@given(st.text(st.characters(codec="latin-1")), st.integers(100, 999))
def test_any_reference_stays_within_the_origin(reference: str, status: int) -> None:
    uris = invalidated_uris(request(), response(status, ("Location", reference)))
    assert all(uri.startswith(f"{ORIGIN}/") for uri in uris)
