from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.ranges import (
    MAX_RANGES,
    IntRange,
    NotHeld,
    Parts,
    RangeSelection,
    RangeSpec,
    SuffixRange,
    Unsatisfiable,
    Whole,
    if_range_holds,
    multipart_body,
    parse_range,
    partial_headers,
    select,
    unsatisfiable_headers,
)
from proxy.rfc9111.stored import ByteRange, StoredResponse
from tests.rfc9111.responses import (
    DATE,
    NOW,
    STRONG_DATE,
    TEN_SECONDS_EARLIER,
    TWO_MINUTES_EARLIER,
    stored_response,
)


def request(method: str = "GET", **fields: str) -> Request:
    headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
    return Request(method, "http", "example.com", "/", headers)


def selected(
    stored: StoredResponse, held_length: int, method: str = "GET", **fields: str
) -> RangeSelection:
    return select(request(method, **fields), stored, held_length, now=NOW)


@pytest.mark.parametrize(
    ("value", "specs"),
    [
        pytest.param("bytes=0-4", (IntRange(0, 4),), id="14.1.2-int-range"),
        pytest.param("bytes=4-", (IntRange(4, None),), id="14.1.2-open int-range"),
        pytest.param("bytes=-4", (SuffixRange(4),), id="14.1.2-suffix-range"),
        pytest.param("bytes=-0", (SuffixRange(0),), id="14.1.2-suffix of nothing is valid"),
        pytest.param("BYTES=0-0", (IntRange(0, 0),), id="14.1-unit names ignore case"),
        pytest.param("bytes=007-0010", (IntRange(7, 10),), id="14.1.1-leading zeros"),
        pytest.param(
            "bytes=0-0, 2-\t,-1", (IntRange(0, 0), IntRange(2, None), SuffixRange(1)), id="14.2-set"
        ),
        pytest.param("bytes=,0-0, ,", (IntRange(0, 0),), id="5.6.1.2-empty list members"),
        pytest.param("bytes=9" + "9" * 5000 + "-", (IntRange(10**18, None),), id="14.1.1-huge"),
        pytest.param("bytes=" + "0" * 5000 + "7-", (IntRange(7, None),), id="14.1.1-many zeros"),
        pytest.param("", None, id="14.2-empty"),
        pytest.param("bytes", None, id="14.2-no equals sign"),
        pytest.param("bytes=", None, id="14.2-no range"),
        pytest.param("bytes=,", None, id="14.2-only a comma"),
        pytest.param("items=0-4", None, id="14.2-unknown unit"),
        pytest.param("bytes =0-4", None, id="14.2-white space before the equals sign"),
        pytest.param("bytes=-", None, id="14.1.1-no position"),
        pytest.param("bytes=5", None, id="14.1.1-no hyphen"),
        pytest.param("bytes=5-4", None, id="14.1.1-last before first"),
        pytest.param("bytes=0-1,5-4", None, id="14.1.1-one invalid range spoils the set"),
        pytest.param("bytes=0 - 4", None, id="14.1.1-white space inside"),
        pytest.param("bytes=+0-4", None, id="14.1.1-sign"),
        pytest.param("bytes=--4", None, id="14.1.1-two hyphens"),
        pytest.param("bytes=1_0-", None, id="14.1.1-underscore"),
        pytest.param("bytes=٣-", None, id="14.1.1-digits are ASCII"),
        pytest.param("bytes=0-4\n", None, id="14.1.1-newline"),
        pytest.param("bytes=0-1, bytes=3-4", None, id="5.3-two lines are no list of ranges"),
        pytest.param(
            "bytes=" + ",".join(["0-0"] * MAX_RANGES),
            (IntRange(0, 0),) * MAX_RANGES,
            id="14.2-as many as allowed",
        ),
        pytest.param(
            "bytes=" + ",".join(["0-0"] * (MAX_RANGES + 1)), None, id="14.2-more than allowed"
        ),
    ],
)
def test_parse_range(value: str, specs: tuple[RangeSpec, ...] | None) -> None:
    assert parse_range(value) == specs


@given(st.text() | st.text("bytes=-, 0123456789/*").map("bytes=".__add__))
def test_parsing_anything_never_raises(value: str) -> None:
    parse_range(value)
    select(request(Range=value, If_Range=value), stored_response(STRONG_DATE), 10, now=NOW)


