"""Talking to the API behind the proxy: one request out, one response back, nothing changed.

Map, from the outside in:

    origins       Origins: all groups of this process, and how they change while it runs
    group         OriginGroup.fetch: whom to ask, whom next, and how many ask at a time
      admission   places for requests under way, and the queue for them
      balance     which of several: in turn, the least busy, by the key
      budget      how many requests may be sent a second time
      member      one origin of a group: its client, its breaker, its figures
      breaker     whether an origin gets requests: health and circuit breaker in one
      checks      asking origins how they are
      begun       a request to one of them, which may be sent before anybody waits for it
      watching    the body of a response, watched to its end
    client        OriginClient.fetch: take a connection, exchange, retry where that is safe
    options       OriginOptions and what an origin URL may look like
    outbound      Outbound, and the bytes of its head
    response      OriginResponse: the body as a stream; Tunnel after 101
    heads         what a response head must be to be believed
    slots         how many exchanges may run at a time
    dialling      names to addresses to connections, TLS, and what failures mean
    errors        OriginError

Requests without a body, nearly all that a cache sends, are plain asyncio:

    lean_pool        connections kept for reuse
    lean_connection  one connection: a head out, heads and a body in
    lean_body        the body, from the wire to its reader
    waits            many time limits, one timer

Bodies and upgrades go over aiohttp's connector and parser:

    pool          aiohttp's connector
    connection    one exchange
    protocol      aiohttp's parser, made to distrust the origin
    upload        the request body on its way, at the pace of both ends
    deadline      the clock for the response head, stopped while the client is the slow one

Invariants:

- Bytes that belong to no outstanding request never answer one: they close the connection.
- A body is complete or its iteration raises BodyAborted; it never just ends early.
- A connection goes back to the pool only after a whole request and a whole response.
- A request goes out twice only if it is idempotent and has no body: to one origin if the first
  try met a reused connection that closed without one byte, else to another.
"""

from proxy.origin.admission import LimitOptions
from proxy.origin.balance import Balance
from proxy.origin.begun import Begun, SentNow
from proxy.origin.breaker import BreakerOptions
from proxy.origin.budget import RetryOptions
from proxy.origin.checks import CheckOptions
from proxy.origin.client import OriginClient
from proxy.origin.errors import OriginError
from proxy.origin.group import GroupOptions, OriginGroup
from proxy.origin.lean_body import LeanBody
from proxy.origin.member import Member, MemberOptions, MemberStatus
from proxy.origin.options import Endpoint, OriginOptions, parse_origin_url
from proxy.origin.origins import Origins
from proxy.origin.outbound import Outbound
from proxy.origin.protocol import parser_is_native
from proxy.origin.response import OriginResponse

__all__ = [
    "Balance",
    "Begun",
    "BreakerOptions",
    "CheckOptions",
    "Endpoint",
    "GroupOptions",
    "LeanBody",
    "LimitOptions",
    "Member",
    "MemberOptions",
    "MemberStatus",
    "OriginClient",
    "OriginError",
    "OriginGroup",
    "OriginOptions",
    "OriginResponse",
    "Origins",
    "Outbound",
    "RetryOptions",
    "SentNow",
    "parse_origin_url",
    "parser_is_native",
]
