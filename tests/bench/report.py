"""Outcomes as tables, for the terminal and for the documentation."""

from rich import box
from rich.table import Table

from tests.bench.results import NAMES, Outcome, doubts


def table(outcome: Outcome) -> Table:
    """One row for each contender, the spread of the ratios beside their medians."""
    drawn = Table(title=outcome.title, caption="\n".join(doubts(outcome)), box=box.SIMPLE)
    drawn.title_justify = drawn.caption_justify = "left"
    for column in ("", "1/s", "p50 ms", "p99 ms", "core", "load", "ratio", "by cpu", "goal"):
        drawn.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name in outcome.samples:
        usage = outcome.usage(name)
        drawn.add_row(
            NAMES.get(name, name),
            f"{outcome.spread(name, 'rate').median:,.0f}",
            f"{outcome.spread(name, 'p50').median * 1e3:.2f}",
            f"{outcome.spread(name, 'p99').median * 1e3:.2f}",
            f"{usage.proxy:.0%}",
            f"{usage.load:.0%}",
            *_comparison(outcome, name),
        )
    return drawn


def _comparison(outcome: Outcome, name: str) -> tuple[str, str, str]:
    goals = [goal for goal in outcome.goals if (goal.other or outcome.subject) == name]
    said = ", ".join(
        f"{goal.value:g} {'reached' if outcome.reached(goal) else 'missed'}" for goal in goals
    )
    if name == outcome.subject:
        return "", "", said
    ratio = outcome.ratio(name)
    by_processor = outcome.ratio(name, "capacity").median
    return f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})", f"{by_processor:.2f}", said
