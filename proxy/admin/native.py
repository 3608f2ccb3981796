"""The operations of our own API."""

from dataclasses import replace
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel

from proxy.admin import items, reading
from proxy.admin.answers import JSON, bare, modelled
from proxy.admin.control import PurgeOrder, PurgeReceipt
from proxy.admin.desk import ensure_order
from proxy.admin.items import InvalidItem, Wanted
from proxy.admin.models import (
    DeleteQuery,
    EntriesAnswer,
    HealthAnswer,
    LimitQuery,
    OpenApiAnswer,
    PreviewAnswer,
    PurgeAnswer,
    PurgeOptions,
    PurgeRequest,
    ReadyAnswer,
    StatsAnswer,
    TagAnswer,
    TagsAnswer,
    TagsQuery,
    UrlQuery,
    WarmAnswer,
    WarmRequest,
    without_secrets,
)
from proxy.admin.operations import Ask, Documented, Handler, Operation
from proxy.admin.options import Role
from proxy.admin.problems import Fault, unprocessable
from proxy.exchange import Outgoing
from proxy.rfc9111.messages import field_value

_PREVIEWED: Final = 100
"""URLs that a dry run shows."""


async def purge(ask: Ask) -> Outgoing:
    """POST /purge."""
    wish = await reading.json_body(ask.incoming, PurgeRequest, ask.desk.options.max_body)
    checked = items.check(
        Wanted(
            tags=wish.tags,
            urls=wish.urls,
            prefixes=wish.prefixes,
            hosts=wish.hosts,
            pattern=wish.pattern,
            everything=wish.all,
            soft=wish.soft,
        )
    )
    refused = tuple(checked.faults)
    if refused and not checked.order:
        raise unprocessable("Nothing of this can be purged.", *refused)
    ensure_order(checked.order)
    if wish.dry_run:
        preview = await ask.desk.control.preview(checked.order, limit=_PREVIEWED)
        status = HTTPStatus.MULTI_STATUS if refused else HTTPStatus.OK
        return modelled(PreviewAnswer.of(preview, refused), status)
    return await _purged(ask, checked.order, wish.wait, refused)


async def purge_tag(ask: Ask) -> Outgoing:
    """POST /purge/tag/{tag}."""
    options = await _options(ask)
    order = _single("tags", reading.decoded(ask.captured["tag"]), soft=options.soft)
    return await _purged(ask, order, options.wait)


async def purge_all(ask: Ask) -> Outgoing:
    """POST /purge/all."""
    options = await _options(ask)
    return await _purged(ask, PurgeOrder(everything=True, soft=options.soft), options.wait)


async def delete_entries(ask: Ask) -> Outgoing:
    """DELETE /entries?url=."""
    await reading.no_body(ask.incoming, ask.desk.options.max_body)
    query = reading.query(ask.query, DeleteQuery)
    return await _purged(ask, _single("urls", query.url, soft=query.soft), query.wait)


async def list_tags(ask: Ask) -> Outgoing:
    """GET /tags."""
    query = reading.query(ask.query, TagsQuery)
    page = await ask.desk.control.tags(prefix=query.prefix, limit=query.limit)
    return modelled(TagsAnswer(tags=page.tags, complete=page.complete))


async def show_tag(ask: Ask) -> Outgoing:
    """GET /tags/{tag}."""
    query = reading.query(ask.query, LimitQuery)
    (tag,) = _single("tags", reading.decoded(ask.captured["tag"])).tags
    found = await ask.desk.control.tag(tag, limit=query.limit)
    return modelled(
        TagAnswer(tag=tag, entries=found.entries, urls=found.urls, complete=found.complete)
    )


async def show_entries(ask: Ask) -> Outgoing:
    """GET /entries?url=."""
    url = reading.query(ask.query, UrlQuery).url
    entries = [
        without_secrets(entry)
        for spelling in _single("urls", url).urls
        for entry in await ask.desk.control.entries(spelling)
    ]
    return modelled(EntriesAnswer(url=url, entries=tuple(entries)))


async def warm(ask: Ask) -> Outgoing:
    """POST /warm."""
    wish = await reading.json_body(ask.incoming, WarmRequest, ask.desk.options.max_body)
    urls: dict[str, None] = {}
    refused: list[Fault] = []
    for number, text in enumerate(wish.urls):
        try:
            urls[items.url(text)[0]] = None  # the scheme that was asked for
        except InvalidItem as error:
            what = f"{reading.shown(text)!r}: {error.what}"
            refused.append(Fault(where=f"urls[{number}]", what=what, how=error.how))
    if not urls:
        raise unprocessable("Nothing of this can be fetched.", *refused)
    job = ask.desk.jobs.start(tuple(urls), wish.concurrency, tuple(refused))
    return modelled(job.answer(), HTTPStatus.ACCEPTED, [("Location", f"/warm/{job.id}")])


async def show_warm(ask: Ask) -> Outgoing:
    """GET /warm/{id}."""
    return modelled(ask.desk.jobs.find(reading.decoded(ask.captured["id"])).answer())


async def cancel_warm(ask: Ask) -> Outgoing:
    """DELETE /warm/{id}."""
    job = ask.desk.jobs.find(reading.decoded(ask.captured["id"]))
    await ask.desk.jobs.cancel(job)
    return modelled(job.answer())


async def health(_: Ask) -> Outgoing:
    """GET /healthz."""
    return modelled(HealthAnswer())


async def ready(ask: Ask) -> Outgoing:
    """GET /readyz."""
    found = await ask.desk.control.readiness()
    status = HTTPStatus.OK if found.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return modelled(ReadyAnswer(ready=found.ready, checks=dict(found.checks)), status)


