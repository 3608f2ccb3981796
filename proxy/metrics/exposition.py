"""Metrics as the text that Prometheus reads."""

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from proxy.admin import Exposition
from proxy.metrics.collecting import ProxyCollector, Sources


class Metrics:
    """All metrics of this process: the proxy's, and those of any process in Python."""

    def __init__(self, sources: Sources) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(ProxyCollector(sources))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def expose(self, accept: str) -> Exposition:
        """Collect now.

        Args:
            accept: The Accept field of who asks, which chooses Prometheus' text or OpenMetrics.
        """
        encode, media_type = choose_encoder(accept)
        return Exposition(encode(self._registry), media_type)
