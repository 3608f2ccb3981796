import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from proxy import logs
from proxy.events import (
    Answered,
    BackgroundFailed,
    Event,
    NotStored,
    OriginChanged,
    OriginFailed,
    PurgeLogChanged,
    RedisChanged,
    Refused,
    TagsRefused,
)
from proxy.rfc9111.cache_status import Outcome
from proxy.rfc9111.reasons import Reason

ANSWERED = Answered(
    "GET",
    "http://api/a",
    200,
    "warmfront; fwd=uri-miss; fwd-status=200",
    0.0012345678,
    "routes[0]",
    Outcome.MISS,
    Reason.URI_MISS,
    origin_time=0.001,
    length=5,
    key="0123456789abcdef",
    request_id="r1",
)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def written(
    capsys: pytest.CaptureFixture[str], event: Event, level: str = "debug", *, access: bool = True
) -> list[dict[str, object]]:
    logs.configure(level, "json")
    logs.event_log(logs.access_log("json") if access else None)(event)
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            ANSWERED,
            {
                "event": "answered",
                "level": "info",
                "status": 200,
                "outcome": "miss",
                "reason": "uri-miss",
                "route": "routes[0]",
                "key": "0123456789abcdef",
                "seconds": 0.001235,
                "origin_seconds": 0.001,
                "bytes": 5,
                "request_id": "r1",
            },
        ),
        (
            OriginFailed("http://api/a", Reason.ORIGIN_REFUSED, "errno 111"),
            {"event": "origin failed", "level": "warning", "reason": "origin-refused"},
        ),
        (
            Refused(400, "The request line is malformed.", "192.0.2.1"),
            {"event": "refused", "level": "info", "status": 400, "client": "192.0.2.1"},
        ),
        (
            OriginChanged("", "http://one:8000", "down", "5 failures in a row"),
            {"event": "origin", "level": "warning", "url": "http://one:8000", "state": "down"},
        ),
        (
            OriginChanged("search", "http://one:8000", "up", "trials succeeded"),
            {"event": "origin", "level": "info", "group": "search", "cause": "trials succeeded"},
        ),
        (
            NotStored("http://api/a", Reason.TOO_LARGE),
            {"event": "not stored", "level": "debug", "reason": "too-large"},
        ),
        (
            TagsRefused("http://api/a", "Cache-Tag: tag 1 is too long"),
            {"event": "not stored: tags refused", "level": "warning"},
        ),
        (
            RedisChanged("127.0.0.1:6379", "down", "refused"),
            {"address": "127.0.0.1:6379", "state": "down", "cause": "refused"},
        ),
        (
            PurgeLogChanged("reset", "the server has restarted"),
            {"state": "reset", "cause": "the server has restarted"},
        ),
        (
            BackgroundFailed("sweep", ValueError("a bug")),
            {"event": "background work failed", "level": "error", "work": "sweep"},
        ),
    ],
)
def test_each_event_is_one_json_line(
    capsys: pytest.CaptureFixture[str], event: Event, said: dict[str, object]
) -> None:
    (line,) = written(capsys, event)
    assert line.items() >= said.items()
    assert str(line["timestamp"]).endswith("Z")


def test_a_failure_comes_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = written(capsys, BackgroundFailed("sweep", ValueError("a bug")))
    assert "ValueError: a bug" in str(line["exception"])


def test_the_access_log_can_be_switched_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(capsys, ANSWERED, access=False) == []


def test_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(capsys, ANSWERED, level="warning") == []


def test_the_standard_library_s_logs_look_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logging.getLogger("asyncio").error("slow %s", "callback")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"]) == ("slow callback", "error")


def test_people_get_columns(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "pretty")
    logs.event_log(logs.access_log("pretty"))(ANSWERED)
    line = capsys.readouterr().err
    assert "answered" in line
    assert "uri=http://api/a" in line
