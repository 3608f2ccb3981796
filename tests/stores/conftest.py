"""What every store's tests share: a clock that stands still, entries, and the stores."""

from collections.abc import Callable

import pytest

from proxy.rfc9111.messages import Headers
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse, VariantKey
from proxy.stores import Entry, MemoryStore, Store

NOW = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


MakeEntry = Callable[..., Entry]


def make_entry(
    body: bytes = b"body",
    *,
    lifetime: float = 60.0,
    swr: float = 0.0,
    grace: float = 0.0,
    asked: float = NOW,
    variant: VariantKey = (),
    born: int = 0,
    groups: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
) -> Entry:
    freshness = Freshness(
        lifetime=lifetime,
        source=LifetimeSource.MAX_AGE,
        initial_age=0.0,
        response_time=NOW,
        stale_while_revalidate=swr,
        grace=grace,
    )
    response = StoredResponse(
        status=200,
        reason="OK",
        headers=Headers(headers or {}),
        request_time=asked,
        freshness=freshness,
        variant=variant,
        date=NOW,
        groups=groups,
        born=born,
    )
    return Entry(response, body)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory"])
def store(clock: Clock) -> Store:
    return MemoryStore(1 << 20, clock)
