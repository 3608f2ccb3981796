"""Processes of Warmfront find no uvloop with this folder on PYTHONPATH; others do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "found"), [("proxy", False), ("/bin/warmfront", False), ("pytest", True)]
)
def test_uvloop_is_hidden_from_warmfront_alone(name: str, found: bool) -> None:  # noqa: FBT001
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", "import uvloop", name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == found
    assert ("uvloop" in done.stderr) != found
