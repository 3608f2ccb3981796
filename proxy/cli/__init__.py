"""The command line.

    commands    all of them, and the flags of `run`, `check` and `demo`
    running     what these three do
    purge       `purge`
    looking     `entries`, `tags`
    explaining  `explain`
    warm        `warm`
    reloading   `reload`
    top         `top`: figures as they come
    token       `token`
    sitemaps    which addresses that is
    admin_api   what these share: where the admin API is, the token, its refusals
    serving     one event loop, from start to the last drained connection
    summary     what `check` prints of a valid file
    console     where words go, and how a command fails

A command never shows a traceback for what the operator can put right: it says what is wrong, what
to do about it, and leaves with 2 (wrong flags or file) or 1 (the machine, or the admin API, said
no). A purge that is done here but not acknowledged by all leaves with 3.
"""

from proxy.cli.commands import main

__all__ = ["main"]
