"""Figures: events counted as plain integers, and made into Prometheus metrics when asked for.

counts       events -> integers, while requests are answered
specs        what there is: names, help, labels
collecting   integers and living objects -> families, at each scrape
exposition   families -> text
joining      the texts of several processes -> one
"""

from proxy.metrics.collecting import Sources
from proxy.metrics.counts import Answers, Counts
from proxy.metrics.exposition import Metrics
from proxy.metrics.joining import PLAIN, join
from proxy.metrics.specs import SPECS, Across, Kind, Spec

__all__ = [
    "PLAIN",
    "SPECS",
    "Across",
    "Answers",
    "Counts",
    "Kind",
    "Metrics",
    "Sources",
    "Spec",
    "join",
]
