"""`docs/benchmarks.md`, from outcomes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.bench import peers, traffic
from tests.bench.report import NAMES
from tests.bench.results import Goal, Outcome, Run, doubts

_TEMPLATE = Path(__file__).with_name("page.md")
_COMPARED = peers.NAMES[1:]


def page(run: Run) -> str:
    """The whole page; the plots it shows are drawn elsewhere."""
    return peers.Template(_TEMPLATE.read_text()).substitute(
        date=run.date,
        rounds=run.rounds,
        seconds=run.seconds,
        machine=_table(["", ""], list(run.machine.items())),
        ratios=_ratios(run.outcomes),
        figures=_figures(run.outcomes),
        notes=_notes(run),
        pool=f"{traffic.POOL:,}",
        nginx_variants="\n".join(
            f"- {NAMES[name]}: " + ", ".join(f"`{key} {value}`" for key, value in keys.items())
            for name, keys in peers.NGINX.items()
        ),
        varnish_command=" ".join(peers.varnish(Path("varnish.vcl"), Path(), 80)),
        warmfront=_file("warmfront.yaml"),
        redis=_file("warmfront-redis.yaml"),
        nginx=_file("nginx.conf"),
        varnish=_file("varnish.vcl"),
        origin=_file("origin.conf"),
    )


def _file(name: str) -> str:
    return (peers.TEMPLATES / name).read_text()


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratios(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for outcome in outcomes:
        cells = [_ratio(outcome, other) if other in outcome.others else "" for other in _COMPARED]
        rows.append([f"**{outcome.title}**: {outcome.what}", *cells, _goals(outcome)])
    return _table(["", *(f"to {NAMES[other]}" for other in _COMPARED), "goal"], rows)


def _ratio(outcome: Outcome, other: str) -> str:
    ratio = outcome.ratio(other)
    return f"**{ratio.median:.2f}** ({ratio.low:.2f} to {ratio.high:.2f})"


def _goals(outcome: Outcome) -> str:
    return "<br>".join(_goal(outcome, goal) for goal in outcome.goals)


def _goal(outcome: Outcome, goal: Goal) -> str:
    """One goal and whether it was reached."""
    verdict = "reached" if outcome.reached(goal) else "**missed**"
    if goal.other is None:
        return f"{goal.value:,g} a second: {verdict}"
    bound = "≥" if outcome.metric == "rate" else "≤"
    return f"{bound} {goal.value:g} x {NAMES.get(goal.other, goal.other)}: {verdict}"


def _figures(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for outcome in outcomes:
        for name in outcome.samples:
            usage = outcome.usage(name)
            rate, p50, p99, memory = (
                outcome.spread(name, of).median for of in ("rate", "p50", "p99", "memory")
            )
            compared = [
                "" if name == outcome.subject else f"{outcome.ratio(name, of).median:.2f}"
                for of in (outcome.metric, "capacity")
            ]
            rows.append(
                [
                    outcome.title if name == outcome.subject else "",
                    NAMES.get(name, name),
                    f"{rate:,.0f}",
                    f"{p50 * 1e3:.2f} ms",
                    f"{p99 * 1e3:.2f} ms",
                    f"{usage.proxy:.0%}",
                    f"{usage.load:.0%}",
                    f"{memory / 2**20:,.0f} MiB",
                    *compared,
                ]
            )
    heads = ["", "", "answers/s", "p50", "p99", "core", "load", "memory", "ratio", "by processor"]
    return _table(heads, rows)


def _notes(run: Run) -> str:
    found = [f"{each.title}: {doubt}" for each in run.outcomes for doubt in doubts(each)]
    lines = [f"- {line}" for line in (*run.skipped, *found)]
    return "\n".join(["Notes:", "", *lines]) if lines else ""
