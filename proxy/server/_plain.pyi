from collections.abc import Mapping
from typing import Any, final

from proxy.server.plain import Place

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
        name: int,
    ) -> None: ...
    def __call__(self, head: bytes, /) -> tuple[Any, ...] | None: ...
    def find(
        self, head: bytes, places: Mapping[Any, Place], /
    ) -> tuple[Any, bytes | None] | None: ...
    def place_key(self, gist: tuple[Any, ...], /) -> object: ...
    def known_key(self, gist: tuple[Any, ...], members: bytes, /) -> object: ...
