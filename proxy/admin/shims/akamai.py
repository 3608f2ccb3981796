"""Akamai's Fast Purge: POST /ccu/v3/{delete,invalidate}/{tag,url}[/production|/staging].

`{"objects": [...]}`, for `url` with `hostname` also paths. Deleted is gone, invalidated is stale.
The access token of an EdgeGrid signature is taken for a token; the signature is not checked.
"""

from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from proxy.admin import reading
from proxy.admin.answers import as_json
from proxy.admin.items import Wanted
from proxy.admin.operations import Ask, Operation
from proxy.admin.problems import Refusal
from proxy.admin.shims.common import refuse_with
from proxy.exchange import Outgoing

_PENDING_SECONDS: Final = 5


class _Objects(BaseModel):
    model_config = ConfigDict(strict=True)

    objects: list[str]
    hostname: str | None = None


async def delete_tags(ask: Ask) -> Outgoing:
    """POST /ccu/v3/delete/tag."""
    return await _purge(ask, Wanted(tags=(await _body(ask)).objects))


async def invalidate_tags(ask: Ask) -> Outgoing:
    """POST /ccu/v3/invalidate/tag."""
    return await _purge(ask, Wanted(tags=(await _body(ask)).objects, soft=True))


async def delete_urls(ask: Ask) -> Outgoing:
    """POST /ccu/v3/delete/url."""
    return await _purge(ask, Wanted(urls=_urls(await _body(ask))))


async def invalidate_urls(ask: Ask) -> Outgoing:
    """POST /ccu/v3/invalidate/url."""
    return await _purge(ask, Wanted(urls=_urls(await _body(ask)), soft=True))


async def _body(ask: Ask) -> _Objects:
    return await reading.json_body(ask.incoming, _Objects, ask.desk.options.max_body)


def _urls(body: _Objects) -> list[str]:
    if body.hostname is None:
        return body.objects
    return [
        f"http://{body.hostname}{item}" if item.startswith("/") else item for item in body.objects
    ]


async def _purge(ask: Ask, wanted: Wanted) -> Outgoing:
    receipt = await ask.desk.purge_exactly(wanted, ask.caller)
    purge_id = str(UUID(int=receipt.seq))
    answer: dict[str, Any] = {
        "httpStatus": HTTPStatus.CREATED.value,
        "detail": "Request accepted",
        "supportId": purge_id,
        "purgeId": purge_id,
        "estimatedSeconds": 0 if receipt.acknowledged else _PENDING_SECONDS,
    }
    return as_json(answer, HTTPStatus.CREATED)


def _refuse(refusal: Refusal) -> Outgoing:
    return refuse_with(refusal, {"httpStatus": refusal.status.value, "supportId": "none"})


OPERATIONS: Final = tuple(
    Operation("POST", f"/ccu/v3/{action}/{kind}{network}", handler, refuse=_refuse)
    for action, kind, handler in (
        ("delete", "tag", delete_tags),
        ("invalidate", "tag", invalidate_tags),
        ("delete", "url", delete_urls),
        ("invalidate", "url", invalidate_urls),
    )
    for network in ("", "/{network}")
)
