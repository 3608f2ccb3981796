"""What the conventions of other systems have in common."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from proxy.admin.answers import as_json
from proxy.admin.control import PurgeReceipt
from proxy.admin.native import status_of
from proxy.admin.problems import PROBLEM_JSON, Fault, Refusal, bad_request
from proxy.exchange import Outgoing
from proxy.rfc9111.messages import Headers

SOFT: Final = "Fastly-Soft-Purge"

_SEPARATORS: Final = re.compile(r"[, \t]+")
_OFF: Final = frozenset({"", "0", "false"})


def tags_in(headers: Headers, fields: Iterable[str]) -> list[str]:
    """Tags in any of these fields, split at blanks and commas as those of responses are."""
    return [
        tag
        for field in fields
        for line in headers.getall(field, ())
        for tag in _SEPARATORS.split(line)
        if tag
    ]


def is_soft(headers: Headers) -> bool:
    """Whether a soft purge is asked for, as Fastly's clients do."""
    return headers.get(SOFT, "").lower() not in _OFF


def missing(where: str, how: str) -> Refusal:
    """400: a request that names nothing; to say "done" would be a lie."""
    return bad_request("Nothing to purge.", Fault(where=where, what="missing", how=how))


def status_word(receipt: PurgeReceipt) -> dict[str, Any]:
    """Fastly's `{"status": "ok", "id": ...}`, with what we know besides."""
    return {
        "status": "ok" if receipt.acknowledged else "pending",
        "id": str(receipt.seq),
        "acked": receipt.acked,
        "nodes": receipt.nodes,
    }


def purged(receipt: PurgeReceipt) -> Outgoing:
    """200 with the reason phrase that Varnish has made a habit; 202 while some are pending."""
    reason = "Purged" if receipt.acknowledged else None
    return as_json(status_word(receipt), status_of(receipt), reason)


def refuse_with(refusal: Refusal, extra: dict[str, Any]) -> Outgoing:
    """A problem document with the members that a client looks for."""
    document = {**refusal.problem().model_dump(mode="json"), **extra}
    outgoing = as_json(document, HTTPStatus(refusal.status))
    outgoing.headers["Content-Type"] = PROBLEM_JSON
    outgoing.headers.extend(refusal.fields)
    return outgoing
