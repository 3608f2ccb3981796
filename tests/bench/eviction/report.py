"""The page and the plot: what each policy finds, for each trace and each size of cache."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.eviction.optimum import belady, bound, next_uses
from tests.bench.eviction.policies import POLICIES, Policy
from tests.bench.eviction.traces import Trace

SHARES = (0.01, 0.05, 0.2)
"""Sizes of the cache, as shares of the bytes of all objects."""

COLUMNS = (*POLICIES, "Belady", "bound")
_OURS = "ours"

_PAGE = """\
# Eviction: what is found

Written by `python -m tests.bench.eviction`; nothing here depends on the machine. Each figure is
the share in percent of the requests, or of the bytes asked for, that a cache of the given size
answers. Sizes are shares of the bytes of all objects of a trace. The best of the policies is bold.

- **ours** is what the proxy runs ([eviction.py](../proxy/stores/eviction.py)): S3-FIFO in which
  one use, not two, leads from the small queue into the main one. **S3-FIFO** is the same with two,
  as it was published.
- **LRU**, **SIEVE** and **W-TinyLFU** (with exact counters, which flatter it) are there to compare.
- **Belady** knows the future: who is asked for again last leaves first. That is the optimum where
  all objects are of one size, and not quite where they are not.
- **bound** is what no policy can exceed (PFOO-L), and mostly none can reach.

![Hit ratio by size of cache, for each trace](benchmarks-eviction.svg)

## Requests

{requests}

## Bytes

{bytes}

## How ours compares

Points of a percent of requests, over all sizes of cache:

{summary}

## What follows

- W-TinyLFU finds most where popularity never changes. But each hit would pay for its counters, and
  where popularity drifts it is the worst, since it trusts the past.
- SIEVE is the simplest, and nearly as good on Zipf. What was popular once stays for a whole round
  of its hand: it falls behind LRU under drift, and behind S3-FIFO on Twitter's trace.
- S3-FIFO has neither weakness, and a hit costs it one small number. With the published two uses it
  finds a little more on Twitter's trace; with one, more under drift and scans, and it is nowhere
  worth mentioning behind LRU. So one it is.

## The traces

