"""What the pages show in others' languages, read by those whose languages they are."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs.pages import Block, blocks

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def shown(language: str) -> list[Block]:
    """But for what the benchmarks print, which has run already, and is filled in first."""
    return [block for block in blocks(language) if block.page != "docs/benchmarks.md"]


def read_by(program: str, arguments: Sequence[str]) -> None:
    """Have a program read a file; where it is not installed, nobody knows."""
    found = shutil.which(program, path=PATH)
    if found is None:
        pytest.skip(f"needs {program}")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", shown("javascript"), ids=str)
def test_javascript(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "shown.mjs"
    file.write_text(block.text)
    read_by("node", ["--check", str(file)])


@pytest.mark.parametrize("block", shown("ruby"), ids=str)
def test_ruby(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "shown.rb"
    file.write_text(block.text)
    read_by("ruby", ["-c", str(file)])


@pytest.mark.parametrize("block", shown("nginx"), ids=str)
def test_nginx(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "nginx.conf"
    text = block.text.replace("/var/cache/nginx", str(tmp_path / "cache"))
    file.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{text}\n}}\n"
    )
    read_by("nginx", ["-t", "-p", str(tmp_path), "-c", str(file)])


@pytest.mark.parametrize("block", shown("vcl"), ids=str)
def test_vcl(block: Block, tmp_path: Path) -> None:
    if shutil.which("gcc", path=PATH) is None:
        pytest.skip("varnishd needs a compiler to read VCL")
    file = tmp_path / "shown.vcl"
    file.write_text(block.text)
    read_by("varnishd", ["-j", "none", "-C", "-n", str(tmp_path / "work"), "-f", str(file)])
