"""Run a coroutine to its end on the fastest loop there is, and turn what stops it into words."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

from proxy.cli.console import fail

try:
    from uvloop import new_event_loop
except ImportError:  # it installs on CPython and POSIX only
    from asyncio import new_event_loop  # type: ignore[assignment]

T = TypeVar("T")

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it: 128 + SIGINT."""


def run_to_end(main: Coroutine[Any, Any, T]) -> T:
    """The result of `main`; what the machine refuses becomes one sentence and exit code 1."""
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(main)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        message, hint = explain(error)
        fail(message, hint=hint)


def explain(error: OSError) -> tuple[str, str | None]:
    """What went wrong at start as one sentence, and what helps where that is known."""
    text = error.strerror or str(error)
    if isinstance(error, ssl.SSLError):
        return text, "a PEM certificate and the key that belongs to it under `tls`"
    if error.filename is not None:
        return f"{error.filename}: {text}", "a path that this user may read"
    if error.errno == errno.EADDRINUSE:
        return text, "another address with --listen, or stop what uses this one"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return text, "a port above 1023 with --listen"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return text, "an address of this machine with --listen, such as 127.0.0.1:8080"
    return text, None
