"""`token`: what opens the dashboard and the admin API of a server that was given no token."""

from proxy import token_file
from proxy.cli.console import fail, out


def token() -> None:
    """Print the admin token that a server of this user has made, where none is configured.

    For whatever does not look for it itself: WARMFRONT_ADMIN_TOKEN=$(warmfront token).
    """
    try:
        kept = token_file.read(token_file.default_path())
    except FileNotFoundError:
        hint = "the one of admin.token in its configuration, or start warmfront without any"
        fail("no server of this user has made a token on this machine", hint=hint)
    except (token_file.TokenFileError, OSError) as error:
        fail(str(error))
    out.print(kept, markup=False)
