"""HTTP dates: RFC 9110 §5.6.7."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.dates import format_http_date, parse_http_date

NOV_6_1994 = 784_111_777.0
AUG_18_2050 = 2_544_400_878.0
MID_2025 = 1_750_000_000.0
MID_2099 = 4_085_000_000.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", NOV_6_1994, id="5.6.7-IMF-fixdate"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", NOV_6_1994, id="5.6.7-RFC 850"),
        pytest.param("Sun Nov  6 08:49:37 1994", NOV_6_1994, id="5.6.7-asctime"),
        pytest.param("Sun Nov 06 08:49:37 1994", NOV_6_1994, id="5.6.7-asctime, two digits"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, id="5.6.7-epoch"),
        pytest.param("Wed, 31 Dec 1969 23:59:59 GMT", -1.0, id="5.6.7-before the epoch"),
        pytest.param("Tue, 19 Jan 2038 14:14:08 GMT", 2_147_523_248.0, id="5.6.7-over 32 bits"),
        pytest.param("Sun, 21 Nov 2286 04:46:39 GMT", 10_000_039_599.0, id="5.6.7-far future"),
        pytest.param("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800.0, id="5.6.7-leap day"),
        pytest.param("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800.0, id="5.6.7-leap second"),
        pytest.param("THU, 18 Aug 2050 02:01:18 GMT", AUG_18_2050, id="5.6.7-case of the day"),
        pytest.param("Thu, 18 AUG 2050 02:01:18 GMT", AUG_18_2050, id="5.6.7-case of the month"),
        pytest.param("Thu, 18 Aug 2050 02:01:18 gMT", AUG_18_2050, id="5.6.7-case of the zone"),
        pytest.param("Mon, 18 Aug 2050 02:01:18 GMT", AUG_18_2050, id="5.6.7-another weekday"),
    ],
)
def test_a_valid_date_is_read(value: str, expected: float) -> None:
    assert parse_http_date(value, now=MID_2025) == expected


@pytest.mark.parametrize(
    ("value", "now", "expected"),
    [
        pytest.param(
            "Thursday, 18-Aug-50 02:01:18 GMT", MID_2025, AUG_18_2050, id="5.6.7-25 years ahead"
        ),
        pytest.param(
            "Sunday, 06-Nov-94 08:49:37 GMT", MID_2025, NOV_6_1994, id="5.6.7-69 years ahead"
        ),
        pytest.param(
            "Tuesday, 01-Jan-75 00:00:00 GMT",
            MID_2025,
            3_313_526_400.0,
            id="5.6.7-just under 50 years ahead",
        ),
        pytest.param(
            "Tuesday, 31-Dec-75 00:00:00 GMT",
            MID_2025,
            189_216_000.0,
            id="5.6.7-just over 50 years ahead",
        ),
        pytest.param(
            "Thursday, 01-Jan-05 00:00:00 GMT",
            MID_2099,
            4_260_211_200.0,
            id="5.6.7-over the turn of a century",
        ),
        pytest.param("Monday, 29-Feb-23 00:00:00 GMT", MID_2025, None, id="5.6.7-no such day"),
    ],
)
def test_two_digits_of_a_year_stay_within_fifty_years(
    value: str, now: float, expected: float | None
) -> None:
    assert parse_http_date(value, now=now) == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="5.6.7-empty"),
        pytest.param("0", id="5.3-zero"),
        pytest.param("-1", id="5.3-minus one"),
        pytest.param("Thu, 18 Aug 2050 02:01:18 UTC", id="5.6.7-UTC"),
        pytest.param("Thu, 18 Aug 2050 02:01:18 AEST", id="5.6.7-local zone"),
        pytest.param("Thu, 18 Aug 2050 02:01:18 +0000", id="5.6.7-numeric zone"),
        pytest.param("Thu, 18 Aug 2050 02:01:18", id="5.6.7-no zone"),
        pytest.param("Thu, 18 Aug 50 02:01:18 GMT", id="5.6.7-two-digit year"),
        pytest.param("Thu, 18 Aug 12050 02:01:18 GMT", id="5.6.7-five-digit year"),
        pytest.param("Thu, 18 Aug 0000 02:01:18 GMT", id="5.6.7-year zero"),
        pytest.param("Thu 18 Aug 2050 02:01:18 GMT", id="5.6.7-no comma"),
        pytest.param("Thu, 18  Aug  2050 02:01:18 GMT", id="5.6.7-two spaces"),
        pytest.param("Thu, 18-Aug-2050 02:01:18 GMT", id="5.6.7-dashes"),
        pytest.param("Thu, 18 Aug 2050 02.01.18 GMT", id="5.6.7-periods"),
        pytest.param("Thu, 18 Aug 2050 2:01:18 GMT", id="5.6.7-one-digit hour"),
        pytest.param("Thu, 8 Aug 2050 02:01:18 GMT", id="5.6.7-one-digit day"),
        pytest.param("Thu, 18 Aug 2050 24:00:00 GMT", id="5.6.7-hour 24"),
        pytest.param("Thu, 18 Aug 2050 02:60:18 GMT", id="5.6.7-minute 60"),
        pytest.param("Thu, 18 Aug 2050 02:01:61 GMT", id="5.6.7-second 61"),
        pytest.param("Wed, 31 Feb 2050 02:01:18 GMT", id="5.6.7-31 February"),
        pytest.param("Foo, 18 Aug 2050 02:01:18 GMT", id="5.6.7-no weekday"),
        pytest.param("Thu, 18 Fop 2050 02:01:18 GMT", id="5.6.7-no month"),
        pytest.param("Thu, 18 Aug ٢٠٥٠ 02:01:18 GMT", id="5.6.7-digits of another script"),
        pytest.param("Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT", id="5.6.7-2"),
    ],
)
def test_anything_else_is_no_date(value: str) -> None:
    assert parse_http_date(value, now=MID_2025) is None


def test_5_6_7_a_date_is_written_as_imf_fixdate() -> None:
    assert format_http_date(NOV_6_1994 + 0.9) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_http_date(-0.5) == "Wed, 31 Dec 1969 23:59:59 GMT"


def test_a_year_that_cannot_be_written_is_an_error() -> None:
    with pytest.raises(ValueError, match="year"):
        format_http_date(1e12)


LAST_SECOND = 253_402_300_799.0


def test_5_6_7_the_end_of_the_calendar_has_no_leap_second() -> None:
    end = parse_http_date("Fri, 31 Dec 9999 23:59:60 GMT", now=MID_2025)
    assert end == LAST_SECOND
    assert format_http_date(end) == "Fri, 31 Dec 9999 23:59:59 GMT"


@given(
    st.from_regex(r"(Sun|Mon)day, 0[0-9]-Nov-[0-9]{2} 08:49:37 GMT", fullmatch=True),
    st.integers(1, 9999),
    st.sampled_from(["01 Jan {:04} 00:00:00", "31 Dec {:04} 23:59:60"]),
)
def test_5_6_7_any_date_can_decide_the_century_of_another(value: str, year: int, day: str) -> None:
    now = parse_http_date(f"Mon, {day.format(year)} GMT", now=MID_2025)
    assert now is not None
    parse_http_date(value, now=now)


@given(st.integers(min_value=-60_000_000_000, max_value=253_402_300_799))
def test_what_is_written_reads_back(when: int) -> None:
    assert parse_http_date(format_http_date(when), now=MID_2025) == when


@given(st.text())
def test_parsing_never_raises(value: str) -> None:
    parse_http_date(value, now=MID_2025)


@given(st.from_regex(r"[A-Za-z]{3}, [0-9]{2} [A-Za-z]{3} [0-9]{4} [0-9:]{8} GMT", fullmatch=True))
def test_parsing_what_looks_like_a_date_never_raises(value: str) -> None:
    parse_http_date(value, now=MID_2025)
