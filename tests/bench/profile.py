"""Where a proxy's time goes: Warmfront under load and under py-spy.

python -m tests.bench.profile hit [--seconds 5] [--native]
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench import load, peers, traffic
from tests.bench.cases import REDIS_NAMES
from tests.bench.machine import choose_cores, started
from tests.bench.stage import CONNECTIONS, Stage

TARGETS = {
    "hit": traffic.always("/stored/1k/product"),
    "hit-64k": traffic.always("/stored/64k/product"),
    "304": traffic.always("/stored/1k/product", conditional=True),
    "miss": traffic.always(f"/stored/1k/{traffic.UNIQUE}"),
    "pass-through": traffic.always("/pass/account"),
    "no-store": traffic.always("/private/account"),
    "mixed": traffic.mixed(1000),
    "redis": traffic.around("/stored/1k/", REDIS_NAMES),
}
_TOP = 30
_LINE = re.compile(r":\d+\)$")
_RATE = 499
"""Samples a second; no divisor of what timers usually do."""


def stacks(case: str, seconds: int, *, native: bool) -> str:
    """Collapsed stacks, one a line: functions from the outermost on, then how often."""
    cores = choose_cores()
    with (
        peers.scratch() as folder,
        peers.origin(folder, cores) as origin,
        peers.redis(folder, cores) if case == "redis" else nullcontext() as redis,
        peers.peer(
            "warmfront" if redis is None else "warmfront-redis",
            folder,
            [cores.proxy],
            origin_port=origin.port,
            redis=redis and redis.port,
        ) as proxy,
    ):
        stage = Stage(folder, cores, origin, ["warmfront"], seconds)
        requests = stage.requests(TARGETS[case], max(traffic.POOL, REDIS_NAMES))
        stage.warm(proxy, requests, origin_share=0.0 if case == "redis" else 1.0)
        command = load.wrk(
            proxy.port,
            requests.path,
            connections=CONNECTIONS,
            seconds=seconds + 2,
            series=1_000_000,
        )
        with started([cores.load], command):
            return _record(proxy.root, seconds, folder / "stacks", native=native)


def _record(process: int, seconds: int, output: Path, *, native: bool) -> str:
    command = [
        *("py-spy", "record", "--pid", str(process), "--duration", str(seconds)),
        *("--rate", str(_RATE), "--format", "raw", "--output", str(output), "--nonblocking"),
        *(["--native"] if native else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"py-spy failed:\n{done.stderr}")
    return output.read_text()


def shares(collapsed: Iterable[str]) -> list[tuple[str, float, float]]:
    """Functions with their own share of the time and that with all they call, largest first."""
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in collapsed:
        stack, _, count = line.rpartition(" ")
        functions = [_LINE.sub(")", frame) for frame in stack.split(";")]
        own[functions[-1]] += int(count)
        for function in set(functions):
            within[function] += int(count)
    total = own.total()
    return [(name, count / total, within[name] / total) for name, count in own.most_common()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("case", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--native", action="store_true", help="functions in C as well; slows down")
    options = parser.parse_args()
    if not shutil.which("py-spy"):
        sys.exit("py-spy is not installed: pip install '.[bench]'")
    found = shares(stacks(options.case, options.seconds, native=options.native).splitlines())
    table = Table(title=f"Warmfront, {options.case}", box=box.SIMPLE)
    for column in ("own", "with callees", "function"):
        table.add_column(column, justify="left" if column == "function" else "right", no_wrap=True)
    for name, own, within in found[:_TOP]:
        table.add_row(f"{own:.1%}", f"{within:.1%}", name)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