@pytest.mark.parametrize(
    ("wanted", "stored", "holds"),
    [
        pytest.param(None, {}, True, id="13.1.5-absent"),
        pytest.param('"a"', {"ETag": '"a"'}, True, id="13.1.5-same strong tag"),
        pytest.param('"b"', {"ETag": '"a"'}, False, id="13.1.5-other tag"),
        pytest.param('W/"a"', {"ETag": 'W/"a"'}, False, id="13.1.5-weak tags"),
        pytest.param('"a"', {"ETag": 'W/"a"'}, False, id="13.1.5-weak stored tag"),
        pytest.param('"a"', {}, False, id="13.1.5-nothing to compare with"),
        pytest.param(TWO_MINUTES_EARLIER, STRONG_DATE, True, id="8.8.2.2-date long before Date"),
        pytest.param(
            "Sunday, 06-Nov-94 08:49:37 GMT", STRONG_DATE, True, id="5.6.7-the same in RFC 850"
        ),
        pytest.param(
            TWO_MINUTES_EARLIER, STRONG_DATE | {"ETag": '"a"'}, True, id="13.1.5-date beside a tag"
        ),
        pytest.param(DATE, STRONG_DATE, False, id="13.1.5-later date is no exact match"),
        pytest.param("yesterday", STRONG_DATE, False, id="13.1.5-neither tag nor date"),
        pytest.param(
            TEN_SECONDS_EARLIER,
            {"Date": DATE, "Last-Modified": TEN_SECONDS_EARLIER},
            False,
            id="8.8.2.2-date too near to Date",
        ),
        pytest.param(
            TWO_MINUTES_EARLIER,
            {"Last-Modified": TWO_MINUTES_EARLIER},
            False,
            id="8.8.2.2-no Date to tell",
        ),
        pytest.param(
            "then", {"Date": DATE, "Last-Modified": "then"}, False, id="8.8.2.2-no valid date"
        ),
        pytest.param(
            TWO_MINUTES_EARLIER,
            {"Date": "now", "Last-Modified": TWO_MINUTES_EARLIER},
            False,
            id="8.8.2.2-no valid Date",
        ),
    ],
)
def test_if_range(wanted: str | None, stored: dict[str, str], *, holds: bool) -> None:
    asked = CIMultiDict({} if wanted is None else {"If-Range": wanted})
    assert if_range_holds(asked, CIMultiDict(stored), now=NOW) is holds


