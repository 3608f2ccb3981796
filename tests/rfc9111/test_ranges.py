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
    combine,
    completion_range,
    if_range_holds,
    multipart_body,
    parse_content_range,
    parse_range,
    part_of_body,
    partial_headers,
    select,
    unsatisfiable_headers,
    with_part,
)
from proxy.rfc9111.stored import ByteRange, Freshness, LifetimeSource, StoredResponse

NOW = 784_111_900.0
DATE = "Sun, 06 Nov 1994 08:51:37 GMT"
TWO_MINUTES_EARLIER = "Sun, 06 Nov 1994 08:49:37 GMT"
TEN_SECONDS_EARLIER = "Sun, 06 Nov 1994 08:51:27 GMT"
STRONG_DATE = {"Date": DATE, "Last-Modified": TWO_MINUTES_EARLIER}


def stored_response(
    headers: dict[str, str] | None = None, *, part: ByteRange | None = None, status: int = 200
) -> StoredResponse:
    return StoredResponse(
        status=status if part is None else 206,
        reason="OK",
        headers=CIMultiDict(headers or {}),
        request_time=NOW,
        freshness=Freshness(
            lifetime=60, source=LifetimeSource.MAX_AGE, initial_age=0, response_time=NOW
        ),
        variant=(),
        date=NOW,
        part=part,
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


@pytest.mark.parametrize(
    ("value", "part"),
    [
        pytest.param("bytes 0-4/10", ByteRange(0, 4, 10), id="14.4-part"),
        pytest.param("Bytes 9-9/10", ByteRange(9, 9, 10), id="14.1-unit names ignore case"),
        pytest.param("bytes 0-4/*", None, id="14.4-complete length unknown"),
        pytest.param("bytes */10", None, id="14.4-unsatisfied"),
        pytest.param("bytes 5-4/10", None, id="14.4-last before first"),
        pytest.param("bytes 0-10/10", None, id="14.4-last beyond the end"),
        pytest.param("bytes=0-4/10", None, id="14.4-equals sign"),
        pytest.param("bytes  0-4/10", None, id="14.4-two spaces"),
        pytest.param("items 0-4/10", None, id="14.4-unknown unit"),
        pytest.param("bytes 0-4/10, bytes 0-4/10", None, id="14.4-two lines"),
        pytest.param("bytes 0-٤/10", None, id="14.4-digits are ASCII"),
        pytest.param("bytes 0-4/1" + "0" * 5000, ByteRange(0, 4, 10**18), id="14.4-huge"),
    ],
)
def test_parse_content_range(value: str, part: ByteRange | None) -> None:
    assert parse_content_range(value) == part


@given(st.text() | st.text("bytes=-, 0123456789/*").map("bytes=".__add__))
def test_parsing_anything_never_raises(value: str) -> None:
    parse_range(value)
    parse_content_range(value)
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
    whole = with_part(stored_response(dict(described), part=ANNOUNCED), None, 3)
    assert dict(whole.headers) == kept


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


ANNOUNCED = ByteRange(4, 9, 10)


@pytest.mark.parametrize(
    ("part", "length", "content_length", "held"),
    [
        pytest.param(ANNOUNCED, 6, None, ANNOUNCED, id="14.4-as announced"),
        pytest.param(ANNOUNCED, 5, None, ByteRange(4, 8, 10), id="3.3-cut at the end"),
        pytest.param(ANNOUNCED, 5, "6", ByteRange(4, 8, 10), id="3.3-cut, and known to be"),
        pytest.param(ANNOUNCED, 5, "5", ByteRange(4, 8, 9), id="14.4-the end miscounted"),
        pytest.param(
            ByteRange(4, 8, 10), 4, "4", ByteRange(4, 7, 10), id="14.4-the middle miscounted"
        ),
        pytest.param(ANNOUNCED, 7, "7", None, id="14.4-more than announced"),
        pytest.param(ANNOUNCED, 0, "0", None, id="14.4-nothing at all"),
    ],
)
def test_part_of_body(
    part: ByteRange, length: int, content_length: str | None, held: ByteRange | None
) -> None:
    headers: Headers = CIMultiDict(
        {} if content_length is None else {"Content-Length": content_length}
    )
    assert part_of_body(part, length, headers) == held


@pytest.mark.parametrize(
    ("headers", "part", "asked"),
    [
        pytest.param(
            {"ETag": '"a"'}, ByteRange(0, 4, 10), ("bytes=5-", '"a"'), id="3.3-the rest is missing"
        ),
        pytest.param(
            {"ETag": '"a"'},
            ByteRange(4, 9, 10),
            ("bytes=0-3", '"a"'),
            id="3.3-the start is missing",
        ),
        pytest.param(
            STRONG_DATE,
            ByteRange(0, 4, 10),
            ("bytes=5-", TWO_MINUTES_EARLIER),
            id="8.8.2.2-strong date",
        ),
        pytest.param({"ETag": '"a"'}, ByteRange(4, 8, 10), None, id="3.3-both ends are missing"),
        pytest.param({"ETag": '"a"'}, None, None, id="3.3-nothing is missing"),
        pytest.param({}, ByteRange(0, 4, 10), ("bytes=5-", None), id="3.4-no validator"),
        pytest.param(
            {"ETag": 'W/"a"'}, ByteRange(0, 4, 10), ("bytes=5-", None), id="3.4-weak validator"
        ),
        pytest.param(
            STRONG_DATE | {"ETag": 'W/"a"'},
            ByteRange(0, 4, 10),
            ("bytes=5-", None),
            id="3.4-a weak tag disowns the date",
        ),
    ],
)
def test_completion_range(
    headers: dict[str, str], part: ByteRange | None, asked: tuple[str, str | None] | None
) -> None:
    assert completion_range(stored_response(headers, part=part)) == asked


BODY = b"0123456789"


def joined(  # what `combine` makes of BODY[first:last+1] and another slice of it
    held: tuple[int, int],
    new: tuple[int, int],
    *,
    headers: dict[str, str] | None = None,
    new_headers: dict[str, str] | None = None,
    new_body: bytes | None = None,
    new_length: int = 10,
) -> tuple[ByteRange | None, bytes] | None:
    validator = {"ETag": '"a"'} if headers is None else headers
    return combine(
        stored_response(validator, part=ByteRange(*held, 10)),
        BODY[held[0] : held[1] + 1],
        ByteRange(*new, new_length),
        CIMultiDict(validator if new_headers is None else new_headers),
        BODY[new[0] : new[1] + 1] if new_body is None else new_body,
    )


@pytest.mark.parametrize(
    ("held", "new", "part"),
    [
        pytest.param((0, 4), (5, 9), None, id="3.4-the rest"),
        pytest.param((5, 9), (0, 4), None, id="3.4-the start"),
        pytest.param((0, 6), (3, 9), None, id="3.4-overlapping"),
        pytest.param((0, 2), (3, 5), ByteRange(0, 5, 10), id="3.4-adjacent, not yet whole"),
        pytest.param((2, 6), (3, 4), ByteRange(2, 6, 10), id="3.4-nothing new"),
        pytest.param((3, 4), (2, 6), ByteRange(2, 6, 10), id="3.4-held within the new"),
        pytest.param((2, 3), (2, 6), ByteRange(2, 6, 10), id="3.4-the same start"),
    ],
)
def test_combine(held: tuple[int, int], new: tuple[int, int], part: ByteRange | None) -> None:
    combined = joined(held, new)
    assert combined is not None
    assert combined[0] == part
    assert combined[1] == (BODY if part is None else BODY[part.first : part.last + 1])


def test_3_4_a_strong_date_combines() -> None:
    assert joined((0, 4), (5, 9), headers=STRONG_DATE) == (None, BODY)


@pytest.mark.parametrize(
    "combined",
    [
        pytest.param(joined((0, 3), (5, 9)), id="3.4-a gap"),
        pytest.param(joined((0, 4), (5, 9), headers={}), id="3.4-no validator"),
        pytest.param(joined((0, 4), (5, 9), headers={"ETag": 'W/"a"'}), id="3.4-weak validator"),
        pytest.param(joined((0, 4), (5, 9), new_headers={"ETag": '"b"'}), id="3.4-other validator"),
        pytest.param(joined((0, 4), (5, 9), new_headers={}), id="3.4-validator gone"),
        pytest.param(joined((0, 4), (5, 9), new_length=11), id="3.4-other complete length"),
        pytest.param(joined((0, 4), (5, 9), new_body=b"567"), id="3.4-fewer bytes than announced"),
        pytest.param(joined((0, 6), (5, 9), new_body=b"5x789"), id="3.4-other bytes in common"),
        pytest.param(
            combine(TAGGED, BODY, ByteRange(5, 9, 10), TAGGED.headers, BODY[5:]),
            id="3.4-nothing to complete",
        ),
        pytest.param(
            combine(
                stored_response({"ETag": '"a"'}, part=ByteRange(0, 4, 10)),
                b"0123",
                ByteRange(5, 9, 10),
                TAGGED.headers,
                BODY[5:],
            ),
            id="3.4-held bytes are not what the head says",
        ),
    ],
)
def test_parts_that_must_not_be_combined(
    combined: tuple[ByteRange | None, bytes] | None,
) -> None:
    assert combined is None


@given(st.data(), st.binary(min_size=2, max_size=40))
def test_parts_that_cover_a_body_make_that_body(data: st.DataObject, body: bytes) -> None:
    length = len(body)
    start = data.draw(st.integers(1, length - 1))
    end = data.draw(st.integers(start - 1, length - 2))
    head, tail = ByteRange(0, end, length), ByteRange(start, length - 1, length)
    held, new = data.draw(st.permutations([head, tail]))
    validator = {"ETag": '"a"'}
    combined = combine(
        stored_response(validator, part=held),
        body[held.first : held.last + 1],
        new,
        CIMultiDict(validator),
        body[new.first : new.last + 1],
    )
    assert combined == (None, body)


def test_3_4_the_head_of_a_completed_response_is_a_200() -> None:
    stored = stored_response({"ETag": '"a"', "Content-Range": "bytes 5-9/10"}, part=ANNOUNCED)
    whole = with_part(stored, None, 10)
    assert (whole.status, whole.reason, whole.part) == (200, "OK", None)
    assert whole.headers == CIMultiDict({"ETag": '"a"', "Content-Length": "10"})


def test_3_4_the_head_of_a_larger_part_says_which() -> None:
    part = ByteRange(0, 6, 10)
    stored = stored_response({"Content-Range": "bytes 5-6/10"}, part=ByteRange(5, 6, 10))
    larger = with_part(stored, part, 7)
    assert (larger.status, larger.part) == (206, part)
    assert larger.headers == CIMultiDict({"Content-Length": "7", "Content-Range": "bytes 0-6/10"})
    assert stored.headers["Content-Range"] == "bytes 5-6/10"
