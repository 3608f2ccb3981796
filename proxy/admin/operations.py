"""Operations: one table that routes requests, asks for roles, and is written out as OpenAPI.

{name}         one segment of the path
{name:rest}    all of the rest, slashes included
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeAlias

from pydantic import BaseModel

from proxy.admin import problems
from proxy.admin.desk import Desk
from proxy.admin.options import Role
from proxy.admin.problems import Fault, Refusal
from proxy.admin.tokens import Caller
from proxy.exchange import Incoming, Outgoing

ANY_PATH: Final = "{path:rest}"
"""For methods that mean the resource itself; does not make other methods "not allowed"."""

_PARAMETER: Final = re.compile(r"\{(\w+)(:rest)?\}")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to an operation, by somebody who may.

    Attributes:
        captured: What the path's parameters took, percent-encoded.
        query: Without the question mark.
        caller: None where no token is needed.
    """

    desk: Desk
    incoming: Incoming
    captured: Mapping[str, str]
    query: str
    caller: Caller | None


Handler: TypeAlias = Callable[[Ask], Awaitable[Outgoing]]


@dataclass(frozen=True, slots=True)
class Documented:
    """What /openapi.json says about an operation.

    Attributes:
        answers: Documents by status; refusals are added.
        refusals: Statuses that come with a problem document.
    """

    summary: str
    answers: Mapping[HTTPStatus, Sequence[type[BaseModel]]]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    refusals: Sequence[HTTPStatus] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path.

    Attributes:
        role: What a token must allow; None: no token is needed.
        refuse: How its clients expect to be refused.
        documented: None for what belongs to the conventions of other systems.
    """

    method: str
    path: str
    handler: Handler
    role: Role | None = Role.PURGE
    refuse: problems.Style = problems.render
    documented: Documented | None = None
    pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(_expression(self.path), re.DOTALL))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in its path."""
        return tuple(name for name, _ in _PARAMETER.findall(self.path))


@dataclass(frozen=True, slots=True)
class Found:
    """An operation and what its path captured."""

    operation: Operation
    captured: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NotFound:
    """No operation; `allowed` are the methods of that path, if there is one at all."""

    allowed: tuple[str, ...]


class Router:
    """Finds operations: the first in the table whose path matches."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = tuple(operations)

    def find(self, method: str, path: str) -> Found | NotFound:
        """HEAD is GET without the body (RFC 9110 §9.3.2)."""
        wanted = "GET" if method == "HEAD" else method
        allowed: dict[str, None] = {}
        for operation in self._operations:
            match = operation.pattern.fullmatch(path)
            if match is not None:
                if operation.method == wanted:
                    return Found(operation, match.groupdict())
                if operation.path != ANY_PATH:
                    allowed[operation.method] = None
        if "GET" in allowed:
            allowed["HEAD"] = None
        return NotFound(tuple(allowed))


def admitted(caller: Caller, role: Role | None) -> Caller:
    """`caller`, who may do what takes this role.

    Raises:
        Refusal: 403, they may not.
    """
    if role is None or caller.role >= role:
        return caller
    fault = Fault(
        where="header Authorization",
        what="a token that does not allow this",
        how=f"use one of role {role.label}",
    )
    raise Refusal(HTTPStatus.FORBIDDEN, "This token does not allow that.", [fault])


def not_found(found: NotFound) -> Refusal:
    """Why there is nothing to do."""
    if found.allowed:
        allowed = ", ".join(found.allowed)
        fault = Fault(where="method", what="not known here", how=f"use {allowed}")
        return Refusal(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "This path knows other methods.",
            [fault],
            [("Allow", allowed)],
        )
    fault = Fault(where="path", what="unknown", how="see /openapi.json")
    return Refusal(HTTPStatus.NOT_FOUND, "There is nothing here.", [fault])


def _expression(path: str) -> str:
    expression, last = "", 0
    for found in _PARAMETER.finditer(path):
        piece = ".+" if found[2] else "[^/]+"
        expression += f"{re.escape(path[last : found.start()])}(?P<{found[1]}>{piece})"
        last = found.end()
    return expression + re.escape(path[last:])
