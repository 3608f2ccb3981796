import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.rfc9111.messages import Headers
from proxy.rfc9111.parts import (
    combine,
    completion_range,
    parse_content_range,
    part_of_body,
    with_part,
)
from proxy.rfc9111.stored import ByteRange
from tests.rfc9111.responses import STRONG_DATE, TWO_MINUTES_EARLIER, stored_response

TAGGED = stored_response({"ETag": '"a"'})


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


@given(st.text() | st.text("bytes -, 0123456789/*").map("bytes ".__add__))
def test_parsing_anything_never_raises(value: str) -> None:
    parse_content_range(value)


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


@pytest.mark.parametrize("name", ["Content-Digest", "Content-MD5"])
def test_rfc9530_2_a_digest_of_a_part_is_not_of_the_whole(name: str) -> None:
    stored = stored_response({"ETag": '"a"', name: "x"}, part=ANNOUNCED)
    assert dict(with_part(stored, None, 3).headers) == {"ETag": '"a"', "Content-Length": "3"}
