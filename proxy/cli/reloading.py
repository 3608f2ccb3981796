"""`reload`: have the proxy read its file anew, and see what has changed."""

from proxy.cli.admin_api import HERE, AdminUrl, Token, admin_api
from proxy.cli.console import err, out

_NONE = "none"


def reload(*, admin: AdminUrl = HERE, token: Token = None) -> None:
    """Read the settings anew, without losing the cache or a request, and show what has changed.

    As SIGHUP does; a file with a mistake changes nothing, and every mistake is told.
    """
    with admin_api(admin, token) as client:
        reloaded = client.reload()
    for one in reloaded.changes:
        out.print(f"{one.key}: {one.old or _NONE} -> {one.new or _NONE}", markup=False)
    if not reloaded.changes:
        out.print("nothing has changed")
    if reloaded.renewing:
        out.print(f"new workers take over, for {', '.join(reloaded.renewing)}", markup=False)
    if reloaded.restart:
        err.print(f"takes a restart: {', '.join(reloaded.restart)}", markup=False)
