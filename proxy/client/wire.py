"""HTTP as both clients speak it: what is sent, and what an answer means. No I/O here."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from urllib.parse import SplitResult, urlsplit

from proxy.client.errors import (
    Fault,
    LogUnreachable,
    Problem,
    PurgeError,
    Refused,
    Unauthorized,
    Unexpected,
)

DEFAULT_URL = "http://127.0.0.1:8081"
TOKEN_VARIABLE = "WARMFRONT_ADMIN_TOKEN"  # noqa: S105 - the variable's name

KEEP_IDLE = 15.0
"""Seconds that an idle connection is kept: fewer than any server would."""
FIRST_PAUSE = 0.1
"""Seconds before the first retry; each further one waits twice as long."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request to the admin API.

    Attributes:
        target: Path and query.
        body: What is sent as JSON; None for no body.
        wait: Seconds that the server may take before it answers, on top of the usual.
        read: Makes the result of a good answer.
    """

    method: str = "GET"
    target: str
    body: object = None
    wait: float = 0.0
    read: Callable[[Any], T] = field(repr=False)

    @property
    def content(self) -> bytes | None:
        """The body as bytes."""
        return None if self.body is None else json.dumps(self.body).encode()

    def result(self, answer: Answer) -> T:
        """What `answer` says.

        Raises:
            PurgeError: It says no.
        """
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise failure(answer)
        try:
            return self.read(json.loads(answer.body))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Unexpected(f"{self.method} {self.target}: not an admin API's answer") from error


@dataclass(frozen=True, slots=True)
class Server:
    """Where the admin API is, and how it knows us."""

    base: SplitResult
    headers: dict[str, str] = field(repr=False)

    @property
    def address(self) -> tuple[str, int | None]:
        """Host and port; None for the scheme's own."""
        return self.base.hostname or "", self.base.port

    @property
    def prefix(self) -> str:
        """What comes before every path."""
        return self.base.path.rstrip("/")

    @property
    def origin(self) -> str:
        """Scheme and authority, without what `user:password@` may say."""
        return f"{self.base.scheme}://{self.base.netloc.rpartition('@')[2]}"

    def headers_for(self, call: Call[T]) -> dict[str, str]:
        """All fields but Host and those of framing."""
        json_body = {"Content-Type": "application/json"} if call.content is not None else {}
        return {**self.headers, **json_body}


def server(url: str, token: str | None) -> Server:
    """The server at `url`; without a token the one in the environment is taken.

    Raises:
        ValueError: The URL or the token cannot be used.
    """
    base = urlsplit(url)
    if base.scheme not in {"http", "https"} or not base.hostname or base.query or base.fragment:
        raise ValueError(f"{url!r} is not the address of an admin API: write {DEFAULT_URL}, say")
    base.port  # noqa: B018 - raises ValueError where it is none
    token = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("a token is printable ASCII without blanks")
    headers = {"Accept": "application/json", "User-Agent": "warmfront-client"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return Server(base, headers)


def pauses(retries: int) -> Iterator[float]:
    """Seconds to wait before each retry."""
    return (FIRST_PAUSE * 2**attempt for attempt in range(retries))


def failure(answer: Answer) -> PurgeError:
    """The error that an answer other than 2xx stands for."""
    problem = _problem(answer)
    if problem is None:
        return Unexpected(f"status {answer.status} without a problem document")
    match answer.status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Unauthorized(str(problem), problem)
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return LogUnreachable(str(problem), problem)
        case status if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return Refused(str(problem), problem)
        case _:
            return Unexpected(str(problem), problem)


def _problem(answer: Answer) -> Problem | None:
    try:
        document = json.loads(answer.body)
        faults = tuple(map(fault, document.get("errors", ())))
        return Problem(answer.status, document["title"], document.get("detail", ""), faults)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def fault(document: Mapping[str, Any]) -> Fault:
    """One thing that is wrong with a request."""
    return Fault(document["where"], document["what"], document["how"])
