"""Where entries live.

`entry` has what stores keep and the contract that every store honours; `memory` is the store in
this process, bounded by bytes.
"""

from proxy.stores.entry import CacheKey, Entry, Lease, Store
from proxy.stores.memory import MemoryStore

__all__ = ["CacheKey", "Entry", "Lease", "MemoryStore", "Store"]
