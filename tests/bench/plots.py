"""Outcomes as pictures. Needs matplotlib (the extra `bench`)."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from tests.bench.results import NAMES, Outcome

_COLOURS = {
    "warmfront": "#d1495b",
    "nginx": "#2e7d4f",
    "nginx-tuned": "#8fbf9f",
    "varnish": "#30638e",
    "varnish-tuned": "#92b4d4",
}
_STEP = 0.16
"""Between the marks of one case, in rows."""

mpl.use("svg")
# The same figures make the same file.
mpl.rcParams.update(
    {"svg.fonttype": "none", "svg.hashsalt": "warmfront", "font.size": 9, "axes.axisbelow": True}
)


def draw(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write both plots of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    ratios(outcomes, folder / "benchmark-ratios.svg")
    latencies(outcomes, folder / "benchmark-latency.svg")


def ratios(outcomes: Sequence[Outcome], path: Path) -> None:
    """Median and reach of each ratio of rates, on a logarithmic scale; goals as open marks."""
    shown = [
        each for each in outcomes if each.metric == "rate" and set(each.others) & set(_COLOURS)
    ]
    figure, axes = plt.subplots(figsize=(8, 0.7 * len(shown) + 1.2), layout="constrained")
    for row, outcome in enumerate(shown):
        for position, other in enumerate(name for name in _COLOURS if name in outcome.others):
            ratio, height = outcome.ratio(other), row + (position - 1.5) * _STEP
            axes.plot([ratio.low, ratio.high], [height] * 2, color=_COLOURS[other], linewidth=2)
            axes.plot(ratio.median, height, "o", color=_COLOURS[other], markersize=5)
            for goal in outcome.goals:
                if goal.other == other:
                    axes.plot(goal.value, height, "D", color=_COLOURS[other], fillstyle="none")
    axes.axvline(1, color="black", linewidth=0.8)
    _logarithmic(axes, marks=(1, 2, 5))
    axes.set_xlabel("Warmfront's answers a second to the other's (diamond: goal)")
    _rows(axes, [outcome.title for outcome in shown])
    _legend(figure, [name for name in _COLOURS if any(name in each.others for each in shown)])
    _save(figure, path)


def latencies(outcomes: Sequence[Outcome], path: Path) -> None:
    """From p50 to p99 of every proxy, on a logarithmic scale."""
    shown = [each for each in outcomes if each.subject in _COLOURS]
    figure, axes = plt.subplots(figsize=(8, 0.7 * len(shown) + 1.2), layout="constrained")
    for row, outcome in enumerate(shown):
        for position, name in enumerate(outcome.samples):
            p50, p99 = (outcome.spread(name, of).median * 1e3 for of in ("p50", "p99"))
            height = row + (position - 2) * _STEP
            axes.plot([p50, p99], [height] * 2, color=_COLOURS[name], linewidth=2)
            axes.plot(p50, height, "|", color=_COLOURS[name], markersize=8, markeredgewidth=2)
            axes.plot(p99, height, "o", color=_COLOURS[name], markersize=5)
    _logarithmic(axes, marks=(1,))
    axes.set_xlabel("milliseconds: p50 (bar) to p99 (dot)")
    _rows(axes, [outcome.title for outcome in shown])
    _legend(figure, [name for name in _COLOURS if any(name in each.samples for each in shown)])
    _save(figure, path)


def _logarithmic(axes: Axes, marks: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=marks))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")


def _rows(axes: Axes, titles: list[str]) -> None:
    axes.set_yticks(range(len(titles)), titles)
    axes.invert_yaxis()
    axes.grid(axis="x", which="both", color="#dddddd", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, names: list[str]) -> None:
    handles = [
        Line2D([], [], marker="o", color=_COLOURS[name], label=NAMES[name]) for name in names
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(names), frameon=False)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
