"""One worker: the same command once more, started by the supervisor.

It answers clients until it is told to end, or until its supervisor is gone: nobody could tell it
of a purge then.
"""

import asyncio
import os
import signal
import socket
from typing import Any

import structlog

from proxy import logs
from proxy.app import App
from proxy.channel import Channel
from proxy.garbage import seldom_collected
from proxy.settings import Recipe, SettingsError
from proxy.token_file import TokenFileError
from proxy.workers.orders import Orders


async def work(descriptor: int) -> int:
    """Be a worker to the end.

    Args:
        descriptor: Of the socket to the supervisor.

    Returns:
        The exit code.
    """
    channel = Channel()
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):  # of a terminal: not for us
        signal.signal(number, signal.SIG_IGN)
    await channel.open(_socket(descriptor))
    orders = Orders.told(await channel.call("hello"))
    settings = orders.settings(os.environ)
    logs.configure(settings.log.level.value, settings.log.format.value)
    own = orders.own[orders.index]
    app = App(settings, [_socket(one) for one in (*own, *orders.shared)], channel)
    try:
        await app.start()
    except (OSError, SettingsError, TokenFileError) as error:
        channel.tell("failed", _explained(error))
        return 1
    channel.news["cover"] = _Covering(app, orders)
    channel.calls["reload"] = _Reloading(app, orders)
    channel.calls["hand_over"] = lambda _: app.hand_over()
    channel.tell("ready", _made_token(app))
    waits = [asyncio.ensure_future(event.wait()) for event in (over, channel.lost)]
    with seldom_collected(loop):
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if not over.is_set():
        structlog.stdlib.get_logger("warmfront").error("the supervisor is gone: a worker ends")
    await app.stop()
    await channel.close()
    return 0 if over.is_set() else 1


class _Reloading:
    """Applies new settings in place."""

    def __init__(self, app: App, orders: Orders) -> None:
        self._app = app
        self._orders = orders

    async def __call__(self, recipe: Any) -> list[str]:
        """The keys whose change needs a new process."""
        orders = self._orders.with_recipe(Recipe(**recipe))
        settings = orders.settings(os.environ)
        needing = await self._app.reload(settings)
        self._orders = orders
        logs.configure(settings.log.level.value, settings.log.format.value)
        return needing


class _Covering:
    """Accepts for workers that are not there."""

    def __init__(self, app: App, orders: Orders) -> None:
        self._app = app
        self._orders = orders

    def __call__(self, missing: list[int]) -> None:
        """Do so for these, and for no others any more."""
        of_them = (one for index in missing for one in self._orders.own[index])
        self._app.cover([_socket(os.dup(one)) for one in of_them])


def _socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - its only argument
    return socket.socket(fileno=descriptor)


def _made_token(app: App) -> list[str] | None:
    made = None if app.admin is None else app.admin.made_token
    return None if made is None or not made.created else [str(made.path), made.token]


def _explained(error: Exception) -> list[Any]:
    if isinstance(error, OSError):
        return [error.errno, error.strerror or str(error), error.filename]
    return [None, str(error), None]
