"""The gateway: the one orchestrator between the public listener, the store and the origin.

gateway      Gateway.respond, one method per step of a request
coalescing   who asks the origin: one for all who want the same now
asking       what happens to a request that goes to the origin, and to the answer
flights      requests to the origin on their way, and what became of them
filling      an origin body on its way to clients and the store
landing      from an origin's answer to an entry in the store
freshening   what a 304 does to what is stored; refreshing: the same with no client waiting
invalidating what a write makes everybody forget
unshareable  keys whose answers are of no use to others
decisions    what was decided of late
hot          plain requests, answered as soon as they are read: what those that are alike share
repeating    a hit in memory, given again for as long as it is one; forms: its head
passing      requests passed on as soon as they are read, answers as soon as they come
missing      what is not stored, asked for and stored as soon as it is read
fetched      how that is told of, and what its answers get on their way out
precedents   what was decided of an answer, for the next one that says the same to caches
unshared     what nobody may have but who asks, passed on like that
splices      what becomes of heads that pass without being taken apart
delivery     an entry as the answer to one request
contacting   one request to the origin; forwarding: what an intermediary changes in a head
problems     answers of our own
"""

from proxy.gateway.contacting import Origin, Upstream
from proxy.gateway.decisions import Decisions
from proxy.gateway.forwarding import ForwardingOptions
from proxy.gateway.gateway import Gateway

__all__ = ["Decisions", "ForwardingOptions", "Gateway", "Origin", "Upstream"]
