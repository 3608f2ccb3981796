"""What lets all tests bear a machine that is busy, or that stands still for a moment."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, settings

from tests.steady_loop import SteadyLoop

# How long an example takes says more about the machine than about what is tested.
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001 - the hook's
    item: pytest.Item,  # noqa: ARG001
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": SteadyLoop}
