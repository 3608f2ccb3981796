"""`run`, `check` and `demo`: flags in, settings out; and the list of all commands."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.text import Text

from proxy import __version__, logs, settings
from proxy.admin import TokenFileError, token_file
from proxy.cli.console import BAD_INPUT, REFUSED, err, fail, out
from proxy.cli.explaining import explain
from proxy.cli.looking import entries, tags
from proxy.cli.purge import purge
from proxy.cli.reloading import reload
from proxy.cli.serving import run_to_end
from proxy.cli.summary import summary
from proxy.cli.token import token
from proxy.cli.top import top
from proxy.cli.warm import warm
from proxy.demo.show import play_once, stay_up
from proxy.process import serve
from proxy.workers import VARIABLE, supervise, work

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


@contextmanager
def _problems_told() -> Iterator[None]:
    """Every problem of the settings on a line of its own, instead of a traceback."""
    try:
        yield
    except settings.SettingsError as error:
        for problem in error.problems:
            err.print(str(problem), markup=False)
        raise typer.Exit(BAD_INPUT) from None


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
    if VARIABLE in os.environ:  # a supervisor has started this command once more
        raise typer.Exit(run_to_end(work(int(os.environ[VARIABLE]))))
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

    def read() -> settings.Recipe:
        return settings.Recipe.read(config, flags)

    with _problems_told():
        recipe = read()
        wanted = recipe.settings(os.environ)
        _log_advice(recipe, wanted.log)

    def ready(addresses: list[str], admin_addresses: list[str]) -> None:
        where = ", ".join(_url(address, tls=wanted.tls is not None) for address in addresses)
        out.print(f"Warmfront {__version__} on {where}, in front of {wanted.origin.named}")
        if wanted.admin is not None and admin_addresses:
            for line in told_of_admin(wanted.admin, _url(admin_addresses[0], tls=False)):
                out.print(line)

    def announce(text: str) -> None:
        out.print(text, markup=False, highlight=False, soft_wrap=True)

    again = None if config is None else read
    if wanted.workers > 1:
        run_to_end(supervise(recipe, wanted, reload=again, ready=ready, announce=announce))
    else:
        run_to_end(serve(wanted, reload=again, ready=ready, announce=announce))


def _log_advice(recipe: settings.Recipe, style: settings.Log) -> None:
    """What `check` warns of; of descriptors the proxy itself does, which tries for more."""
    logs.configure(style.level.value, style.format.value)
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("warmfront")
    machine = replace(settings.Machine.here(), descriptors=None)
    for warning in recipe.advice(os.environ, machine):
        log.warning("likely a mistake", problem=str(warning))


def told_of_admin(admin: settings.Admin, url: str) -> Iterator[str]:
    """Where the dashboard is, and what opens it."""
    if admin.dashboard and not url.startswith("unix:"):
        yield f"Dashboard on {url}/dashboard"
    if not admin.all_tokens() and admin.token_file is None:
        with suppress(TokenFileError):  # there is no home: the proxy has said so
            path = token_file.default_path()
            yield f"Its token, and the admin API's: warmfront token, or cat {path}"


def _url(address: str, *, tls: bool) -> str:
    """What to type to get there, as far as one line can tell."""
    if address.startswith("unix:"):
        return address
    host = "0.0.0.0" if address.startswith(":") else ""
    return f"{'https' if tls else 'http'}://{host}{address}"


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
    with _problems_told():
        valid = settings.load_with_places(file, os.environ)
    warnings = settings.advise(valid.settings, valid.document, settings.Machine.here())
    for warning in warnings:
        err.print(Text.assemble(("warning: ", "bold yellow"), str(warning)))
    out.print(summary(valid.settings))
    if strict and warnings:
        raise typer.Exit(REFUSED)


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
    with _problems_told():
        if not once:
            run_to_end(stay_up(out, listen))
        elif not run_to_end(play_once(out, listen)):
            raise typer.Exit(REFUSED)


for command in (purge, entries, tags, warm, reload, explain, top, token):
    app.command()(command)
