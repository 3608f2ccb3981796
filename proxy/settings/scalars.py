"""What one value may look like: its text, what becomes of it, and its JSON Schema.

Each kind is an `Annotated` type for the models. A value that already has its Python type is taken
as it is, so that settings can be made in code; YAML only ever brings text.
"""

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from proxy.redis_link.options import Mode
from proxy.rfc9111.policy import ClientDirectives, SetCookie
from proxy.routes import HostPattern, PathPattern
from proxy.settings import addresses, units
from proxy.settings.document import Broken
from proxy.settings.problems import Refused, did_you_mean, quoted
from proxy.tags import placeholders

KIND_KEY: Final = "x-kind"
"""Marks, in a JSON Schema under construction, what refers to a kind."""

EMPTY: Final = object()
"""In place of None where a key without a value must not count as absent."""


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of value.

    Attributes:
        name: Under which it stands in the JSON Schema's definitions.
        parse: Text to value; raises Refused, or a ValueError whose text says what to write.
        types: Python types that are taken without parsing.
        schema: JSON Schema of the text as it stands in YAML; variables are allowed besides.
        show: A default, as pydantic puts it into JSON, as YAML would have it.
    """

    name: str
    parse: Callable[[str], Any]
    schema: JsonSchemaValue
    types: tuple[type, ...] = ()
    show: Callable[[Any], Any] = str

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Validate by `take` alone."""
        return core_schema.no_info_plain_validator_function(self.take)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A mark, which `schema` replaces by a reference."""
        return {KIND_KEY: self.name}

    def take(self, value: object) -> Any:
        """The value of this kind that `value` stands for."""
        if isinstance(value, str):
            return self.parse(value)
        if type(value) in self.types:  # not isinstance: True is no count
            return value
        if value is None or value is EMPTY:
            raise Refused("has no value", "write one, or remove the key")
        if isinstance(value, Broken):
            raise Refused("is broken")
        shapes: dict[type, str] = {dict: "a mapping", list: "a list"}
        shape = shapes.get(type(value), type(value).__name__)
        raise Refused(f"must be a single value, not {shape}")


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN_SCHEMA = {"type": "string", "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
_NOT_IN_FIELDS = re.compile(r"[^\t -~\x80-\xff]")
_TEXT_SCHEMA = {"type": ["string", "number", "boolean"]}

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
_SHARE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3})?%")
_ALL = 100.0
_STATUS_RANGE = re.compile(r"([1-5])[xX]{2}|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_MOST = 10_000_000
_LEAST_LAG = 0.5
_MOST_WORKERS = 256
_MOST_LAG = 60.0
_LONGEST_WAIT = 3600.0
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


def _flag(text: str) -> bool:
    if text in _FLAGS:
        return _FLAGS[text]
    lower = text.lower()
    meant = lower if lower in _FLAGS else _FLAG_SLIPS.get(lower)
    raise Refused(
        f"{quoted(text)} is neither on nor off", f"write {meant}" if meant else "write on or off"
    )


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", text):
        raise Refused(f"{quoted(text)} is not a whole number", "write digits only, such as 100")
    if not 1 <= int(text) <= _MOST:
        raise Refused(f"{text} is out of range", f"write 1 to {_MOST}")
    return int(text)


def _factor(text: str) -> float:
    if text in _FLAGS:
        return 1.0 if _FLAGS[text] else 0.0
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text):
        raise Refused(f"{quoted(text)} is not a number", "write 1 or 0.5, say, or off")
    return float(text)


def _workers(text: str) -> int:
    if text == "auto":
        return _cores()
    if not re.fullmatch("[1-9][0-9]{0,2}", text) or int(text) > _MOST_WORKERS:
        how = f"write auto, or a number from 1 to {_MOST_WORKERS}"
        raise Refused(f"{quoted(text)} is not a number of workers", how)
    return int(text)


def _cores() -> int:
    """How many this process may use."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # Linux has it
        cores = os.cpu_count() or 1
    return min(cores, _MOST_WORKERS)


def _positive_duration(text: str) -> float:
    seconds = units.parse_duration(text)
    if seconds == 0:
        raise Refused("must be longer than zero", "write 30s, say")
    return seconds


