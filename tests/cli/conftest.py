"""An admin API that answers as it is told, for the commands that speak to one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fake_admin import FakeAdmin, fake_admin

TOKEN = "a-token-of-some-length"  # noqa: S105 - of these tests


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAdmin]:
    """Its token is in the environment; there is no token file."""
    monkeypatch.setenv("WARMFRONT_ADMIN_TOKEN", TOKEN)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with fake_admin() as server:
        yield server
