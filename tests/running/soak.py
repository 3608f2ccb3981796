"""A load at a fixed rate on an origin that fails in turn; by hand for as long as one likes.

    python -m tests.running.soak --minutes 20 --rate 200

Every byte of every body is checked; memory and descriptors of the proxy are looked at all the
time. It fails on a wrong byte, on a lost request, on an error for what was stored and may be
served stale, on another status than 502, 503 or 504 for the rest, on answers that come too late,
and on memory or descriptors that grow. What the origin cuts short is cut short for the client, too.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.running.clients import Load
from tests.running.origin import Fault, ScriptedOrigin
from tests.running.processes import Running, running

MIB = 1 << 20
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]
HEADER_TIMEOUT = 1.0
"""Seconds that the origin gets for the head of an answer, and for each piece of a body."""

LATE = 10.0
"""Seconds within which every answer must have come, on a loaded machine."""

_KEPT = 40
_SIZES = (200, 3_000, 40_000)
_CLIENTS = 8


@dataclass
class Sample:
    """The proxy at one time."""

    rss: int
    descriptors: int


@dataclass
class Verdict:
    """What came of a soak.

    Attributes:
        samples: In the order of time, a few for each second.
        faults: How often the origin had each.
    """

    load: Load
    samples: list[Sample] = field(default_factory=list)
    faults: dict[Fault, int] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Why it failed; nothing where it did not."""
        load = self.load
        found = [*load.wrong[:5], *load.lost[:5], *load.turned_away[:5]]
        found += [f"stored, yet answered {one}" for one in load.seen("kept") - {200}]
        found += [f"answered {one}" for one in load.seen("passed") - {200, 500, 502, 503, 504}]
        found += [f"{kind}: {s:.1f} s" for kind, s in load.slowest.items() if s > LATE]
        return [*found, *self._growth()]

    def _growth(self) -> Iterator[str]:
        """Compare the second quarter of the samples with the last: the first is warming up."""
        quarter = len(self.samples) // 4
        if quarter == 0:
            return
        early, late = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        before, after = (median(one.rss for one in some) for some in (early, late))
        if after > 1.1 * before + 4 * MIB:
            yield f"memory has grown from {before / MIB:.1f} to {after / MIB:.1f} MiB"
        before, after = (median(one.descriptors for one in some) for some in (early, late))
        if after > before + 20:
            yield f"descriptors have grown from {before} to {after}"

    def __str__(self) -> str:
        load = self.load
        quarter = max(1, len(self.samples) // 4)
        rss = [median(one.rss for one in part) / MIB for part in _parts(self.samples, quarter)]
        lines = [
            f"{load.answers} answers on {load.connections} connections",
            f"by kind and status: {dict(sorted(load.statuses.items()))}",
            f"cut short with the origin's answer: {dict(load.cut)}",
            f"slowest: { {kind: round(s, 2) for kind, s in load.slowest.items()} }",
            f"faults: { {fault.name: count for fault, count in self.faults.items()} }",
            f"memory by quarter: {', '.join(f'{one:.1f}' for one in rss)} MiB",
            f"descriptors: {max((one.descriptors for one in self.samples), default=0)} at most",
        ]
        return "\n".join(lines)


def _parts(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    return (samples[start : start + size] for start in range(0, len(samples) // size * size, size))


def yaml(origin: ScriptedOrigin) -> str:
    timeouts = f"{{connect: 1s, header: {HEADER_TIMEOUT}s, idle: {HEADER_TIMEOUT}s}}"
    return (
        "listen: 127.0.0.1:0\n"
        f"origin: {{url: 'http://127.0.0.1:{origin.port}', timeouts: {timeouts}}}\n"
        "store: {memory: {max_size: 8MiB}}\n"
        "admin: off\nlog: {access: off, level: error}\n"
    )


def targets() -> Iterator[str]:
    """Mostly what is stored; some of what is not, and is another each time."""
    for number in itertools.count():
        size = _SIZES[number % len(_SIZES)]
        if number % 4:
            yield f"/kept/{number * 7 % _KEPT}?size={_SIZES[number * 7 % _KEPT % len(_SIZES)]}"
        else:
            yield f"/passed/{number}?size={size}"


async def soak(
    directory: Path, seconds: float, rate: float, *, healthy: float = 3.0, ill: float = 1.5
) -> Verdict:
    """Run one.

    Args:
        seconds: How long; longer where the origin has not had every fault by then.
        rate: Requests a second.
        healthy: Seconds before each fault.
        ill: Seconds that a fault lasts.
    """
    origin = ScriptedOrigin()
    await origin.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(origin.stop)
        proxy = await stack.enter_async_context(running(directory, yaml(origin)))
        verdict = Verdict(Load(proxy.port, targets(), _CLIENTS / rate))
        await _warm(verdict.load)
        chores = [
            *(asyncio.create_task(verdict.load.ask_again_and_again()) for _ in range(_CLIENTS - 2)),
            *(asyncio.create_task(verdict.load.ask_once_each()) for _ in range(2)),
            asyncio.create_task(_sample(proxy, verdict)),
        ]
        stack.callback(lambda: [chore.cancel() for chore in chores])
        end = time.monotonic() + seconds
        for count, fault in enumerate(itertools.cycle(FAULTS), 1):
            await asyncio.sleep(healthy)
            origin.version += 1
            verdict.faults[fault] = verdict.faults.get(fault, 0) + 1
            await origin.suffer(fault)
            await asyncio.sleep(ill)
            await origin.suffer(Fault.NONE)
            if count >= len(FAULTS) and time.monotonic() > end:
                break
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
    return verdict


async def _warm(load: Load) -> None:
    """Have all stored that is to be."""
    wanted = {target for target in itertools.islice(targets(), 8 * _KEPT) if "/kept/" in target}
    once = Load(load.port, iter(sorted(wanted)))
    try:
        await once.ask_again_and_again()
    except RuntimeError:  # the end of the targets, as a coroutine has to put it
        assert once.answers == len(wanted), once


async def _sample(proxy: Running, verdict: Verdict) -> None:
    while True:
        verdict.samples.append(Sample(proxy.rss, proxy.descriptors))
        await asyncio.sleep(0.2)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        verdict = asyncio.run(soak(Path(directory), asked.minutes * 60, asked.rate))
    print(verdict)  # noqa: T201 - a command line
    problems = verdict.problems()
    print("\n".join(problems) or "all is well")  # noqa: T201
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
