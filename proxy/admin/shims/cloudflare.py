"""Cloudflare's purge_cache.

    POST /client/v4/zones/{zone}/purge_cache
    {"files": [...], "tags": [...], "hosts": [...], "prefixes": [...], "purge_everything": true}

The zone is not looked at. A file may be a URL or an object with `url`: its `headers` choose one
variant, but all of them go. Tags are compared exactly, where Cloudflare ignores case.
"""

from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from proxy.admin import reading
from proxy.admin.answers import as_json
from proxy.admin.items import Wanted
from proxy.admin.native import status_of
from proxy.admin.operations import Ask, Operation
from proxy.admin.problems import Refusal
from proxy.exchange import Outgoing

_NOTHING: Final = 1012
_AUTHENTICATION: Final = 10000
_INTERNAL: Final = 1000
_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: _AUTHENTICATION,
    HTTPStatus.FORBIDDEN: _AUTHENTICATION,
    HTTPStatus.SERVICE_UNAVAILABLE: _INTERNAL,
}
_PATH: Final = "/client/v4/zones/{zone}/purge_cache"


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    url: str
    headers: dict[str, str] = {}


class _Purge(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    files: list[str | _File] = []
    tags: list[str] = []
    hosts: list[str] = []
    prefixes: list[str] = []
    purge_everything: bool = False


async def purge_cache(ask: Ask) -> Outgoing:
    """POST .../purge_cache."""
    wish = await reading.json_body(ask.incoming, _Purge, ask.desk.options.max_body)
    wanted = Wanted(
        tags=wish.tags,
        urls=[file if isinstance(file, str) else file.url for file in wish.files],
        prefixes=wish.prefixes,
        hosts=wish.hosts,
        everything=wish.purge_everything,
    )
    receipt = await ask.desk.purge_exactly(wanted, ask.caller)
    pending = f"{receipt.acked} of {receipt.nodes} processes have applied it so far"
    messages = [] if receipt.acknowledged else [_message(_NOTHING, pending)]
    return as_json(_envelope({"id": f"{receipt.seq:032x}"}, (), messages), status_of(receipt))


def _refuse(refusal: Refusal) -> Outgoing:
    code = _CODES.get(refusal.status, _NOTHING)
    faults = [f"{fault.where}: {fault.what}: {fault.how}" for fault in refusal.faults]
    errors = [_message(code, text) for text in [refusal.detail, *faults]]
    outgoing = as_json(_envelope(None, errors, ()), refusal.status)
    outgoing.headers.extend(refusal.fields)
    return outgoing


def _envelope(result: Any, errors: Any, messages: Any) -> dict[str, Any]:
    return {
        "success": not errors,
        "errors": list(errors),
        "messages": list(messages),
        "result": result,
    }


def _message(code: int, text: str) -> dict[str, Any]:
    return {"code": code, "message": text}


OPERATIONS: Final = (
    Operation("POST", _PATH, purge_cache, refuse=_refuse),
    Operation("DELETE", _PATH, purge_cache, refuse=_refuse),  # as it was before 2017
)
