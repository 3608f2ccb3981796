import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.dates import format_http_date
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.preconditions import NotModified, Proceed, evaluate, not_modified_headers
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse, packed

NOW = 1_800_000_000.0
FRESHNESS = Freshness(lifetime=60, source=LifetimeSource.MAX_AGE, initial_age=0, response_time=NOW)


def at(seconds: float) -> str:
    """The HTTP-date that many seconds from now."""
    return format_http_date(NOW + seconds)


def stored(status: int = 200, **fields: str) -> StoredResponse:
    return StoredResponse(
        status=status,
        reason="",
        **packed(Headers((name.replace("_", "-"), value) for name, value in fields.items())),
        request_time=NOW,
        freshness=FRESHNESS,
        variant=(),
        date=NOW,
    )


@pytest.mark.parametrize(
    ("etag", "lines", "current"),
    [
        pytest.param('"a"', ['"a"'], True, id="13.1.2-strong"),
        pytest.param('W/"a"', ['W/"a"'], True, id="13.1.2-weak"),
        pytest.param('"a"', ['W/"a"'], True, id="13.1.2-weak comparison"),
        pytest.param('"a"', ['"b", "a", "c"'], True, id="13.1.2-list"),
        pytest.param('"a"', ['"b"', '"a"'], True, id="13.1.2-lines"),
        pytest.param('"a"', ["*"], True, id="13.1.2-any"),
        pytest.param('"a"', ['"b"'], False, id="13.1.2-other"),
        pytest.param('"a"', [""], False, id="13.1.2-empty"),
        pytest.param('"a"', ["a"], False, id="13.1.2-unquoted against quoted"),
        pytest.param("a", ['"a"'], False, id="13.1.2-quoted against unquoted"),
        pytest.param("a", ["a"], True, id="13.1.2-unquoted, the same text"),
        pytest.param(None, ['"a"'], False, id="13.1.2-no ETag"),
        pytest.param(None, ["*"], True, id="13.1.2-any without ETag"),
    ],
)
def test_if_none_match(etag: str | None, lines: list[str], *, current: bool) -> None:
    response = stored() if etag is None else stored(ETag=etag)
    request = Headers([("If-None-Match", line) for line in lines])
    expected = NotModified() if current else Proceed()
    assert evaluate(request, response, now=NOW) == expected


@pytest.mark.parametrize(
    ("modified", "since", "current"),
    [
        pytest.param(at(-3000), at(-3000), True, id="13.1.3-same date"),
        pytest.param(at(-3000), at(-2000), True, id="13.1.3-later date"),
        pytest.param(at(-3000), at(-3001), False, id="13.1.3-earlier date"),
        pytest.param(
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            True,
            id="5.6.7-other format",
        ),
        pytest.param(at(-3000), "yesterday", False, id="13.1.3-no date is ignored"),
        pytest.param(at(-3000), f"{at(0)}, {at(0)}", False, id="13.1.3-two dates are ignored"),
        pytest.param(None, at(0), True, id="4.3.2-Date for Last-Modified"),
        pytest.param(None, at(-1), False, id="4.3.2-before Date"),
        pytest.param("never", at(0), True, id="4.3.2-Date for an invalid Last-Modified"),
    ],
)
def test_if_modified_since(modified: str | None, since: str, *, current: bool) -> None:
    response = stored() if modified is None else stored(Last_Modified=modified)
    expected = NotModified() if current else Proceed()
    assert evaluate(Headers({"If-Modified-Since": since}), response, now=NOW) == expected


@pytest.mark.parametrize(
    ("tag", "since", "expected"),
    [
        pytest.param('"a"', at(-5000), NotModified(), id="13.2.2-matching tag, earlier date"),
        pytest.param('"b"', at(0), Proceed(), id="13.2.2-other tag, later date"),
    ],
)
def test_if_none_match_goes_first(tag: str, since: str, expected: Proceed | NotModified) -> None:
    request = Headers({"If-None-Match": tag, "If-Modified-Since": since})
    assert evaluate(request, stored(ETag='"a"', Last_Modified=at(-99)), now=NOW) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(200, NotModified(), id="4.3.2-200"),
        pytest.param(206, NotModified(), id="4.3.2-206"),
        pytest.param(404, Proceed(), id="13.2.1-an error stays an error"),
        pytest.param(301, Proceed(), id="13.2.1-a redirection stays one"),
    ],
)
def test_status(status: int, expected: Proceed | NotModified) -> None:
    request = Headers({"If-None-Match": '"a"'})
    assert evaluate(request, stored(status, ETag='"a"'), now=NOW) == expected


def test_without_conditions() -> None:
    assert evaluate(Headers(), stored(ETag='"a"'), now=NOW) == Proceed()


def test_fields_of_a_304() -> None:
    fields = [
        ("Content-Type", "a/b"),
        ("Content-Length", "9"),
        ("content-encoding", "gzip"),
        ("Content-Location", "/x"),
        ("Date", at(0)),
        ("ETag", '"a"'),
        ("Last-Modified", at(-9)),
        ("Vary", "A"),
        ("Vary", "B"),
        ("Cache-Control", "max-age=60"),
        ("Access-Control-Allow-Origin", "*"),
    ]
    kept = [name for name, _ in not_modified_headers(Headers(fields)).items()]
    assert kept == [
        "Content-Location",
        "Date",
        "ETag",
        "Vary",
        "Vary",
        "Cache-Control",
        "Access-Control-Allow-Origin",
    ]


def test_last_modified_guides_caches_without_etag() -> None:
    fields = Headers({"Last-Modified": at(-9), "Content-Type": "a/b"})
    assert list(not_modified_headers(fields).items()) == [("Last-Modified", at(-9))]


ANYTHING = st.text(st.characters(codec="latin-1"))


@given(ANYTHING, ANYTHING, ANYTHING)
def test_anything_is_judged_without_error(tag: str, since: str, stored_tag: str) -> None:
    request = Headers({"If-None-Match": tag, "If-Modified-Since": since})
    evaluate(request, stored(ETag=stored_tag, Last_Modified=stored_tag), now=NOW)
    del request["If-None-Match"]
    evaluate(request, stored(Last_Modified=stored_tag), now=NOW)
