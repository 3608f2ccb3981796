"""Where a command's words go: results to standard output, complaints to standard error."""

from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

BAD_INPUT = 2
"""Exit code: the flags or the file are wrong, as typer's own usage errors."""
REFUSED = 1
"""Exit code: the input is fine, and something on this machine is in the way."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, *, hint: str | None = None, code: int = REFUSED) -> NoReturn:
    """Say what is wrong, then what helps, and leave with `code`. Text is shown as it is."""
    err.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        err.print(Text.assemble(("  try: ", "bold"), hint))
    raise typer.Exit(code)
