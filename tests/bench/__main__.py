"""`make bench`: Warmfront, nginx and Varnish side by side on one core, in turns."""

import argparse
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.bench import peers, report
from tests.bench.cases import CASES, Case, SkippedError
from tests.bench.machine import Cores, choose_cores, describe, prefer_measuring
from tests.bench.page import page
from tests.bench.results import Outcome, Run, Sample, middle
from tests.bench.stage import Stage

DOCS = Path(__file__).parents[2] / "docs"

_WIDTH = 110
"""Columns that the tables need, whatever they are written to."""


def measure(case: Case, stage: Stage, rounds: int) -> Outcome:
    """All rounds of one case; who begins changes from turn to turn."""
    with case.trial(stage) as trial:
        samples: dict[str, list[Sample]] = {name: [] for name in trial.contenders}
        for number in range(rounds):
            trial.before_round()
            found: dict[str, list[Sample]] = {name: [] for name in samples}
            for turn in range(trial.turns):
                for name in rotated(list(samples), number + turn):
                    found[name].append(trial.contenders[name]())
            for name, turns in found.items():
                samples[name].append(middle(turns, case.metric))
    return Outcome(
        name=case.name,
        title=case.title,
        what=case.what,
        metric=case.metric,
        origin_share=case.origin_share,
        alone=case.alone,
        goals=case.goals,
        samples=samples,
    )


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """The names, another one first in each turn."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def run(
    cases: Sequence[Case], names: Sequence[str], cores: Cores, rounds: int, seconds: int
) -> Iterator[Outcome | str]:
    """Outcomes as they come; a line of text for a case that could not run."""
    with peers.scratch() as folder, peers.origin(folder, cores) as origin:
        for case in cases:
            try:
                yield measure(case, Stage(folder, cores, origin, names, seconds), rounds)
            except SkippedError as reason:
                yield f"{case.title}: skipped, {reason}."
            except (RuntimeError, ValueError, OSError) as problem:
                # Half an hour of figures is not given up for one case; the page says it failed.
                yield f"{case.title}: failed, {problem}"


def main() -> None:
    options = _arguments()
    console = Console()
    console.width = max(console.width, _WIDTH)
    if options.again:
        write(Run.load((DOCS / "benchmarks.json").read_text()), console)
        return
    chosen = [case for case in CASES if not options.only or case.name in options.only]
    missing = peers.install_missing()
    if {"wrk", "nginx"} & set(missing):
        sys.exit(f"needed and not installed: {', '.join(missing)}; as root this installs them")
    for command in missing:
        console.print(f"without {command}: apt-get install {peers.PACKAGES[command]}")
    names = [name for name in peers.NAMES if "varnishd" not in missing or "varnish" not in name]
    cores = choose_cores()
    prefer_measuring()
    outcomes: list[Outcome] = []
    skipped: list[str] = []
    for result in run(chosen, names, cores, options.rounds, options.seconds):
        if isinstance(result, str):
            skipped.append(result)
            console.print(result)
        else:
            outcomes.append(result)
            console.print(report.table(result))
    machine = describe(cores)
    for name, value in machine.items():
        console.print(f"{name}: {value}", highlight=False)
    if options.write:
        today = datetime.now(UTC).date().isoformat()
        found = Run(today, machine, options.rounds, options.seconds, outcomes, skipped)
        write(found, console)


def write(found: Run, console: Console) -> None:
    """The page, its figures and, with matplotlib, its plots."""
    (DOCS / "benchmarks.json").write_text(found.dump())
    (DOCS / "benchmarks.md").write_text(page(found))
    if importlib.util.find_spec("matplotlib") is None:
        console.print("no plots without matplotlib: pip install '.[bench]'")
    else:
        importlib.import_module("tests.bench.plots").draw(found.outcomes, DOCS / "img")
    console.print(f"written: {DOCS / 'benchmarks.md'}", highlight=False)


def _arguments() -> argparse.Namespace:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each case (5)")
    parser.add_argument("--seconds", type=int, default=3, help="length of one run, 2 or more (3)")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), metavar="CASE,...", help=", ".join(names)
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md with plots")
    parser.add_argument(
        "--again", action="store_true", help="measure nothing, write it from docs/benchmarks.json"
    )
    options = parser.parse_args()
    if unknown := set(options.only or ()) - set(names):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.seconds < 2 or options.rounds < 1:
        parser.error("at least one round of two seconds")
    return options


if __name__ == "__main__":
    main()
