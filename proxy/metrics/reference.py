"""The metrics as a page for people: docs/metrics.md.

`python -m proxy.metrics.reference > docs/metrics.md`
"""

import sys
from collections.abc import Iterator
from typing import Final

from proxy.metrics.specs import SPECS, Across, Spec

_INTRO: Final = """\
# Metrics

All that `GET /metrics` on the admin listener tells. `make schema` writes this page from the table
that the metrics are made of. How to scrape them, rules, alerts and a dashboard:
[monitoring.md](monitoring.md).

- While a request is answered, integers are added up, and nothing else; the rest is done when
  somebody asks. A hit that is given again from memory is counted with all others of a tenth of a
  second, and its duration as 0: it takes microseconds, and the clock is not looked at. What is
  passed on at once is counted together, too, with its durations.
- Labels have bounded values. `route` is `routes[0]`, `routes[1]`, ... by their place in the YAML,
  or `defaults`; `origin` is the name in `origins`, and empty for `origin`; `reason` is a word of
  [reasons.md](reasons.md); `status` is a class (`2xx`), and of what was refused the code.
- `outcome` is one of `hit`, `stale` (answered from the store, past its lifetime), `revalidated`
  (the origin confirmed it), `collapsed` (along with another request, which had asked the origin),
  `miss`, `bypass` (not for the cache) and `error` (an error of the proxy's own). The access log has
  the same words.
- With several workers one answer is for all: figures are added up where the last column says
  nothing else.
- What begins with `warmfront_redis_` is there where Redis is.
- Besides these there are the usual metrics of a process in Python: `process_*`, `python_gc_*`.
"""

_WORKERS: Final = {Across.SUM: "", Across.MAX: "highest", Across.MIN: "lowest"}


def page() -> Iterator[str]:
    """The lines of the page."""
    yield _INTRO
    yield "| Metric | Labels | Meaning | Several workers |"
    yield "| --- | --- | --- | --- |"
    yield from map(_row, SPECS.values())


def _row(spec: Spec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    cells = (f"`{spec.name}`, {spec.kind.value}", labels, spec.help, _WORKERS[spec.across])
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")