async def stats(ask: Ask) -> Outgoing:
    """GET /stats."""
    figures = await ask.desk.control.stats()
    return modelled(StatsAnswer(replace(figures, rates=ask.desk.recent.last())))


async def metrics(ask: Ask) -> Outgoing:
    """GET /metrics, as Prometheus and its kin ask for it."""
    accept = field_value(ask.incoming.request.headers, "Accept") or ""
    exposition = await ask.desk.control.metrics(accept)
    return bare(HTTPStatus.OK, exposition.text, exposition.media_type)


async def openapi(ask: Ask) -> Outgoing:
    """GET /openapi.json."""
    return bare(HTTPStatus.OK, ask.desk.openapi, JSON)


def _single(kind: str, text: str, *, soft: bool = False) -> PurgeOrder:
    """An order for one tag or URL; raises Refusal."""
    wanted = Wanted(tags=[text], soft=soft) if kind == "tags" else Wanted(urls=[text], soft=soft)
    checked = items.check(wanted)
    if checked.faults:
        raise unprocessable("This names nothing that could be stored.", *checked.faults)
    return checked.order


async def _options(ask: Ask) -> PurgeOptions:
    await reading.no_body(ask.incoming, ask.desk.options.max_body)
    return reading.query(ask.query, PurgeOptions)


async def _purged(
    ask: Ask, order: PurgeOrder, wait: float | None, refused: tuple[Fault, ...] = ()
) -> Outgoing:
    receipt = await ask.desk.purge(order, ask.caller, wait)
    answer = PurgeAnswer.of(receipt, soft=order.soft, refused=refused)
    return modelled(answer, HTTPStatus.MULTI_STATUS if refused else status_of(receipt))


def status_of(receipt: PurgeReceipt) -> HTTPStatus:
    """200 once nobody serves anything older, 202 before."""
    return HTTPStatus.OK if receipt.acknowledged else HTTPStatus.ACCEPTED


_BAD: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
_BODY: Final = (
    *_BAD,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
_LOG: Final = HTTPStatus.SERVICE_UNAVAILABLE
_PURGED: Final = {HTTPStatus.OK: [PurgeAnswer], HTTPStatus.ACCEPTED: [PurgeAnswer]}


def _look(
    path: str,
    handler: Handler,
    summary: str,
    answer: type[BaseModel],
    query: type[BaseModel] | None = None,
) -> Operation:
    """A GET for which the role `read` is enough."""
    refusals = _BAD if query else ()
    about = Documented(summary, {HTTPStatus.OK: [answer]}, query, refusals=refusals)
    return Operation("GET", path, handler, Role.READ, documented=about)


def _purge(
    method: str,
    path: str,
    handler: Handler,
    summary: str,
    query: type[BaseModel] = PurgeOptions,
) -> Operation:
    """A purge of what path and query name."""
    refusals = (*_BAD, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _LOG)
    about = Documented(summary, _PURGED, query, refusals=refusals)
    return Operation(method, path, handler, Role.PURGE, documented=about)


OPERATIONS: Final = (
    Operation(
        "POST",
        "/purge",
        purge,
        Role.PURGE,
        documented=Documented(
            "Forget everything that any of these names",
            {
                HTTPStatus.OK: [PurgeAnswer, PreviewAnswer],
                HTTPStatus.ACCEPTED: [PurgeAnswer],
                HTTPStatus.MULTI_STATUS: [PurgeAnswer, PreviewAnswer],
            },
            body=PurgeRequest,
            refusals=(*_BODY, _LOG),
        ),
    ),
    _purge("POST", "/purge/all", purge_all, "Forget everything"),
    _purge("POST", "/purge/tag/{tag:rest}", purge_tag, "Forget what carries a tag"),
    _look("/tags", list_tags, "List tags", TagsAnswer, TagsQuery),
    _look("/tags/{tag:rest}", show_tag, "Show what carries a tag", TagAnswer, LimitQuery),
    _look("/entries", show_entries, "Show all variants of a URL", EntriesAnswer, UrlQuery),
    _purge("DELETE", "/entries", delete_entries, "Forget all variants of a URL", DeleteQuery),
    Operation(
        "POST",
        "/warm",
        warm,
        Role.ADMIN,
        documented=Documented(
            "Fetch URLs into the cache",
            {HTTPStatus.ACCEPTED: [WarmAnswer]},
            body=WarmRequest,
            refusals=(*_BODY, HTTPStatus.TOO_MANY_REQUESTS),
        ),
    ),
    Operation(
        "GET",
        "/warm/{id}",
        show_warm,
        Role.READ,
        documented=Documented(
            "Show the progress of a warming job",
            {HTTPStatus.OK: [WarmAnswer]},
            refusals=(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
        ),
    ),
    Operation(
        "DELETE",
        "/warm/{id}",
        cancel_warm,
        Role.ADMIN,
        documented=Documented(
            "Stop a warming job",
            {HTTPStatus.OK: [WarmAnswer]},
            refusals=(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
        ),
    ),
    Operation(
        "GET",
        "/healthz",
        health,
        role=None,
        documented=Documented("Whether the process answers", {HTTPStatus.OK: [HealthAnswer]}),
    ),
    Operation(
        "GET",
        "/readyz",
        ready,
        role=None,
        documented=Documented(
            "Whether requests should be sent here",
            {HTTPStatus.OK: [ReadyAnswer], HTTPStatus.SERVICE_UNAVAILABLE: [ReadyAnswer]},
        ),
    ),
    _look("/stats", stats, "Figures of this process", StatsAnswer),
    Operation("GET", "/metrics", metrics, Role.READ),
    _look("/openapi.json", openapi, "This description", OpenApiAnswer),
)
