"""Turning an entry into the answer to one request: conditions, ranges, Age."""

import secrets

from proxy.exchange import BodyAborted, Outgoing
from proxy.gateway.filling import Filling
from proxy.rfc9111 import preconditions, ranges
from proxy.rfc9111.messages import Request
from proxy.rfc9111.stored import StoredResponse
from proxy.stores import Entry

_PARTIAL_CONTENT = (206, "Partial Content")
_NOT_MODIFIED = (304, "Not Modified")
_RANGE_NOT_SATISFIABLE = (416, "Range Not Satisfiable")


def deliver(
    request: Request, entry: Entry, selection: ranges.RangeSelection, *, now: float
) -> Outgoing:
    """Answer a GET or HEAD from `entry`; `selection` is what ranges.select said and not NotHeld.

    Preconditions come before ranges (RFC 9110 §13.2.2).
    """
    stored = entry.response
    answer = _not_modified(request, stored, now) or _selected(entry, selection)
    return aged(answer, request.method, str(int(stored.freshness.current_age(now))))


def aged(answer: Outgoing, method: str, age: str) -> Outgoing:
    """The same of this age (§5.1), and without content where the method is HEAD."""
    answer.headers["Age"] = age
    if method == "HEAD":
        answer.body, answer.length = b"", None
    return answer


def whole(entry: Entry) -> Outgoing:
    """All that is stored of a response, less its age."""
    stored, body = entry.response, entry.body
    headers = stored.headers
    headers["Content-Length"] = str(len(body))
    return Outgoing(stored.status, stored.reason, headers, body, len(body))


def unmodified(stored: StoredResponse) -> Outgoing:
    """What tells a client that it has the stored response, less its age."""
    return Outgoing(*_NOT_MODIFIED, preconditions.not_modified_headers(stored.headers))


def read_along(
    request: Request, stored: StoredResponse, filling: Filling, *, now: float
) -> Outgoing:
    """Answer a GET for the whole from a body that is still arriving."""
    answer = _not_modified(request, stored, now)
    if answer is None:
        body, length = filling.reader(), filling.length
        answer = Outgoing(stored.status, stored.reason, stored.headers, body, length)
    answer.headers["Age"] = str(int(stored.freshness.current_age(now)))
    return answer


async def drain(outgoing: Outgoing) -> BodyAborted | None:
    """Read an answer to its end, for nobody; what cut it short, if something did."""
    body = outgoing.body
    if isinstance(body, bytes):
        return None
    try:
        async for _ in body:
            pass
    except BodyAborted as aborted:
        return aborted
    finally:
        await leave(outgoing)
    return None


async def leave(outgoing: Outgoing) -> None:
    """Read no more of an answer."""
    if (aclose := getattr(outgoing.body, "aclose", None)) is not None:
        await aclose()


def _not_modified(request: Request, stored: StoredResponse, now: float) -> Outgoing | None:
    """The 304 that the request's conditions ask for, if they do."""
    verdict = preconditions.evaluate(request.headers, stored, now=now)
    if not isinstance(verdict, preconditions.NotModified):
        return None
    return unmodified(stored)


def _selected(entry: Entry, selection: ranges.RangeSelection) -> Outgoing:
    stored = entry.response
    match selection:
        case ranges.Parts():
            boundary = secrets.token_hex(12)
            content = _content(entry, selection, boundary)
            headers = ranges.partial_headers(stored.headers, selection, boundary, len(content))
            return Outgoing(*_PARTIAL_CONTENT, headers, content, len(content))
        case ranges.Unsatisfiable():
            headers = ranges.unsatisfiable_headers(stored.headers, selection)
            return Outgoing(*_RANGE_NOT_SATISFIABLE, headers)
        case _:
            return whole(entry)


def _content(entry: Entry, parts: ranges.Parts, boundary: str) -> bytes:
    offset = entry.response.part.first if entry.response.part is not None else 0
    if len(parts.parts) == 1:
        first, last = parts.parts[0]
        return entry.body[first - offset : last + 1 - offset]
    return ranges.multipart_body(entry.response.headers, entry.body, offset, parts, boundary)
