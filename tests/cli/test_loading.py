"""What commands load: those that only ask the admin API do not wait for the proxy to be loaded."""

import subprocess
import sys

import pytest

PROXY = {"proxy.app", "proxy.settings", "proxy.server", "proxy.gateway"}
HEAVY = {"aiohttp", "redis", "structlog", "ruamel.yaml", "opentelemetry"}

LOADED = """
import sys
from proxy.cli.commands import app

app({arguments!r}, standalone_mode=False)
print("loaded:", *sys.modules)
"""


def loaded_by(*arguments: str) -> set[str]:
    script = LOADED.format(arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "command", ["purge", "entries", "tags", "warm", "reload", "explain", "top", "token"]
)
def test_what_asks_the_admin_api_loads_little(command: str) -> None:
    assert not loaded_by(command, "--help") & {*PROXY, *HEAVY}


def test_the_version_is_told_by_itself() -> None:
    assert not loaded_by("--version") & {*PROXY, *HEAVY}


def test_check_loads_what_it_needs() -> None:
    """So the names above are those of modules that there are."""
    assert loaded_by("check", "config/default.yaml") >= {*PROXY, *HEAVY} - {"opentelemetry"}
