"""What it costs to see what goes on: Warmfront with everything on, and with everything off."""

import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial

from tests.bench import peers, traffic
from tests.bench.results import Sample
from tests.bench.stage import CONNECTIONS, Requests, Stage, Trial, check

ON, OFF = "everything on", "everything off"
NAMES = 2_000
TOKEN = "of-a-proxy-that-lives-for-a-minute"  # noqa: S105 - as its configuration has it

_SCRAPED_EVERY = 1.0
"""Seconds; Prometheus asks every fifteen unless told otherwise."""

_LOGGED = b'"event": "answered"'

_LOGGED_WITHIN = 1.0
"""Seconds after a run in which its last lines must be there."""


def seen(
    paths: traffic.Paths, probe: traffic.Target
) -> Callable[[Stage], AbstractContextManager[Trial]]:
    """Both of them, for requests for these; nothing may be asked of the origin."""

    @contextmanager
    def trial(stage: Stage) -> Iterator[Trial]:
        requests = stage.requests(paths)
        admin = peers.free_port()
        with (
            stage.peer("warmfront-seen", admin=admin) as on,
            stage.peer("warmfront-unseen") as off,
        ):
            for server in (on, off):
                check(server, probe, 200, peers.SIZES["1k"])
                stage.warm(server, requests)
            yield Trial(
                {
                    ON: partial(_seen, stage, on, admin, requests),
                    OFF: partial(_loaded, stage, off, requests),
                }
            )

    return trial


def _loaded(stage: Stage, server: peers.Server, requests: Requests) -> Sample:
    """A run in which load and proxy share a core.

    Else an answer that finds the load idle costs the proxy a wake-up across cores, which can take
    longer than the answer: more of them where the proxy is slower would be taken for its own cost.
    """
    return stage.saturate_beside(server, requests, CONNECTIONS)


def _seen(stage: Stage, server: peers.Server, admin: int, requests: Requests) -> Sample:
    """A run that is scraped, and of which each answer has its line in the log.

    Raises:
        RuntimeError: Lines are missing.
    """
    os.truncate(server.output, 0)
    with _scraped(admin):
        sample = _loaded(stage, server, requests)
    answers = round(sample.rate * stage.seconds)
    deadline = time.monotonic() + _LOGGED_WITHIN
    while (lines := server.output.read_bytes().count(_LOGGED)) < answers:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{answers:,} answers, but {lines:,} lines of them in the log")
        time.sleep(0.1)
    return sample


@contextmanager
def _scraped(admin: int) -> Iterator[None]:
    """Ask for metrics now and then."""
    over = threading.Event()
    thread = threading.Thread(target=_scrape, args=(admin, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _scrape(admin: int, over: threading.Event) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with closing(http.client.HTTPConnection("127.0.0.1", admin, timeout=10)) as connection:
        while not over.wait(_SCRAPED_EVERY):
            connection.request("GET", "/metrics", headers=headers)
            connection.getresponse().read()
