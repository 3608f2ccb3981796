"""Where entries live.

`entry` has what stores keep and the contract that every store honours; `memory` is the store in
this process, bounded by bytes; `redis` is the one that processes share, `tiered` is both as one.

For `memory`: `resource` is what it holds for one URL, `eviction` says who leaves when room is
needed, `expiry` what has had its day, `carriers` where tags are; `sharing` keeps one copy of what
entries have in common.

For `redis`: `codec` is the record format, `names` says what keys are called, `lua` what Redis does
in one step. For `tiered`: `write_behind` is the queue of writes, `fill_lock` lets one process fill
for all, `index` says which entries carry a tag, `reclaiming` gives back what purges have freed.
"""

from proxy.stores.entry import AtOnce, CacheKey, Entry, Filled, Kept, Lease, Store
from proxy.stores.memory import MemoryStore

__all__ = ["AtOnce", "CacheKey", "Entry", "Filled", "Kept", "Lease", "MemoryStore", "Store"]
