"""The admin API: one Call for each thing to ask."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from proxy.client.errors import Fault
from proxy.client.models import (
    Entry,
    Explanation,
    Preview,
    PurgeResult,
    Reloaded,
    SettingChange,
    Stats,
    TagCount,
    TagPage,
    WarmFailure,
    WarmJob,
)
from proxy.client.wire import Call, fault

Json: TypeAlias = Mapping[str, Any]
SERVERS_WAIT = 5.0
"""Seconds that servers wait for acknowledgements unless they are told otherwise."""

ORIGINS_WAIT = 60.0
"""Seconds that an origin may take for what is sent to be explained."""

Texts: TypeAlias = str | Iterable[str]
"""One or several; a single text is never taken for a list of its letters."""


def selection(
    *,
    tags: Texts,
    urls: Texts,
    prefixes: Texts,
    hosts: Texts,
    pattern: str | None,
    all: bool,  # noqa: A002 - as the admin API calls it
) -> dict[str, object]:
    """What to purge, as the admin API wants it.

    Raises:
        ValueError: That is nothing.
    """
    lists = {"tags": tags, "urls": urls, "prefixes": prefixes, "hosts": hosts}
    chosen: dict[str, object] = {name: _listed(texts) for name, texts in lists.items()}
    chosen |= {"pattern": pattern, "all": all}
    chosen = {name: value for name, value in chosen.items() if value}
    if not chosen:
        raise ValueError("name what to purge: tags, urls, prefixes, hosts, a pattern, or all")
    return chosen


def purge(chosen: Json, *, soft: bool, wait: float | None) -> Call[PurgeResult]:
    """Forget what `selection` chose; without `wait` the server waits as it is set to."""
    body = {**chosen, "soft": soft} | ({} if wait is None else {"wait": wait})
    patience = SERVERS_WAIT if wait is None else wait
    return Call(method="POST", target="/purge", body=body, wait=patience, read=_purge_result)


def preview(chosen: Json) -> Call[Preview]:
    """What `purge` would reach."""
    return Call(method="POST", target="/purge", body={**chosen, "dry_run": True}, read=_preview)


def entries(url: str) -> Call[tuple[Entry, ...]]:
    """All variants that are stored of one URL."""
    target = f"/entries?{urlencode({'url': url})}"
    return Call(target=target, read=lambda json: tuple(map(_entry, json["entries"])))


def tags(*, prefix: str, limit: int) -> Call[TagPage]:
    """Tags of what is stored, in order of their names."""
    return Call(target=f"/tags?{urlencode({'prefix': prefix, 'limit': limit})}", read=_tag_page)


def tag(name: str, *, limit: int) -> Call[Preview]:
    """What is stored under one tag."""
    return Call(target=f"/tags/{quote(name, safe='')}?limit={limit}", read=_preview)


def warm(urls: Texts, *, concurrency: int | None) -> Call[WarmJob]:
    """Begin to fetch what is not stored."""
    body = {"urls": _listed(urls)} | ({} if concurrency is None else {"concurrency": concurrency})
    return Call(method="POST", target="/warm", body=body, read=_warm_job)


def warm_job(job_id: str, *, cancel: bool = False) -> Call[WarmJob]:
    """How a warming job stands, or its end."""
    method = "DELETE" if cancel else "GET"
    return Call(method=method, target=f"/warm/{quote(job_id, safe='')}", read=_warm_job)


def explain(url: str, *, method: str, headers: Texts, mode: str) -> Call[Explanation]:
    """Why a request is answered as it is."""
    pairs = [("url", url), ("method", method), ("mode", mode)]
    pairs += [("header", line) for line in _listed(headers)]
    patience = 0.0 if mode == "simulate" else ORIGINS_WAIT
    target = f"/explain?{urlencode(pairs)}"
    return Call(target=target, wait=patience, read=lambda json: {**json})


def explain_past(request_id: str) -> Call[Explanation]:
    """Why a past request was answered as it was."""
    target = f"/explain/requests/{quote(request_id, safe='')}"
    return Call(target=target, read=lambda json: {**json})


def reload() -> Call[Reloaded]:
    """Read the settings anew."""
    return Call(method="POST", target="/reload", wait=SERVERS_WAIT, read=_reloaded)


def stats() -> Call[Stats]:
    """Figures of the process that answers."""
    return Call(target="/stats", read=lambda json: {**json})


def _listed(texts: Texts) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _purge_result(json: Json) -> PurgeResult:
    return PurgeResult(
        seq=int(json["seq"]),
        acked=int(json["acked"]),
        nodes=int(json["nodes"]),
        pending=tuple(json.get("pending", ())),
        entries=json.get("entries"),
        refused=_refused(json),
    )


def _preview(json: Json) -> Preview:
    return Preview(json["entries"], tuple(json["urls"]), json["complete"], _refused(json))


def _refused(json: Json) -> tuple[Fault, ...]:
    return tuple(map(fault, json.get("refused", ())))


def _entry(json: Json) -> Entry:
    plain = ("url", "status", "age", "ttl", "size", "tier", "hits", "born")
    return Entry(
        **{name: json[name] for name in plain},
        headers=tuple((name, value) for name, value in json["headers"]),
        vary=tuple((name, value) for name, value in json["vary"]),
        tags=tuple(json["tags"]),
        groups=tuple(json["groups"]),
    )


def _reloaded(json: Json) -> Reloaded:
    changes = (SettingChange(one["key"], one["old"], one["new"]) for one in json["changes"])
    return Reloaded(tuple(changes), tuple(json["restart"]), tuple(json["renewing"]))


def _tag_page(json: Json) -> TagPage:
    counts = tuple(TagCount(one["tag"], one["entries"]) for one in json["tags"])
    return TagPage(counts, json["complete"])


def _warm_job(json: Json) -> WarmJob:
    plain = ("id", "state", "total", "done", "hit", "stored", "not_stored", "failed")
    failures = (WarmFailure(one["url"], one["status"], one["what"]) for one in json["failures"])
    return WarmJob(
        **{name: json[name] for name in plain}, failures=tuple(failures), refused=_refused(json)
    )
