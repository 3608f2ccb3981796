"""When what is in memory becomes useless: found in the order of time, without looking at the rest.

Time is cut into steps of a few seconds. What is due in one step is one set, so that a note costs
little, is moved or taken back in O(1), and nothing remains of what has left by other ways.
"""

from collections.abc import Hashable, Iterator, Sequence
from math import ceil
from typing import Any, Generic, Protocol, TypeVar

STEP = 8
"""Seconds. What is useless takes memory for up to so much longer."""


class Expiring(Hashable, Protocol):
    """What can become useless.

    Attributes:
        step: When it is noted as due, None for never; set here only.
    """

    step: "Step[Any] | None"


T = TypeVar("T", bound=Expiring)


class Step(Generic[T]):
    """What is due in one step of time, which ends STEP * `number` seconds after the epoch."""

    __slots__ = ("number", "things")

    def __init__(self, number: int) -> None:
        self.number = number
        self.things: set[T] = set()


class Expiry(Generic[T]):
    """What is due when. A thing is noted once, for the first time that something is due in it."""

    def __init__(self) -> None:
        self._steps: dict[int, Step[T]] = {}
        self._passed = 0

    def note(self, thing: T, at: float) -> None:
        """Note it as due at `at` (POSIX seconds), whatever was noted before."""
        self.remove(thing)
        number = max(ceil(at / STEP), self._passed + 1)
        step = self._steps.get(number)
        if step is None:
            step = self._steps[number] = Step(number)
        step.things.add(thing)
        thing.step = step

    def note_earlier(self, thing: T, at: float) -> None:
        """Note it as due at `at` already, if that is earlier than what was noted."""
        if thing.step is None or ceil(at / STEP) < thing.step.number:
            self.note(thing, at)

    def remove(self, thing: T) -> None:
        """Take back its note, if there is one."""
        if (step := thing.step) is not None:
            step.things.discard(thing)
            self._unnote(thing, step)

    def due(self, now: float) -> Iterator[T]:
        """What is due, in the order of time; what was yielded is not noted any more."""
        passed = int(now // STEP)
        numbers: Sequence[int] = range(self._passed + 1, passed + 1)
        if len(numbers) > len(self._steps):  # the first time, or the clock has leapt
            numbers = sorted(number for number in self._steps if number <= passed)
        for number in numbers:
            while (step := self._steps.get(number)) is not None:
                thing = step.things.pop()
                self._unnote(thing, step)
                yield thing
            self._passed = number
        self._passed = passed

    def _unnote(self, thing: T, step: Step[T]) -> None:
        thing.step = None
        if not step.things:
            del self._steps[step.number]
