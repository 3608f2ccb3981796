"""`warmfront check` and what all commands share."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from proxy import __version__
from proxy.cli import running
from tests.cli.warmfront import warmfront
from tests.docs.test_docs import ENVIRONMENT
from tests.settings.advice.test_advice import FILES


def test_version() -> None:
    assert warmfront("--version") == (0, f"warmfront {__version__}\n", "")


@pytest.mark.parametrize("command", ["run", "check", "demo"])
def test_every_command_explains_itself(command: str) -> None:
    code, out, _ = warmfront(command, "--help")
    assert code == 0
    assert command in out


class TestCheck:
    @pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.name}")
    def test_our_own_files_are_fine(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {**ENVIRONMENT, "WARMFRONT_ORIGIN": "http://api.internal"}.items():
            monkeypatch.setenv(name, value)
        code, out, err = warmfront("check", "--strict", file)
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

    def test_it_shows_what_stands_beside(self, tmp_path: Path) -> None:
        file = tmp_path / "warmfront.yaml"
        redis = "store: {redis: {url: 'redis://user:secret@127.0.0.1/3'}}\n"
        file.write_text(f"origin: {{url: 'http://a'}}\nadmin: {{listen: 127.0.0.1:81}}\n{redis}")
        _, out, _ = warmfront("check", file)
        assert "admin: 127.0.0.1:81\nredis: standalone 127.0.0.1:6379\n" in out
        assert "secret" not in out
        file.write_text("origin: {url: 'http://a'}\nadmin: off\n")
        assert "admin: off\n" in warmfront("check", file)[1]

    def test_it_warns_of_likely_mistakes(self, tmp_path: Path) -> None:
        file = tmp_path / "warmfront.yaml"
        file.write_text("origin: {url: 'http://a'}\nroutes:\n  - {}\n  - {cache: off, ttl: 3s}\n")
        code, out, err = warmfront("check", file)
        assert code == 0
        assert out.startswith("ok")
        first, second = err.splitlines()
        assert first.startswith(f"warning: {file}:4:5: routes[1]: no request gets here: ")
        assert second.startswith(f"warning: {file}:4:18: routes[1].ttl: does nothing: ")
        assert warmfront("check", "--strict", file) == (1, out, err)

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


@pytest.fixture
def _log_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    yield
    structlog.reset_defaults()


class TestRun:
    @pytest.mark.usefixtures("_log_restored")
    def test_what_check_warns_of_is_in_the_log(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(running, "run_to_end", lambda main: main.close())
        code, _, err = warmfront("run", "--origin", "http://127.0.0.1:8080")
        assert code == 0
        (line,) = err.splitlines()
        assert "likely a mistake" in line
        assert "origin.url: http://127.0.0.1:8080 is this proxy itself" in line

    def test_every_flag_that_cannot_be_used_is_told(self) -> None:
        code, out, err = warmfront(
            *("run", "--origin", "http://127.0.0.1:8000"),
            *("--admin", "8081", "--redis", "http://:s3cret@127.0.0.1", "--log-level", "loud"),
        )
        assert (code, out) == (2, "")
        told = [line.partition(": ")[0] for line in err.splitlines()]
        assert told == ["--log-level", "--admin", "--redis"]
        assert "s3cret" not in err
