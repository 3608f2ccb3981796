"""What all tests share."""

from pathlib import Path

import pytest

_WITH_REAL_SERVERS = (
    "fleet",
    "redis_link",
    "purging",
    "stores",
    "apis",
    "wire",
    "server",
    "origin",
)
"""Folders whose tests depend on how soon other processes get their turn on this machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test with real servers may be starved on a busy machine: it gets a second try."""
    folders = [Path(__file__).parent / name for name in _WITH_REAL_SERVERS]
    alone = [Path(__file__).parent / name for name in ("test_app.py", "test_project.py")]
    for item in items:
        if item.path in alone or any(folder in item.path.parents for folder in folders):
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=1))
