"""`purge`: forget what is stored, on every node, and say how far that has come."""

from collections.abc import Iterable
from typing import Annotated

import typer

from proxy.cli.admin_api import HERE, UNFINISHED, AdminUrl, Token, admin_api, tell_refused
from proxy.cli.console import BAD_INPUT, REFUSED, err, fail, out
from proxy.client import Preview, PurgeResult
from proxy.problems import Refused
from proxy.units import parse_duration

Several = list[str] | None


def purge(
    *,
    tag: Annotated[Several, typer.Option(metavar="T", help="What carries this tag.")] = None,
    url: Annotated[Several, typer.Option(metavar="U", help="All variants of this URL.")] = None,
    prefix: Annotated[
        Several, typer.Option(metavar="P", help="/a/b or //host/a/b, and all below.")
    ] = None,
    host: Annotated[Several, typer.Option(metavar="H", help="All of host or host:port.")] = None,
    pattern: Annotated[
        str | None, typer.Option(metavar="RE", help="URLs in which this expression is found.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything there is.")] = False,
    soft: Annotated[
        bool, typer.Option("--soft", help="Make it stale, so that it still serves on errors.")
    ] = False,
    wait: Annotated[
        str | None, typer.Option(metavar="TIME", help="For all processes, such as 5s.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be forgotten.")
    ] = False,
    admin: AdminUrl = HERE,
    token: Token = None,
) -> None:
    """Forget what is stored; everything that any of the flags names.

    Leaves with 3 when some process has not said so in time, with 1 when not all was purged.
    """
    if not (tag or url or prefix or host or pattern or everything):
        fail("there is nothing to purge", hint="warmfront purge --tag product:42", code=BAD_INPUT)
    seconds = None if wait is None else _seconds(wait)
    chosen = {"tags": tag or (), "urls": url or (), "prefixes": prefix or (), "hosts": host or ()}
    with admin_api(admin, token) as client:
        if dry_run:
            _show(client.preview(**chosen, pattern=pattern, all=everything))
        else:
            _report(
                client.purge(**chosen, pattern=pattern, all=everything, soft=soft, wait=seconds)
            )


def shown_urls(urls: Iterable[str], *, complete: bool) -> None:
    """One a line; a last line of dots when there are more."""
    for url in urls:
        out.print(url, markup=False)
    if not complete:
        out.print("...")


def counted(entries: int | None) -> str:
    """How many entries, in words."""
    if entries is None:
        return "an unknown number of entries"
    return "1 entry" if entries == 1 else f"{entries} entries"


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except Refused as error:
        fail(f"--wait: {error}", hint="--wait 5s", code=BAD_INPUT)


def _show(preview: Preview) -> None:
    out.print(f"{counted(preview.entries)} would be forgotten")
    shown_urls(preview.urls, complete=preview.complete)
    if preview.refused:
        tell_refused(preview.refused)
        raise typer.Exit(REFUSED)


def _report(result: PurgeResult) -> None:
    reached = "" if result.entries is None else f", {counted(result.entries)}"
    progress = f"{result.acked} of {result.nodes} processes"
    out.print(f"purge {result.seq}: acknowledged by {progress}{reached}")
    if result.pending:
        err.print(f"still to come: {', '.join(result.pending)}", markup=False)
    tell_refused(result.refused)
    if not result.acknowledged:
        raise typer.Exit(REFUSED if result.refused else UNFINISHED)
