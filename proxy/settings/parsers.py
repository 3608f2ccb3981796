"""What the text of one value stands for: each kind's way from text to value.

All raise Refused, or a ValueError whose text says what to write; `units` and `addresses` have the
two richer kinds.
"""

import os
import re
import warnings

from proxy import units
from proxy.problems import Refused, quoted
from proxy.routes import HostPattern, PathPattern
from proxy.settings import addresses
from proxy.tags import placeholders

MOST = 10_000_000
"""The largest number that is taken, so that a slip shows."""
MOST_WORKERS = 256
"""The most processes."""
SHARE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3})?%")
"""How shares are written."""
STATUS_RANGE = re.compile(r"([1-5])[xX]{2}|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
"""How statuses are written."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_FIELDS = re.compile(r"[^\t -~\x80-\xff]")

_FLAGS = {
    **dict.fromkeys(("on", "true", "True", "TRUE"), True),
    **dict.fromkeys(("off", "false", "False", "FALSE"), False),
}
_FLAG_SLIPS = {"yes": "on", "y": "on", "1": "on", "enabled": "on"} | dict.fromkeys(
    ("no", "n", "0", "disabled", "none"), "off"
)

_COMMON_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"}
)
_ERROR_STATUS = re.compile(r"[45][0-9][0-9]")
_ALL = 100.0
_LEAST_LAG = 0.5
_MOST_LAG = 60.0
_LONGEST_WAIT = 3600.0
_IN_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_BRACKET = re.compile(r"[\[\]]")
_REDIS_SCHEME = re.compile(r"rediss?(\+sentinel|\+cluster)?://.|unix:/", re.IGNORECASE)
_ADMIN_TOKEN = re.compile(r"[!-9;-~]{16,512}")  # a colon would end the user name of Basic

_FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def flag(text: str) -> bool:
    """Whether it says on; `true` and `false` mean the same."""
    if text in _FLAGS:
        return _FLAGS[text]
    lower = text.lower()
    meant = lower if lower in _FLAGS else _FLAG_SLIPS.get(lower)
    raise Refused(
        f"{quoted(text)} is neither on nor off", f"write {meant}" if meant else "write on or off"
    )


def count(text: str) -> int:
    """A whole number from 1 to MOST."""
    if not re.fullmatch("[0-9]{1,15}", text):
        raise Refused(f"{quoted(text)} is not a whole number", "write digits only, such as 100")
    if not 1 <= int(text) <= MOST:
        raise Refused(f"{text} is out of range", f"write 1 to {MOST}")
    return int(text)


def factor(text: str) -> float:
    """A number from 0 to 999; on is 1, off is 0."""
    if text in _FLAGS:
        return 1.0 if _FLAGS[text] else 0.0
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text):
        raise Refused(f"{quoted(text)} is not a number", "write 1 or 0.5, say, or off")
    return float(text)


def workers(text: str) -> int:
    """How many processes: a number up to MOST_WORKERS, or one for each core."""
    if text == "auto":
        return _cores()
    if not re.fullmatch("[1-9][0-9]{0,2}", text) or int(text) > MOST_WORKERS:
        how = f"write auto, or a number from 1 to {MOST_WORKERS}"
        raise Refused(f"{quoted(text)} is not a number of workers", how)
    return int(text)


def _cores() -> int:
    """How many this process may use."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # Linux has it
        cores = os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def positive_duration(text: str) -> float:
    """Seconds, more than none."""
    seconds = units.parse_duration(text)
    if seconds == 0:
        raise Refused("must be longer than zero", "write 30s, say")
    return seconds


def positive_size(text: str) -> int:
    """Bytes, more than none."""
    size = units.parse_size(text)
    if size == 0:
        raise Refused("must be larger than zero", "write 32KiB, say")
    return size


def filled(text: str) -> str:
    """Anything but blanks and control characters."""
    if not text.strip():
        raise Refused("is empty", "write a value, or remove the key")
    if not text.isprintable():
        raise Refused(f"{quoted(text)} holds a control character")
    return text


def token(text: str) -> str:
    """A token of HTTP (RFC 9110 §5.6.2)."""
    if not _TOKEN.fullmatch(text):
        raise Refused(f"{quoted(text)} is not a token: letters, digits and !#$%&'*+-.^_`|~ only")
    return text


def edited_field_name(text: str) -> str:
    """The name of a field that may be set or removed: none that frames messages."""
    if token(text).lower() in _FRAMING:
        raise Refused(f"{text} belongs to the connection, which the server manages")
    return text


def field_value(text: str) -> str:
    """What a header field can carry in one line (RFC 9110 §5.5)."""
    if bad := _NOT_IN_FIELDS.search(text):
        raise Refused(f"{quoted(text)} holds {quoted(bad[0])}, which a header field cannot carry")
    if text != text.strip(" \t"):
        raise Refused(f"{quoted(text)} starts or ends with a blank, which HTTP drops", "remove it")
    return text


def method(text: str) -> str:
    """A method as requests have it: case counts."""
    if token(text) != text.upper() and text.upper() in _COMMON_METHODS:
        raise Refused(f"methods are case-sensitive: {text} is another one", f"write {text.upper()}")
    if text == "CONNECT":
        raise Refused("CONNECT is never forwarded", "remove it")
    return text


def error_status(text: str) -> int:
    """A status from 400 to 599."""
    if not _ERROR_STATUS.fullmatch(text):
        raise Refused(f"{quoted(text)} is not a status from 400 to 599", "write 404, say")
    return int(text)


def path_pattern(text: str) -> str:
    """A pattern that paths are matched with, as `PathPattern` writes it."""
    return PathPattern(text).text


def host_pattern(text: str) -> str:
    """A pattern that hosts are matched with."""
    HostPattern(text)
    return text


def header_condition(text: str) -> str | re.Pattern[str]:
    """The value of a field, or after `~` a regular expression for it."""
    if not text.startswith("~"):
        return field_value(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as a set whose meaning is about to change
            return re.compile(text[1:].lstrip(" "))
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise Refused(f"{quoted(text)} is not a regular expression: {error}") from None


def tag(text: str) -> str:
    """A tag, or a template of one with {placeholders}."""
    if not text or not text.isprintable() or re.search(r"[\s,]", text):
        raise Refused(
            f"{quoted(text)} is not a tag: no blanks, commas or control characters",
            'write "product:{id}", say',
        )
    placeholders(text)
    return text


def query_name(text: str) -> str:
    """The name of a query parameter; it may have wildcards."""
    if not text or not text.isprintable() or re.search(r"[\s&=#?]", text):
        raise Refused(f"{quoted(text)} is not the name of a query parameter", "write utm_*, say")
    return text


def redis_url(text: str) -> str:
    """Nothing of `text` may be repeated: it may hold a password."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise Refused("is not a URL: it has blanks or non-ASCII characters")
    if not _REDIS_SCHEME.match(text):
        raise Refused(
            "is not a URL of Redis",
            "write redis://host:6379/0, or rediss, redis+sentinel, redis+cluster or unix",
        )
    credentials, _, place = text.rpartition("@")
    if _BRACKET.search(credentials + _IN_BRACKETS.sub("", place)):
        raise Refused("is not a URL: its brackets do not match")
    return text


def redis_namespace(text: str) -> str:
    """What all keys in Redis begin with."""
    if not re.fullmatch(r"[!-z|~]{1,64}", text):
        raise Refused(
            f"{quoted(text)} cannot begin keys: 1 to 64 printable ASCII characters, no braces"
        )
    return text


def user_name(text: str) -> str:
    """The name of a user, without blanks."""
    if re.search(r"\s", filled(text)):
        raise Refused(f"{quoted(text)} is not the name of a user: it has blanks")
    return text


def secret(text: str) -> str:
    """Anything that is not empty; no refusal repeats it."""
    if not text:
        raise Refused("is empty", "write one, or remove the key")
    return text


def admin_token(text: str) -> str:
    """A token that is long enough, and that fits both Bearer and Basic."""
    if not _ADMIN_TOKEN.fullmatch(text):
        raise Refused(
            "is not fit: 16 to 512 printable ASCII characters, no blank, no colon",
            "make one with `openssl rand -hex 32`",
        )
    return text


def admin_host(text: str) -> str:
    """A host name in lower case, or `*` for any."""
    return text if text == "*" else addresses.parse_server_name(text).lower()


def lag(text: str) -> float:
    """Seconds that purges may take to be known everywhere."""
    seconds = units.parse_duration(text)
    if not _LEAST_LAG <= seconds <= _MOST_LAG:
        raise Refused(f"{quoted(text)} is out of range", "write 500ms to 1m")
    return seconds


def wait(text: str) -> float:
    """Seconds that somebody waits for a purge: an hour at most."""
    seconds = units.parse_duration(text)
    if seconds > _LONGEST_WAIT:
        raise Refused(f"{quoted(text)} is out of range", "write at most 1h")
    return seconds


def whole(text: str) -> int:
    """A whole number from 0 to MOST."""
    return 0 if re.fullmatch("0{1,15}", text) else count(text)


def share(text: str) -> float:
    """A share from 0 to 1, from percent."""
    if not SHARE.fullmatch(text):
        raise Refused(f"{quoted(text)} is not a share", "write percent, such as 20%")
    percent = float(text[:-1])
    if percent > _ALL:
        raise Refused(f"{text} is more than all", "write at most 100%")
    return percent / _ALL


def show_share(share: float) -> str:
    """Percent again."""
    return f"{share * _ALL:g}%"


def status_range(text: str) -> tuple[int, int]:
    """The lowest and the highest status: 200, 200-299 or 2xx."""
    found = STATUS_RANGE.fullmatch(text)
    if found is None:
        raise Refused(f"{quoted(text)} are no statuses", "write 200, 200-299 or 2xx")
    digit, low, high = found.groups()
    if digit:
        return int(digit) * 100, int(digit) * 100 + 99
    if int(low) > int(high or low):
        raise Refused(f"{quoted(text)} runs backwards", f"write {high}-{low}")
    return int(low), int(high or low)


def show_status_range(bounds: tuple[int, int]) -> str:
    """One status, or the range of them."""
    low, high = bounds
    return str(low) if low == high else f"{low}-{high}"


def check_path(text: str) -> str:
    """The path that health checks ask for; it may have a query."""
    if not re.fullmatch(r"/[!-~]*", text) or "#" in text:
        raise Refused(f"{quoted(text)} is not what can be asked for", "write /health, say")
    return text


def site(text: str) -> str:
    """Where a site is, without a path."""
    if text.startswith("unix:"):
        raise Refused("a site has no socket", "write https://shop.example.com, say")
    return addresses.parse_origin(text)


def warm_source(text: str) -> str:
    """Where addresses are listed: a URL, a path of the site, or a file."""
    if text.startswith("file:") and text != "file:" and text.isprintable():
        return text
    if not re.fullmatch(r"(https?://[^/?#]|/)[!-\"$-~]*", text):
        raise Refused(
            f"{quoted(text)} is no address",
            "write https://shop.example.com/page, /page below warm.site, or file:urls.txt",
        )
    return text


def origin_name(text: str) -> str:
    """What routes call an origin."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", text):
        raise Refused(f"{quoted(text)} is not a name", "write letters, digits, - and _")
    return text


def is_off(value: object) -> bool:
    """Whether it says `off`, where that stands for a whole section."""
    return isinstance(value, str) and _FLAGS.get(value) is False
