"""What several processes expose, as one: each metric says how it adds up."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample

from proxy.admin import Exposition
from proxy.metrics.specs import SPECS, Across

PLAIN: Final = "text/plain"
"""An Accept field for the format that is read here."""

_JOIN: Final[Mapping[Across, Callable[[Sequence[float]], float]]] = {
    Across.SUM: sum,
    Across.MAX: max,
    Across.MIN: min,
}
_ACROSS: Final = {
    "process_start_time_seconds": Across.MIN,
    "python_info": Across.MAX,
    **{spec.name.removesuffix("_total"): spec.across for spec in SPECS.values()},
}


def join(texts: Iterable[str], accept: str) -> Exposition:
    """Add up what was exposed in the plain format.

    Args:
        texts: One of each process.
        accept: The Accept field of who asks.
    """
    encode, media_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Joined([list(text_string_to_metric_families(text)) for text in texts]))
    return Exposition(encode(registry), media_type)


class _Joined(Collector):
    """Yields families that others have collected."""

    def __init__(self, found: Sequence[Sequence[Metric]]) -> None:
        self._found = found

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that all is taken as it comes."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        by_name: dict[str, list[Metric]] = {}
        for families in self._found:
            for family in families:
                by_name.setdefault(family.name, []).append(family)
        return map(_joined, by_name.values())


def _joined(same: Sequence[Metric]) -> Metric:
    first = same[0]
    join_values = _JOIN[_ACROSS.get(first.name, Across.SUM)]
    values: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}
    for family in same:
        for sample in family.samples:
            key = sample.name, tuple(sample.labels.items())
            values.setdefault(key, []).append(sample.value)
    made = Metric(first.name, first.documentation, first.type)
    made.samples = [
        Sample(name, dict(labels), join_values(found)) for (name, labels), found in values.items()
    ]
    return made
