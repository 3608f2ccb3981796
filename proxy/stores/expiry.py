"""When what is in memory becomes useless: found in the order of time, without looking at the rest.

Time is cut into steps of a few seconds. What is due in one step is a ring of links, so that a note
costs two references, is moved or taken back in O(1), and nothing remains of what has left by other
ways.
"""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, Generic, Protocol, TypeVar

STEP = 8
"""Seconds. What is useless takes memory for up to so much longer."""


class Expiring(Protocol):
    """What can become useless; all its attributes are set here only.

    Attributes:
        step: When it is noted as due, None for never.
        before: Its neighbour in the ring of its step: noted earlier, or the step itself.
        after: Noted later, or the step itself.
    """

    step: "Step | None"
    before: Any
    after: Any


T = TypeVar("T", bound=Expiring)


class Step:
    """What is due in one step of time, which ends STEP * `number` seconds after the epoch.

    It stands in its ring between what was noted first and last.
    """

    __slots__ = ("after", "before", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.before: Any = self
        self.after: Any = self


class Expiry(Generic[T]):
    """What is due when. A thing is noted once, for the first time that something is due in it."""

    def __init__(self) -> None:
        self._steps: dict[int, Step] = {}
        self._passed = 0

    def note(self, thing: T, at: float) -> None:
        """Note it as due at `at` (POSIX seconds), whatever was noted before."""
        self.remove(thing)
        number = max(ceil(at / STEP), self._passed + 1)
        step = self._steps.get(number)
        if step is None:
            step = self._steps[number] = Step(number)
        last = step.before
        thing.step, thing.before, thing.after = step, last, step
        last.after = step.before = thing

    def note_earlier(self, thing: T, at: float) -> None:
        """Note it as due at `at` already, if that is earlier than what was noted."""
        if thing.step is None or ceil(at / STEP) < thing.step.number:
            self.note(thing, at)

    def remove(self, thing: T) -> None:
        """Take back its note, if there is one; it leaves no cycle for the collector to find."""
        step = thing.step
        if step is None:
            return
        thing.before.after, thing.after.before = thing.after, thing.before
        thing.step = thing.before = thing.after = None
        if step.after is step:
            step.before = step.after = None
            del self._steps[step.number]

    def due(self, now: float) -> Iterator[T]:
        """What is due, in the order of time; what was yielded is not noted any more."""
        passed = int(now // STEP)
        numbers: Sequence[int] = range(self._passed + 1, passed + 1)
        if len(numbers) > len(self._steps):  # the first time, or the clock has leapt
            numbers = sorted(number for number in self._steps if number <= passed)
        for number in numbers:
            while (step := self._steps.get(number)) is not None:
                thing = step.after
                self.remove(thing)
                yield thing
            self._passed = number
        self._passed = passed
