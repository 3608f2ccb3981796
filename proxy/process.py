"""The proxy as a process of its own: one signal ends it, another has it reload."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable

import structlog

from proxy import logs
from proxy.app import App
from proxy.garbage import seldom_collected
from proxy.reloading import Applied, Reloading
from proxy.server import sockets
from proxy.settings import Recipe, Settings


async def serve(
    settings: Settings,
    *,
    reload: Callable[[], Recipe] | None,
    ready: Callable[[list[str], list[str]], None] | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Run until SIGTERM or SIGINT, then drain; SIGHUP calls `reload` and applies what it returns.

    Args:
        settings: What to run with.
        reload: Reads anew what settings are made from; without, SIGHUP is an end like the others.
        ready: Is told the addresses when requests are accepted, and those of the admin API.
        announce: Is told the admin token where it has just been made; it is never logged.

    Raises:
        SettingsError: The settings cannot work.
        OSError: An address cannot be bound, or a file cannot be read.
    """
    logs.configure(settings.log.level.value, settings.log.format.value)
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("warmfront")
    app = App(settings, sockets.handed_down(os.environ))

    async def apply(_: Recipe, wanted: Settings) -> Applied:
        return Applied(restart=tuple(await app.reload(wanted)))

    app.reread = reread = None if reload is None else Reloading(settings, reload, apply)
    await app.start()
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    again = asyncio.Event()
    _on_signals(loop, (signal.SIGTERM, signal.SIGINT), over.set)
    if reread is not None:
        _on_signals(loop, (signal.SIGHUP,), again.set)
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        _on_signals(loop, (signal.SIGHUP,), over.set)
    try:
        if ready is not None:
            ready(app.addresses, app.admin_addresses)
        made = None if app.admin is None else app.admin.made_token
        if announce is not None and made is not None and made.created:
            announce(f"Admin token, made just now and kept in {made.path}: {made.token}")
        with seldom_collected(loop):
            while not over.is_set():
                await _either(over, again)
                if again.is_set() and reread is not None:
                    again.clear()
                    await reread.quietly()
        log.info("draining", delay=settings.drain_delay, seconds=settings.drain_timeout)
    finally:
        _off_signals(loop)
        await app.stop()


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _on_signals(
    loop: asyncio.AbstractEventLoop, signals: Iterable[signal.Signals], act: Callable[[], None]
) -> None:
    for number in signals:
        loop.add_signal_handler(number, act)


def _off_signals(loop: asyncio.AbstractEventLoop) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.remove_signal_handler(number)
