"""`entries` and `tags`: what is stored."""

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Group
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from proxy.cli.admin_api import HERE, AdminUrl, Token, admin_api
from proxy.cli.console import out
from proxy.cli.purge import counted, shown_urls
from proxy.client import Entry
from proxy.units import format_duration

Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many to show at most.")]


def entries(
    url: Annotated[str, typer.Argument(metavar="URL", help="An absolute URL.")],
    *,
    headers: Annotated[bool, typer.Option("--headers", help="Show their fields too.")] = False,
    admin: AdminUrl = HERE,
    token: Token = None,
) -> None:
    """Show all stored variants of a URL."""
    with admin_api(admin, token) as client:
        found = client.entries(url)
    if not found:
        out.print(f"nothing is stored for {url}", markup=False)
    for entry in found:
        out.print(_entry(entry, headers=headers))


def tags(
    tag: Annotated[
        str | None, typer.Argument(metavar="[TAG]", help="Show what carries this one.")
    ] = None,
    *,
    prefix: Annotated[str, typer.Option(metavar="P", help="Only tags that start so.")] = "",
    limit: Limit = 100,
    admin: AdminUrl = HERE,
    token: Token = None,
) -> None:
    """Show the tags of what is stored, or what carries one of them."""
    with admin_api(admin, token) as client:
        if tag is not None:
            found = client.tag(tag, limit=limit)
            out.print(counted(found.entries))
            shown_urls(found.urls, complete=found.complete)
            return
        page = client.tags(prefix, limit=limit)
    table = Table("tag", "entries", box=None, pad_edge=False)
    for one in page.tags:
        table.add_row(Text(one.tag), "?" if one.entries is None else str(one.entries))
    out.print(table if page.tags else "no tags")
    if not page.complete:
        out.print("...")


def _entry(entry: Entry, *, headers: bool) -> Group:
    lines = [Text(entry.url, style="bold")]
    lines += [Text(f"  {fact}") for fact in _facts(entry)]
    if headers:
        lines += [Text(f"  {name}: {value}", style="dim") for name, value in entry.headers]
    return Group(*lines)


def _facts(entry: Entry) -> Iterator[str]:
    hits = [] if entry.hits is None else [f"{entry.hits} hits"]
    place = f"{decimal(entry.size)} in {entry.tier}"
    yield ", ".join([str(entry.status), *_times(entry), place, *hits])
    for name, value in entry.vary:
        yield f"for requests {'without' if value is None else 'with'} {name}" + (
            "" if value is None else f": {value}"
        )
    if entry.tags:
        yield f"tags {' '.join(entry.tags)}"
    if entry.groups:
        yield f"groups {' '.join(entry.groups)}"


def _times(entry: Entry) -> Iterator[str]:
    yield f"{format_duration(round(entry.age))} old"
    yield f"{'fresh' if entry.ttl > 0 else 'stale'} for {format_duration(round(abs(entry.ttl)))}"
