"""What can go wrong, as the caller would tell it apart. All are PurgeErrors."""

# ruff: noqa: N818 - they say what happened, and the base says that they are errors

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: where, what, and how to mend it."""

    where: str
    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.how}"


@dataclass(frozen=True, slots=True)
class Problem:
    """What the server says of a failure (RFC 9457).

    Attributes:
        status: The HTTP status.
        title: The kind of problem in a few words.
        detail: What is wrong this time; "" if it does not say.
        faults: All that is wrong with the request.
    """

    status: int
    title: str
    detail: str
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return self.detail or self.title


class PurgeError(Exception):
    """Nothing is known to be purged.

    Attributes:
        problem: The server's own words, where it answered with some.
    """

    def __init__(self, message: str, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class Unreachable(PurgeError):
    """There was no whole answer: refused, cut, or silent for too long."""


class Unauthorized(PurgeError):
    """The token is missing or wrong, or its role does not allow this."""


class LogUnreachable(PurgeError):
    """The server cannot reach the purge log: old answers may still be served. Try again."""


class Refused(PurgeError):
    """The server understood, and will not: see `problem`."""


class Unexpected(PurgeError):
    """The answer is none that an admin API gives: is it the right address?"""
