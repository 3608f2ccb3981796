"""Events as plain integers: all that is done for a request while it is answered.

One dictionary look-up and a few additions; everything that makes metrics of them happens when
somebody asks for metrics.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from proxy.events import (
    Answered,
    BackgroundFailed,
    Event,
    NotStored,
    OriginAnswered,
    OriginFailed,
    Passed,
    PassedOn,
    Purged,
    PurgeLogChanged,
    Refused,
    Repeated,
)
from proxy.histogram import Histogram
from proxy.rfc9111.cache_status import Outcome
from proxy.rfc9111.reasons import Reason

Kind: TypeAlias = tuple[str, int, Outcome, Reason | None]
"""Route, status, outcome and reason: all answers of a kind are counted together."""

_REFUSED: Final = "refused"


class Answers:
    """Answers of one kind.

    Attributes:
        number: How many.
        size: Bytes of their bodies, of those whose length was known beforehand.
        durations: From requests to heads; those that are given again at once are missing.
    """

    __slots__ = ("durations", "number", "size")

    def __init__(self) -> None:
        self.number = 0
        self.size = 0
        self.durations = Histogram()


class Counts:
    """What has happened since the start.

    Attributes:
        pull: Is called before somebody looks, to have told what has not been told yet.
        refused: Requests and connections refused at the door, by status.
        origin_failures: Requests without a usable answer, by what went wrong.
        validations: Questions whether something stored still holds, by what came of them:
            `confirmed`, `replaced` or `failed`.
        not_stored: Responses that looked storable and were not stored in the end, by reason.
        purges: Purges that were asked for here, by mode.
        acknowledgements: How long those took, with the wait for all other processes.
        log_resets: Times that all that was kept was dropped, since purges may have been missed.
        failures: Bugs and failures in work that no client waits for.
    """

    def __init__(self) -> None:
        self.pull: Callable[[], None] = lambda: None
        self._answers: dict[Kind, Answers] = {}
        self.refused: Counter[int] = Counter()
        self._origins: dict[tuple[str, int], Histogram] = {}
        self.origin_failures: Counter[Reason] = Counter()
        self.validations: Counter[str] = Counter()
        self.not_stored: Counter[Reason] = Counter()
        self.purges: Counter[str] = Counter()
        self.acknowledgements = Histogram()
        self.log_resets = 0
        self.failures = 0
        self._handlers: Mapping[type[Event], Callable[[Any], None]] = {
            Answered: self._answered,
            Repeated: self._repeated,
            PassedOn: self._passed_on,
            Refused: self._refused,
            OriginAnswered: self._origin_answered,
            OriginFailed: self._origin_failed,
            NotStored: self._not_stored,
            Purged: self._purged,
            PurgeLogChanged: self._purge_log_changed,
            BackgroundFailed: self._background_failed,
        }

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    @property
    def answers(self) -> Mapping[Kind, Answers]:
        """By their kind."""
        self.pull()
        return self._answers

    @property
    def origins(self) -> Mapping[tuple[str, int], Histogram]:
        """How long origins took to their answers' heads, by group and class of status (2: 2xx)."""
        self.pull()
        return self._origins

    def outcomes(self) -> dict[str, int]:
        """How many requests had which outcome; those `refused` at the door stand beside them."""
        found: Counter[str] = Counter()
        for (_, _, outcome, _), answers in self.answers.items():
            found[outcome.value] += answers.number
        if self.refused:
            found[_REFUSED] = self.refused.total()
        return dict(found)

    def _answered(self, event: Answered) -> None:
        answers = self._of_kind(event)
        answers.number += 1
        answers.size += event.length or 0
        answers.durations.observe(event.duration)

    def _repeated(self, event: Repeated) -> None:
        for hit in event.hits:
            kind = hit.kind
            answers = kind.counted
            if answers is None:
                answers = kind.counted = self._of_kind(hit.answered)
            answers.number += 1
            answers.size += hit.length

    def _passed_on(self, event: PassedOn) -> None:
        durations: dict[tuple[Answers, Histogram], list[float]] = {}
        for kind, seconds, length in zip(event.kinds, event.durations, event.lengths, strict=True):
            counted = kind.counted or self._place(kind)
            counted[0].size += int(length)
            together = durations.get(counted)
            if together is None:
                together = durations[counted] = []
            together.append(seconds)
        for (answers, origin), together in durations.items():
            answers.number += len(together)
            taken = Histogram()
            taken.observe_all(together)
            answers.durations.add(taken)
            origin.add(taken)

    def _place(self, kind: Passed) -> tuple[Answers, Histogram]:
        answered = kind.answered
        place = self._of_kind(answered), self._of_origin(kind.origin, answered.status)
        kind.counted = place
        return place

    def _of_kind(self, event: Answered) -> Answers:
        kind = (event.route, event.status, event.outcome, event.reason)
        answers = self._answers.get(kind)
        if answers is None:
            answers = self._answers[kind] = Answers()
        return answers

    def _refused(self, event: Refused) -> None:
        self.refused[event.status] += 1

    def _origin_answered(self, event: OriginAnswered) -> None:
        self._of_origin(event.origin, event.status).observe(event.duration)
        if event.validates:
            self.validations[_validated(event.status)] += 1

    def _of_origin(self, group: str, status: int) -> Histogram:
        key = (group, status // 100)
        durations = self._origins.get(key)
        if durations is None:
            durations = self._origins[key] = Histogram()
        return durations

    def _origin_failed(self, event: OriginFailed) -> None:
        self.origin_failures[event.reason] += 1

    def _not_stored(self, event: NotStored) -> None:
        self.not_stored[event.reason] += 1

    def _purged(self, event: Purged) -> None:
        self.purges["soft" if event.soft else "hard"] += 1
        self.acknowledgements.observe(event.duration)

    def _purge_log_changed(self, event: PurgeLogChanged) -> None:
        self.log_resets += event.state == "reset"

    def _background_failed(self, _: BackgroundFailed) -> None:
        self.failures += 1


def _validated(status: int) -> str:
    if status == HTTPStatus.NOT_MODIFIED:
        return "confirmed"
    return "replaced" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
