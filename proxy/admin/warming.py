"""Warming jobs: URLs fetched into the cache, a few at a time, with progress.

Bounded: so many jobs run at a time, and so many that have ended are remembered.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from proxy.admin.control import Warmed, WarmOutcome
from proxy.admin.models import WarmAnswer, WarmFailure, WarmState
from proxy.admin.problems import Fault, Refusal

MAX_RUNNING: Final = 4
MAX_ENDED: Final = 32
MAX_FAILURES: Final = 20

_logger = logging.getLogger(__name__)

_IN_CACHE: Final = frozenset({WarmOutcome.HIT, WarmOutcome.STORED})


@dataclass(slots=True)
class Job:
    """One job; its figures are read while it runs."""

    id: str
    total: int
    refused: tuple[Fault, ...]
    started: float
    state: WarmState = WarmState.RUNNING
    ended: float | None = None
    counts: Counter[WarmOutcome] = field(default_factory=Counter)
    failures: list[WarmFailure] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def answer(self) -> WarmAnswer:
        """How it stands."""
        until = asyncio.get_running_loop().time() if self.ended is None else self.ended
        return WarmAnswer(
            id=self.id,
            state=self.state,
            total=self.total,
            done=self.counts.total(),
            hit=self.counts[WarmOutcome.HIT],
            stored=self.counts[WarmOutcome.STORED],
            not_stored=self.counts[WarmOutcome.NOT_STORED],
            failed=self.counts[WarmOutcome.FAILED],
            seconds=round(until - self.started, 3),
            failures=tuple(self.failures),
            refused=self.refused,
        )

    def note(self, url: str, warmed: Warmed) -> None:
        """One URL is through."""
        self.counts[warmed.outcome] += 1
        if warmed.outcome not in _IN_CACHE and len(self.failures) < MAX_FAILURES:
            self.failures.append(WarmFailure(url=url, status=warmed.status, what=warmed.detail))


class WarmJobs:
    """All jobs of this process; `warm` fetches one URL."""

    def __init__(self, warm: Callable[[str], Awaitable[Warmed]]) -> None:
        self._warm = warm
        self._jobs: dict[str, Job] = {}

    def start(self, urls: Sequence[str], concurrency: int, refused: tuple[Fault, ...]) -> Job:
        """Begin a job; raises Refusal (429) when too many run."""
        running = sum(job.state is WarmState.RUNNING for job in self._jobs.values())
        if running >= MAX_RUNNING:
            fault = Fault(
                where="request", what=f"{running} jobs run", how="wait for one, or DELETE one"
            )
            raise Refusal(
                HTTPStatus.TOO_MANY_REQUESTS, "Too many jobs.", [fault], [("Retry-After", "5")]
            )
        self._forget_oldest()
        loop = asyncio.get_running_loop()
        job = Job(secrets.token_hex(8), len(urls), refused, loop.time())
        self._jobs[job.id] = job
        job.task = loop.create_task(self._run(job, urls, concurrency), name=f"warm {job.id}")
        return job

    def find(self, job_id: str) -> Job:
        """The job of this name; raises Refusal (404)."""
        job = self._jobs.get(job_id)
        if job is None:
            fault = Fault(where="path", what="no such job", how="jobs end with the process")
            raise Refusal(HTTPStatus.NOT_FOUND, "There is no such job.", [fault])
        return job

    async def cancel(self, job: Job) -> None:
        """Stop a job where it stands."""
        if job.task is not None and not job.task.done():
            job.task.cancel()
            await asyncio.wait([job.task])

    async def close(self) -> None:
        """Stop all."""
        for job in list(self._jobs.values()):
            await self.cancel(job)

    async def _run(self, job: Job, urls: Sequence[str], concurrency: int) -> None:
        left = iter(urls)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(urls))):
                    group.create_task(self._work(job, left))
            job.state = WarmState.DONE
        except asyncio.CancelledError:
            job.state = WarmState.CANCELLED
            raise
        finally:
            job.ended = asyncio.get_running_loop().time()

    async def _work(self, job: Job, left: Iterator[str]) -> None:
        for url in left:
            try:
                warmed = await self._warm(url)
            except Exception:
                _logger.exception("A URL could not be warmed")
                warmed = Warmed(WarmOutcome.FAILED, detail="an error inside the proxy")
            job.note(url, warmed)

    def _forget_oldest(self) -> None:
        ended = [job.id for job in self._jobs.values() if job.state is not WarmState.RUNNING]
        for job_id in ended[: max(0, len(ended) - MAX_ENDED + 1)]:
            del self._jobs[job_id]
