"""Measure, and write docs/benchmarks-eviction.md with its plot."""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from tests.bench.eviction import traces
from tests.bench.eviction.report import Result, measure, page, plot

_DOCS = Path(__file__).parents[3] / "docs"


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--docs", type=Path, default=_DOCS, help="where to write to")
    arguments.add_argument("--synthetic", action="store_true", help="leave out the real traces")
    options = arguments.parse_args()
    console = Console()
    makers: Sequence[Callable[[], traces.Trace]] = traces.SYNTHETIC
    if not options.synthetic:
        try:
            traces.fetch()
            makers = (*makers, *traces.REAL)
        except OSError as error:
            console.print(f"without real traces: {error}")
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(_measured, range(len(makers))))
    options.docs.mkdir(parents=True, exist_ok=True)
    (options.docs / "benchmarks-eviction.md").write_text(
        page(results, real=len(makers) > len(traces.SYNTHETIC))
    )
    plot(results, options.docs / "benchmarks-eviction.svg")
    console.print(f"written to {options.docs}/benchmarks-eviction.md")


def _measured(number: int) -> Result:
    """Traces are made where they are measured: they are large, and their makers are not."""
    return measure((*traces.SYNTHETIC, *traces.REAL)[number]())


if __name__ == "__main__":
    main()
