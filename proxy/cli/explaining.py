"""`explain`: why a request is answered as it is."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from proxy.cli.admin_api import HERE, AdminUrl, Token, admin_api
from proxy.cli.console import BAD_INPUT, fail, out
from proxy.client import Explanation


def explain(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="An absolute URL, as clients ask for it.")
    ] = None,
    *,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A field of the request."),
    ] = None,
    method: Annotated[str, typer.Option(metavar="M", help="Of the request.")] = "GET",
    send: Annotated[
        bool, typer.Option("--send", help="Really send it, and explain that answer.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Send it twice, and explain the second answer.")
    ] = False,
    past: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="A past request, by its Warmfront-Request-Id."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All facts, as JSON.")] = False,
    admin: AdminUrl = HERE,
    token: Token = None,
) -> None:
    """Say how a request is answered, why, and what would have to change for a hit.

    Nothing is sent unless --send or --probe say so; these need an admin's token.
    """
    if (url is None) == (past is None):
        fail("name a URL, or a past request", hint="warmfront explain URL", code=BAD_INPUT)
    if past is not None and (send or probe):
        fail("a past request is not sent again", hint="the same with its URL", code=BAD_INPUT)
    mode = "probe" if probe else "send" if send else "simulate"
    with admin_api(admin, token) as client:
        if past is not None:
            found = client.explain_past(past)
        else:
            found = client.explain(url or "", method=method, headers=header or (), mode=mode)
    out.print(json.dumps(found, indent=2) if as_json else _told(found), markup=False)


def _told(found: Explanation) -> Group:
    sections: list[Mapping[str, Any]] = found["words"]
    lines = [Text(found["summary"], style="bold")]
    for section in sections:
        lines.append(Text(section["title"], style="bold cyan"))
        lines += [Text(f"  {line}") for line in section["lines"]]
    return Group(*lines)
