"""`top`: what the dashboard shows, in the terminal."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, TypeAlias

import typer
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from proxy.cli.admin_api import HERE, AdminUrl, Token, admin_api
from proxy.cli.console import out

Json: TypeAlias = Mapping[str, Any]

_NONE = "-"
_ROWS = 8
_GOOD, _BAD = "green", "bold red"


def top(
    *,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.2, help="Between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and exit.")] = False,
    admin: AdminUrl = HERE,
    token: Token = None,
) -> None:
    """Watch hit ratio, rates, latency, URLs, origins and purges, until Ctrl-C."""
    with admin_api(admin, token) as client:
        if once:
            out.print(frame(client.stats()))
            return
        try:
            with Live(frame(client.stats()), console=out, screen=True, auto_refresh=False) as live:
                while True:
                    time.sleep(interval)
                    live.update(frame(client.stats()), refresh=True)
        except KeyboardInterrupt:
            return


def frame(stats: Json) -> RenderableType:
    """All of it, from what GET /stats gives."""
    tables = (
        _table(("route", "requests/s", "hit ratio", "in all"), _routes(stats), "no request yet"),
        _table(("URL", "hits", "size"), _urls(stats["urls"]), "nothing was asked for again"),
        _table(
            ("origin", "state", "in flight", "requests", "failed"), _origins(stats["origins"]), ""
        ),
        _table(("purge", "what", "applied by"), _purges(stats["purges"]), "nothing was purged"),
    )
    parted = chain.from_iterable(("", table) for table in tables)
    return Group(_heading(stats), _tiles(stats), "", _outcomes(stats["requests"]), *parted)


def _heading(stats: Json) -> Text:
    log = stats["log"]
    trust = ("in step", _GOOD) if log["trusted"] else ("without news of purges", _BAD)
    return Text.assemble(
        ("Warmfront ", "bold"),
        f"{stats['version']} on {stats['node']}, up for {_span(stats['uptime'])}, ",
        f"{max(1, len(log['nodes']))} processes, " if len(log["nodes"]) > 1 else "",
        trust,
    )


def _tiles(stats: Json) -> Columns:
    rates, totals = stats["rates"] or {}, stats["totals"]
    durations = rates.get("durations", {})
    tiles = (
        ("hit ratio", _percent(rates.get("hit_ratio")), _percent(_overall(totals)) + " in all"),
        ("requests", _rate(rates.get("requests")), f"{totals['requests']:,} in all"),
        ("to the origin", _rate(rates.get("origin")), f"{totals['origin']:,} in all"),
        ("hits take", *_times(durations.get("hit"))),
        ("origin takes", *_times(durations.get("origin"))),
        ("saved", _bytes_rate(rates.get("saved")), f"{decimal(totals['saved'])} in all"),
        ("memory", *_fill(stats["memory"])),
        *([("redis", *_fill(stats["redis"]))] if stats["redis"] else []),
    )
    return Columns([_tile(*tile) for tile in tiles], padding=(1, 3, 0, 0), width=17)


def _tile(name: str, value: str, note: str) -> Text:
    return Text.assemble((name, "dim"), "\n", (value, "bold"), "\n", (note, "dim"))


def _outcomes(requests: Mapping[str, int]) -> Text:
    total = sum(requests.values())
    known = sorted(requests.items(), key=lambda one: -one[1])
    parts = (f"{name} {count:,} ({count / total:.1%})" for name, count in known if count)
    return Text(", ".join(parts) if total else "no request yet")


def _routes(stats: Json) -> Iterator[Sequence[str]]:
    known = stats["totals"]["routes"]
    for one in (stats["rates"] or {}).get("routes", ())[:_ROWS]:
        total = known.get(one["name"], {}).get("requests", 0)
        yield one["name"], f"{one['requests']:.1f}", _percent(one["hit_ratio"]), f"{total:,}"


def _urls(urls: Sequence[Json]) -> Iterator[Sequence[str]]:
    for one in urls[:_ROWS]:
        yield one["url"], f"{one['hits']:,}", decimal(one["size"])


def _origins(groups: Sequence[Json]) -> Iterator[Sequence[str | Text]]:
    for group in groups:
        for one in group["origins"]:
            state = Text(one["state"], _GOOD if one["state"] == "up" else _BAD)
            counts = (f"{one[name]:,}" for name in ("in_flight", "requests", "failures"))
            yield one["url"], state, *counts


def _purges(purges: Sequence[Json]) -> Iterator[Sequence[str]]:
    for one in purges[:_ROWS]:
        nodes = len(one["acked"]) + len(one["pending"])
        what = f"{one['what']}{' ...' if one['names'] > 3 else ''}{' (soft)' * one['soft']}"  # noqa: PLR2004 - as many as are named
        yield _number(one["seq"]), what, f"{len(one['acked'])} of {nodes}"


def _number(seq: int) -> str:
    """Those of a log in Redis are long, and only their ends differ."""
    return f"...{seq % 10**6:06d}" if seq >= 10**9 else str(seq)


def _table(
    headings: Sequence[str], rows: Iterator[Sequence[str | Text]], none: str
) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    first = headings[1] == "what"
    for number, heading in enumerate(headings):
        wide = number == int(first)
        table.add_column(
            heading,
            justify="left" if wide or heading == "state" else "right",
            ratio=1 if wide else None,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    if not table.row_count and none:
        table.add_row(*(Text(none, "dim") if number == int(first) else "" for number in range(2)))
    return table


def _times(durations: Json | None) -> tuple[str, str]:
    if durations is None or durations["p95"] is None:
        return _NONE, "none of late"
    return _seconds(durations["p95"]), f"median {_seconds(durations['median'])}"


def _fill(tier: Json) -> tuple[str, str]:
    if not tier["available"]:
        return "away", ""
    if tier["size"] is None:
        return _NONE, "size not known"
    bound = "no limit" if tier["max_size"] is None else f"of {decimal(tier['max_size'])}"
    return decimal(tier["size"]), bound


def _overall(totals: Json) -> float | None:
    requests: int = totals["requests"]
    return totals["from_store"] / requests if requests else None


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{share:.1%}"


def _rate(number: float | None) -> str:
    return _NONE if number is None else f"{number:,.1f} /s"


def _bytes_rate(number: float | None) -> str:
    return _NONE if number is None else f"{decimal(round(number))}/s"


def _seconds(number: float) -> str:
    if number < 0.001:  # noqa: PLR2004 - finer classes say nothing
        return "< 1 ms"
    return f"{number * 1000:.0f} ms" if number < 1 else f"{number:.1f} s"


def _span(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
