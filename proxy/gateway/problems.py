"""Answers that Warmfront gives on its own: problem documents (RFC 9457)."""

import json
from http import HTTPStatus

from proxy.exchange import Outgoing
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason


def problem(status: HTTPStatus, reason: Reason, retry_after: int | None = None) -> Outgoing:
    """A small JSON document that names the cause and nothing of what lies behind the proxy.

    Args:
        status: Of the answer.
        reason: Why there is no other answer.
        retry_after: Seconds after which to try again (RFC 9110 §10.2.3).
    """
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": reason.explanation,
        "reason": reason.value,
    }
    body = json.dumps(document).encode() + b"\n"
    headers = Headers(
        [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
    )
    if retry_after is not None:
        headers.add("Retry-After", str(retry_after))
    return Outgoing(status.value, status.phrase, headers, body, len(body))
