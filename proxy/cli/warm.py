"""`warm`: have the proxy fetch addresses into its cache, before anybody asks for them."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from proxy.cli.admin_api import HERE, AdminUrl, Token, admin_api, tell_refused
from proxy.cli.console import BAD_INPUT, REFUSED, err, fail, out
from proxy.cli.serving import INTERRUPTED, run_to_end
from proxy.client import PurgeClient, WarmJob
from proxy.sitemaps import Unreadable

_BATCH_SIZE = 512 * 1024
"""Bytes of JSON in one job: half of what a server takes unless it is told otherwise."""
_BATCH_URLS = 10_000
_LOOK_EVERY = 0.2

Advance = Callable[[int], None]


@dataclass(slots=True)
class Totals:
    """All jobs together."""

    hit: int = 0
    stored: int = 0
    not_stored: int = 0
    failed: int = 0
    refused: int = 0

    def add(self, job: WarmJob) -> None:
        """One more has ended."""
        self.hit += job.hit
        self.stored += job.stored
        self.not_stored += job.not_stored
        self.failed += job.failed
        self.refused += len(job.refused)

    def __str__(self) -> str:
        words = f"{self.stored} stored, {self.hit} there already"
        for count, what in (
            (self.not_stored, "may not be stored"),
            (self.failed, "failed"),
            (self.refused, "refused"),
        ):
            words += f", {count} {what}" if count else ""
        return words


def warm(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|URL...",
            help="Addresses; files that list them (- for standard input); sitemaps, also by URL.",
        ),
    ],
    *,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-j", min=1, max=64, help="Fetches at a time.")
    ] = 4,
    admin: AdminUrl = HERE,
    token: Token = None,
) -> None:
    """Fetch addresses into the cache. Leaves with 1 where some could not be fetched."""
    from proxy.cli.sitemaps import addresses  # noqa: PLC0415 - others need not wait for aiohttp

    try:
        urls = run_to_end(addresses(sources))
    except Unreadable as error:
        fail(str(error), code=BAD_INPUT)
    totals = Totals()
    with admin_api(admin, token) as client, _bar() as bar:
        task = bar.add_task("warming", total=len(urls))
        for batch in batches(urls):
            job = _run(client, batch, concurrency, lambda done: bar.advance(task, done))
            totals.add(job)
            _complain(job)
    noun = "address" if len(urls) == 1 else "addresses"
    out.print(f"{len(urls)} {noun}: {totals}")
    if totals.failed or totals.refused:
        raise typer.Exit(REFUSED)


def batches(urls: Sequence[str]) -> Iterator[list[str]]:
    """`urls` in parts that fit into one request each."""
    batch: list[str] = []
    size = 0
    for url in urls:
        weight = len(json.dumps(url)) + 2
        if batch and (size + weight > _BATCH_SIZE or len(batch) == _BATCH_URLS):
            yield batch
            batch, size = [], 0
        batch.append(url)
        size += weight
    if batch:
        yield batch


def _run(client: PurgeClient, urls: list[str], concurrency: int, advance: Advance) -> WarmJob:
    """Start a job and watch it to its end; Ctrl-C ends it there too."""
    job = client.warm(urls, concurrency=concurrency)
    advance(job.done + len(job.refused))
    try:
        while not job.ended:
            time.sleep(_LOOK_EVERY)
            before, job = job.done, client.warm_job(job.id)
            advance(job.done - before)
    except KeyboardInterrupt:
        client.cancel_warm(job.id)
        raise typer.Exit(INTERRUPTED) from None
    return job


def _complain(job: WarmJob) -> None:
    for one in job.failures:
        status = "" if one.status is None else f" {one.status}"
        err.print(f"{one.url}:{status} {one.what}", markup=False)
    tell_refused(job.refused)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
