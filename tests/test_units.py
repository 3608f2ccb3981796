"""Durations and sizes: what is read, what is refused, and that writing one reads back."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.problems import Refused
from proxy.units import (
    LARGEST,
    LONGEST,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("00", 0),
        ("0s", 0),
        ("250ms", 0.25),
        ("30s", 30),
        ("30 s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("0.1s", 0.1),
        ("1d", 86_400),
        ("2w", 1_209_600),
        ("1d2h3m4s5ms", 93_784.005),
        (f"{LONGEST}s", LONGEST),
    ],
)
def test_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        ("30", "a duration needs a unit", "write 30s"),
        ("1.5", "a duration needs a unit", "write 1.5s"),
        ("30 sec", "'sec' is not a unit of time", "write 30s"),
        ("5Minutes", "'Minutes' is not a unit of time", "write 5m"),
        ("30S", "'S' is not a unit of time", "write 30s"),
        ("2 hrs", "'hrs' is not a unit of time", "write 2h"),
        ("soon", "'soon' is not a duration", "write 250ms, 30s, 5m, 1h30m or 1d, say"),
        ("-5s", "'-5s' is not a duration", "write 250ms, 30s, 5m, 1h30m or 1d, say"),
        ("+5s", "'+5s' is not a duration", "write 250ms, 30s, 5m, 1h30m or 1d, say"),
        ("1_0s", "'1_0s' is not a duration", "write 250ms, 30s, 5m, 1h30m or 1d, say"),
        ("٣s", "'٣s' is not a duration", "write 250ms, 30s, 5m, 1h30m or 1d, say"),
        ("5s\n", "'5s\\n' is not a duration", "write 250ms, 30s, 5m, 1h30m or 1d, say"),
        ("", "'' is not a duration", "write 250ms, 30s, 5m, 1h30m or 1d, say"),
        (
            "30m1h",
            "'30m1h' must name each unit once, the longest first",
            "write 1h30m, say",
        ),
        ("1s1s", "'1s1s' must name each unit once, the longest first", "write 1h30m, say"),
        (
            "9999999d",
            "'9999999d' is too long",
            "write at most 2147483647s (68 years)",
        ),
    ],
)
def test_duration_is_refused(text: str, message: str, suggestion: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_duration(text)
    assert (caught.value.message, caught.value.suggestion) == (message, suggestion)


@given(st.integers(0, LONGEST * 1000))
def test_duration_reads_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (60, "1m"), (90, "1m30s"), (86_400, "1d"), (90_061, "1d1h1m1s")],
)
def test_duration_is_written(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512B", 512),
        ("256MiB", 256 * 2**20),
        ("256mib", 256 * 2**20),
        ("4 MB", 4_000_000),
        ("1kB", 1000),
        ("1KB", 1000),
        ("1.5GiB", 1_610_612_736),
        ("1024TiB", LARGEST),
    ],
)
def test_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        ("4096", "a size needs a unit", "write 4096B, 4096KiB or 4096MiB"),
        ("64k", "'k' is not a unit of size", "write 64KiB (units of 1024)"),
        ("1 G", "'G' is not a unit of size", "write 1GiB (units of 1024)"),
        ("5 apples", "'5 apples' is not a size", "write 512B, 64KiB, 4MB or 1GiB, say"),
        ("-1MiB", "'-1MiB' is not a size", "write 512B, 64KiB, 4MB or 1GiB, say"),
        ("big", "'big' is not a size", "write 512B, 64KiB, 4MB or 1GiB, say"),
        ("0.3B", "'0.3B' is not a whole number of bytes", None),
        ("1025TiB", "'1025TiB' is too large", "write at most 1024TiB"),
    ],
)
def test_size_is_refused(text: str, message: str, suggestion: str | None) -> None:
    with pytest.raises(Refused) as caught:
        parse_size(text)
    assert (caught.value.message, caught.value.suggestion) == (message, suggestion)


@given(st.integers(0, LARGEST))
def test_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_duration, parse_size):
        with suppress(Refused):
            assert parse(text) >= 0
