"""The files around the code say what is true: README, Makefile, CI, Dockerfile, packaging."""

import ast
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import typer.main
from ruamel.yaml import YAML
from typer.core import TyperGroup

from proxy import __version__, settings
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
            case "pip":
                assert words == ["install", "."]
            case "curl":
                assert words[-1].startswith(tuple(f"http://{listen}/" for listen in LISTENS))
            case _:
                pytest.fail(f"nobody checks {program}")

    def test_it_shows_the_commands_that_matter(self) -> None:
        assert {"make demo", "make test", "pip install ."} <= set(README_COMMANDS)
        assert "warmfront run --origin http://127.0.0.1:8000" in README_COMMANDS

    @pytest.mark.parametrize("text", blocks("yaml"))
    def test_the_yaml_is_valid(self, text: str, tmp_path: Path) -> None:
        file = tmp_path / "warmfront.yaml"
        file.write_text(text)
        settings.load(file, {})

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_our_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


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
        assert PYPROJECT["project"]["license"] == "Apache-2.0"
        text = (ROOT / "LICENSE").read_text()
        assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
        assert "END OF TERMS AND CONDITIONS" in text

    def test_one_version(self) -> None:
        assert PYPROJECT["project"]["version"] == __version__

    def test_the_package_says_that_it_is_typed(self) -> None:
        assert (ROOT / "proxy" / "py.typed").is_file()


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
    def test_the_script_is_strict_and_runs_both(self) -> None:
        script = ROOT / ".ci" / "run"
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", str(script)], check=True)
        lines = script.read_text().splitlines()
        assert "set -euo pipefail" in lines
        assert [line.split(" <")[0] for line in lines if line.startswith("make")] == [
            "make test",
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


@dataclass
class Stage:
    """What one FROM of the Dockerfile leads to."""

    image: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def arguments(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.steps if name == instruction]


def stages() -> list[Stage]:
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            found.append(Stage(rest.split()[0]))
        elif name:
            found[-1].steps.append((name, rest.strip()))
    return found


class Container:
    """The Dockerfile's steps carried out below a directory, for want of a Docker daemon.

    Absolute paths of the image become paths below `root`; port 8080 becomes a free one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.build, self.runtime = stages()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        clean = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
        base = Path(sys.base_prefix) / "bin"
        self.env = {**clean, "PATH": f"{base}:/usr/local/bin:/usr/bin:/bin"}
        self.env.pop("VIRTUAL_ENV", None)

    def here(self, text: str) -> str:
        for path in ("/opt/warmfront", "/etc/warmfront", "/src"):
            text = text.replace(path, f"{self.root}{path}")
        return text.replace("0.0.0.0:8080", f"127.0.0.1:{self.port}").replace(
            "8080", str(self.port)
        )

    def carry_out_build(self) -> None:
        (workdir,) = self.build.arguments("WORKDIR")
        source = Path(self.here(workdir))
        source.mkdir(parents=True)
        for name, rest in self.build.steps:
            if name == "COPY":
                *originals, target = rest.split()
                copy(originals, source / target)
            elif name == "RUN":
                step = ["/bin/sh", "-c", self.here(rest)]
                subprocess.run(step, cwd=source, env=self.env, check=True)

    def command(self, text: str) -> list[str]:
        """The words of an instruction in exec form, with paths and port of here."""
        words: list[str] = json.loads(text[text.index("[") :])
        return [self.here(word) for word in words]

    @property
    def runtime_env(self) -> dict[str, str]:
        (line,) = self.runtime.arguments("ENV")
        wanted = dict(pair.split("=", 1) for pair in self.here(line).split())
        wanted["PATH"] = wanted["PATH"].replace("$PATH", self.env["PATH"])
        return {**self.env, **wanted}

    def is_healthy(self) -> bool:
        (check,) = self.runtime.arguments("HEALTHCHECK")
        done = subprocess.run(
            self.command(check), env=self.runtime_env, check=False, capture_output=True, timeout=5
        )
        return done.returncode == 0

    def start(self) -> subprocess.Popen[bytes]:
        (command,) = self.runtime.arguments("CMD")
        return subprocess.Popen(self.command(command), env=self.runtime_env, cwd=self.root)


def copy(originals: list[str], target: Path) -> None:
    """COPY from a context that holds what .dockerignore lets in."""
    let_in = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for original in originals:
        assert original in let_in
        if (ROOT / original).is_dir():
            shutil.copytree(ROOT / original, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / original, target)


class TestDockerfile:
    @pytest.mark.timeout(300)
    def test_what_it_builds_starts_is_healthy_and_stops(self, tmp_path: Path) -> None:
        container = Container(tmp_path)
        container.carry_out_build()
        config = Path(container.here("/etc/warmfront/warmfront.yaml"))
        config.parent.mkdir(parents=True)
        config.write_text("origin:\n  url: http://127.0.0.1:9\n")
        assert not container.is_healthy()
        with container.start() as process:
            try:
                deadline = time.monotonic() + 20
                while not container.is_healthy():
                    assert process.poll() is None, "it did not stay up"
                    assert time.monotonic() < deadline, "it never became healthy"
            finally:
                process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0

    def test_the_environment_is_built_where_it_will_run(self) -> None:
        build, runtime = stages()
        assert build.image == runtime.image
        (copied,) = runtime.arguments("COPY")
        source, source_path, target_path = copied.split()
        assert source == "--from=build"
        assert source_path == target_path
        assert any(source_path in step for step in build.arguments("RUN"))

    def test_it_does_not_run_as_root(self) -> None:
        _, runtime = stages()
        names = [name for name, _ in runtime.steps]
        (user,) = runtime.arguments("USER")
        assert user == "warmfront"
        assert "RUN" not in names[names.index("USER") :]

    @pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("useradd") is None, reason="useradd is for root on Linux"
    )
    def test_its_user_can_be_made(self, tmp_path: Path) -> None:
        _, runtime = stages()
        (step,) = runtime.arguments("RUN")
        program, *words = shlex.split(step)
        (tmp_path / "etc").mkdir()
        for name in ("passwd", "group", "shadow", "gshadow"):
            (tmp_path / "etc" / name).touch()
        subprocess.run([program, "--prefix", str(tmp_path), *words], check=True)
        assert (tmp_path / "etc" / "passwd").read_text().startswith("warmfront:")
