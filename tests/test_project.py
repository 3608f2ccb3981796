"""The files around the code say what is true: README, Makefile, CI, Dockerfile, packaging."""

import ast
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer.main
from ruamel.yaml import YAML
from typer.core import TyperGroup

from proxy import settings
from proxy.cli.commands import app
from proxy.client import PurgeClient, PurgeResult
from proxy.demo.show import PORTS
from proxy.rfc9111.cache_status import Forward
from proxy.rfc9111.reasons import Reason

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    """The fenced code blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


DEFAULTS = settings.defaults()
LISTENS = [*DEFAULTS.listen, *(DEFAULTS.admin or settings.Admin()).listen]
README_COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


def make(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, also when these tests themselves run under make."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=env,
        check=check,
        capture_output=True,
        text=True,
    )


class TestReadme:
    @pytest.mark.parametrize("line", README_COMMANDS)
    def test_every_command_exists(self, line: str) -> None:
        program, *words = shlex.split(line)
        match Path(program).name:
            case "make":
                make("--dry-run", *words)
            case "warmfront":
                group = typer.main.get_command(app)
                assert isinstance(group, TyperGroup)
                flags = {flag for option in group.commands[words[0]].params for flag in option.opts}
                assert {word for word in words if word.startswith("-")} <= flags
            case "python3" | "source":
                assert words in (["-m", "venv", ".venv"], [".venv/bin/activate"])
            case "pip":
                assert words == ["install", "."]
            case "export":
                assert words == ["WARMFRONT_ADMIN_TOKEN=$(warmfront", "token)"]
            case "prometheus":
                assert (ROOT / words[0].removeprefix("--config.file=")).is_file()
            case "curl":
                assert words[-1].startswith(tuple(f"http://{listen}/" for listen in LISTENS))
            case _:
                pytest.fail(f"nobody checks {program}")

    def test_it_shows_the_commands_that_matter(self) -> None:
        assert {"make demo", "make test", "pip install ."} <= set(README_COMMANDS)
        assert "warmfront run --origin http://127.0.0.1:8000" in README_COMMANDS

    @pytest.mark.parametrize("text", blocks("python"))
    def test_the_code_fits_the_client(self, text: str) -> None:
        tree = ast.parse(text)
        named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        imported = {
            (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert imported == {("proxy.client", "PurgeClient")}
        assert all(hasattr(PurgeClient, name) or hasattr(PurgeResult, name) for name in named)

    def test_what_it_says_of_cache_status_is_in_the_code(self) -> None:
        assert set(re.findall(r"detail=([a-z-]+)", README)) <= {reason.value for reason in Reason}
        assert set(re.findall(r"fwd=([a-z-]+)", README)) <= {forward.value for forward in Forward}

    def test_the_demo_starts_where_the_readme_asks(self) -> None:
        assert settings.defaults().listen[0] == settings.TcpAddress("127.0.0.1", PORTS[0])


def test_the_ways_to_change_a_default_exist() -> None:
    page = (ROOT / "docs" / "rfc-deviations.md").read_text()
    ways = re.findall(r"\| ([^|]+) \|$", page, re.MULTILINE)
    keys = {key for way in ways for key in re.findall(r"`([a-z_]+)(?=`|: )", way)}
    assert len(keys) > 8
    assert keys <= settings.Caching.model_fields.keys()


def test_the_map_shows_every_module_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    layers = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    shown = {name for layer in layers for name in re.findall(r"`([a-z0-9_]+/?)`", layer)}
    packages = {f"{init.parent.name}/" for init in ROOT.glob("proxy/*/__init__.py")}
    modules = {file.stem for file in ROOT.glob("proxy/*.py")} - {"__init__"}
    assert shown == packages | modules


class TestPackaging:
    def test_licence(self) -> None:
        assert PYPROJECT["project"]["license"] == "Apache-2.0 AND MIT"
        text = (ROOT / "LICENSE").read_text()
        assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
        assert "END OF TERMS AND CONDITIONS" in text


class TestMake:
    def test_help_names_every_target(self) -> None:
        shown = make("help").stdout
        assert all(f"make {target} " in shown for target in ("demo", "test", "check", "schema"))

    @pytest.mark.parametrize(
        ("target", "stamps"),
        [("demo", ("demo",)), ("test", ("test",)), ("check", ("test", "check"))],
    )
    def test_a_second_run_installs_nothing(
        self, target: str, stamps: tuple[str, ...], tmp_path: Path
    ) -> None:
        assert "pip" in make("--dry-run", f"VENV={tmp_path}", target).stdout
        (tmp_path / ".stamps").mkdir()
        for stamp in ("venv", *stamps):
            (tmp_path / ".stamps" / stamp).touch()
        assert "pip" not in make("--dry-run", f"VENV={tmp_path}", target).stdout

    def test_an_old_python_is_refused_with_a_way_out(self, tmp_path: Path) -> None:
        old = tmp_path / "python3"
        old.write_text("#!/bin/sh\nexit 1\n")
        old.chmod(0o755)
        done = make(f"PYTHON={old}", f"VENV={tmp_path}/venv", "test", check=False)
        assert done.returncode != 0
        assert "make PYTHON=/path/to/python3.11" in done.stderr


class TestContinuousIntegration:
    def test_the_script_is_strict_and_runs_all(self) -> None:
        script = ROOT / ".ci" / "run"
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", str(script)], check=True)
        lines = script.read_text().splitlines()
        assert "set -euo pipefail" in lines
        assert [line.split(" <")[0] for line in lines if line.startswith("make")] == [
            "make test",
            "make test-plain",
            "make check",
        ]

    def test_the_workflow_calls_the_script_on_every_python_we_claim(self) -> None:
        workflow = YAML(typ="safe").load((ROOT / ".github/workflows/ci.yml").read_text())
        job = workflow["jobs"]["ci"]
        assert "bash .ci/run" in [step.get("run") for step in job["steps"]]
        claimed = re.findall(
            r"Python :: (3\.[0-9]+)", " ".join(PYPROJECT["project"]["classifiers"])
        )
        assert job["strategy"]["matrix"]["python"] == claimed
