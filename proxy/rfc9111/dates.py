"""HTTP dates in their three formats (RFC 9110 §5.6.7), strict in grammar, easy on case.

An expired page must not come to life because its date was guessed at: everything but the three
formats is no date at all. Letter case is the one liberty taken; the name of the weekday must be a
weekday, but need not be the right one.
"""

import re
from datetime import UTC, date, datetime
from email.utils import format_datetime
from functools import lru_cache
from math import floor

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NUMBER = {name: number for number, name in enumerate(_MONTHS, 1)}
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_DAY_NAME = "(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY_NAME = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_TIME = r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_DAY = r"(?P<day>[0-9]{2})"
_YEAR = r"(?P<year>[0-9]{4})"

_FIXDATE = re.compile(
    rf"{_DAY_NAME}, {_DAY} {_MONTH} {_YEAR} {_TIME} GMT", re.ASCII | re.IGNORECASE
)
_FIXDATE_LENGTH = 29
"""Characters. The other formats are never as long."""
_OBSOLETE_FORMATS = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"{_LONG_DAY_NAME}, {_DAY}-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"{_DAY_NAME} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} {_YEAR}",
    )
)
_TWO_DIGITS = 2

_EPOCH = date(1970, 1, 1).toordinal()
_DAY_SECONDS = 86_400
_FIFTY_YEARS = 50 * 31_556_952
"""Seconds in 50 mean Gregorian years."""

_END = 253_402_300_799
"""The last second of the year 9999, behind which datetime knows no other."""


def parse_http_date(value: str, *, now: float) -> float | None:
    """POSIX seconds of an HTTP-date, None when it is not one (RFC 9110 §5.6.7).

    Args:
        value: The field value.
        now: Decides the century of the two-digit years of RFC 850.
    """
    if len(value) == _FIXDATE_LENGTH:
        return _parse_fixdate(value)
    for pattern in _OBSOLETE_FORMATS:
        if match := pattern.fullmatch(value):
            return _from_fields(match, now)
    return None


def format_http_date(when: float) -> str:
    """The IMF-fixdate of `when`, fractions of a second cut off.

    Raises:
        ValueError: `when` lies outside the years 1 to 9999.
    """
    return format_datetime(datetime.fromtimestamp(floor(when), UTC), usegmt=True)


@lru_cache(maxsize=1024)
def _parse_fixdate(value: str) -> float | None:
    """Remembered: all that an origin sends within a second bears one Date."""
    match = _FIXDATE.fullmatch(value)
    return None if match is None else _timestamp(int(match["year"]), match)


def _from_fields(fields: re.Match[str], now: float) -> float | None:
    if len(fields["year"]) == _TWO_DIGITS:
        return _nearest_century(fields, now)
    return _timestamp(int(fields["year"]), fields)


def _nearest_century(fields: re.Match[str], now: float) -> float | None:
    """The latest year with these two digits that is at most 50 years ahead of `now`."""
    horizon = datetime.fromtimestamp(now, UTC).year + 50
    year = horizon - (horizon - int(fields["year"])) % 100
    when = _timestamp(year, fields)
    if when is not None and when > now + _FIFTY_YEARS:
        when = _timestamp(year - 100, fields)
    return when


def _timestamp(year: int, fields: re.Match[str]) -> float | None:
    """A leap second counts as the second after it, as POSIX time has it, if there is one."""
    try:
        day = date(year, _MONTH_NUMBER[fields["month"].lower()], int(fields["day"]))
    except ValueError:  # 31 February, year 0
        return None
    clock = int(fields["hour"]) * 3600 + int(fields["minute"]) * 60 + int(fields["second"])
    return float(min((day.toordinal() - _EPOCH) * _DAY_SECONDS + clock, _END))
