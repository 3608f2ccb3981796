"""What server, gateway and origin hand to each other: heads with streams of body bytes.

Header text is latin-1 throughout: one character is one byte of the wire.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from proxy.rfc9111.messages import Headers, Request
from proxy.rfc9111.reasons import Reason

SendInterim: TypeAlias = Callable[[int, str, Headers], None]
"""Pass a 1xx response (status, reason, headers) on to the client."""


class Body(Protocol):
    """A message body being read: iterate once, in pieces of any size.

    Attributes:
        length: Bytes in all where the framing announced it, None where it did not (chunked).
    """

    @property
    def length(self) -> int | None:
        """See above."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Duplex(Protocol):
    """One side of a connection that left HTTP (101 Switching Protocols)."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Bytes from the peer until it closes its side."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, and wait while the peer is slow. Raises ConnectionError when it is gone."""
        ...

    def close_write(self) -> None:
        """Tell the peer that nothing more comes, where the transport can (TLS cannot)."""
        ...

    def close(self) -> None:
        """Close the connection; what was written is still sent."""
        ...


@dataclass(frozen=True, slots=True)
class Client:
    """Who is asking.

    Attributes:
        address: IP address as text, or "" on a Unix socket.
        http_version: (1, 0) or (1, 1).
    """

    address: str
    http_version: tuple[int, int]


@dataclass(slots=True)
class Incoming:
    """One request from the public listener.

    Attributes:
        request: The head. `request.headers` is as received, hop-by-hop fields included.
        body: None when the message has no body.
        expects_continue: The client waits for 100 (Continue) before it sends the body; it is
            sent on the first read of `body`, or earlier by `send_interim(100, ...)`.
        upgrade: The client asks to switch protocols (Upgrade with Connection: upgrade).
    """

    request: Request
    client: Client
    body: Body | None
    send_interim: SendInterim
    expects_continue: bool = False
    upgrade: bool = False


@dataclass(slots=True)
class Outgoing:
    """The answer to one Incoming. Framing (Content-Length, chunked) is the server's business.

    Attributes:
        headers: End-to-end fields; Content-Length only as information (HEAD, 304).
        body: All of it, or a stream; iterating may raise BodyAborted, upon which the client's
            connection is aborted so that the message cannot look complete. A stream that is not
            read to its end is closed (`aclose`).
        length: Bytes in `body` where known, else None.
        tunnel: Set with status 101: relay bytes both ways.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes | AsyncIterator[bytes] = b""
    length: int | None = 0
    tunnel: Duplex | None = None
    close: bool = field(default=False)


Respond: TypeAlias = Callable[[Incoming], Awaitable[Outgoing]]
"""Who answers requests."""

WriteHead: TypeAlias = Callable[[Outgoing, str], bytes]
"""The head of an answer to a request with this method, less the empty line that ends it, on a
connection that goes on in HTTP/1.1. Raises ValueError if it cannot be one.
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """Request fields that an answer may depend on, by their lower-case names.

    Attributes:
        values: Those whose values matter.
        present: Those of which only the presence does.
        name: That by which clients name their requests, where their answers repeat the name; it is
            one of `values`, and no answer depends on it otherwise.
        conditions: Those by which clients say what they have; they are among `values`.
    """

    values: frozenset[str] = frozenset()
    present: frozenset[str] = frozenset()
    name: str | None = None
    conditions: frozenset[str] = frozenset()


Given: TypeAlias = tuple[bytes, bytes, bytes]
"""An answer: its head; the lines that no other answer has, and the empty line; its body."""


class Recurring:
    """An answer from memory that can be given, again and again, to requests that are alike.

    Attributes:
        depends_on: Lower-case names of the request fields in which such requests agree.
        head: Its head as it was given last, less what ends it.
    """

    __slots__ = ()

    depends_on: frozenset[str]
    head: bytes

    def again(self, name: bytes | None) -> Given | None:
        """Give it; None if this is no longer the answer, and never will be again.

        Args:
            name: What the client calls this request, in the field `Watched.name`.
        """
        raise NotImplementedError


