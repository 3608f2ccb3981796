"""Server-Timing: what an answer took, for whoever looks with a browser's tools (W3C)."""

from proxy.rfc9111.cache_status import Outcome


def server_timing(outcome: Outcome, origin_time: float | None, duration: float) -> str:
    """The value of the field.

    Args:
        outcome: What the cache did.
        origin_time: Seconds that the origin took; None where it was not asked.
        duration: Seconds in all, up to the head.
    """
    parts = [f"cache;desc={outcome.value}"]
    if origin_time is not None:
        parts.append(f"origin;dur={_milliseconds(origin_time)}")
    parts.append(f"total;dur={_milliseconds(duration)}")
    return ", ".join(parts)


def _milliseconds(seconds: float) -> str:
    return f"{max(0.0, seconds) * 1000:.3g}" if seconds < 1 else f"{seconds * 1000:.0f}"
