"""What one value may look like: its text, what becomes of it, and its JSON Schema.

Each kind is an `Annotated` type for the models. A value that already has its Python type is taken
as it is, so that settings can be made in code; YAML only ever brings text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from proxy import units
from proxy.problems import Refused, did_you_mean, quoted
from proxy.redis_link.options import Mode
from proxy.rfc9111.policy import ClientDirectives, SetCookie
from proxy.settings import addresses, parsers
from proxy.settings.document import Broken

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


_TOKEN_SCHEMA = {"type": "string", "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
_TEXT_SCHEMA = {"type": ["string", "number", "boolean"]}
_NON_EMPTY = {"type": "string", "minLength": 1}

FLAG = Kind("flag", parsers.flag, {"enum": [True, False, "on", "off"]}, (bool,), bool)
WHOLE = Kind(
    "whole", parsers.whole, {"type": "integer", "minimum": 0, "maximum": parsers.MOST}, (int,), int
)
COUNT = Kind(
    "count", parsers.count, {"type": "integer", "minimum": 1, "maximum": parsers.MOST}, (int,), int
)
FACTOR = Kind(
    "factor",
    parsers.factor,
    {"anyOf": [{"type": "number", "minimum": 0, "maximum": 999}, FLAG.schema]},
    (float, int),
    float,
)
WORKERS = Kind(
    "workers",
    parsers.workers,
    {
        "anyOf": [
            {"const": "auto"},
            {"type": "integer", "minimum": 1, "maximum": parsers.MOST_WORKERS},
        ]
    },
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
POSITIVE_DURATION = replace(DURATION, name="positive_duration", parse=parsers.positive_duration)
SIZE = Kind("size", units.parse_size, _with_unit(units.SIZE_PATTERN), (int,), units.format_size)
POSITIVE_SIZE = replace(SIZE, name="positive_size", parse=parsers.positive_size)
SHARE = Kind(
    "share",
    parsers.share,
    {"type": "string", "pattern": f"^{parsers.SHARE.pattern}$"},
    (float,),
    parsers.show_share,
)
STATUS_RANGE = Kind(
    "status_range",
    parsers.status_range,
    {"type": ["string", "integer"], "pattern": f"^({parsers.STATUS_RANGE.pattern})$"},
    (tuple,),
    parsers.show_status_range,
)
CHECK_PATH = Kind("check_path", parsers.check_path, {"type": "string", "pattern": "^/"})
ORIGIN_NAME = Kind("origin_name", parsers.origin_name, _NON_EMPTY)
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
FILE_NAME = Kind("file_name", parsers.filled, _NON_EMPTY)
TOKEN = Kind("token", parsers.token, _TOKEN_SCHEMA)
EDITED_FIELD_NAME = Kind("edited_field_name", parsers.edited_field_name, _TOKEN_SCHEMA)
FIELD_VALUE = Kind("field_value", parsers.field_value, _TEXT_SCHEMA)
METHOD = Kind("method", parsers.method, _TOKEN_SCHEMA)
ERROR_STATUS = Kind("error_status", parsers.error_status, {"pattern": "^[45][0-9][0-9]$"}, (int,))
PATH_PATTERN = Kind("path_pattern", parsers.path_pattern, {"type": "string", "pattern": "^/"})
HOST_PATTERN = Kind("host_pattern", parsers.host_pattern, _NON_EMPTY)
HEADER_CONDITION = Kind("header_condition", parsers.header_condition, _TEXT_SCHEMA, (re.Pattern,))
TAG = Kind("tag", parsers.tag, {**_TEXT_SCHEMA, "pattern": r"^[^\s,]+$"})
QUERY_NAME = Kind("query_name", parsers.query_name, _TEXT_SCHEMA)
SET_COOKIE = _choice("set_cookie", SetCookie)
CLIENT_DIRECTIVES = _choice("client_directives", ClientDirectives)
LOG_LEVEL = _choice("log_level", LogLevel)
LOG_FORMAT = _choice("log_format", LogFormat)
SITE = Kind("site", parsers.site, {"type": "string", "pattern": "^https?://.+$"})
WARM_SOURCE = Kind(
    "warm_source", parsers.warm_source, {"type": "string", "pattern": "^(https?://|/|file:.)"}
)
WARM_READY = _choice("warm_ready", WarmReady)
REDIS_URL = Kind(
    "redis_url",
    parsers.redis_url,
    {"type": "string", "pattern": r"^(rediss?(\+(sentinel|cluster))?://|unix:/).+$"},
)
REDIS_MODE = _choice("redis_mode", Mode)
REDIS_NAMESPACE = Kind("redis_namespace", parsers.redis_namespace, _TEXT_SCHEMA)
USER_NAME = Kind("user_name", parsers.user_name, _TEXT_SCHEMA)
SECRET = Kind("secret", parsers.secret, _TEXT_SCHEMA)
ADMIN_TOKEN = Kind("admin_token", parsers.admin_token, {"type": "string", "minLength": 16})
ADMIN_ROLE = _choice("admin_role", AdminRole)
ADMIN_HOST = Kind("admin_host", parsers.admin_host, _NON_EMPTY)
LAG = replace(POSITIVE_DURATION, name="lag", parse=parsers.lag)
WAIT = replace(DURATION, name="wait", parse=parsers.wait)

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