def _positive_size(text: str) -> int:
    size = units.parse_size(text)
    if size == 0:
        raise Refused("must be larger than zero", "write 32KiB, say")
    return size


def _filled(text: str) -> str:
    if not text.strip():
        raise Refused("is empty", "write a value, or remove the key")
    if not text.isprintable():
        raise Refused(f"{quoted(text)} holds a control character")
    return text


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise Refused(f"{quoted(text)} is not a token: letters, digits and !#$%&'*+-.^_`|~ only")
    return text


def _edited_field_name(text: str) -> str:
    if _token(text).lower() in _FRAMING:
        raise Refused(f"{text} belongs to the connection, which the server manages")
    return text


def _field_value(text: str) -> str:
    if bad := _NOT_IN_FIELDS.search(text):
        raise Refused(f"{quoted(text)} holds {quoted(bad[0])}, which a header field cannot carry")
    if text != text.strip(" \t"):
        raise Refused(f"{quoted(text)} starts or ends with a blank, which HTTP drops", "remove it")
    return text


def _method(text: str) -> str:
    if _token(text) != text.upper() and text.upper() in _COMMON_METHODS:
        raise Refused(f"methods are case-sensitive: {text} is another one", f"write {text.upper()}")
    if text == "CONNECT":
        raise Refused("CONNECT is never forwarded", "remove it")
    return text


def _error_status(text: str) -> int:
    if not _ERROR_STATUS.fullmatch(text):
        raise Refused(f"{quoted(text)} is not a status from 400 to 599", "write 404, say")
    return int(text)


def _path_pattern(text: str) -> str:
    return PathPattern(text).text


def _host_pattern(text: str) -> str:
    HostPattern(text)
    return text


