"""A server that all tests here may use as long as they do it no harm."""

from collections.abc import Iterator

import pytest

from tests.redis_server import RedisServer, shared_redis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with shared_redis() as server:
        yield server
