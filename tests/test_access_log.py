"""The access log: what is written, how often, and when."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from proxy import logs
from proxy.access_log import AccessLog
from proxy.events import Answered, Hit, Passed, PassedOn, Refused, Repeated
from proxy.journal import packed_names, packed_times, singly
from proxy.rfc9111.cache_status import Outcome
from proxy.rfc9111.reasons import Reason
from tests.apparatus import eventually

NOON = 1_767_268_800.0
HIT = Answered(
    "GET", "http://api/a", 200, "warmfront; hit", 0.0, "defaults", Outcome.HIT, Reason.FRESH
)


@pytest.fixture(autouse=True)
def _at_info() -> Iterator[None]:
    logger = logging.getLogger("warmfront")
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)


class Rendered:
    """Makes lines of JSON, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, fields: object) -> str:
        self.made += 1
        return json.dumps(fields)


def log_of(
    render: Rendered | None = None, sample: float = 1.0, draws: tuple[float, ...] = ()
) -> AccessLog:
    chances = iter(draws)
    return AccessLog(
        render or Rendered(), sample, clock=lambda: NOON + 0.25, draw=lambda: next(chances)
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_tells_what_is_known_and_leaves_out_what_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_of()(HIT)
    (line,) = lines(capsys)
    assert line == {
        "timestamp": "2026-01-01T12:00:00.250Z",
        "level": "info",
        "event": "answered",
        "method": "GET",
        "uri": "http://api/a",
        "status": 200,
        "outcome": "hit",
        "reason": "fresh",
        "route": "defaults",
        "key": "",
        "seconds": 0.0,
        "cache": "warmfront; hit",
    }


def test_nothing_in_a_request_is_taken_for_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    log_of()(replace(HIT, uri="http://api/@timestamp@"))
    (line,) = lines(capsys)
    assert (line["uri"], line["timestamp"]) == (
        "http://api/@timestamp@",
        "2026-01-01T12:00:00.250Z",
    )


def test_a_share_is_written_and_errors_are_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(sample=0.5, draws=(0.5, 0.4, 0.9, 0.9))
    for uri in ("http://api/left-out", "http://api/taken"):
        log(replace(HIT, uri=uri))
    log(replace(HIT, uri="http://api/broken", status=500, outcome=Outcome.MISS))
    log(replace(HIT, uri="http://api/gone", status=504, outcome=Outcome.ERROR))
    log(Refused(400, "no", "192.0.2.1"))
    assert [line.get("uri", line.get("why")) for line in lines(capsys)] == [
        "http://api/taken",
        "http://api/broken",
        "http://api/gone",
        "no",
    ]


def repeated(*hits: Hit) -> Repeated:
    """These were given to requests called 0, 1 and so on, each a second after the other."""
    times = [NOON + number for number in range(len(hits))]
    names = [str(number).encode() for number in range(len(hits))]
    return Repeated(list(hits), packed_times(times), packed_names(names))


def test_what_is_repeated_is_rendered_once(capsys: pytest.CaptureFixture[str]) -> None:
    render = Rendered()
    log = log_of(render)
    one, other = Hit(HIT), Hit(replace(HIT, uri="http://api/b"))
    log(repeated(one, one, other, one))
    log(repeated(one))
    assert render.made == 2
    assert [str(line["uri"])[-1] for line in lines(capsys)] == ["a", "a", "b", "a", "a"]


@pytest.mark.parametrize("style", ["json", "pretty"])
def test_a_hit_given_again_has_the_line_of_one_that_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, style: logs.Style
) -> None:
    log = logs.access_log(style)
    log(repeated(Hit(HIT), Hit(replace(HIT, uri="http://api/b", length=5))))
    given = capsys.readouterr().err.splitlines()
    single = logs.access_log(style)
    for number, event in enumerate([HIT, replace(HIT, uri="http://api/b", length=5)]):
        monkeypatch.setattr(single, "_clock", lambda at=NOON + number: at)
        single(replace(event, request_id=str(number)))
    assert given == capsys.readouterr().err.splitlines()


