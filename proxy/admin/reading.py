"""Requests into models: bodies within bounds, JSON and nothing else, every fault at once.

A query parameter is read as JSON where its field is no text (`soft=true`, `wait=2.5`), so that
it obeys the same rules as in a body. One that takes several texts may be repeated.
"""

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, Final, TypeVar, get_origin
from urllib.parse import parse_qsl, unquote

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proxy.admin.problems import Fault, Refusal, bad_request, unprocessable
from proxy.exchange import Incoming

M = TypeVar("M", bound=BaseModel)

_JSON_TYPE: Final = re.compile(r"application/(?:[!-.0-~]+\+)?json", re.IGNORECASE)
_MOST_PARAMETERS: Final = 64
_MOST_FAULTS: Final = 50
_LONGEST_ECHO: Final = 100


async def content(incoming: Incoming, limit: int) -> bytes:
    """The whole body, b"" for none; raises Refusal where it is longer than `limit` bytes."""
    body = incoming.body
    if body is None:
        return b""
    pieces: list[bytes] = []
    size = body.length or 0
    if size <= limit:
        size = 0
        async for piece in body:
            size += len(piece)
            if size > limit:
                break
            pieces.append(piece)
    if size > limit:
        fault = Fault(where="body", what=f"longer than {limit} bytes", how="send it in parts")
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too long.", [fault])
    return b"".join(pieces)


async def json_body(incoming: Incoming, model: type[M], limit: int, *, typed: bool = True) -> M:
    """The body as a model; raises Refusal (400, 413, 415 or 422).

    Unless `typed`, Content-Type may be missing, but it must not be wrong.
    """
    _check_type(incoming, typed=typed)
    raw = await content(incoming, limit)
    if not raw:
        raise bad_request(
            "A JSON body is needed.", Fault(where="body", what="empty", how="send a JSON object")
        )
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise _refusal(error, model, "body") from None


async def no_body(incoming: Incoming, limit: int) -> None:
    """Refuse a body where it would be ignored."""
    if await content(incoming, limit):
        fault = Fault(where="body", what="nobody reads it", how="use the query parameters")
        raise unprocessable("This operation takes no body.", fault)


def query(text: str, model: type[M]) -> M:
    """A query string as a model; raises Refusal (400 or 422)."""
    try:
        pairs = parse_qsl(
            text,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        fault = Fault(where="query", what="malformed", how="percent-encode it as UTF-8")
        raise bad_request("The query cannot be read.", fault) from None
    values: dict[str, Any] = {}
    for name, value in pairs:
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is tuple:
            values[name] = (*values.get(name, ()), value)
            continue
        if name in values:
            fault = Fault(where=f"query {name}", what="given twice", how="give it once")
            raise unprocessable("A query parameter is repeated.", fault)
        values[name] = value if field is None or field.annotation is str else _as_json(value)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, model, "query") from None


def decoded(segment: str) -> str:
    """A percent-encoded piece of a path as text; raises Refusal."""
    try:
        text = unquote(segment.encode("latin-1").decode(), errors="strict")
    except UnicodeDecodeError:
        fault = Fault(where="path", what="not UTF-8", how="percent-encode it as UTF-8")
        raise bad_request("The path cannot be read.", fault) from None
    return text


def shown(text: str) -> str:
    """What a client sent, short enough to send back."""
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}..."


def _check_type(incoming: Incoming, *, typed: bool) -> None:
    """Forms cannot send JSON without asking first, and are not answered when they ask."""
    lines = incoming.request.headers.getall("Content-Type", ())
    if not lines and not typed:
        return
    if len(lines) != 1 or not _JSON_TYPE.fullmatch(lines[0].partition(";")[0].strip(" \t")):
        fault = Fault(
            where="header Content-Type", what="not JSON", how="send Content-Type: application/json"
        )
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be JSON.", [fault])


def _as_json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _refusal(error: ValidationError, model: type[BaseModel], place: str) -> Refusal:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [_fault(detail, model, place) for detail in details[:_MOST_FAULTS]]
    if any(detail["type"] == "json_invalid" for detail in details):
        return bad_request("The body is not JSON.", *faults)
    return unprocessable(f"The {place} does not have the form that is needed.", *faults)


def _fault(detail: ErrorDetails, model: type[BaseModel], place: str) -> Fault:
    path = _path(detail["loc"])
    where = f"query {path}" if place == "query" and path else path or place
    if detail["type"] == "extra_forbidden":
        return Fault(where=where, what="unknown", how=_known(path, model))
    return Fault(where=where, what=detail["msg"], how="see /openapi.json for what is expected")


def _known(name: str, model: type[BaseModel]) -> str:
    names = [field.alias or key for key, field in model.model_fields.items()]
    close = get_close_matches(name, names, 1)
    return f"write {close[0]}" if close else f"known here: {', '.join(names) or 'nothing'}"


def _path(location: Sequence[int | str]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{shown(step)}" if path else shown(step)
    return path
