"""What `run`, `check` and `demo` do: all that takes long to load is here."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import structlog
import typer
from rich.text import Text

from proxy import __version__, logs, settings, token_file
from proxy.cli.console import BAD_INPUT, REFUSED, err, out
from proxy.cli.serving import run_to_end
from proxy.cli.summary import summary
from proxy.demo.show import play_once, stay_up
from proxy.process import serve
from proxy.token_file import TokenFileError
from proxy.workers import VARIABLE, supervise, work


def run(config: Path | None, flags: Mapping[str, str | list[str] | None]) -> None:
    """Be the proxy, or one of its workers, to the end."""
    if VARIABLE in os.environ:  # a supervisor has started this command once more
        raise typer.Exit(run_to_end(work(int(os.environ[VARIABLE]))))

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


def check(file: Path, *, strict: bool) -> None:
    """Tell what there is to say of a file."""
    with _problems_told():
        valid = settings.load_with_places(file, os.environ)
    warnings = settings.advise(valid.settings, valid.document, settings.Machine.here())
    for warning in warnings:
        err.print(Text.assemble(("warning: ", "bold yellow"), str(warning)))
    out.print(summary(valid.settings))
    if strict and warnings:
        raise typer.Exit(REFUSED)


def demo(listen: str | None, *, once: bool) -> None:
    """Play the demo to its end."""
    with _problems_told():
        if not once:
            run_to_end(stay_up(out, listen))
        elif not run_to_end(play_once(out, listen)):
            raise typer.Exit(REFUSED)


@contextmanager
def _problems_told() -> Iterator[None]:
    """Every problem of the settings on a line of its own, instead of a traceback."""
    try:
        yield
    except settings.SettingsError as error:
        for problem in error.problems:
            err.print(str(problem), markup=False)
        raise typer.Exit(BAD_INPUT) from None
