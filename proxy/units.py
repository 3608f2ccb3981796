"""Durations and sizes: a number with a unit, because a bare 30 hides whether it is s or ms."""

import re
from decimal import Decimal

from proxy.problems import Refused, quoted

_SECONDS = {"ms": "0.001", "s": "1", "m": "60", "h": "3600", "d": "86400", "w": "604800"}
_SPELLED = {
    "msec": "ms",
    "millisecond": "ms",
    "sec": "s",
    "second": "s",
    "min": "m",
    "minute": "m",
    "hr": "h",
    "hour": "h",
    "day": "d",
    "week": "w",
}
_BYTES = {
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_LOWER_BYTES = {unit.lower(): unit for unit in _BYTES}

LONGEST = 2**31 - 1
"""Seconds; the most that delta-seconds are required to carry (RFC 9111 §1.2.2)."""
LARGEST = 2**50
"""Bytes; more than any machine holds, so a slip of the unit shows."""

_NUMBER = r"[0-9]{1,16}(?:\.[0-9]{1,9})?"
DURATION_PATTERN = rf"(?:{_NUMBER} ?(?:ms|s|m|h|d|w))(?: ?{_NUMBER} ?(?:ms|s|m|h|d|w))*"
SIZE_PATTERN = rf"{_NUMBER} ?(?:[Bb]|[KkMmGgTt][Ii]?[Bb])"

_DURATION = re.compile(DURATION_PATTERN)
_DURATION_PART = re.compile(rf"({_NUMBER}) ?(ms|s|m|h|d|w)")
_SIZE = re.compile(rf"({_NUMBER}) ?([A-Za-z]+)")
_ZERO = re.compile(r"0+")
_BARE = re.compile(_NUMBER)


def parse_duration(text: str) -> float:
    """Seconds from `250ms`, `30s`, `1h30m`, `1.5h` or `0`.

    Raises:
        Refused: No unit, an unknown one, or more than LONGEST.
    """
    if _ZERO.fullmatch(text):
        return 0.0
    if not _DURATION.fullmatch(text):
        raise _bad_duration(text)
    parts = _DURATION_PART.findall(text)
    units = [unit for _, unit in parts]
    if sorted(set(units), key=_unit_length, reverse=True) != units:
        raise Refused(
            f"{quoted(text)} must name each unit once, the longest first", "write 1h30m, say"
        )
    seconds = sum((Decimal(number) * Decimal(_SECONDS[unit]) for number, unit in parts), Decimal())
    if seconds > LONGEST:
        raise Refused(f"{quoted(text)} is too long", f"write at most {LONGEST}s (68 years)")
    return float(seconds)


def _unit_length(unit: str) -> Decimal:
    return Decimal(_SECONDS[unit])


def _bad_duration(text: str) -> Refused:
    if _BARE.fullmatch(text):
        return Refused("a duration needs a unit", f"write {text}s")
    number, unit = _split(text)
    short = _SPELLED.get(unit.lower().removesuffix("s"), unit.lower())
    if number and short in _SECONDS:
        return Refused(f"{quoted(unit)} is not a unit of time", f"write {number}{short}")
    return Refused(f"{quoted(text)} is not a duration", "write 250ms, 30s, 5m, 1h30m or 1d, say")


def format_duration(seconds: float) -> str:
    """The shortest whole form: 90 as `1m30s`, 0.25 as `250ms`, 0 as `0s`."""
    left = round(seconds * 1000)
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, int(Decimal(_SECONDS[unit]) * 1000))
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def parse_size(text: str) -> int:
    """Bytes from `256MiB` (of 1024), `4 MB` (of 1000), `512B` or `0`; case does not matter.

    Raises:
        Refused: No unit, an unknown one, a fraction of a byte, or more than LARGEST.
    """
    if _ZERO.fullmatch(text):
        return 0
    found = _SIZE.fullmatch(text)
    unit = _LOWER_BYTES.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise _bad_size(text)
    size = Decimal(found[1]) * _BYTES[unit]
    if size != int(size):
        raise Refused(f"{quoted(text)} is not a whole number of bytes")
    if size > LARGEST:
        raise Refused(f"{quoted(text)} is too large", "write at most 1024TiB")
    return int(size)


def _bad_size(text: str) -> Refused:
    number, unit = _split(text)
    if _BARE.fullmatch(text):
        return Refused("a size needs a unit", f"write {text}B, {text}KiB or {text}MiB")
    if number and unit.lower() in {"k", "m", "g", "t"}:
        return Refused(
            f"{quoted(unit)} is not a unit of size",
            f"write {number}{unit.upper()}iB (units of 1024)",
        )
    return Refused(f"{quoted(text)} is not a size", "write 512B, 64KiB, 4MB or 1GiB, say")


def format_size(size: int) -> str:
    """The largest unit of 1024 that divides `size`: 262144 as `256KiB`, 0 as `0B`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def _split(text: str) -> tuple[str, str]:
    """The leading number, if any, and the rest."""
    found = re.match(_NUMBER, text)
    return (found[0], text[found.end() :].lstrip(" ")) if found else ("", text)
