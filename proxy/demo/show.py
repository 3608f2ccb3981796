"""Starting the sample API with Warmfront in front of it, and what the terminal shows."""

import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy import logs, settings
from proxy.app import App
from proxy.demo.api import SampleApi
from proxy.demo.tour import TOUR, Outcome, Played, Step, play
from proxy.process import serve

HOST = "127.0.0.1"
PORTS = range(8080, 8100)
"""Where the demo listens if nobody says: the first of these that is free, else any."""

_STYLES = {
    Outcome.MISS: "yellow",
    Outcome.HIT: "bold green",
    Outcome.NOT_MODIFIED: "bold cyan",
    Outcome.STALE: "bold magenta",
    Outcome.PRIVATE: "red",
    Outcome.PASSED: "dim",
}


async def play_once(console: Console, listen: str | None) -> bool:
    """Play the tour against both sides and print its table; True if all went as announced."""
    logs.configure("warning", "pretty")
    async with _sample_api() as origin:
        app = App(_front(origin, listen).with_overrides(admin="off"))
        await app.start()
        try:
            base = _base(app.addresses)
            console.print(f"Warmfront on {base}, in front of the sample API on {origin}\n")
            with console.status("playing the requests"):
                played = [step async for step in play(base)]
        finally:
            await app.stop()
    console.print(_table(played))
    wrong = [one for one in played if not one.as_announced]
    for one in wrong:
        console.print(_complaint(one))
    if not wrong:
        console.print(f"All {len(played)} as announced. `warmfront demo` stays up for your own.")
    return not wrong


async def stay_up(console: Console, listen: str | None) -> None:
    """Print what to try, and serve until SIGINT or SIGTERM."""
    async with _sample_api() as origin:

        def ready(addresses: list[str], admin_addresses: list[str]) -> None:
            base = _base(addresses)
            console.print(f"Warmfront on {base}, in front of the sample API on {origin}\n")
            console.print("Try these in another terminal, and read Cache-Status:\n")
            for step in TOUR:
                console.print(_line(step, base))
            console.print("\nSome last a few seconds only: slower hands see `stale` for `hit`.")
            for admin in admin_addresses:
                console.print(
                    f"\nWatch it on http://{admin}/dashboard; `warmfront token` opens it."
                )
            console.print("\n`warmfront demo --once` plays them all for you. Ctrl-C stops both.")

        await serve(_front(origin, listen), reload=None, ready=ready)


@asynccontextmanager
async def _sample_api() -> AsyncIterator[str]:
    """The sample API on a free loopback port; its base URL."""
    runner = web.AppRunner(SampleApi().application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, shutdown_timeout=1).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def _front(origin: str, listen: str | None) -> settings.Settings:
    """The defaults, in front of `origin`; nothing is configured for the sample API."""
    address = listen or _free_address()
    front = settings.defaults().with_overrides(origin=origin, listen=[address])
    usual = f"{HOST}:{PORTS[1]}"
    if listen is not None or address == usual or _free_address(PORTS[1:2]) != usual:
        front = front.with_overrides(admin=f"{HOST}:0")
    if not isinstance(front.listen[0], settings.TcpAddress):
        problem = settings.Problem(
            path="--listen", message="curl is to reach it", suggestion=f"write {HOST}:{PORTS[0]}"
        )
        raise settings.SettingsError([problem])
    return front


def _base(addresses: list[str]) -> str:
    """The URL of the one address; all interfaces include the loopback one."""
    (address,) = addresses
    return f"http://{HOST}{address}" if address.startswith(":") else f"http://{address}"


def _free_address(ports: Iterable[int] = PORTS) -> str:
    """The first of `ports` that nobody listens on, else one of the system's choice."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return f"{HOST}:{port}"
    return f"{HOST}:0"


def _line(step: Step, base: str) -> Text:
    """A curl line to copy, under what it shows."""
    style = _STYLES[step.announced]
    wait = f" (wait {step.wait:.0f} s first)" if step.wait else ""
    return Text.assemble(
        (f"  # {step.announced}", style), (f": {step.note}{wait}\n", "dim"), f"  {step.curl(base)}"
    )


def _table(played: list[Played]) -> Table:
    table = Table(
        "request", "status", "ms", "cache", "why", title="What Warmfront did", show_lines=True
    )
    table.columns[2].justify = "right"
    for one in played:
        table.add_row(
            one.step.label,
            str(one.status),
            f"{one.elapsed * 1000:.1f}",
            _outcome(one.outcome),
            Text.assemble(f"{one.step.note}\n", (one.why, "dim")),
        )
    return table


def _outcome(outcome: Outcome | None) -> Text:
    return Text("?", "bold red") if outcome is None else Text(outcome, _STYLES[outcome])


def _complaint(one: Played) -> Text:
    return Text.assemble(
        ("not as announced: ", "bold red"),
        f"{one.step.method} {one.step.path} was to be {one.step.announced}, and came as "
        f"{one.status} with Cache-Status: {one.cache_status or '(none)'}",
    )
