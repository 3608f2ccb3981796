"""Forgetting: what an entry can be purged by, and the log of purges that all processes read.

`scopes` and `state` are pure: names, and what one process knows of the log. `log` is the contract,
`memory` the log of a single process, `worker_log` that of the workers of one machine, `redis_log`
the log that a fleet shares: `scripts` is what runs inside Redis for it, `commands` runs them,
`replies` reads what they answer, `readers` are those who have read it, `timing` says how long what
was read is trusted.
"""

from proxy.purging.log import Acknowledgement, LogUnreachable, Node, PurgeLog, check_pattern
from proxy.purging.memory import MemoryPurgeLog
from proxy.purging.recent import RecentPurges
from proxy.purging.redis_log import TAIL_TIMEOUT, RedisPurgeLog
from proxy.purging.scopes import (
    ALL,
    group_scope,
    host_scope,
    prefix_scope,
    scopes_of,
    tag_scope,
    url_scope,
)
from proxy.purging.state import (
    LONGEST_SEARCHED,
    Gap,
    Invalid,
    Judgement,
    Limits,
    Mode,
    Purge,
    PurgeState,
    Remembered,
    Softened,
    Unknown,
    Valid,
    is_found,
)
from proxy.purging.timing import Timing
from proxy.purging.worker_log import WorkerPurgeLog

__all__ = [
    "ALL",
    "LONGEST_SEARCHED",
    "TAIL_TIMEOUT",
    "Acknowledgement",
    "Gap",
    "Invalid",
    "Judgement",
    "Limits",
    "LogUnreachable",
    "MemoryPurgeLog",
    "Mode",
    "Node",
    "Purge",
    "PurgeLog",
    "PurgeState",
    "RecentPurges",
    "RedisPurgeLog",
    "Remembered",
    "Softened",
    "Timing",
    "Unknown",
    "Valid",
    "WorkerPurgeLog",
    "check_pattern",
    "group_scope",
    "host_scope",
    "is_found",
    "prefix_scope",
    "scopes_of",
    "tag_scope",
    "url_scope",
]
