"""The YAML: read, checked as a whole, and turned into routes and policies.

    loading           file -> Settings, or every problem at once
    recipe            a file's text and the flags: what makes the same Settings elsewhere
    document          YAML text -> a tree of texts that know their line and column
    variables         ${NAME} and ${NAME:-default} inside those texts
    models            the keys, their defaults and what they mean; those of `store`, `admin`
    stores, admin,    and `origin` in modules of their own,
    origins           all of them made of
    section           a mapping with known keys
    listening         one address, or a list of them
    scalars           what one value may look like: durations, sizes, field names, ...
    parsers           the way from the text of a value to the value,
    addresses         and that of the richest kind
    routing           Settings -> routes and the policy of each
    advice            likely mistakes in settings that are valid
    showing, changes  settings as text again, and what differs between two of them
    schema            the models as JSON Schema, for editors
    reference         the same as a page for people

A value stays text until the model that owns its key says what it is, so `hosts: [1.10]`,
`X-Answer: no` and `12:30` mean what they look like.
"""

from proxy.problems import Problem, SettingsError
from proxy.settings.addresses import ListenAddress, TcpAddress, UnixAddress
from proxy.settings.admin import Admin, Purge, TokenRole
from proxy.settings.advice import Machine, advise
from proxy.settings.changes import Change, changes
from proxy.settings.loading import Loaded, defaults, load, load_with_places
from proxy.settings.models import (
    Caching,
    Explain,
    Key,
    Limits,
    Log,
    Match,
    ResponseHeaders,
    Route,
    Settings,
    Tls,
)
from proxy.settings.origins import (
    Breaker,
    Forwarded,
    Health,
    Limit,
    Origin,
    OriginTls,
    Pool,
    Retries,
    Server,
    Timeouts,
)
from proxy.settings.recipe import Recipe
from proxy.settings.routing import routes_of
from proxy.settings.scalars import AdminRole, BalanceKind, LogFormat, LogLevel, WarmReady
from proxy.settings.stores import Memory, Redis, RedisTls, SentinelUser, Store
from proxy.settings.warming import Warm

__all__ = [
    "Admin",
    "AdminRole",
    "BalanceKind",
    "Breaker",
    "Caching",
    "Change",
    "Explain",
    "Forwarded",
    "Health",
    "Key",
    "Limit",
    "Limits",
    "ListenAddress",
    "Loaded",
    "Log",
    "LogFormat",
    "LogLevel",
    "Machine",
    "Match",
    "Memory",
    "Origin",
    "OriginTls",
    "Pool",
    "Problem",
    "Purge",
    "Recipe",
    "Redis",
    "RedisTls",
    "ResponseHeaders",
    "Retries",
    "Route",
    "SentinelUser",
    "Server",
    "Settings",
    "SettingsError",
    "Store",
    "TcpAddress",
    "Timeouts",
    "Tls",
    "TokenRole",
    "UnixAddress",
    "Warm",
    "WarmReady",
    "advise",
    "changes",
    "defaults",
    "load",
    "load_with_places",
    "routes_of",
]
