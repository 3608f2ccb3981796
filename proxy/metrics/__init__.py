"""Figures: events counted as plain integers, and made into Prometheus metrics when asked for."""

from proxy.metrics.counts import Answers, Counts

__all__ = ["Answers", "Counts"]
