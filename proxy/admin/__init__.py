"""The admin API: purge, look, explain, warm; on a listener of its own, never without a token.

control      what it asks of the proxy: a Protocol and plain data
options      what the operator may set
server       the listener's front: guards, tokens, routing, errors
guards       what keeps browsers out
tokens       who is asking
attempts     wrong tokens, counted
operations   one table that routes, asks for roles and is documented
figures      what the cache has done, and how fast of late        pure
recent       the last minutes of it
dashboard    the same for people, in a browser
native       our own operations
explaining   why requests are answered as they are
shims        those of other caches, for their clients
reload       reading the settings anew
warming      jobs that fetch URLs into the cache
desk         what all operations share: the one way to purge
items        single things to purge, checked                       pure
patterns     regular expressions from outside, checked             pure
models       the documents that are taken and given
openapi      /openapi.json, from operations and models
reading      requests into models
problems     refusals
answers      answers as the listener wants them
"""

from proxy.admin.control import (
    Control,
    EntryView,
    Exposition,
    LogStats,
    LogUnreachable,
    NodeStats,
    NothingToReload,
    OriginGroupStats,
    Preview,
    PurgeOrder,
    PurgeReceipt,
    Readiness,
    Reloaded,
    Stats,
    TagCount,
    TagPage,
    TierStats,
    Warmed,
    WarmOutcome,
    WarmUpStats,
)
from proxy.admin.figures import (
    FROM_STORE,
    BusyUrl,
    Durations,
    PastPurge,
    Rates,
    RouteTotals,
    Totals,
)
from proxy.admin.options import AdminOptions, Role, TokenSpec
from proxy.admin.server import AdminServer
from proxy.explain import Tier

__all__ = [
    "FROM_STORE",
    "AdminOptions",
    "AdminServer",
    "BusyUrl",
    "Control",
    "Durations",
    "EntryView",
    "Exposition",
    "LogStats",
    "LogUnreachable",
    "NodeStats",
    "NothingToReload",
    "OriginGroupStats",
    "PastPurge",
    "Preview",
    "PurgeOrder",
    "PurgeReceipt",
    "Rates",
    "Readiness",
    "Reloaded",
    "Role",
    "RouteTotals",
    "Stats",
    "TagCount",
    "TagPage",
    "Tier",
    "TierStats",
    "TokenSpec",
    "Totals",
    "WarmOutcome",
    "WarmUpStats",
    "Warmed",
]
