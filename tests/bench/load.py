"""The programs that make load, each a process of its own that ends with a line of figures."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).parent / "replay.lua"


@dataclass(frozen=True, slots=True)
class Figures:
    """What the load counted. Seconds throughout."""

    answers: int
    seconds: float
    p50: float
    p99: float
    errors: int
    lag: float = 0.0
    """How late the load was itself, 99 of 100 times at most."""


def wrk(
    port: int,
    requests: Path,
    *,
    connections: int,
    seconds: int,
    series: int,
    start: int = 0,
    yields: bool = False,
) -> list[str]:
    """As many requests as are answered, from the `start`-th on; `series` is this run's alone.

    Args:
        yields: Where it shares a core, it waits until nobody else has anything to do there.
    """
    return [
        *(("chrt", "--batch", "0") if yields else ()),
        *("wrk", "--threads", "1", "--connections", str(connections), "--timeout", "20s"),
        *("--duration", f"{seconds}s", "--script", str(_SCRIPT), f"http://127.0.0.1:{port}/"),
        *("--", str(requests), str(series), str(start)),
    ]


def steady(port: int, requests: Path, *, rate: float, seconds: int) -> list[str]:
    """So many requests a second, whether they are answered or not."""
    return [
        *(sys.executable, "-m", "tests.bench.steady"),
        *(str(port), str(requests), str(rate), str(seconds)),
    ]


def slow_readers(port: int, count: int) -> list[str]:
    """Clients that take minutes for one answer; they say `ready` once all are being answered."""
    return [sys.executable, "-m", "tests.bench.slow_readers", str(port), str(count)]


def parse(output: str) -> Figures:
    """The figures in the last line, times in microseconds there.

    Raises:
        ValueError: the load did not get that far.
    """
    try:
        counted = json.loads(output.strip().rpartition("\n")[2])
    except ValueError:
        raise ValueError(f"the load ended without figures; it said:\n{output}") from None
    return Figures(
        answers=counted["answers"],
        seconds=counted["microseconds"] / 1e6,
        p50=counted["p50"] / 1e6,
        p99=counted["p99"] / 1e6,
        errors=counted["errors"],
        lag=counted.get("lag", 0) / 1e6,
    )
