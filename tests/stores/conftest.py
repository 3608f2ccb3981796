"""What every store's tests share: a clock that stands still, entries, and the stores."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import count
from typing import Protocol

import pytest

from proxy.purging.state import PurgeState, Valid
from proxy.redis_link import RedisLink, RedisOptions
from proxy.rfc9111.messages import Headers
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.stored import Freshness, LifetimeSource, StoredResponse, VariantKey, packed
from proxy.stores import CacheKey, Entry, MemoryStore, Store
from proxy.stores.redis import RedisStore
from proxy.stores.tiered import TieredStore
from tests.redis_server import RedisServer, patient, shared_redis

NOW = 1_800_000_000.0

_NUMBERS = count()


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
    tags: tuple[str, ...] = (),
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
        **packed(Headers(headers or {})),
        request_time=asked,
        freshness=freshness,
        variant=variant,
        date=NOW,
        tags=tags,
        groups=groups,
        born=born,
    )
    return Entry(response, body)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Keeps(Protocol):
    """What all stores have in common."""

    async def lookup(self, key: CacheKey) -> Sequence[Entry]: ...

    async def put(
        self, key: CacheKey, entry: Entry, *, replaces: Entry | None = None
    ) -> Reason | None: ...

    async def remove(self, key: CacheKey, entry: Entry) -> None: ...


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with shared_redis() as server:
        yield server


@pytest.fixture
def redis_options(redis_server: RedisServer) -> RedisOptions:
    """A namespace of the test's own on a server that is shared, as tests are many."""
    return patient(redis_server.url, namespace=f"t{next(_NUMBERS)}")


@pytest.fixture
async def link(redis_options: RedisOptions) -> AsyncIterator[RedisLink]:
    link = RedisLink(redis_options, lambda _: None)
    yield link
    await link.close()


@pytest.fixture
def redis_store(link: RedisLink, clock: Clock) -> RedisStore:
    return RedisStore(link, clock)


async def all_valid(_born: int, _url: str, _scopes: Sequence[str]) -> Valid:
    return Valid()


@pytest.fixture
async def tiered(redis_store: RedisStore, clock: Clock) -> AsyncIterator[TieredStore]:
    store = TieredStore(MemoryStore(1 << 20, clock, PurgeState()), redis_store, all_valid, clock)
    yield store
    await store.close()


@pytest.fixture
def memory(clock: Clock) -> Store:
    return MemoryStore(1 << 20, clock, PurgeState())


@pytest.fixture(params=["memory", "redis_store", "tiered"])
def store(request: pytest.FixtureRequest) -> Keeps:
    store: Keeps = request.getfixturevalue(request.param)
    return store