def _header_condition(text: str) -> str | re.Pattern[str]:
    if not text.startswith("~"):
        return _field_value(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as a set whose meaning is about to change
            return re.compile(text[1:].lstrip(" "))
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise Refused(f"{quoted(text)} is not a regular expression: {error}") from None


def _tag(text: str) -> str:
    if not text or not text.isprintable() or re.search(r"[\s,]", text):
        raise Refused(
            f"{quoted(text)} is not a tag: no blanks, commas or control characters",
            'write "product:{id}", say',
        )
    placeholders(text)
    return text


def _query_name(text: str) -> str:
    if not text or not text.isprintable() or re.search(r"[\s&=#?]", text):
        raise Refused(f"{quoted(text)} is not the name of a query parameter", "write utm_*, say")
    return text


def _redis_url(text: str) -> str:
    """Nothing of `text` may be repeated: it may hold a password."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise Refused("is not a URL: it has blanks or non-ASCII characters")
    if not _REDIS_SCHEME.match(text):
        raise Refused(
            "is not a URL of Redis",
            "write redis://host:6379/0, or rediss, redis+sentinel, redis+cluster or unix",
        )
    try:
        urlsplit(text)
    except ValueError:
        raise Refused("is not a URL: its brackets do not match") from None
    return text


def _redis_namespace(text: str) -> str:
    if not re.fullmatch(r"[!-z|~]{1,64}", text):
        raise Refused(
            f"{quoted(text)} cannot begin keys: 1 to 64 printable ASCII characters, no braces"
        )
    return text


def _user_name(text: str) -> str:
    if re.search(r"\s", _filled(text)):
        raise Refused(f"{quoted(text)} is not the name of a user: it has blanks")
    return text


def _secret(text: str) -> str:
    if not text:
        raise Refused("is empty", "write one, or remove the key")
    return text


def _admin_token(text: str) -> str:
    if not _ADMIN_TOKEN.fullmatch(text):
        raise Refused(
            "is not fit: 16 to 512 printable ASCII characters, no blank, no colon",
            "make one with `openssl rand -hex 32`",
        )
    return text


def _admin_host(text: str) -> str:
    return text if text == "*" else addresses.parse_server_name(text).lower()


def _lag(text: str) -> float:
    seconds = units.parse_duration(text)
    if not _LEAST_LAG <= seconds <= _MOST_LAG:
        raise Refused(f"{quoted(text)} is out of range", "write 500ms to 1m")
    return seconds


def _wait(text: str) -> float:
    seconds = units.parse_duration(text)
    if seconds > _LONGEST_WAIT:
        raise Refused(f"{quoted(text)} is out of range", "write at most 1h")
    return seconds


def _whole(text: str) -> int:
    return 0 if re.fullmatch("0{1,15}", text) else _count(text)


def _share(text: str) -> float:
    if not _SHARE.fullmatch(text):
        raise Refused(f"{quoted(text)} is not a share", "write percent, such as 20%")
    percent = float(text[:-1])
    if percent > _ALL:
        raise Refused(f"{text} is more than all", "write at most 100%")
    return percent / _ALL


def _show_share(share: float) -> str:
    return f"{share * _ALL:g}%"


def _status_range(text: str) -> tuple[int, int]:
    found = _STATUS_RANGE.fullmatch(text)
    if found is None:
        raise Refused(f"{quoted(text)} are no statuses", "write 200, 200-299 or 2xx")
    digit, low, high = found.groups()
    if digit:
        return int(digit) * 100, int(digit) * 100 + 99
    if int(low) > int(high or low):
        raise Refused(f"{quoted(text)} runs backwards", f"write {high}-{low}")
    return int(low), int(high or low)


def _show_status_range(bounds: tuple[int, int]) -> str:
    low, high = bounds
    return str(low) if low == high else f"{low}-{high}"


def _check_path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text) or "#" in text:
        raise Refused(f"{quoted(text)} is not what can be asked for", "write /health, say")
    return text


def _site(text: str) -> str:
    if text.startswith("unix:"):
        raise Refused("a site has no socket", "write https://shop.example.com, say")
    return addresses.parse_origin(text)


def _warm_source(text: str) -> str:
    if text.startswith("file:") and text != "file:" and text.isprintable():
        return text
    if not re.fullmatch(r"(https?://[^/?#]|/)[!-\"$-~]*", text):
        raise Refused(
            f"{quoted(text)} is no address",
            "write https://shop.example.com/page, /page below warm.site, or file:urls.txt",
        )
    return text


def _origin_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", text):
        raise Refused(f"{quoted(text)} is not a name", "write letters, digits, - and _")
    return text


def is_off(value: object) -> bool:
    """Whether it says `off`, where that stands for a whole section."""
    return isinstance(value, str) and _FLAGS.get(value) is False


def _choice(name: str, choices: type[Enum]) -> Kind:
    names = [str(member.value) for member in choices]

    def parse(text: str) -> Enum:
        if text not in names:
            listed = f"{', '.join(names[:-1])} or {names[-1]}"
            raise Refused(f"{quoted(text)} is not one of {listed}", did_you_mean(text, names))
        return choices(text)

    return Kind(name, parse, {"enum": names}, (choices,))


class BalanceKind(Enum):
    """How requests are spread over the URLs of an origin."""

    ROUND_ROBIN = "round_robin"
    LEAST_CONNECTIONS = "least_connections"
    HASH = "hash"


class AdminRole(Enum):
    """What a token allows; each includes those before it."""

    READ = "read"
    PURGE = "purge"
    ADMIN = "admin"


class WarmReady(Enum):
    """When clients should be sent here."""

    WHEN_WARM = "when_warm"
    AT_ONCE = "at_once"


class LogLevel(Enum):
    """From which level on the log is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(Enum):
    """How a line of the log looks."""

    PRETTY = "pretty"
    JSON = "json"


def _with_unit(pattern: str) -> JsonSchemaValue:
    return {"anyOf": [{"const": 0}, {"type": "string", "pattern": f"^(0+|{pattern})$"}]}


_NON_EMPTY = {"type": "string", "minLength": 1}

FLAG = Kind("flag", _flag, {"enum": [True, False, "on", "off"]}, (bool,), bool)
WHOLE = Kind("whole", _whole, {"type": "integer", "minimum": 0, "maximum": _MOST}, (int,), int)
COUNT = Kind("count", _count, {"type": "integer", "minimum": 1, "maximum": _MOST}, (int,), int)
FACTOR = Kind(
    "factor",
    _factor,
    {"anyOf": [{"type": "number", "minimum": 0, "maximum": 999}, FLAG.schema]},
    (float, int),
    float,
)
WORKERS = Kind(
    "workers",
    _workers,
    {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": _MOST_WORKERS}]},
    (int,),
    int,
)
DURATION = Kind(
    "duration",
    units.parse_duration,
    _with_unit(units.DURATION_PATTERN),
    (float, int),
    units.format_duration,
)
POSITIVE_DURATION = replace(DURATION, name="positive_duration", parse=_positive_duration)
SIZE = Kind("size", units.parse_size, _with_unit(units.SIZE_PATTERN), (int,), units.format_size)
POSITIVE_SIZE = replace(SIZE, name="positive_size", parse=_positive_size)
SHARE = Kind(
    "share", _share, {"type": "string", "pattern": f"^{_SHARE.pattern}$"}, (float,), _show_share
)
STATUS_RANGE = Kind(
    "status_range",
    _status_range,
    {"type": ["string", "integer"], "pattern": f"^({_STATUS_RANGE.pattern})$"},
    (tuple,),
    _show_status_range,
)
CHECK_PATH = Kind("check_path", _check_path, {"type": "string", "pattern": "^/"})
ORIGIN_NAME = Kind("origin_name", _origin_name, _NON_EMPTY)
BALANCE = _choice("balance", BalanceKind)
LISTEN = Kind(
    "listen_address",
    addresses.parse_listen,
    {"type": "string", "pattern": "^(unix:.+|.*:[0-9]+)$"},
    (addresses.TcpAddress, addresses.UnixAddress),
)
ORIGIN_URL = Kind(
    "origin_url", addresses.parse_origin, {"type": "string", "pattern": "^(https?://|unix:/).+$"}
)
ORIGIN_HOST = Kind("origin_host", addresses.parse_origin_host, _NON_EMPTY)
SERVER_NAME = Kind("server_name", addresses.parse_server_name, _NON_EMPTY)
FILE_NAME = Kind("file_name", _filled, _NON_EMPTY)
TOKEN = Kind("token", _token, _TOKEN_SCHEMA)
EDITED_FIELD_NAME = Kind("edited_field_name", _edited_field_name, _TOKEN_SCHEMA)
FIELD_VALUE = Kind("field_value", _field_value, _TEXT_SCHEMA)
METHOD = Kind("method", _method, _TOKEN_SCHEMA)
ERROR_STATUS = Kind("error_status", _error_status, {"pattern": "^[45][0-9][0-9]$"}, (int,))
PATH_PATTERN = Kind("path_pattern", _path_pattern, {"type": "string", "pattern": "^/"})
HOST_PATTERN = Kind("host_pattern", _host_pattern, _NON_EMPTY)
HEADER_CONDITION = Kind("header_condition", _header_condition, _TEXT_SCHEMA, (re.Pattern,))
TAG = Kind("tag", _tag, {**_TEXT_SCHEMA, "pattern": r"^[^\s,]+$"})
QUERY_NAME = Kind("query_name", _query_name, _TEXT_SCHEMA)
SET_COOKIE = _choice("set_cookie", SetCookie)
CLIENT_DIRECTIVES = _choice("client_directives", ClientDirectives)
LOG_LEVEL = _choice("log_level", LogLevel)
LOG_FORMAT = _choice("log_format", LogFormat)
SITE = Kind("site", _site, {"type": "string", "pattern": "^https?://.+$"})
WARM_SOURCE = Kind(
    "warm_source", _warm_source, {"type": "string", "pattern": "^(https?://|/|file:.)"}
)
WARM_READY = _choice("warm_ready", WarmReady)
REDIS_URL = Kind(
    "redis_url",
    _redis_url,
    {"type": "string", "pattern": r"^(rediss?(\+(sentinel|cluster))?://|unix:/).+$"},
)
REDIS_MODE = _choice("redis_mode", Mode)
REDIS_NAMESPACE = Kind("redis_namespace", _redis_namespace, _TEXT_SCHEMA)
USER_NAME = Kind("user_name", _user_name, _TEXT_SCHEMA)
SECRET = Kind("secret", _secret, _TEXT_SCHEMA)
ADMIN_TOKEN = Kind("admin_token", _admin_token, {"type": "string", "minLength": 16})
ADMIN_ROLE = _choice("admin_role", AdminRole)
ADMIN_HOST = Kind("admin_host", _admin_host, _NON_EMPTY)
LAG = replace(POSITIVE_DURATION, name="lag", parse=_lag)
WAIT = replace(DURATION, name="wait", parse=_wait)

KINDS: Final = {kind.name: kind for kind in list(globals().values()) if isinstance(kind, Kind)}

Flag: TypeAlias = Annotated[bool, FLAG]
Count: TypeAlias = Annotated[int, COUNT]
Factor: TypeAlias = Annotated[float, FACTOR]
Workers: TypeAlias = Annotated[int, WORKERS]
Whole: TypeAlias = Annotated[int, WHOLE]
Share: TypeAlias = Annotated[float, SHARE]
StatusRange: TypeAlias = Annotated[tuple[int, int], STATUS_RANGE]
CheckPath: TypeAlias = Annotated[str, CHECK_PATH]
OriginName: TypeAlias = Annotated[str, ORIGIN_NAME]
BalanceChoice: TypeAlias = Annotated[BalanceKind, BALANCE]
Duration: TypeAlias = Annotated[float, DURATION]
PositiveDuration: TypeAlias = Annotated[float, POSITIVE_DURATION]
Size: TypeAlias = Annotated[int, SIZE]
PositiveSize: TypeAlias = Annotated[int, POSITIVE_SIZE]
Listen: TypeAlias = Annotated[addresses.ListenAddress, LISTEN]
OriginUrl: TypeAlias = Annotated[str, ORIGIN_URL]
OriginHost: TypeAlias = Annotated[str, ORIGIN_HOST]
ServerName: TypeAlias = Annotated[str, SERVER_NAME]
FileName: TypeAlias = Annotated[str, FILE_NAME]
Site: TypeAlias = Annotated[str, SITE]
WarmSource: TypeAlias = Annotated[str, WARM_SOURCE]
WarmReadyChoice: TypeAlias = Annotated[WarmReady, WARM_READY]
Token: TypeAlias = Annotated[str, TOKEN]
EditedFieldName: TypeAlias = Annotated[str, EDITED_FIELD_NAME]
FieldValue: TypeAlias = Annotated[str, FIELD_VALUE]
Method: TypeAlias = Annotated[str, METHOD]
ErrorStatus: TypeAlias = Annotated[int, ERROR_STATUS]
PathText: TypeAlias = Annotated[str, PATH_PATTERN]
HostText: TypeAlias = Annotated[str, HOST_PATTERN]
HeaderText: TypeAlias = Annotated[str | re.Pattern[str], HEADER_CONDITION]
Tag: TypeAlias = Annotated[str, TAG]
QueryName: TypeAlias = Annotated[str, QUERY_NAME]
SetCookieChoice: TypeAlias = Annotated[SetCookie, SET_COOKIE]
ClientDirectivesChoice: TypeAlias = Annotated[ClientDirectives, CLIENT_DIRECTIVES]
LogLevelChoice: TypeAlias = Annotated[LogLevel, LOG_LEVEL]
LogFormatChoice: TypeAlias = Annotated[LogFormat, LOG_FORMAT]
RedisUrl: TypeAlias = Annotated[str, REDIS_URL]
RedisModeChoice: TypeAlias = Annotated[Mode, REDIS_MODE]
RedisNamespace: TypeAlias = Annotated[str, REDIS_NAMESPACE]
UserName: TypeAlias = Annotated[str, USER_NAME]
Secret: TypeAlias = Annotated[str, SECRET]
AdminToken: TypeAlias = Annotated[str, ADMIN_TOKEN]
AdminRoleChoice: TypeAlias = Annotated[AdminRole, ADMIN_ROLE]
AdminHost: TypeAlias = Annotated[str, ADMIN_HOST]
Lag: TypeAlias = Annotated[float, LAG]
Wait: TypeAlias = Annotated[float, WAIT]
