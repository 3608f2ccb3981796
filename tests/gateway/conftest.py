"""What the gateway's tests share."""

from collections.abc import AsyncIterator, Sequence


class ChunkedBody:
    """A body of unknown length."""

    length = None

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
