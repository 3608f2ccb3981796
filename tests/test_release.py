"""What is released: version, changelog, sdist, wheel and image; each does what it should."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from email import message_from_string
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from proxy import __version__

ROOT = Path(__file__).parent.parent
UPLOT = "proxy/admin/dashboard/static/vendor/uPlot.LICENSE"


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
        # Debian has a `python3` only, the image has both.
        (root / "bin").mkdir()
        (root / "bin" / "python").symlink_to(base / "python3")
        self.env = {**clean, "PATH": f"{base}:/usr/local/bin:/usr/bin:/bin:{root / 'bin'}"}
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


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Container:
    """With nothing installed but what pyproject.toml asks for."""
    made = Container(tmp_path_factory.mktemp("container"))
    made.carry_out_build()
    return made


@dataclass(frozen=True)
class Release:
    """What `make dist` leaves; the wheel is made from the sdist, as package indexes have it."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    place = tmp_path_factory.mktemp("dist")
    (sdist,) = built("sdist", ROOT, place)
    with tarfile.open(sdist) as archive:
        # Python before 3.11.4 knows no filters; it was made a moment ago.
        safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(place, **safely)  # noqa: S202
    (wheel,) = built("wheel", place / sdist.name.removesuffix(".tar.gz"), place)
    return Release(sdist, wheel)


def built(target: str, source: Path, place: Path) -> Iterator[Path]:
    words = ("-m", "hatchling", "build", "--target", target, "--directory", str(place))
    subprocess.run([sys.executable, *words], cwd=source, check=True, capture_output=True)
    return place.glob("*.tar.gz" if target == "sdist" else "*.whl")


def files_below(folder: Path) -> set[str]:
    """Paths as they stand in an archive, but for what Python and compilers leave behind."""
    return {
        str(path.relative_to(ROOT))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }


class TestVersion:
    def test_it_stands_in_one_place(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        assert project["project"]["dynamic"] == ["version"]
        assert "version" not in project["project"]
        assert project["tool"]["hatch"]["version"] == {"path": "proxy/__init__.py"}
        assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)

    def test_the_changelog_keeps_its_form(self) -> None:
        text = (ROOT / "CHANGELOG.md").read_text()
        first, *releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert first == "[Unreleased]"
        assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", one) for one in releases)
        numbers = [number(one[1:].partition("]")[0]) for one in releases]
        assert numbers == sorted(numbers, reverse=True)
        assert all(one <= number(__version__) for one in numbers)
        days = [date.fromisoformat(one.rpartition(" ")[2]) for one in releases]
        assert days == sorted(days, reverse=True)
        kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
        assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


class TestPackages:
    def test_the_sdist_has_all_that_is_worked_on(self, release: Release) -> None:
        root = f"warmfront-{__version__}"
        assert release.sdist.name == f"{root}.tar.gz"
        with tarfile.open(release.sdist) as archive:
            names = {one.name.removeprefix(f"{root}/") for one in archive if one.isfile()}
        assert files_below(ROOT / "proxy") <= names
        assert files_below(ROOT / "config") <= names
        assert {"pyproject.toml", "PKG-INFO", "README.md", "CHANGELOG.md", "LICENSE"} <= names
        assert {"tests/test_release.py", "docs/getting-started.md"} <= names
        assert not [name for name in names if name.endswith(".pyc") or ".venv" in name]

    def test_the_wheel_has_the_package_and_nothing_else(self, release: Release) -> None:
        with ZipFile(release.wheel) as archive:
            names = set(archive.namelist())
        about = f"warmfront-{__version__}.dist-info"
        assert {name.partition("/")[0] for name in names} == {"proxy", about}
        assert files_below(ROOT / "proxy") <= names
        assert {"proxy/py.typed", f"{about}/licenses/LICENSE", f"{about}/licenses/{UPLOT}"} <= names
        assert not [name for name in names if name.endswith(".pyc") or "/tests/" in name]

    def test_the_wheel_says_what_it_is(self, release: Release) -> None:
        about = f"warmfront-{__version__}.dist-info"
        with ZipFile(release.wheel) as archive:
            metadata = message_from_string(archive.read(f"{about}/METADATA").decode())
            commands = archive.read(f"{about}/entry_points.txt").decode()
        assert metadata["Version"] == __version__
        assert metadata["Requires-Python"] == ">=3.11"
        assert metadata["License-Expression"] == "Apache-2.0 AND MIT"
        assert "warmfront = proxy.__main__:main" in commands

    @pytest.mark.timeout(300)
    def test_the_wheel_runs_in_an_environment_of_its_own(
        self, release: Release, container: Container
    ) -> None:
        programs = Path(container.here("/opt/warmfront/bin"))
        install = ("install", "--quiet", "--no-index", "--no-deps", "--force-reinstall")
        self.run(container, str(programs / "pip"), *install, str(release.wheel))
        warmfront = str(programs / "warmfront")
        assert self.run(container, warmfront, "--version") == f"warmfront {__version__}\n"
        assert "stale-while-revalidate" in self.run(container, warmfront, "demo", "--once")

    @staticmethod
    def run(container: Container, *words: str) -> str:
        done = subprocess.run(
            words,
            cwd=container.root,
            env=container.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


class TestDockerfile:
    @pytest.mark.timeout(300)
    def test_what_it_builds_starts_is_healthy_and_stops(self, container: Container) -> None:
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
        assert runtime.image == f"{build.image}-slim"  # the same but for the compiler
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
