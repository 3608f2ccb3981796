"""Tracing: spans of what happens to a request, where the operator asks for them.

parts   what is wrapped, and how nothing is
otel    the same with OpenTelemetry, an optional dependency
"""

from importlib import import_module
from typing import cast

from proxy.tracing.parts import Tracing, Untraced

__all__ = ["Tracing", "TracingMissing", "Untraced", "start_tracing"]


class TracingMissing(Exception):  # noqa: N818 - the state is the name
    """OpenTelemetry is not installed."""


def start_tracing(*, wanted: bool) -> Tracing:
    """Tracing as OpenTelemetry's variables say, or none.

    Raises:
        TracingMissing: It is wanted, and cannot be had.
    """
    if not wanted:
        return Untraced()
    try:
        otel = import_module("proxy.tracing.otel")
    except ImportError as error:
        raise TracingMissing(str(error)) from error
    return cast("Tracing", otel.OpenTelemetry.from_environment())