TEN = stored_response()
TAGGED = stored_response({"ETag": '"a"'})
CODED = stored_response({"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("stored", "fields", "selection"),
    [
        pytest.param(TEN, {}, Whole(), id="14.2-no Range"),
        pytest.param(TEN, {"Range": "bytes=0-4"}, Parts(((0, 4),), 10), id="14.1.2-first bytes"),
        pytest.param(TEN, {"Range": "bytes=9-"}, Parts(((9, 9),), 10), id="14.1.2-open"),
        pytest.param(TEN, {"Range": "bytes=5-99"}, Parts(((5, 9),), 10), id="14.1.2-past the end"),
        pytest.param(TEN, {"Range": "bytes=-1"}, Parts(((9, 9),), 10), id="14.1.2-suffix"),
        pytest.param(TEN, {"Range": "bytes=-99"}, Parts(((0, 9),), 10), id="14.1.2-long suffix"),
        pytest.param(TEN, {"Range": "bytes=10-"}, Unsatisfiable(10), id="14.1.2-beyond the end"),
        pytest.param(TEN, {"Range": "bytes=-0"}, Unsatisfiable(10), id="14.1.2-empty suffix"),
        pytest.param(TEN, {"Range": "bytes=x"}, Whole(), id="14.2-malformed"),
        pytest.param(
            TEN, {"Range": "bytes=8-9,0-1"}, Parts(((8, 9), (0, 1)), 10), id="14.2-order as asked"
        ),
        pytest.param(
            TEN, {"Range": "bytes=99-,0-1"}, Parts(((0, 1),), 10), id="14.1.2-one satisfiable"
        ),
        pytest.param(
            TEN,
            {"Range": "bytes=7-9,0-3,2-4"},
            Parts(((7, 9), (0, 4)), 10),
            id="15.3.7.2-two overlap",
        ),
        pytest.param(
            TEN, {"Range": "bytes=0-9,2-4"}, Parts(((0, 9),), 10), id="15.3.7.2-one inside another"
        ),
        pytest.param(
            TEN, {"Range": "bytes=2-3,4-5,0-1"}, Parts(((0, 5),), 10), id="15.3.7.2-adjacent"
        ),
        pytest.param(TEN, {"Range": "bytes=0-,0-,0-"}, Whole(), id="14.2-three overlap"),
        pytest.param(TEN, {"Range": "bytes=0-2,1-3,6-8,7-9"}, Whole(), id="14.2-two pairs overlap"),
        pytest.param(
            TAGGED,
            {"Range": "bytes=0-4", "If-Range": '"a"'},
            Parts(((0, 4),), 10),
            id="13.1.5-If-Range true",
        ),
        pytest.param(
            TAGGED, {"Range": "bytes=0-4", "If-Range": '"b"'}, Whole(), id="13.1.5-If-Range false"
        ),
        pytest.param(TAGGED, {"If-Range": '"b"'}, Whole(), id="13.1.5-If-Range without Range"),
        pytest.param(
            CODED, {"Range": "bytes=0-4"}, Parts(((0, 4),), 10), id="15.3.7-content coding, one"
        ),
        pytest.param(
            CODED, {"Range": "bytes=0-1,8-9"}, Whole(), id="15.3.7.2-content coding, several"
        ),
        pytest.param(
            stored_response(status=404), {"Range": "bytes=0-4"}, Whole(), id="14.2-only in a 200"
        ),
    ],
)
def test_select_from_a_whole(
    stored: StoredResponse, fields: dict[str, str], selection: RangeSelection
) -> None:
    assert selected(stored, 10, **fields) == selection


@pytest.mark.parametrize("method", ["HEAD", "POST", "get"])
def test_14_2_range_is_for_get_only(method: str) -> None:
    assert selected(TEN, 10, method, Range="bytes=0-4") == Whole()
    part = stored_response(part=ByteRange(0, 4, 10))
    assert selected(part, 5, method, Range="bytes=0-4") == NotHeld()


@pytest.mark.parametrize(
    ("value", "selection"),
    [
        pytest.param("bytes=0-", Unsatisfiable(0), id="14.1.2-no first byte"),
        pytest.param("bytes=-5", Whole(), id="14.1.2-any suffix is all of nothing"),
        pytest.param("bytes=-5,-3,0-", Whole(), id="14.1.2-several"),
        pytest.param("bytes=-0", Unsatisfiable(0), id="14.1.2-empty suffix"),
    ],
)
def test_an_empty_representation(value: str, selection: RangeSelection) -> None:
    assert selected(TEN, 0, Range=value) == selection


@pytest.mark.parametrize(
    ("fields", "selection"),
    [
        pytest.param({}, NotHeld(), id="3.3-no Range"),
        pytest.param({"Range": "bytes=4-8"}, Parts(((4, 8),), 10), id="3.3-all that is held"),
        pytest.param({"Range": "bytes=5-6"}, Parts(((5, 6),), 10), id="3.3-within"),
        pytest.param({"Range": "bytes=3-8"}, NotHeld(), id="3.3-begins before"),
        pytest.param({"Range": "bytes=4-9"}, NotHeld(), id="3.3-ends after"),
        pytest.param({"Range": "bytes=5-5,9-"}, NotHeld(), id="3.3-one of two"),
        pytest.param({"Range": "bytes=4-4,6-6"}, Parts(((4, 4), (6, 6)), 10), id="3.3-two"),
        pytest.param({"Range": "bytes=10-"}, Unsatisfiable(10), id="3.3-beyond the end"),
        pytest.param({"Range": "bytes=5-,6-,7-"}, NotHeld(), id="14.2-three overlap"),
        pytest.param({"Range": "x"}, NotHeld(), id="14.2-malformed"),
        pytest.param({"Range": "bytes=5-6", "If-Range": '"b"'}, NotHeld(), id="13.1.5-false"),
    ],
)
def test_select_from_a_part(fields: dict[str, str], selection: RangeSelection) -> None:
    part = stored_response({"ETag": '"a"'}, part=ByteRange(4, 8, 10))
    assert selected(part, 5, **fields) == selection


@pytest.mark.parametrize(
    ("value", "selection"),
    [
        pytest.param("bytes=-1", Parts(((9, 9),), 10), id="3.3-suffix"),
        pytest.param("bytes=6-", Parts(((6, 9),), 10), id="3.3-open"),
        pytest.param("bytes=-7", NotHeld(), id="3.3-longer suffix than held"),
    ],
)
def test_select_from_a_part_at_the_end(value: str, selection: RangeSelection) -> None:
    assert selected(stored_response(part=ByteRange(4, 9, 10)), 6, Range=value) == selection


def test_a_part_that_is_not_what_its_head_says_holds_nothing() -> None:
    part = stored_response(part=ByteRange(4, 8, 10))
    assert selected(part, 4, Range="bytes=4-4") == NotHeld()


range_specs = st.one_of(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda p: f"{min(p)}-{max(p)}"),
    st.integers(0, 40).map(lambda first: f"{first}-"),
    st.integers(0, 40).map(lambda suffix: f"-{suffix}"),
)


