"""Requests as browsers send them to an API; no two heads are the same."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

HOST = "bench.example"
POOL = 4096
"""Requests made beforehand for a case; the load repeats them in order."""

UNIQUE = "@@"
"""In a path: replaced by something new each time the request is sent."""

ETAG = '"v1"'
"""What the origin names every representation."""

_BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:141.0) Gecko/20100101 Firefox/141.0",
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/139.0.0.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.5 Safari/605.1.15"
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/139.0.0.0 Mobile Safari/537.36"
    ),
)
_LANGUAGES = ("en-GB,en;q=0.7", "de,en-US;q=0.7,en;q=0.3", "fr-FR,fr;q=0.9", "es-ES,es;q=0.8")


@dataclass(frozen=True, slots=True)
class Target:
    """What one request asks for; `conditional`: only if it is no longer what the client has."""

    path: str
    conditional: bool = False


Paths = Callable[[random.Random], Iterator[Target]]
"""The targets of a case, in order, without end."""


def request(target: Target, draw: random.Random) -> bytes:
    """One GET with a request id, trace, cookie and referrer of its own."""
    number = draw.randrange(10**9)
    lines = [
        f"GET {target.path} HTTP/1.1",
        f"Host: {HOST}",
        f"User-Agent: {draw.choice(_BROWSERS)}",
        "Accept: application/json, text/plain, */*",
        f"Accept-Language: {draw.choice(_LANGUAGES)}",
        "Accept-Encoding: gzip, deflate, br",
        f"Referer: https://shop.example/products/{number}",
        f"X-Request-Id: {draw.getrandbits(128):032x}",
        f"traceparent: 00-{draw.getrandbits(128):032x}-{draw.getrandbits(64):016x}-01",
        f"Cookie: session={draw.getrandbits(160):040x}; _ga=GA1.1.{number}.1763800000; theme=dark",
        "Sec-Fetch-Dest: empty",
        "Sec-Fetch-Mode: cors",
        "Sec-Fetch-Site: same-site",
    ]
    if target.conditional:
        lines.append(f"If-None-Match: {ETAG}")
    return "\r\n".join((*lines, "", "")).encode()


def pool(paths: Paths, size: int = POOL, seed: int = 1) -> list[bytes]:
    """The same requests for every peer and in every run."""
    draw = random.Random(seed)  # noqa: S311 - load, not secrets
    return [request(target, draw) for target, _ in zip(paths(draw), range(size), strict=False)]


def always(path: str, *, conditional: bool = False) -> Paths:
    """One target, again and again."""

    def paths(_: random.Random) -> Iterator[Target]:
        while True:
            yield Target(path, conditional)

    return paths


def around(prefix: str, names: int) -> Paths:
    """`names` targets in turn, so that the least recently used one is always the next."""

    def paths(_: random.Random) -> Iterator[Target]:
        while True:
            yield from (Target(f"{prefix}{name}") for name in range(names))

    return paths


def evenly(prefix: str, names: int) -> Paths:
    """`names` targets, each as likely as every other."""

    def paths(draw: random.Random) -> Iterator[Target]:
        while True:
            yield Target(f"{prefix}{draw.randrange(names)}")

    return paths


def popular(prefix: str, names: int) -> Paths:
    """`names` targets, some of them asked for often: Zipf, as in `mixed`."""
    ranked = _ranked(names)

    def paths(draw: random.Random) -> Iterator[Target]:
        while True:
            yield Target(f"{prefix}{ranked(draw)}")

    return paths


def mixed(names: int) -> Paths:
    """An API's day: Zipf over `names` resources of three sizes, and what no cache can answer.

    Of 100 requests 80 ask for the popular ones and 10 whether theirs is still current; 5 ask for
    what nobody asked before, 5 for what may not be stored. So all peers have the same hit ratio.
    """
    ranked = _ranked(names)

    def popular(draw: random.Random) -> str:
        name = ranked(draw)
        size = ("1k", "1k", "1k", "1k", "1k", "1k", "1k", "8k", "8k", "64k")[name % 10]
        return f"/stored/{size}/{name}"

    def paths(draw: random.Random) -> Iterator[Target]:
        while True:
            share = draw.random()
            if share < 0.80:
                yield Target(popular(draw))
            elif share < 0.90:
                yield Target(popular(draw), conditional=True)
            elif share < 0.95:
                yield Target(f"/stored/1k/new-{UNIQUE}")
            else:
                yield Target(f"/pass/{draw.randrange(names)}")

    return paths


def _ranked(names: int, exponent: float = 0.9) -> Callable[[random.Random], int]:
    """Draws ranks below `names`, low ones more often (Zipf)."""
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(names)))
    return lambda draw: draw.choices(range(names), cum_weights=weights)[0]
