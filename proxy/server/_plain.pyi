from typing import Any, final

@final
class Scanner:
    def __init__(
        self,
        *,
        refused: tuple[bytes, ...],
        present: tuple[bytes, ...],
        values: tuple[bytes, ...],
        longest: int,
        lines: int,
    ) -> None: ...
    def __call__(self, head: bytes, /) -> tuple[Any, ...] | None: ...