def bytes_named(spec: str, body: bytes) -> set[int]:
    """By Python's slicing, which forgives positions past the end as §14.1.2 does."""
    first, _, last = spec.partition("-")
    positions = range(len(body))
    if not first:
        return set(positions[-int(last) :]) if int(last) else set()
    return set(positions[int(first) : int(last) + 1] if last else positions[int(first) :])


@given(st.binary(min_size=1, max_size=30), range_specs)
def test_one_range_is_what_slicing_gives(body: bytes, spec: str) -> None:
    named = bytes_named(spec, body)
    match selected(TEN, len(body), Range=f"bytes={spec}"):
        case Parts(parts=((first, last),), complete_length=length):
            assert set(range(first, last + 1)) == named
            assert length == len(body)
        case other:
            assert other == Unsatisfiable(len(body))
            assert not named


@given(st.binary(min_size=1, max_size=30), st.lists(range_specs, min_size=1, max_size=5))
def test_several_ranges_are_sent_once_each_and_completely(body: bytes, specs: list[str]) -> None:
    named = set().union(*(bytes_named(spec, body) for spec in specs))
    match selected(TEN, len(body), Range="bytes=" + ",".join(specs)):
        case Parts(parts=parts):
            sent = [position for first, last in parts for position in range(first, last + 1)]
            assert len(sent) == len(set(sent))
            assert set(sent) == named
        case Unsatisfiable():
            assert not named
        case other:
            assert other == Whole()  # more than two overlap
            assert len(specs) > 2


STORED_HEADERS: Headers = CIMultiDict(
    {
        "Date": DATE,
        "ETag": '"a"',
        "Content-Type": "text/plain",
        "Content-Length": "10",
        "Content-Range": "made up",
        "Cache-Control": "max-age=60",
        "CDN-Cache-Control": "max-age=60",
        "Vary": "Accept",
        "Set-Cookie": "a=b",
    }
)


def test_15_3_7_headers_of_one_part() -> None:
    headers = partial_headers(STORED_HEADERS, Parts(((2, 4),), 10), "unused", 3)
    changed = {"Content-Length": "3", "Content-Range": "bytes 2-4/10"}
    assert dict(headers) == dict(STORED_HEADERS) | changed
    assert STORED_HEADERS["Content-Length"] == "10"


def test_15_3_7_2_headers_of_several_parts() -> None:
    headers = partial_headers(STORED_HEADERS, Parts(((0, 0), (9, 9)), 10), "xyz", 150)
    assert headers["Content-Type"] == "multipart/byteranges; boundary=xyz"
    assert headers["Content-Length"] == "150"
    assert "Content-Range" not in headers


@pytest.mark.parametrize("name", ["Content-Digest", "Content-MD5"])
def test_rfc9530_2_a_digest_of_the_content_is_not_of_a_part(name: str) -> None:
    described = CIMultiDict({name: "x", "Repr-Digest": "y"})
    kept = {"Repr-Digest": "y", "Content-Length": "3"}
    part = partial_headers(described, Parts(((2, 4),), 10), "unused", 3)
    assert dict(part) == kept | {"Content-Range": "bytes 2-4/10"}


def test_15_5_17_headers_of_a_416_describe_no_content_and_invite_no_reuse() -> None:
    headers = unsatisfiable_headers(STORED_HEADERS, Unsatisfiable(10))
    assert headers == CIMultiDict(
        {"Date": DATE, "Vary": "Accept", "Set-Cookie": "a=b", "Content-Range": "bytes */10"}
    )


@pytest.mark.parametrize("offset", [0, 100])
@pytest.mark.parametrize("media_type", ["text/plain", None])
def test_14_6_a_multipart_body_reads_back(offset: int, media_type: str | None) -> None:
    headers: Headers = CIMultiDict({} if media_type is None else {"Content-Type": media_type})
    selection = Parts(((offset + 7, offset + 9), (offset, offset + 1)), 1000)
    body = multipart_body(headers, b"0123456789", offset, selection, "xyz")
    sent = partial_headers(headers, selection, "xyz", len(body))
    head = f"Content-Type: {sent['Content-Type']}\r\n\r\n".encode()
    message = message_from_bytes(head + body, _class=EmailMessage, policy=policy.HTTP)
    parts = list(message.iter_parts())
    assert [part.get_payload(decode=True) for part in parts] == [b"789", b"01"]
    assert [part["Content-Type"] for part in parts] == [media_type] * 2
    assert [part["Content-Range"] for part in parts] == [
        f"bytes {offset + 7}-{offset + 9}/1000",
        f"bytes {offset}-{offset + 1}/1000",
    ]
    assert not message.defects
