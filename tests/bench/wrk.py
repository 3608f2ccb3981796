"""Runs wrk: as many requests as a proxy can answer, over connections that are kept."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import pinned

_SCRIPT = Path(__file__).parent / "replay.lua"


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk counted. Seconds throughout."""

    answers: int
    seconds: float
    p50: float
    p99: float
    errors: int


@contextmanager
def started(
    core: int, port: int, requests: Path, connections: int, *, seconds: int, series: str
) -> Iterator[subprocess.Popen[str]]:
    """One thread on this core; `series` is unlike that of any other run against the same proxy."""
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections), "--timeout", "20s"),
        *("--duration", f"{seconds}s", "--script", str(_SCRIPT), f"http://127.0.0.1:{port}/"),
        *("--", str(requests), series),
    ]
    with subprocess.Popen(
        pinned([core], *command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def parse(output: str) -> Load:
    """What `replay.lua` printed at the end.

    Raises:
        ValueError: wrk did not get that far.
    """
    last = output.strip().rpartition("\n")[2]
    try:
        counted = json.loads(last)
    except ValueError:
        raise ValueError(f"wrk ended without figures; it said:\n{output}") from None
    return Load(
        answers=counted["answers"],
        seconds=counted["microseconds"] / 1e6,
        p50=counted["p50"] / 1e6,
        p99=counted["p99"] / 1e6,
        errors=counted["errors"],
    )
