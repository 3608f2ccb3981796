"""Refusals: problem documents (RFC 9457) that say what is wrong, where, and how to mend it."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from proxy.admin.answers import bare
from proxy.exchange import Outgoing

PROBLEM_JSON = "application/problem+json"


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    where: str
    """The header, parameter or JSON path, such as `tags[2]`."""
    what: str
    """What is wrong there."""
    how: str
    """What to do about it."""


class Problem(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[Fault, ...] = ()


class Refusal(Exception):  # noqa: N818 - it is a verdict on the request
    """A request that is not carried out.

    Attributes:
        status: What to answer.
        detail: One sentence for the client.
        faults: Everything that is wrong, not just the first.
        fields: Further fields of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        faults: Sequence[Fault] = (),
        fields: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"{status.value}: {detail}")
        self.status = status
        self.detail = detail
        self.faults = tuple(faults)
        self.fields = tuple(fields)

    def problem(self) -> Problem:
        """As a document."""
        return Problem(
            title=self.status.phrase,
            status=self.status.value,
            detail=self.detail,
            errors=self.faults,
        )


Style: TypeAlias = Callable[[Refusal], Outgoing]
"""How a client expects to be refused."""


def render(refusal: Refusal) -> Outgoing:
    """The plain problem document."""
    body = refusal.problem().model_dump_json().encode()
    return bare(refusal.status, body, PROBLEM_JSON, refusal.fields)


def unprocessable(detail: str, *faults: Fault) -> Refusal:
    """422: understood, but it cannot be done."""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail, faults)


def bad_request(detail: str, *faults: Fault) -> Refusal:
    """400: not understood."""
    return Refusal(HTTPStatus.BAD_REQUEST, detail, faults)
