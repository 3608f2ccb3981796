"""What can come of asking Redis, and what to call it."""

from dataclasses import dataclass
from enum import StrEnum

from redis.exceptions import ClusterDownError, RedisError, ResponseError, TryAgainError

_CAUSE_LENGTH = 200

FAILURES = (RedisError, OSError, EOFError)
"""What redis-py raises for whatever is wrong with Redis or the way to it."""


class LinkError(Exception):
    """Redis is of no help now; the message says why, for operators."""


class LinkDown(LinkError):  # noqa: N818 - the state is the name
    """It cannot be reached, does not answer in time, or was not asked for that reason."""


class LinkBusy(LinkError):  # noqa: N818 - the state is the name
    """All connections were in use for as long as the caller would wait."""


class LinkRefused(LinkError):  # noqa: N818 - the state is the name
    """It answered with an error, or was not asked since it did a moment ago."""


class Access(StrEnum):
    """What a command does; a server can refuse one and allow the other."""

    READ = "read"
    WRITE = "write"


class LinkState(StrEnum):
    """What an operator needs to know."""

    UP = "up"
    REFUSING = "refusing"
    DOWN = "down"


@dataclass(slots=True)
class LinkCounts:
    """What has happened since the start.

    Attributes:
        commands: Pieces of work handed to Redis.
        failures: Of these, without an answer or with none in time.
        refusals: Of these, answered with an error.
        skipped: Not handed to Redis, since it was down or refusing.
        busy: Not handed to Redis for want of a free connection.
    """

    commands: int = 0
    failures: int = 0
    refusals: int = 0
    skipped: int = 0
    busy: int = 0


def speaks_of_absence(error: ResponseError) -> bool:
    """Whether an error answer means that the data's server is away, not that it refuses."""
    return isinstance(error, ClusterDownError | TryAgainError)


def speaks_of_types(error: ResponseError) -> bool:
    """Whether an error answer means that a key holds something of another type."""
    return str(error).startswith("WRONGTYPE")


def in_words(error: BaseException) -> str:
    """What went wrong, for operators."""
    return f"{type(error).__name__}: {error}"[:_CAUSE_LENGTH].strip()
