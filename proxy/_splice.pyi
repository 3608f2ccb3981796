from typing import final

from proxy.splicing import Spliced

@final
class Splicer:
    def __init__(
        self,
        *,
        dropped: tuple[bytes, ...],
        refused: tuple[bytes, ...],
        noted: tuple[bytes, ...],
        host: bytes,
    ) -> None: ...
    def request(self, data: bytes, /) -> bytes | None: ...
    def response(self, data: bytes, head_only: bool, /) -> Spliced | None: ...
