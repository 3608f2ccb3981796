"""The public listener: bytes on the wire <-> Incoming and Outgoing.

options     limits and times
clients     what counts as one client, and how many connections each holds
rejection   the verdict on a request that is refused at the door
heads       strict grammar of request heads            pure
parser      bytes in, events out, no I/O               pure
writing     response heads and framing                 pure
plain       heads that ask for nothing special         pure
hot         what is answered, or passed on, as soon as it is read
passed_on   a request that was passed on as soon as it was read
feeding     what aiohttp is told of requests and answers
protocol    one connection; with `feeding` all that knows aiohttp's inner parts
acceptor    all connections: let in, counted, drained
patience    how long a client is waited for that does not read
transports  what the loop tells of a client, and what can be done to it
unsent      what slow clients may hold of answers
upload      the body of a request
http        one request and its answer
tunnel      what follows a 101
sockets     listening sockets: bound, or handed down
door        accepting, also when descriptors run out
listener    addresses, TLS, connection count, drain
"""

from proxy.exchange import Respond
from proxy.server.listener import Listener
from proxy.server.options import ServerOptions

__all__ = ["Listener", "Respond", "ServerOptions"]
