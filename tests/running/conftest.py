from collections.abc import AsyncIterator

import pytest

from tests.running.origin import ScriptedOrigin


@pytest.fixture
async def origin() -> AsyncIterator[ScriptedOrigin]:
    made = ScriptedOrigin()
    await made.start()
    yield made
    await made.stop()
