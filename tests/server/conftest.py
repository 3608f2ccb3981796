import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from proxy.server import Listener, Respond, ServerOptions
from tests.certificates import Certificate, certificate_for
from tests.server.wire import Listen
from tests.steady_loop import SteadyLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test in this folder on both loops."""
    return {"asyncio": SteadyLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    before = asyncio.all_tasks()
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            respond: Respond, *, tls: ssl.SSLContext | None = None, **options: Any
        ) -> Listener:
            listener = Listener(respond, ServerOptions(**options))
            stack.push_async_callback(listener.close)
            await listener.start("127.0.0.1:0", tls=tls)
            return listener

        yield start
    assert not asyncio.all_tasks() - before - {asyncio.current_task()}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_for("127.0.0.1", tmp_path_factory.mktemp("tls"))


@dataclass
class Certified:
    """Both ends of TLS for 127.0.0.1."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture
def certified(certificate: Certificate) -> Certified:
    return Certified(certificate.server(), certificate.client())
