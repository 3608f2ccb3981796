"""`warmfront check` and what all commands share."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy import __version__
from proxy.cli.commands import app

ROOT = Path(__file__).parent.parent.parent


def warmfront(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_version() -> None:
    assert warmfront("--version") == (0, f"warmfront {__version__}\n", "")


@pytest.mark.parametrize("command", ["run", "check", "demo"])
def test_every_command_explains_itself(command: str) -> None:
    code, out, _ = warmfront(command, "--help")
    assert code == 0
    assert command in out


class TestCheck:
    @pytest.mark.parametrize("file", sorted(ROOT.glob("config/**/*.yaml")), ids=lambda f: f.name)
    def test_our_own_files_are_fine(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PURGE_TOKEN", "0123456789abcdef")
        monkeypatch.setenv("READ_TOKEN", "fedcba9876543210")
        code, out, err = warmfront("check", file)
        assert (code, err) == (0, "")
        assert out.startswith("ok")

    def test_it_shows_what_each_route_does(self, tmp_path: Path) -> None:
        file = tmp_path / "warmfront.yaml"
        file.write_text(
            "listen: 127.0.0.1:8089\n"
            "origin:\n  url: http://127.0.0.1:8000\n"
            "routes:\n"
            "  - match: {path: /reports/**, methods: [GET]}\n"
            "    ttl: 90s\n"
            "  - match: {path: /account/**}\n"
            "    cache: off\n"
        )
        code, out, _ = warmfront("check", file)
        assert code == 0
        for word in ("127.0.0.1:8089", "http://127.0.0.1:8000", "/reports/**", "GET", "ttl 1m30s"):
            assert word in out
        assert "/account/**" in out
        assert "off" in out

    def test_it_tells_every_problem_with_its_place(self, tmp_path: Path) -> None:
        file = tmp_path / "warmfront.yaml"
        file.write_text("origin:\n  url: http://127.0.0.1:8000\n  hots: a\nroutes:\n  - tll: 3s\n")
        code, out, err = warmfront("check", file)
        assert (code, out) == (2, "")
        assert f"{file}:3" in err
        assert f"{file}:5" in err
        assert "ttl" in err

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        code, _, err = warmfront("check", tmp_path / "none.yaml")
        assert code == 2
        assert "none.yaml" in err


class TestRun:
    def test_every_flag_that_cannot_be_used_is_told(self) -> None:
        code, out, err = warmfront(
            *("run", "--origin", "http://127.0.0.1:8000"),
            *("--admin", "8081", "--redis", "http://:s3cret@127.0.0.1", "--log-level", "loud"),
        )
        assert (code, out) == (2, "")
        told = [line.partition(": ")[0] for line in err.splitlines()]
        assert told == ["--log-level", "--admin", "--redis"]
        assert "s3cret" not in err
