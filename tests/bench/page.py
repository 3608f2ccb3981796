"""`docs/benchmarks.md`, from outcomes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.bench import cases, peers, traffic
from tests.bench.results import NAMES, Goal, Outcome, Run, busy, doubts

_TEMPLATE = Path(__file__).with_name("page.md")
_COMPARED = peers.NAMES[1:]


def page(run: Run) -> str:
    """The whole page; the plots it shows are drawn elsewhere."""
    return peers.Template(_TEMPLATE.read_text()).substitute(
        date=run.date,
        rounds=run.rounds,
        seconds=run.seconds,
        warning=_warning(run.outcomes),
        machine=_table(["", ""], list(run.machine.items())),
        ratios=_ratios(run.outcomes),
        alone=_alone(run.outcomes),
        figures=_figures(run.outcomes),
        notes=_notes(run),
        pool=f"{traffic.POOL:,}",
        turns=cases.TURNS,
        steady_turns=cases.STEADY_TURNS,
        steady_seconds=cases.STEADY_SECONDS,
        nginx_variants="\n".join(
            f"- {NAMES[name]}: " + ", ".join(f"`{key} {value}`" for key, value in keys.items())
            for name, keys in peers.NGINX.items()
        ),
        varnish_command=" ".join(peers.varnish(Path("varnish.vcl"), Path(), 80)),
        warmfront=_file("warmfront.yaml"),
        redis=_file("warmfront-redis.yaml"),
        seen=_file("warmfront-seen.yaml"),
        unseen=_file("warmfront-unseen.yaml"),
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
        if set(_COMPARED) & set(outcome.others):
            cells = [
                _ratio(outcome, other) if other in outcome.others else "" for other in _COMPARED
            ]
            rows.append([f"**{outcome.title}**: {outcome.what}", *cells, _goals(outcome)])
    return _table(["", *(f"to {NAMES[other]}" for other in _COMPARED), "goal"], rows)


def _alone(outcomes: Sequence[Outcome]) -> str:
    """What is not compared with other proxies: with itself in another form, or with nothing."""
    rows = []
    for outcome in outcomes:
        if not set(_COMPARED) & set(outcome.others):
            rate = outcome.spread(outcome.subject, "rate").median
            figures = [f"**{rate:,.0f}** a second"]
            figures += [f"{_ratio(outcome, other)} x {other}" for other in outcome.others]
            if outcome.metric == "unloaded":
                figures += [
                    f"{_ratio(outcome, other, 'rate')} x {other}, the load's time included"
                    for other in outcome.others
                ]
            row = [f"**{outcome.title}**: {outcome.what}", "<br>".join(figures), _goals(outcome)]
            rows.append(row)
    return _table(["", "", "goal"], rows) if rows else ""


def _ratio(outcome: Outcome, other: str, of: str | None = None) -> str:
    ratio = outcome.ratio(other, of)
    return f"**{ratio.median:.2f}** ({ratio.low:.2f} to {ratio.high:.2f})"


def _goals(outcome: Outcome) -> str:
    return "<br>".join(_goal(outcome, goal) for goal in outcome.goals)


def _goal(outcome: Outcome, goal: Goal) -> str:
    """One goal and whether it was reached."""
    verdict = "reached" if outcome.reached(goal) else "**missed**"
    if goal.other is None:
        return f"{goal.value:,g} a second: {verdict}"
    bound = "≥" if outcome.metric in {"rate", "unloaded"} else "≤"
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


def _warning(outcomes: Sequence[Outcome]) -> str:
    if not any(busy(outcome) for outcome in outcomes):
        return ""
    return (
        "**Provisional:** other programs ran on this machine meanwhile. "
        "Ratios may be off, and what is said of p99 is worth nothing."
    )


def _notes(run: Run) -> str:
    found = [(outcome.title, doubts(outcome)) for outcome in run.outcomes]
    lines = [*run.skipped, *(f"{title}: {' '.join(doubt)}" for title, doubt in found if doubt)]
    return "\n".join(["Notes:", "", *(f"- {line}" for line in lines)]) if lines else ""
