"""What the gateway's tests share."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from tests.apparatus import hot_by_default

_EITHER_WAY = frozenset(
    {
        *("test_credentials", "test_delivery", "test_freshening", "test_gateway"),
        *("test_invalidating", "test_purging", "test_refreshing", "test_rules", "test_timing"),
    }
)
"""Modules whose plain requests are to be answered by `respond` as well as by the hot path."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in _EITHER_WAY and "way" in metafunc.fixturenames:
        metafunc.parametrize("way", [True, False], ids=["hot", "plain"], indirect=True)


@pytest.fixture(autouse=True)
def way(request: Any) -> Iterator[None]:
    token = hot_by_default.set(getattr(request, "param", True))
    yield
    hot_by_default.reset(token)


class ChunkedBody:
    """A body of unknown length."""

    length = None

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
