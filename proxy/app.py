"""The composition root: settings in, a running proxy out; start, reload, drain, stop."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

import structlog

from proxy import logs
from proxy.access_log import AccessLog
from proxy.admin import AdminServer, NothingToReload, Reloaded
from proxy.admin import Control as AdminControl
from proxy.background import Background
from proxy.backing import Backing
from proxy.channel import Channel
from proxy.clock import wall
from proxy.control import ProxyControl
from proxy.events import Emit, Event
from proxy.exchange import Incoming, Outgoing
from proxy.gateway import Decisions, Gateway
from proxy.joint_control import JointControl, answer_others
from proxy.listeners import (
    admin_options,
    bound_address,
    load_certificate,
    server_options,
    tls_context,
    warn_of_few_descriptors,
)
from proxy.metrics import Counts, Metrics, Sources
from proxy.origin import Origins, parser_is_native
from proxy.purging import MemoryPurgeLog, PurgeLog, Timing, WorkerPurgeLog
from proxy.refilling import Refill, RefillOptions
from proxy.reloading import needing_restart
from proxy.rfc9111.policy import KeyPolicy
from proxy.routes import RouteTable
from proxy.server import Listener, sockets
from proxy.settings import Admin, Explain, Problem, Settings, SettingsError, WarmReady, routes_of
from proxy.stores import MemoryStore
from proxy.stores.redis import RedisStoreOptions
from proxy.token_file import TokenFileError
from proxy.tracing import Tracing, TracingMissing, start_tracing
from proxy.upstreams import SHARED, group_options, upstreams
from proxy.warm_start import WarmStart, WarmStartOptions

_SWEEP_INTERVAL = 10.0
_LOOKUP_SIZE = 32 << 20
_ADMIN_DRAIN = 5.0


class App:
    """One proxy in this process.

    Args:
        handed_down: Listening sockets that are used for their addresses instead of new ones.
        channel: To the supervisor, where this is one of several workers.

    Attributes:
        reread: Reads the settings anew and calls `reload`, for the admin API; None where they
            come from no file.
        addresses: Where it answers clients.
        admin: The admin API; None where there is none, or it could not be started.

    Raises:
        SettingsError: No origin is named.
    """

    def __init__(
        self,
        settings: Settings,
        handed_down: Sequence[socket.socket] = (),
        channel: Channel | None = None,
    ) -> None:
        settings.require_origin()
        self._at_start = self._settings = settings
        self._channel = channel
        self._handed_down = list(handed_down)
        self._counts = Counts()
        self._access_log = _access_log(settings)
        self._log_event: Emit = logs.event_log(self._access_log)
        self._background = Background(self._emit)
        self._backing: Backing | None = None
        self._origins: Origins | None = None
        self._gateway: Gateway | None = None
        self._tracing = _tracing(settings)
        self._decisions: Decisions | None = None
        self._tls: ssl.SSLContext | None = None
        self._answer = self._tracing.respond(self._respond)
        self._listener = Listener(self._answer, server_options(settings), self._emit)
        self._key_policies: Iterable[KeyPolicy] = ()
        self._draining = False
        self.reread: Callable[[], Awaitable[Reloaded]] | None = None
        self.addresses: list[str] = []
        self.admin: AdminServer | None = None

    async def start(self) -> None:
        """Accept requests.

        Raises:
            OSError: An address cannot be bound, or a certificate cannot be read.
        """
        if not parser_is_native():
            _log().warning(
                "aiohttp runs without its compiled parser: slower and less strict; "
                "install a binary wheel of aiohttp"
            )
        settings = self._settings
        warn_of_few_descriptors(settings)
        self._tls = tls_context(settings)
        self._backing = self._new_backing(settings)
        self._origins = Origins(self._emit)
        self._origins.apply(group_options(settings), drain=0.0)
        self._use(self._new_gateway(settings, self._backing, self._origins))
        self._refill_after_purges(settings, self._backing)
        await self._backing.start()
        memory = self._backing.memory
        self._background.keep("sweep", lambda: _sweep(memory))
        try:
            for address in settings.listen:
                await self._listener.start(
                    str(address),
                    tls=self._tls,
                    handed_down=sockets.take(self._handed_down, str(address)),
                    shared=settings.reuse_port,
                )
                self.addresses.append(bound_address(address, self._listener.port))
            control = self._new_control(self._backing)
            if settings.admin is not None:
                await self._start_admin(settings.admin, control)
            self._let_go_of_sockets()
        except BaseException:
            await self.stop(drain=0.0)
            raise

    @property
    def admin_addresses(self) -> list[str]:
        """Where the admin API answers; none where it does not."""
        asked = self._at_start.admin
        if self.admin is None or asked is None:
            return []
        return list(map(bound_address, asked.listen, self.admin.ports))

    async def reload(self, settings: Settings) -> list[str]:
        """Apply new settings to requests from now on; nothing stored is lost.

        Returns:
            The keys whose change needs a restart, since what they set up is shared by all.

        Raises:
            SettingsError: No origin is named. Nothing has changed then.
            OSError: A certificate or the token file cannot be read. Nothing has changed then.
        """
        settings.require_origin()
        assert self._origins is not None and self._backing is not None  # noqa: S101, PT018 - after start
        if self._tls is not None and settings.tls is not None:
            load_certificate(self._tls, settings)
        if self.admin is not None and settings.admin is not None:
            self.admin.reload(admin_options(settings, settings.admin))
        self._origins.apply(group_options(settings), drain=settings.drain_timeout)
        self._settings = settings
        self._access_log = _access_log(settings)
        self._log_event = logs.event_log(self._access_log)
        self._backing.memory.resize(settings.store.memory.max_size)
        self._use(self._new_gateway(settings, self._backing, self._origins))
        return needing_restart(self._at_start, settings)

    def cover(self, of_others: Sequence[socket.socket]) -> None:
        """Accept from these sockets too, and from no others of such any more."""
        self._listener.cover(of_others, tls=self._tls)

    async def hand_over(self) -> None:
        """Leave the admin API to a successor that answers it already."""
        if self.admin is not None:
            await self.admin.drain(_ADMIN_DRAIN)

    async def stop(self, drain: float | None = None) -> None:
        """Say that we leave, refuse new connections, let open requests end, close everything.

        Args:
            drain: Seconds that open requests get, at once; None for the times in the settings.
        """
        self._draining = True
        if drain is None:
            self._listener.retire()
            await asyncio.sleep(self._settings.drain_delay)
            drain = self._settings.drain_timeout
        await self._listener.drain(drain)
        await self._listener.close()
        if self.admin is not None:
            await self.admin.drain(0.0)
        await self._background.close()
        if self._backing is not None:
            await self._backing.close()
        if self._origins is not None:
            await self._origins.close()
        await self._tracing.close()
        self._counts.pull()
        if self._access_log is not None:
            self._access_log.flush()

    def _let_go_of_sockets(self) -> None:
        if self._handed_down:
            _log().warning(
                "sockets were handed down that nothing is to listen on; name them in `listen`",
                addresses=sockets.described(self._handed_down),
            )
        for sock in self._handed_down:
            sock.close()
        self._handed_down.clear()

    def _refill_after_purges(self, settings: Settings, backing: Backing) -> None:
        refresh = settings.purge.refresh
        if refresh is not None:
            refill = Refill(RefillOptions(refresh.top, refresh.rate), self._answer)
            backing.on_purged.append(refill.note)
            backing.on_reclaimed.append(refill.begin)
            self._background.keep("refill", refill.run)

    def _emit(self, event: Event) -> None:
        self._counts(event)
        self._log_event(event)

    def _new_control(self, backing: Backing) -> AdminControl:
        """What the admin API drives: this process, or all workers."""
        control = ProxyControl(
            backing,
            origins=self._origins,
            respond=self._answer,
            gateway=self._current,
            decisions=lambda: self._decisions,
            key_policies=lambda: self._key_policies,
            draining=lambda: self._draining,
            counts=self._counts,
            expose=self._metrics(backing).expose,
            emit=self._emit,
            clock=wall,
            reload=self._reread,
            scheme="http" if self._tls is None else "https",
            serves=server_options(self._at_start).serves,
        )
        self._warm_up(control)
        if self._channel is None:
            return control
        answer_others(control, self._channel)
        return JointControl(control, self._channel, self._settings.workers)

    def _warm_up(self, control: ProxyControl) -> None:
        """Fetch what clients will ask for; the listeners are up already."""
        warm = self._settings.warm
        if warm.on_start:
            options = WarmStartOptions(
                sources=warm.sources,
                concurrency=warm.concurrency,
                timeout=warm.timeout,
                at_once=warm.ready is WarmReady.AT_ONCE,
            )
            start = WarmStart(options, control.warm, self._answer, self._emit)
            control.warm_start = start
            self._background.start("warm up", start.run())

    async def _reread(self) -> Reloaded:
        if self.reread is None:
            raise NothingToReload
        return await self.reread()

    async def _start_admin(self, settings: Admin, control: AdminControl) -> None:
        """Start the admin API; nobody who has not asked for it should miss the proxy for it."""
        server = AdminServer(control, admin_options(self._settings, settings))
        try:
            await server.start(self._handed_down)
        except (OSError, TokenFileError) as error:
            if settings.listen_given:
                raise
            _log().warning("the admin API is not started; set admin.listen", problem=str(error))
            return
        self.admin = server

    def _metrics(self, backing: Backing) -> Metrics:
        assert self._origins is not None  # noqa: S101 - after start
        return Metrics(
            Sources(
                counts=self._counts,
                backing=backing,
                origins=self._origins,
                background=self._background,
                listener=self._listener,
                gateway=lambda: self._gateway,
            )
        )

    def _new_backing(self, settings: Settings) -> Backing:
        redis, memory = settings.store.redis, settings.store.memory
        if redis is None:
            channel = self._channel
            log: PurgeLog = MemoryPurgeLog(wall) if channel is None else WorkerPurgeLog(channel)
            return Backing(log, max_size=memory.max_size, clock=wall, background=self._background)
        largest = redis.max_object_size or memory.max_object_size
        return Backing.with_redis(
            redis.options(),
            max_size=memory.max_size,
            store=RedisStoreOptions(
                max_object_size=largest, max_lookup_size=max(_LOOKUP_SIZE, largest)
            ),
            timing=Timing(settings.purge.max_lag, settings.purge.serve_blind),
            tag_index=redis.tag_index,
            fill_lock=redis.fill_lock,
            clock=wall,
            background=self._background,
            emit=self._emit,
        )

    def _respond(self, incoming: Incoming) -> Awaitable[Outgoing]:
        return self._current().respond(incoming)

    def _current(self) -> Gateway:
        assert self._gateway is not None  # noqa: S101 - the listener starts last
        return self._gateway

    def _use(self, gateway: Gateway) -> None:
        self._counts.pull()
        self._counts.pull = gateway.tell
        self._gateway = gateway
        self._listener.answer_from(gateway.hot)

    def _new_gateway(self, settings: Settings, backing: Backing, origins: Origins) -> Gateway:
        table = RouteTable(*routes_of(settings))
        self._key_policies = table.key_policies
        tracing = self._tracing
        named = {
            name: replace(one, origin=tracing.origin(one.origin))
            for name, one in upstreams(settings, origins).items()
        }
        shared = named.pop(SHARED)
        return Gateway(
            origin=shared.origin,
            named_origins=named,
            store=tracing.store(backing.store),
            log=backing.log,
            routes=table,
            background=self._background,
            forwarding_options=shared.forwarding,
            max_object_size=settings.store.memory.max_object_size,
            write_wait=settings.purge.write_wait,
            clock=wall,
            emit=self._emit,
            watch=tracing.waiting,
            watched_fields=tracing.fields,
            decisions=self._keep_decisions(settings.explain),
            named=settings.log.access,
        )

    def _keep_decisions(self, wanted: Explain) -> Decisions | None:
        """The ring as the settings want it, with what is in it already."""
        if not wanted.ring:
            self._decisions = None
        elif self._decisions is None:
            self._decisions = Decisions(wanted.ring, wanted.sample)
        else:
            self._decisions.adjust(wanted.ring, wanted.sample)
        return self._decisions


def _tracing(settings: Settings) -> Tracing:
    try:
        return start_tracing(wanted=settings.tracing)
    except TracingMissing as error:
        problem = Problem(
            path="tracing",
            message=f"OpenTelemetry is not installed ({error})",
            suggestion="pip install '.[otel]' where Warmfront was installed from",
        )
        raise SettingsError([problem]) from error


def _access_log(settings: Settings) -> AccessLog | None:
    log = settings.log
    return logs.access_log(log.format.value, log.access_sample) if log.access else None


async def _sweep(memory: MemoryStore) -> None:
    while True:
        await asyncio.sleep(_SWEEP_INTERVAL)
        for _ in memory.sweep():
            await asyncio.sleep(0)  # requests come first


def _log() -> structlog.stdlib.BoundLogger:
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("warmfront")
    return log
