"""Talking to the API behind the proxy: one request out, one response back, nothing changed.

Map, from the outside in:

    client        OriginClient.fetch: take a connection, exchange, retry where that is safe
    options       OriginOptions and what an origin URL may look like
    outbound      Outbound, and the bytes of its head
    upload        the request body on its way, at the pace of both ends
    deadline      the clock for the response head, stopped while the client is the slow one
    response      OriginResponse: the body as a stream; Tunnel after 101
    heads         what a response head must be to be believed
    connection    the pool and the parser: every private part of aiohttp is touched here only
    errors        OriginError

Invariants:

- Bytes that belong to no outstanding request never answer one: they close the connection.
- A body is complete or its iteration raises BodyAborted; it never just ends early.
- A connection goes back to the pool only after a whole request and a whole response.
- A request goes out twice only if it is idempotent, has no body, and the first try met a reused
  connection that closed without one byte.
"""

from proxy.origin.client import OriginClient
from proxy.origin.connection import parser_is_native
from proxy.origin.errors import OriginError
from proxy.origin.options import Endpoint, OriginOptions, parse_origin_url
from proxy.origin.outbound import Outbound
from proxy.origin.response import OriginResponse

__all__ = [
    "Endpoint",
    "OriginClient",
    "OriginError",
    "OriginOptions",
    "OriginResponse",
    "Outbound",
    "parse_origin_url",
    "parser_is_native",
]
