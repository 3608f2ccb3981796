"""What all commands that speak to the admin API share: where it is, the token, and its refusals."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Annotated, NoReturn, TypeAlias
from urllib.parse import urlsplit

import typer

from proxy import token_file
from proxy.cli.console import BAD_INPUT, err, fail
from proxy.client import Fault, LogUnreachable, PurgeClient, PurgeError, Unauthorized, Unreachable
from proxy.client.wire import DEFAULT_URL, TOKEN_VARIABLE

UNFINISHED = 3
"""Exit code: it was done here, but not all processes have said so for theirs."""

AdminUrl: TypeAlias = Annotated[
    str, typer.Option("--admin", metavar="URL", help="Where the admin API listens.")
]
Token: TypeAlias = Annotated[
    str | None,
    typer.Option(
        envvar=TOKEN_VARIABLE,
        metavar="TOKEN",
        help="Its token; on the same machine that of the file which the server made will do.",
    ),
]
HERE = DEFAULT_URL


@contextmanager
def admin_api(url: str, token: str | None) -> Iterator[PurgeClient]:
    """A client for as long as the block lasts; what the API refuses becomes words and exit 1."""
    try:
        client = PurgeClient(url, token or _kept_token(url))
    except ValueError as error:
        fail(str(error), code=BAD_INPUT)
    with client:
        try:
            yield client
        except PurgeError as error:
            _tell(error, url)


def tell_refused(faults: tuple[Fault, ...]) -> None:
    """What of a request was not carried out."""
    for fault in faults:
        err.print(f"not done: {fault}", markup=False)


def _kept_token(url: str) -> str:
    """The token that the server on this machine keeps; "" if there is none, or none for `url`.

    It is never shown to another machine.
    """
    if not _is_here(urlsplit(url).hostname or ""):
        return ""
    try:
        return token_file.read(token_file.default_path())
    except FileNotFoundError:
        return ""
    except (token_file.TokenFileError, OSError) as error:
        fail(str(error), hint=f"--token, or {TOKEN_VARIABLE}")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tell(error: PurgeError, url: str) -> NoReturn:
    if error.problem is not None:
        for fault in error.problem.faults:
            err.print(str(fault), markup=False)
    fail(str(error), hint=_hint(error, url))


def _hint(error: PurgeError, url: str) -> str | None:
    match error:
        case Unauthorized():
            return f"--token, or {TOKEN_VARIABLE}: one of admin.tokens, of a role that may do this"
        case Unreachable():
            return f"start warmfront with its admin API on {url}, or name another with --admin URL"
        case LogUnreachable():
            return "again, until it is acknowledged: old answers may still be served"
        case _:
            return None
