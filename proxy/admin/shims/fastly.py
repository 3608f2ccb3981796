"""Fastly's purge API.

    POST /service/{id}/purge/{key}      one key
    POST /service/{id}/purge            at most 256 keys, in Surrogate-Key or as surrogate_keys
    POST /service/{id}/purge_all
    POST /purge/{url}                   host/path, with or without http://
    PURGE url                           see varnish

The service is not looked at. `Fastly-Soft-Purge: 1` makes it soft, except for purge_all.
"""

import re
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict

from proxy.admin import reading
from proxy.admin.answers import as_json
from proxy.admin.items import Wanted
from proxy.admin.native import status_of
from proxy.admin.operations import Ask, Operation
from proxy.admin.problems import Fault, Refusal, bad_request
from proxy.admin.shims.common import is_soft, missing, purged, refuse_with, status_word, tags_in
from proxy.exchange import Outgoing

MAX_KEYS: Final = 256

# Clients that tidy paths turn `http://` into `http:/`; others percent-encode all of it.
_SCHEME: Final = re.compile(r"(https?):/{1,2}", re.IGNORECASE)
_ENCODED_SCHEME: Final = re.compile(r"https?%3A", re.IGNORECASE)


class _Keys(BaseModel):
    model_config = ConfigDict(strict=True)

    surrogate_keys: list[str]


async def purge_key(ask: Ask) -> Outgoing:
    """POST /service/{id}/purge/{key}."""
    wanted = Wanted(tags=[reading.decoded(ask.captured["key"])], soft=_soft(ask))
    return purged(await ask.desk.purge_exactly(wanted, ask.caller))


async def purge_keys(ask: Ask) -> Outgoing:
    """POST /service/{id}/purge."""
    limit = ask.desk.options.max_body
    keys = tags_in(ask.incoming.request.headers, ["Surrogate-Key"])
    if ask.incoming.body is not None:
        body = await reading.json_body(ask.incoming, _Keys, limit, typed=False)
        keys += body.surrogate_keys
    if not keys:
        raise missing("header Surrogate-Key", "send it, or a JSON body with surrogate_keys")
    if len(keys) > MAX_KEYS:
        fault = Fault(where="surrogate_keys", what=f"{len(keys)} keys", how="send several requests")
        raise bad_request(f"At most {MAX_KEYS} keys fit in one purge.", fault)
    receipt = await ask.desk.purge_exactly(Wanted(tags=keys, soft=_soft(ask)), ask.caller)
    return as_json(dict.fromkeys(keys, str(receipt.seq)), status_of(receipt))


async def purge_all(ask: Ask) -> Outgoing:
    """POST /service/{id}/purge_all."""
    receipt = await ask.desk.purge_exactly(Wanted(everything=True), ask.caller)
    word = status_word(receipt)
    del word["id"]  # Fastly gives none here
    return as_json(word, status_of(receipt))


async def purge_url(ask: Ask) -> Outgoing:
    """POST /purge/{url}."""
    text = ask.captured["url"]
    text = reading.decoded(text) if _ENCODED_SCHEME.match(text) else text
    scheme = _SCHEME.match(text)
    url = f"{scheme[1]}://{text[scheme.end() :]}" if scheme else f"http://{text}"
    url = f"{url}?{ask.query}" if ask.query else url
    return purged(await ask.desk.purge_exactly(Wanted(urls=[url], soft=_soft(ask)), ask.caller))


def _soft(ask: Ask) -> bool:
    return is_soft(ask.incoming.request.headers)


def _refuse(refusal: Refusal) -> Outgoing:
    status = HTTPStatus(refusal.status)
    return refuse_with(refusal, {"msg": status.phrase})


OPERATIONS: Final = (
    Operation("POST", "/service/{service}/purge", purge_keys, refuse=_refuse),
    Operation("POST", "/service/{service}/purge/{key:rest}", purge_key, refuse=_refuse),
    Operation("POST", "/service/{service}/purge_all", purge_all, refuse=_refuse),
    Operation("POST", "/purge/{url:rest}", purge_url, refuse=_refuse),
)