{traces}
"""

_KNOWN = {
    "Zipf": "200,000 requests for 50,000 objects of fixed popularity; sizes log-normal, "
    "median 2 KB.",
    "Zipf 0.9 with scans": "The same, and ten times 5,000 in a row that nobody asks for again.",
    "Zipf 0.9 with drift": "With every tenth request something new takes the place of an object, "
    "of a popular one most often.",
    "Twitter, cluster 52": "Real: a million requests to an in-memory cache in production.",
    "CloudPhysics block I/O": "Real: 113,872 block reads and writes of a virtual machine, with "
    "long loops. A proxy sees nothing like it; it shows what breaks.",
}
_SOURCE = (
    "The real traces are samples that the source package of libCacheSim carries; pip fetches it "
    "once,\ninto `build/traces`."
)
_NO_SOURCE = "The real traces could not be had where this page was written: there are none here."


@dataclass(frozen=True)
class Result:
    """Of one trace.

    Attributes:
        title: Of the trace.
        requests: For each share, for each column: percent of requests.
        bytes: The same of bytes.
    """

    title: str
    requests: Mapping[float, Mapping[str, float]]
    bytes: Mapping[float, Mapping[str, float]]


def measure(trace: Trace) -> Result:
    """All policies, in caches of all sizes."""
    following = next_uses(trace.names)
    rooms = [int(trace.footprint * share) for share in SHARES]
    found: list[dict[str, tuple[float, float]]] = []
    for room, most in zip(rooms, bound(trace, following, rooms), strict=True):
        row: dict[str, tuple[float, float]] = {
            name: _run(policy, trace, room) for name, policy in POLICIES.items()
        }
        found.append(row | {"Belady": belady(trace, following, room), "bound": most})
    requests, traffic = len(trace.names), trace.traffic
    return Result(
        trace.title,
        {s: {n: 100 * hits / requests for n, (hits, _) in row.items()} for s, row in _by(found)},
        {s: {n: 100 * size / traffic for n, (_, size) in row.items()} for s, row in _by(found)},
    )


def page(results: Sequence[Result], *, real: bool) -> str:
    """The page in Markdown."""
    titles = [result.title for result in results]
    lines = [f"- **{title}.** {text}" for title, text in _KNOWN.items() if _is_among(title, titles)]
    return _PAGE.format(
        requests=_table(results, lambda result: result.requests),
        bytes=_table(results, lambda result: result.bytes),
        summary=_summary(results),
        traces="\n".join([*lines, "", _SOURCE if real else _NO_SOURCE]),
    )


def plot(results: Sequence[Result], file: Path) -> None:
    """One panel for each trace: hit ratio of requests over the size of the cache."""
    import matplotlib as mpl  # noqa: PLC0415 - of the extra `bench`, and only for this

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "eviction"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of what draws

    rows = -(-len(results) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(10, 2.9 * rows), layout="constrained")
    panels: list[Any] = list(axes.flat)
    for result, panel in zip(results, panels, strict=False):
        _draw(result, panel)
    for spare in panels[len(results) :]:
        spare.axis("off")
    panels[0].legend(fontsize="small", ncols=2)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    # matplotlib leaves blanks at the ends of lines.
    file.write_text("\n".join(line.rstrip() for line in file.read_text().splitlines()) + "\n")


def _draw(result: Result, panel: Any) -> None:
    places = range(len(SHARES))
    for name in COLUMNS:
        ratios = [result.requests[share][name] for share in SHARES]
        known = name in POLICIES
        panel.plot(
            places,
            ratios,
            label=name,
            marker="o" if known else None,
            markersize=4,
            linestyle="-" if known else ":",
            linewidth=2.5 if name == _OURS else 1.2,
            color=None if known else {"Belady": "black", "bound": "grey"}[name],
        )
    panel.set_title(result.title, fontsize="medium")
    panel.set_xticks(places, [f"{share:.0%}" for share in SHARES])
    panel.set_ylabel("% of requests")
    panel.grid(alpha=0.3)


def _run(policy: Callable[[int], Policy], trace: Trace, room: int) -> tuple[int, int]:
    request, sizes = policy(room).request, trace.sizes
    hits = hit_bytes = 0
    for name in trace.names:
        size = sizes[name]
        if size <= room and request(name, size):
            hits += 1
            hit_bytes += size
    return hits, hit_bytes


def _by(
    found: Sequence[dict[str, tuple[float, float]]],
) -> Iterator[tuple[float, dict[str, tuple[float, float]]]]:
    return zip(SHARES, found, strict=True)


def _table(
    results: Sequence[Result], of: Callable[[Result], Mapping[float, Mapping[str, float]]]
) -> str:
    lines = [f"| trace | cache | {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (1 + len(COLUMNS))]
    for result in results:
        for share, row in of(result).items():
            best = max(round(row[name], 1) for name in POLICIES)
            cells = [
                f"**{row[name]:.1f}**"
                if name in POLICIES and round(row[name], 1) == best
                else f"{row[name]:.1f}"
                for name in COLUMNS
            ]
            lines.append(f"| {result.title} | {share:.0%} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _summary(results: Sequence[Result]) -> str:
    """Ours less each other policy: mean, worst and best."""
    lines = ["| ours less | mean | at worst | at best |", "|---|---:|---:|---:|"]
    for name in POLICIES:
        if name == _OURS:
            continue
        less = [row[_OURS] - row[name] for one in results for row in one.requests.values()]
        mean, worst, best = sum(less) / len(less), min(less), max(less)
        lines.append(f"| {name} | {mean:+.1f} | {worst:+.1f} | {best:+.1f} |")
    return "\n".join(lines)


def _is_among(title: str, titles: Sequence[str]) -> bool:
    return title in titles or title == "Zipf"