class Reply(Protocol):
    """Where the answer goes to a request that was passed on as soon as it was read.

    Attributes:
        usual: It may be given at once: the client is there and reads, and goes on afterwards.
    """

    @property
    def usual(self) -> bool:
        """See above."""
        ...

    def give(self, head: bytes, data: bytes, start: int) -> None:
        """Give all of it: a whole head, and what stands in `data` from `start` on."""
        ...

    def send_interim(self, status: int, reason: str, headers: Headers) -> None:
        """See SendInterim."""
        ...

    def break_off(self) -> None:
        """There is none, by a fault of ours."""
        ...

    def hand_over(self) -> None:
        """The answer is not to be given at once: have `Passage.respond` say what it is."""
        ...


class Passage(Protocol):
    """One request on its way to the origin.

    Attributes:
        sent: It went out, and its Reply is told what comes of it; else `respond` has to be asked.
        recurs: If there are more like it, `Answers.passing` may know how they are passed on.
    """

    sent: bool

    @property
    def recurs(self) -> bool:
        """See above."""
        ...

    async def respond(self, incoming: Incoming) -> Outgoing:
        """Answer it like every other request, from where it is; it is asked once."""
        ...

    def abandon(self) -> None:
        """Forget it, instead."""
        ...


class Passing(Protocol):
    """How requests are passed on that are alike.

    Attributes:
        depends_on: Lower-case names of the request fields in which they agree.
        lasts: Such requests are still passed on like this; if not, they will not be again.
    """

    @property
    def depends_on(self) -> frozenset[str]:
        """See above."""
        ...

    @property
    def lasts(self) -> bool:
        """See above."""
        ...

    def start(self, head: bytes, name: bytes | None, address: str, reply: Reply) -> Passage | None:
        """Pass one on; None if it has to take the longer way, from its beginning.

        Args:
            head: As it came, plain.
            name: What the client calls it, in the field `Watched.name`.
            address: The client's, see Client.
            reply: Gets what comes of it.
        """
        ...


class Asked(NamedTuple):
    """A plain request, less what it has in common with those that are like it.

    Attributes:
        target: As in Request.
        conditions: Names and values of the fields in `Watched.conditions` that it has.
        head: See Passing, as for the next two.
    """

    target: str
    conditions: Sequence[tuple[str, str]]
    head: bytes
    name: bytes | None
    address: str


class Alike(Protocol):
    """Requests that agree in all that is watched but their targets, names and conditions."""

    def take(self, asked: Asked, reply: Reply) -> Passage | tuple[Recurring, Given] | None:
        """Give one its answer, or fetch what is not stored.

        Args:
            asked: The request.
            reply: Gets what comes of it, where the origin is asked.

        Returns:
            Its way to the origin; or its answer, and what was given of it; None if it has to take
            the longer way.
        """
        ...


class Answers(Protocol):
    """Answers that need no waiting, and requests that need no decision.

    Attributes:
        watched: Fields of requests that some answer may depend on; another object when it grows.
    """

    @property
    def watched(self) -> Watched:
        """See above."""
        ...

    def alike(self, request: Request, largest: int, write: WriteHead) -> Alike | None:
        """How requests like this one are answered; None where that is not simple.

        Args:
            request: A GET or HEAD without content, reduced to what is watched. Its target,
                conditions and name do not matter.
            largest: Bytes of body above which they are not.
            write: Writes their heads.
        """
        ...

    def passing(self, request: Request) -> Passing | None:
        """How requests like this one are passed on; None where they are not, or not so simply.

        Args:
            request: See `alike`, but for its target, which matters.
        """
        ...


def no_interim(_status: int, _reason: str, _headers: Headers) -> None:
    """Nobody is there to whom it could be passed on."""


class BodyAborted(Exception):  # noqa: N818 - it tells what happened, as ConnectionAborted does
    """A body cannot be completed.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.explanation)
        self.reason = reason
