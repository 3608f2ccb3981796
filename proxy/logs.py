"""Events as log lines: JSON for machines, columns and colours for a terminal."""

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import structlog
from structlog.typing import Processor

from proxy.access_log import AccessLog, Fields
from proxy.events import (
    Answered,
    BackgroundFailed,
    Emit,
    Event,
    NotStored,
    OriginAnswered,
    OriginChanged,
    OriginFailed,
    PassedOn,
    Purged,
    PurgeIncomplete,
    PurgeLogChanged,
    RedisChanged,
    Refused,
    Repeated,
    TagsRefused,
    WarmSourceRefused,
    WarmUp,
)
from proxy.journal import singly

Style: TypeAlias = Literal["pretty", "json"]
_Log: TypeAlias = structlog.stdlib.BoundLogger


def configure(level: str, style: Style) -> None:
    """Send all logs, the standard library's too, to standard error in one style."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(style),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _renderer(style: Style) -> Processor:
    if style == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def access_log(style: Style, sample: float = 1.0) -> AccessLog:
    """What writes requests, in the same style as all else."""
    renderer = _renderer(style)

    def render(fields: Fields) -> str:
        return str(renderer(None, "", dict(fields)))

    return AccessLog(render, sample)


def event_log(access: AccessLog | None) -> Emit:
    """What writes events to the log: requests too, where there is an access log."""
    log = structlog.stdlib.get_logger("warmfront")
    is_told = logging.getLogger("warmfront").isEnabledFor

    def write(event: Event) -> None:
        if isinstance(event, PassedOn) and is_told(logging.DEBUG):
            for origin_answered, _ in singly(event):
                _origin_answered(log, origin_answered)
        if isinstance(event, Answered | Repeated | PassedOn | Refused):
            if access is not None:
                access(event)
            return
        tell = TELL.get(type(event))
        if tell is not None and (tell not in _DETAILS or is_told(logging.DEBUG)):
            tell(log, event)

    return write


def _origin_failed(log: _Log, event: OriginFailed) -> None:
    log.warning("origin failed", uri=event.uri, reason=event.reason.value, detail=event.detail)


def _origin_changed(log: _Log, event: OriginChanged) -> None:
    tell = log.warning if event.state == "down" else log.info
    tell("origin", group=event.group, url=event.url, state=event.state, cause=event.cause)


def _origin_answered(log: _Log, event: OriginAnswered) -> None:
    log.debug(
        "origin answered",
        group=event.origin,
        status=event.status,
        seconds=round(event.duration, 6),
        validates=event.validates,
    )


def _not_stored(log: _Log, event: NotStored) -> None:
    log.debug("not stored", uri=event.uri, reason=event.reason.value)


def _tags_refused(log: _Log, event: TagsRefused) -> None:
    log.warning("not stored: tags refused", uri=event.uri, problem=event.problem)


def _purged(log: _Log, event: Purged) -> None:
    log.info(
        "purged",
        seq=event.seq,
        soft=event.soft,
        acked=event.acked,
        pending=list(event.pending),
        seconds=round(event.duration, 6),
    )


def _purge_incomplete(log: _Log, event: PurgeIncomplete) -> None:
    log.warning("tags not purged", uri=event.uri, problem=event.problem)


def _background_failed(log: _Log, event: BackgroundFailed) -> None:
    log.error("background work failed", work=event.name, exc_info=event.error)


def _warm_up(log: _Log, event: WarmUp) -> None:
    tell = log.warning if event.failures or event.state == "late" else log.info
    failures = {"failures": list(event.failures)} if event.failures else {}
    tell(
        "warm-up",
        state=event.state,
        total=event.total,
        done=event.done,
        stored=event.stored,
        **failures,
    )


def _warm_source_refused(log: _Log, event: WarmSourceRefused) -> None:
    log.warning("warm-up: nothing is fetched from there", problem=event.problem)


def _redis_changed(log: _Log, event: RedisChanged) -> None:
    tell = log.info if event.state == "up" else log.warning
    tell("redis", address=event.address, state=event.state, cause=event.cause)


def _purge_log_changed(log: _Log, event: PurgeLogChanged) -> None:
    tell = log.info if event.state == "regained" else log.warning
    tell("purge log", state=event.state, cause=event.cause)


TELL: Final[Mapping[type[Event], Callable[[_Log, Any], None]]] = {
    OriginAnswered: _origin_answered,
    OriginFailed: _origin_failed,
    OriginChanged: _origin_changed,
    NotStored: _not_stored,
    TagsRefused: _tags_refused,
    Purged: _purged,
    PurgeIncomplete: _purge_incomplete,
    BackgroundFailed: _background_failed,
    WarmUp: _warm_up,
    WarmSourceRefused: _warm_source_refused,
    RedisChanged: _redis_changed,
    PurgeLogChanged: _purge_log_changed,
}
"""How each event is told; requests have a log of their own."""

_DETAILS: Final = frozenset({_origin_answered, _not_stored})
"""Comes with many requests, at level debug: structlog makes a line before it looks at the level."""
