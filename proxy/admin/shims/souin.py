"""Souin's API.

    PURGE /souin-api/souin                   with Surrogate-Key: a, b
    PURGE /souin-api/souin/flush             everything
    PURGE /souin-api/souin/{what}            a key (GET-http-host-/path), a URL, or a pattern
    POST  /souin-api/souin                   {"type": "uri", "selectors": [...], "purge": true}
    GET   /souin-api/souin                   the URLs that are stored
    GET   /souin-api/souin/surrogate_keys    tags, each with its URLs

A pattern matches whole path segments unless it has anchors of its own: `products/1` is not
/products/10. The answer to a purge is 204 once every process has applied it, 202 before.
"""

import re
from enum import StrEnum
from http import HTTPStatus
from typing import Final, assert_never

from pydantic import BaseModel, ConfigDict

from proxy.admin import patterns, reading
from proxy.admin.answers import as_json, bare
from proxy.admin.control import PurgeOrder
from proxy.admin.items import Wanted
from proxy.admin.operations import Ask, Operation
from proxy.admin.options import Role
from proxy.admin.patterns import InvalidPattern
from proxy.admin.problems import Fault, unprocessable
from proxy.admin.shims.common import missing, tags_in
from proxy.exchange import Outgoing

_BASE: Final = "/souin-api/souin"
_FIELDS: Final = ("Surrogate-Key", "Edge-Cache-Tag", "Cache-Tags", "Cache-Tag")
_KEY: Final = re.compile(r"(?:GET|HEAD)-(https?)-([^/]+)-(/[^*+\[\](){}|^$\\]*)")
_LISTED: Final = 1000


class _Type(StrEnum):
    URI = "uri"
    URI_PREFIX = "uri-prefix"
    ORIGIN = "origin"
    GROUP = "group"


class _Invalidation(BaseModel):
    model_config = ConfigDict(strict=True)

    type: _Type
    selectors: list[str] = []
    groups: list[str] = []
    purge: bool = False


async def purge_tags(ask: Ask) -> Outgoing:
    """PURGE /souin-api/souin."""
    tags = tags_in(ask.incoming.request.headers, _FIELDS)
    if not tags:
        raise missing("header Surrogate-Key", "name tags, or PURGE /souin-api/souin/flush")
    return await _purge(ask, Wanted(tags=tags))


async def flush(ask: Ask) -> Outgoing:
    """PURGE /souin-api/souin/flush."""
    return await _purge(ask, Wanted(everything=True))


async def tidy(_: Ask) -> Outgoing:
    """PURGE /souin-api/souin/mapping, which cleans up after Souin: nothing to do here."""
    return bare(HTTPStatus.NO_CONTENT)


async def purge_matching(ask: Ask) -> Outgoing:
    """PURGE /souin-api/souin/{what}."""
    raw = ask.captured["what"] + (f"?{ask.query}" if ask.query else "")
    url = _literal(raw) or _literal(reading.decoded(raw))
    if url is not None:
        return await _purge(ask, Wanted(urls=[url]))
    text = reading.decoded(raw)
    if text.startswith("http") and "|" not in text:
        text = f"^{text}"  # a URL from its beginning
    try:
        pattern = patterns.by_segments(patterns.check(text, followed=True))
    except InvalidPattern as error:
        fault = Fault(where="path", what=error.what, how=error.how)
        raise unprocessable("This pattern is not accepted.", fault) from None
    return await _purge(ask, Wanted(composed=pattern))


async def invalidate(ask: Ask) -> Outgoing:
    """POST /souin-api/souin."""
    wish = await reading.json_body(ask.incoming, _Invalidation, ask.desk.options.max_body)
    wanted = Wanted(soft=not wish.purge)
    match wish.type:
        case _Type.URI:
            wanted.urls = [_absolute(selector) for selector in wish.selectors]
        case _Type.URI_PREFIX:
            wanted.prefixes = [f"//{_bare(selector)}" for selector in wish.selectors]
        case _Type.ORIGIN:
            wanted.hosts = [_bare(selector) for selector in wish.selectors]
        case _Type.GROUP:
            wanted.tags = wish.groups
        case _:
            assert_never(wish.type)
    return await _purge(ask, wanted, done=HTTPStatus.OK)


async def list_urls(ask: Ask) -> Outgoing:
    """GET /souin-api/souin."""
    preview = await ask.desk.control.preview(PurgeOrder(everything=True), limit=_LISTED)
    return as_json(preview.urls)


async def list_tags(ask: Ask) -> Outgoing:
    """GET /souin-api/souin/surrogate_keys."""
    control = ask.desk.control
    page = await control.tags(prefix="", limit=_LISTED)
    urls = {one.tag: (await control.tag(one.tag, limit=_LISTED)).urls for one in page.tags}
    return as_json({tag: ",".join(found) for tag, found in urls.items()})


async def _purge(ask: Ask, wanted: Wanted, done: HTTPStatus = HTTPStatus.NO_CONTENT) -> Outgoing:
    receipt = await ask.desk.purge_exactly(wanted, ask.caller)
    return bare(done if receipt.acknowledged else HTTPStatus.ACCEPTED)


def _literal(text: str) -> str | None:
    """The URL that `text` names, if it is one of Souin's keys or a URL; None for a pattern."""
    key = _KEY.fullmatch(text)
    if key is not None:
        return f"{key[1]}://{key[2]}{key[3]}"
    return text if patterns.is_literal_url(text) else None


def _absolute(selector: str) -> str:
    return selector if "://" in selector else f"http://{_bare(selector)}"


def _bare(selector: str) -> str:
    """A selector from its host on."""
    return selector.partition("//")[2] if "//" in selector else selector


OPERATIONS: Final = (
    Operation("GET", _BASE, list_urls, Role.READ),
    Operation("GET", f"{_BASE}/surrogate_keys", list_tags, Role.READ),
    Operation("POST", _BASE, invalidate),
    Operation("PURGE", _BASE, purge_tags),
    Operation("PURGE", f"{_BASE}/flush", flush),
    Operation("PURGE", f"{_BASE}/mapping", tidy),
    Operation("PURGE", f"{_BASE}/{{what:rest}}", purge_matching),
)
