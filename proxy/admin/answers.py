"""Answers as the listener wants them; none may be cached, sniffed or embedded."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from proxy.exchange import Outgoing
from proxy.rfc9111.messages import Headers

JSON = "application/json"


def bare(
    status: HTTPStatus,
    body: bytes = b"",
    content_type: str | None = None,
    fields: Sequence[tuple[str, str]] = (),
    reason: str | None = None,
) -> Outgoing:
    """A whole answer; `reason` replaces the usual phrase of `status`."""
    headers = Headers(
        [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), *fields]
    )
    if content_type is not None:
        headers.add("Content-Type", content_type)
    return Outgoing(status.value, reason or status.phrase, headers, body, len(body))


def modelled(
    model: BaseModel, status: HTTPStatus = HTTPStatus.OK, fields: Sequence[tuple[str, str]] = ()
) -> Outgoing:
    """A model as JSON."""
    return bare(status, model.model_dump_json().encode(), JSON, fields)


def as_json(
    document: Any, status: HTTPStatus = HTTPStatus.OK, reason: str | None = None
) -> Outgoing:
    """Any document as JSON."""
    return bare(status, json.dumps(document).encode(), JSON, reason=reason)
