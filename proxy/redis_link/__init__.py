"""The way to Redis, for whoever stores or tells something there.

`options` says where it is (one URL for all modes), `client` sets redis-py up for it, `cluster`
finds a key's node, `breaker` decides when to stop asking, `batches` has what is sent at one moment
share its way, `link` is what others use,
`outcomes` names what comes of it, `scripts` runs Lua, `ending` lets go of tasks and clients.
"""

from proxy.redis_link.client import Client, PubSubClient, connect, listener, pubsub
from proxy.redis_link.cluster import Word
from proxy.redis_link.ending import end, shut
from proxy.redis_link.link import RedisLink
from proxy.redis_link.options import Mode, RedisOptions
from proxy.redis_link.outcomes import (
    Access,
    LinkBusy,
    LinkCounts,
    LinkDown,
    LinkError,
    LinkRefused,
    LinkState,
)
from proxy.redis_link.scripts import Script

__all__ = [
    "Access",
    "Client",
    "LinkBusy",
    "LinkCounts",
    "LinkDown",
    "LinkError",
    "LinkRefused",
    "LinkState",
    "Mode",
    "PubSubClient",
    "RedisLink",
    "RedisOptions",
    "Script",
    "Word",
    "connect",
    "end",
    "listener",
    "pubsub",
    "shut",
]
