from collections.abc import Callable
from typing import Any, final

from proxy.journal import Line, Taken

@final
class Journal:
    def __init__(
        self,
        *,
        begun: Callable[[], None],
        full: Callable[[], None],
        make: Callable[[], bytes] | None,
        figures: int,
    ) -> None: ...
    def note(self, answer: object, given: bytes | None, /, *figures: float) -> bytes: ...
    def take(self) -> Taken: ...

def lines(
    hits: list[Any],
    times: bytes,
    names: bytes,
    make: Callable[[Any], Line],
    /,
) -> bytes: ...
