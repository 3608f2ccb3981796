"""The gateway: the one orchestrator between the public listener, the store and the origin.

gateway      Gateway.respond, one method per step of a request
forwarding   what an intermediary changes in a head
filling      an origin body on its way to the client and the store
delivery     an entry as the answer to one request
problems     answers of our own
"""

from proxy.gateway.forwarding import ForwardingOptions
from proxy.gateway.gateway import Gateway

__all__ = ["ForwardingOptions", "Gateway"]
