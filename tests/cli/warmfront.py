"""Run a command in this process, as typed."""

from pathlib import Path

from typer.testing import CliRunner

from proxy.cli.commands import app


def warmfront(*arguments: str | Path, stdin: bytes | None = None) -> tuple[int, str, str]:
    """The exit code and what was written to standard output and error."""
    result = CliRunner().invoke(app, [*map(str, arguments)], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr
