"""Stands over the workers: holds the sockets, starts them, starts them anew, ends them in order.

    SIGTERM, SIGINT   every worker drains; what has not ended in time is killed
    SIGHUP            the settings are read anew and applied in place; where that is not enough,
                      every worker gets a successor, one after the other
    SIGUSR2           every worker gets a successor, which runs the program as it is on the disk

The listening sockets are this process's own, so what waits in their queues outlives every worker.
Each worker accepts from sockets of its own (SO_REUSEPORT): of one socket for all, whoever happens
to be awake would take all that come at once. A worker that ends by itself is started anew, later
each time; until then another one covers for it at its sockets. When this process dies, its workers
notice at once and end: see `worker`.
"""

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import structlog

from proxy import logs
from proxy.channel import CallFailed, Channel, ChannelLost
from proxy.clock import wall
from proxy.reloading import Applied, Reloading, told
from proxy.server import sockets
from proxy.settings import Problem, Recipe, Settings, SettingsError
from proxy.workers.hub import Hub, Member
from proxy.workers.listening import Listening
from proxy.workers.orders import Orders

VARIABLE: Final = "WARMFRONT_WORKER"
"""Of the environment: the descriptor of a worker's channel."""

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
_SETTLED: Final = 30.0
"""Seconds after which a worker's end is no consequence of its start."""

_START_LIMIT: Final = 60.0
_END_GRACE: Final = 5.0
"""Seconds beyond the drain that a worker may take to end."""

Announce = Callable[[str], None]


class WorkerFailedError(OSError):
    """A worker could not start; the text says why."""


@dataclass(eq=False)
class Worker:
    """One process.

    Attributes:
        index: Its place; the worker in the first one has the admin API.
        ready: Done when it answers clients, with the admin token if that was just made; or
            failed, with what kept it from that.
        leaving: It has been told to end.
    """

    index: int
    process: asyncio.subprocess.Process
    member: Member
    ready: asyncio.Future[list[str] | None]
    leaving: bool = False
    watching: asyncio.Task[None] | None = field(default=None, repr=False)

    def tell_to_end(self) -> None:
        """Have it drain."""
        self.leaving = True
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        with suppress(ProcessLookupError):
            self.process.kill()


class Supervisor:
    """See the module.

    Attributes:
        reread: Reads the settings anew and has them applied; None where they come from no file.
        listening: Where the workers accept.
    """

    def __init__(self, recipe: Recipe, settings: Settings, announce: Announce) -> None:
        self._recipe = recipe
        self._settings = settings
        self._fixed = _fixed(settings)
        self._announce = announce
        self._hub = Hub(wall)
        self._log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("warmfront")
        self._places: dict[int, Worker] = {}
        self._all: set[Worker] = set()
        self._early_ends: Counter[int] = Counter()
        self._one_at_a_time = asyncio.Lock()
        self._ending = False
        self.listening = Listening(settings, self._log)
        self.reread: Reloading | None = None

    async def start(self, handed_down: Sequence[socket.socket] = ()) -> None:
        """Have all workers answer clients.

        Raises:
            OSError: An address cannot be bound, or a worker cannot start.
        """
        try:
            self.listening.open(list(handed_down))
            started = await asyncio.gather(
                *(self._spawn(index) for index in range(self._settings.workers))
            )
            await asyncio.gather(*map(self._until_ready, started))
        except BaseException:
            await self.stop(drain=False)
            raise

    async def stop(self, *, drain: bool = True) -> None:
        """End all workers, and close the sockets."""
        self._ending = True
        for worker in self._all:
            worker.tell_to_end() if drain else worker.kill()
        watching = [one.watching for one in self._all if one.watching is not None]
        limit = self._settings.drain_delay + self._settings.drain_timeout + _END_GRACE
        if watching:
            _, late = await asyncio.wait(watching, timeout=limit)
            for worker in self._all:
                worker.kill()
            if late:
                await asyncio.wait(late)
        self.listening.close()

    async def reload(self, recipe: Recipe, settings: Settings) -> Applied:
        """Apply new settings in place; what that is not enough for takes `renew`.

        Raises:
            SettingsError: A worker cannot use them.
        """
        async with self._one_at_a_time:
            fixed = _fixed(settings) - self._fixed
            needing: set[str] = set()
            for worker in list(self._places.values()):
                try:
                    needing.update(await worker.member.channel.call("reload", asdict(recipe)))
                except ChannelLost:
                    continue  # its successor will have read them
                except CallFailed as failure:
                    raise SettingsError([Problem(message=str(failure))]) from None
            self._recipe = recipe
            self._settings = settings.model_copy(update={"workers": self._settings.workers})
        restart = sorted(key for key, _ in fixed)
        return Applied(tuple(restart), tuple(sorted(needing - {*restart})))

    async def renew(self) -> None:
        """Give each worker a successor, one after the other, and let it go."""
        async with self._one_at_a_time:
            for index, old in sorted(self._places.items()):
                try:
                    await self._until_ready(await self._spawn(index))
                except OSError as error:
                    problem = str(error)
                    self._log.error("a worker cannot start, the old ones stay", problem=problem)
                    return
                with suppress(ChannelLost, CallFailed):
                    await old.member.channel.call("hand_over")
                old.tell_to_end()
            self._log.info("all workers are new")

    async def _spawn(self, index: int) -> Worker:
        """Start a process and have it watched."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *sys.orig_argv[1:]),
                pass_fds=[theirs.fileno(), *self._orders(index).descriptors],
                env={**os.environ, VARIABLE: str(theirs.fileno())},
                stdin=asyncio.subprocess.DEVNULL,
            )
        channel = Channel()
        name = f"worker {index + 1} ({process.pid})"
        ready: asyncio.Future[list[str] | None] = asyncio.get_running_loop().create_future()
        ready.add_done_callback(lambda done: done.cancelled() or done.exception())
        worker = Worker(index, process, Member(name, channel, process.kill), ready)
        self._hub.enter(worker.member)

        async def hello(_: None) -> dict[str, Any]:
            return self._orders(index).as_told()

        async def reload(_: None) -> Mapping[str, Any]:
            return await told(self.reread)

        channel.calls.update(hello=hello, reload=reload)
        channel.news["ready"] = lambda made: self._is_ready(worker, made)
        channel.news["failed"] = lambda told: ready.set_exception(WorkerFailedError(*told))
        await channel.open(ours)
        self._all.add(worker)
        worker.watching = asyncio.get_running_loop().create_task(self._watch(worker), name=name)
        return worker

    def _orders(self, index: int) -> Orders:
        in_charge, listening = index == 0, self.listening
        return Orders(
            recipe=self._recipe,
            workers=self._settings.workers,
            listen=tuple(listening.addresses),
            admin=listening.admin if in_charge else None,
            own=listening.own,
            index=index,
            shared=listening.shared(in_charge=in_charge),
        )

    def _is_ready(self, worker: Worker, made: list[str] | None) -> None:
        self._places[worker.index] = worker
        self._cover()
        if not worker.ready.done():
            worker.ready.set_result(made)
        if made is not None:
            self._announce(f"Admin token, made just now and kept in {made[0]}: {made[1]}")

    async def _until_ready(self, worker: Worker) -> None:
        """Wait until it answers clients; raises OSError, and it is gone, where it does not."""
        try:
            async with asyncio.timeout(_START_LIMIT):
                await worker.ready
        except TimeoutError:
            worker.leaving = True
            worker.kill()
            raise WorkerFailedError(None, "a worker took too long to start") from None

    async def _watch(self, worker: Worker) -> None:
        """See it end; where it should not have, see that another one takes its place."""
        began = asyncio.get_running_loop().time()
        code = await worker.process.wait()
        self._hub.leave(worker.member)
        await worker.member.channel.close()
        self._all.discard(worker)
        if not worker.ready.done():
            worker.ready.set_exception(WorkerFailedError(None, f"a worker ended with code {code}"))
        if worker.leaving or self._ending or self._places.get(worker.index) is not worker:
            return
        del self._places[worker.index]
        self._cover()
        self._log.error("a worker has ended, another one takes its place", code=code)
        if asyncio.get_running_loop().time() - began > _SETTLED:
            del self._early_ends[worker.index]
        await self._replace(worker.index)

    def _cover(self) -> None:
        """Have those who are there accept for those who are not."""
        there = list(self._places.values())
        missing = [index for index in range(self._settings.workers) if index not in self._places]
        for number, worker in enumerate(there):
            with suppress(ChannelLost):
                worker.member.channel.tell("cover", missing[number :: len(there)])

    async def _replace(self, index: int) -> None:
        """Try until there is one, each time after a longer pause."""
        while not self._ending:
            pause = _FIRST_PAUSE * 2 ** min(self._early_ends[index], 10)
            self._early_ends[index] += 1
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
            try:
                await self._until_ready(await self._spawn(index))
            except OSError as error:
                self._log.error("a worker cannot start", problem=str(error))
            else:
                return


async def supervise(
    recipe: Recipe,
    settings: Settings,
    *,
    reload: Callable[[], Recipe] | None,
    ready: Callable[[list[str], list[str]], None],
    announce: Announce,
) -> None:
    """Run all workers until SIGTERM or SIGINT, then drain.

    Args:
        recipe: What `settings` were made from.
        settings: What to run with.
        reload: Reads the settings anew; without, SIGHUP is an end like the others.
        ready: Is told the addresses when requests are accepted, and those of the admin API.
        announce: Is told the admin token where it has just been made; it is never logged.

    Raises:
        OSError: An address cannot be bound, or a worker cannot start.
    """
    logs.configure(settings.log.level.value, settings.log.format.value)
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("warmfront")
    supervisor = Supervisor(recipe, settings, announce)
    await supervisor.start(sockets.handed_down(os.environ))
    asked: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    ends = {signal.SIGTERM, signal.SIGINT}
    heard = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR2}
    if reload is not None:
        heard.add(signal.SIGHUP)
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        heard.add(signal.SIGHUP)
        ends.add(signal.SIGHUP)
    for number in heard:
        loop.add_signal_handler(number, asked.put_nowait, number)
    chores: set[asyncio.Task[None]] = set()

    def begin(chore: Coroutine[Any, Any, None]) -> None:
        task = loop.create_task(chore)
        chores.add(task)
        task.add_done_callback(chores.discard)

    supervisor.reread = _reread(supervisor, settings, reload, begin)
    try:
        ready(supervisor.listening.addresses, list(supervisor.listening.admin or ()))
        while (number := await asked.get()) not in ends:
            if number is signal.SIGUSR2:
                begin(supervisor.renew())
            elif supervisor.reread is not None:
                begin(supervisor.reread.quietly())
        log.info("draining", delay=settings.drain_delay, seconds=settings.drain_timeout)
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
        for task in list(chores):
            task.cancel()
        await supervisor.stop()


def _reread(
    supervisor: Supervisor,
    settings: Settings,
    reload: Callable[[], Recipe] | None,
    begin: Callable[[Coroutine[Any, Any, None]], None],
) -> Reloading | None:
    async def apply(recipe: Recipe, wanted: Settings) -> Applied:
        applied = await supervisor.reload(recipe, wanted)
        if applied.renewing:
            begin(supervisor.renew())  # whoever asks need not wait: the admin API moves, too
        return applied

    return None if reload is None else Reloading(settings, reload, apply)


def _fixed(settings: Settings) -> set[tuple[str, object]]:
    """What sockets and places are made for, once and for all."""
    return {
        ("listen", settings.listen),
        ("reuse_port", settings.reuse_port),
        ("admin.listen", settings.admin and settings.admin.listen),
        ("workers", settings.workers),
    }