def test_a_line_of_a_hit_given_again(capsys: pytest.CaptureFixture[str]) -> None:
    logs.access_log("json")(repeated(Hit(HIT)))
    assert capsys.readouterr().err == (
        '{"timestamp": "2026-01-01T12:00:00.000Z", "level": "info", "event": "answered", '
        '"method": "GET", "uri": "http://api/a", "status": 200, "outcome": "hit", '
        '"reason": "fresh", "route": "defaults", "key": "", "seconds": 0.0, '
        '"request_id": "0", "cache": "warmfront; hit"}\n'
    )


def test_a_share_of_what_is_repeated_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    hit = Hit(HIT)
    log = log_of(sample=0.5, draws=(0.5, 0.4, 0.9, 0.0, 0.7))
    log(repeated(hit, hit, hit, hit))
    log(repeated(hit))
    assert [line["request_id"] for line in lines(capsys)] == ["1", "3"]


BYPASS = replace(
    HIT, outcome=Outcome.BYPASS, reason=Reason.CACHE_OFF, cache_status="warmfront; fwd=bypass"
)


class Once(Passed):
    __slots__ = ()
    recurs = False


def passed_on(*kinds: Passed) -> PassedOn:
    """Answers of 0, 1, ... bytes, each after as many milliseconds and a second after the other."""
    numbers = range(len(kinds))
    return PassedOn(
        list(kinds),
        packed_times([NOON + number for number in numbers]),
        [number / 1000 for number in numbers],
        [float(number) for number in numbers],
        packed_names([str(number).encode() for number in numbers]),
    )


@pytest.mark.parametrize("style", ["json", "pretty"])
def test_what_is_passed_on_has_the_lines_of_single_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, style: logs.Style
) -> None:
    odd = replace(BYPASS, uri="http://api/100%/%(at)b/1e+40/%d/" + repr(10**40))
    kinds = [
        *(Passed(BYPASS, "", sized=True), Passed(replace(BYPASS, status=503), "", sized=True)),
        *(Passed(replace(BYPASS, method="HEAD"), "", sized=False), Passed(odd, "", sized=True)),
        *(Once(odd, "", sized=True), Once(BYPASS, "", sized=False)),
    ]
    event = passed_on(*kinds, *kinds)
    logs.access_log(style)(event)
    given = capsys.readouterr().err.splitlines()
    single = logs.access_log(style)
    for number, (_, answered) in enumerate(singly(event)):
        monkeypatch.setattr(single, "_clock", lambda at=NOON + number: at)
        single(answered)
    assert given == capsys.readouterr().err.splitlines()


def test_what_is_passed_on_is_rendered_once(capsys: pytest.CaptureFixture[str]) -> None:
    render = Rendered()
    log = log_of(render)
    kind = Passed(BYPASS, "", sized=True)
    log(passed_on(kind, kind))
    made = render.made
    log(passed_on(kind, kind, kind))
    assert render.made == made
    assert [(line["seconds"], line["origin_seconds"]) for line in lines(capsys)] == [
        (number / 1000, number / 1000) for number in (0, 1, 0, 1, 2)
    ]


def test_what_does_not_recur_leaves_no_line_behind(capsys: pytest.CaptureFixture[str]) -> None:
    one = Once(BYPASS, "", sized=True)
    log_of()(passed_on(one))
    assert len(lines(capsys)) == 1
    assert one.line is None


def test_a_share_of_what_is_passed_on_is_written_and_errors_are_in_any_case(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = log_of(sample=0.5, draws=(0.5, 0.4))
    fine = Passed(BYPASS, "", sized=True)
    log(passed_on(fine, fine, Passed(replace(BYPASS, status=500), "", sized=True)))
    assert [line["request_id"] for line in lines(capsys)] == ["1", "2"]


async def test_lines_leave_in_batches_without_being_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = log_of()
    log(HIT)
    log(HIT)
    assert lines(capsys) == []
    written: list[dict[str, object]] = []

    async def has_come() -> bool:
        written.extend(lines(capsys))
        return bool(written)

    await eventually(has_come)
    assert len(written) == 2


async def test_a_burst_is_written_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of()
    for _ in range(1000):
        log(HIT)
    written = len(lines(capsys))
    assert 0 < written < 1000
    log.flush()
    assert written + len(lines(capsys)) == 1000


def test_a_higher_level_silences_it(capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of()
    logging.getLogger("warmfront").setLevel(logging.WARNING)
    log(HIT)
    assert lines(capsys) == []
