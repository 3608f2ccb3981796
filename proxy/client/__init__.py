"""A client of Warmfront's admin API, for the API's own code and for scripts.

    from proxy.client import PurgeClient

    cache = PurgeClient("http://127.0.0.1:8081")       # token from WARMFRONT_ADMIN_TOKEN
    cache.purge(tags=[f"product:{product.id}", "products"])

When `purge` returns a result that is `acknowledged`, no process of the fleet answers with anything
older. `PurgeClient` needs the standard library only and may be shared by threads;
`AsyncPurgeClient` has the same methods for one event loop, and needs aiohttp.

    sync, aio    the two clients: connections, timeouts, retries
    calls        the admin API: a Call for each thing to ask
    models       what it answers
    wire         HTTP without I/O: what is sent, what an answer means
    errors       what can go wrong
"""

from typing import TYPE_CHECKING, Any

from proxy.client.errors import (
    Fault,
    LogUnreachable,
    Problem,
    PurgeError,
    Refused,
    Unauthorized,
    Unexpected,
    Unreachable,
)
from proxy.client.models import (
    Entry,
    Explanation,
    Preview,
    PurgeResult,
    Reloaded,
    SettingChange,
    Stats,
    TagCount,
    TagPage,
    WarmFailure,
    WarmJob,
)
from proxy.client.sync import PurgeClient

if TYPE_CHECKING:
    from proxy.client.aio import AsyncPurgeClient

__all__ = [
    "AsyncPurgeClient",
    "Entry",
    "Explanation",
    "Fault",
    "LogUnreachable",
    "Preview",
    "Problem",
    "PurgeClient",
    "PurgeError",
    "PurgeResult",
    "Refused",
    "Reloaded",
    "SettingChange",
    "Stats",
    "TagCount",
    "TagPage",
    "Unauthorized",
    "Unexpected",
    "Unreachable",
    "WarmFailure",
    "WarmJob",
]


def __getattr__(name: str) -> Any:
    """Load aiohttp for those only who use it."""
    if name == "AsyncPurgeClient":
        from proxy.client.aio import AsyncPurgeClient  # noqa: PLC0415 - the point of it

        return AsyncPurgeClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
