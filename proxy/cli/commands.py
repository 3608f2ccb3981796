"""All commands; and the flags of `run`, `check` and `demo`, whose work `running` does.

What only asks the admin API should not wait for the proxy to be loaded, which takes most of a
second: no command but these three knows it, and they get it when they are called.
"""

from pathlib import Path
from typing import Annotated

import typer

from proxy import __version__
from proxy.cli.console import BAD_INPUT, fail, out
from proxy.cli.explaining import explain
from proxy.cli.looking import entries, tags
from proxy.cli.purge import purge
from proxy.cli.reloading import reload
from proxy.cli.token import token
from proxy.cli.top import top
from proxy.cli.warm import warm

app = typer.Typer(
    name="warmfront",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # they may hold the operator's secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The entry point of the `warmfront` command."""
    app(prog_name="warmfront")


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if wanted:
        out.print(f"warmfront {__version__}")
        raise typer.Exit


@app.callback()
def warmfront(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """A transparent HTTP caching reverse proxy."""


@app.command()
def run(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="The YAML file; SIGHUP re-reads it."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The API to stand in front of; needs no file."),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDR", help="Where to answer, HOST:PORT; may be repeated."),
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(metavar="ADDR|off", help="Where the admin API answers, or off."),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Redis to share what is stored, as redis://HOST:6379/0."),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(metavar="N|auto", help="Processes that answer clients."),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="From debug, info, warning or error on."),
    ] = None,
) -> None:
    """Stand in front of an API until SIGTERM or Ctrl-C. Flags win over the file."""
    if config is None and origin is None:
        fail(
            "there is nothing to stand in front of",
            hint="warmfront run --origin http://127.0.0.1:8000, or --config FILE",
            code=BAD_INPUT,
        )

    flags = {
        "origin": origin,
        "listen": listen,
        "admin": admin,
        "redis": redis,
        "workers": workers,
        "log_level": log_level,
    }
    from proxy.cli import running  # noqa: PLC0415 - see the module

    running.run(config, flags)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The YAML file to check.")],
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Leave with 1 where a mistake is likely.")
    ] = False,
) -> None:
    """Say whether a configuration file is valid, what is likely to be a mistake, and what it makes.

    Likely mistakes are warnings: they change the exit code with --strict only.
    """
    from proxy.cli import running  # noqa: PLC0415 - see the module

    running.check(file, strict=strict)


@app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Play the requests, show what happened, and exit.")
    ] = False,
    listen: Annotated[
        str | None,
        typer.Option(metavar="ADDR", help="Where to answer; else the first free port from 8080."),
    ] = None,
) -> None:
    """A small sample API with Warmfront in front of it, and requests to try."""
    from proxy.cli import running  # noqa: PLC0415 - see the module

    running.demo(listen, once=once)


for command in (purge, entries, tags, warm, reload, explain, top, token):
    app.command()(command)
