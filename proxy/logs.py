"""Events as log lines: JSON for machines, columns and colours for a terminal."""

import logging
import sys
from typing import Literal, assert_never

import structlog
from structlog.typing import Processor

from proxy.events import (
    Answered,
    BackgroundFailed,
    Emit,
    Event,
    NotStored,
    OriginChanged,
    OriginFailed,
    PurgeIncomplete,
    PurgeLogChanged,
    RedisChanged,
    Refused,
    TagsRefused,
)


def configure(level: str, style: Literal["pretty", "json"]) -> None:
    """Send all logs, the standard library's too, to standard error in one style."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
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


def event_log(*, access: bool) -> Emit:
    """What writes events to the log; `access` says whether answered requests are written too."""
    log = structlog.stdlib.get_logger("warmfront")

    def write(event: Event) -> None:
        if access or not isinstance(event, Answered | Refused):
            _tell(log, event)

    return write


def _tell_access(log: structlog.stdlib.BoundLogger, event: Answered | Refused) -> None:
    if isinstance(event, Refused):
        client = event.client or "unix"
        log.info("refused", status=event.status, why=event.detail, client=client)
        return
    log.info(
        "answered",
        method=event.method,
        uri=event.uri,
        status=event.status,
        cache=event.cache_status,
        seconds=round(event.duration, 6),
    )


def _tell(log: structlog.stdlib.BoundLogger, event: Event) -> None:
    match event:
        case Answered() | Refused():
            _tell_access(log, event)
        case OriginFailed():
            log.warning(
                "origin failed", uri=event.uri, reason=event.reason.value, detail=event.detail
            )
        case OriginChanged():
            tell = log.warning if event.state == "down" else log.info
            tell(
                "origin",
                group=event.group,
                url=event.url,
                state=event.state,
                cause=event.cause,
            )
        case NotStored():
            log.debug("not stored", uri=event.uri, reason=event.reason.value)
        case TagsRefused() | PurgeIncomplete():
            refused = isinstance(event, TagsRefused)
            what = "not stored: tags refused" if refused else "tags not purged"
            log.warning(what, uri=event.uri, problem=event.problem)
        case BackgroundFailed():
            log.error("background work failed", work=event.name, exc_info=event.error)
        case RedisChanged():
            tell = log.info if event.state == "up" else log.warning
            tell("redis", address=event.address, state=event.state, cause=event.cause)
        case PurgeLogChanged():
            tell = log.info if event.state == "regained" else log.warning
            tell("purge log", state=event.state, cause=event.cause)
        case _:
            assert_never(event)
