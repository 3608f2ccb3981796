"""The composition root: settings in, a running proxy out; start, reload, drain, stop."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from proxy import descriptors, logs
from proxy.access_log import AccessLog
from proxy.admin import (
    AdminOptions,
    AdminServer,
    NothingToReload,
    Reloaded,
    Role,
    TokenFileError,
    TokenSpec,
)
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
from proxy.metrics import Counts, Metrics, Sources
from proxy.origin import Origins, parser_is_native
from proxy.purging import MemoryPurgeLog, PurgeLog, Timing, WorkerPurgeLog
from proxy.refilling import Refill, RefillOptions
from proxy.reloading import Applied, Reloading
from proxy.rfc9111.policy import KeyPolicy
from proxy.routes import HostPattern, RouteTable
from proxy.server import Listener, ServerOptions, sockets
from proxy.settings import (
    Admin,
    Explain,
    ListenAddress,
    Problem,
    Recipe,
    Settings,
    SettingsError,
    TcpAddress,
    WarmReady,
    routes_of,
)
from proxy.stores import MemoryStore
from proxy.stores.redis import RedisStoreOptions
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
        answer = self._tracing.respond(self._respond)
        self._listener = Listener(answer, server_options(settings), self._emit)
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
        _warn_of_few_descriptors(settings)
        self._tls = _tls_context(settings)
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
                self.addresses.append(_bound(address, self._listener.port))
            control = self._new_control(self._backing)
            if settings.admin is not None:
                await self._start_admin(settings.admin, control)
            self._let_go_of_sockets()
        except BaseException:
            await self.stop(drain=0.0)
            raise

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
            _load_certificate(self._tls, settings)
        if self.admin is not None and settings.admin is not None:
            self.admin.reload(admin_options(settings, settings.admin))
        self._origins.apply(group_options(settings), drain=settings.drain_timeout)
        self._settings = settings
        self._access_log = _access_log(settings)
        self._log_event = logs.event_log(self._access_log)
        self._backing.memory.resize(settings.store.memory.max_size)
        self._use(self._new_gateway(settings, self._backing, self._origins))
        return _needing_restart(self._at_start, settings)

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
            refill = Refill(RefillOptions(refresh.top, refresh.rate), self._respond)
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
            respond=self._respond,
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
        )
        self._warm_up(control)
        if self._channel is None:
            return control
        answer_others(control, self._channel)
        return JointControl(control, self._channel)

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
            start = WarmStart(options, control.warm, self._respond, self._emit)
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

    async def _respond(self, incoming: Incoming) -> Outgoing:
        return await self._current().respond(incoming)

    def _current(self) -> Gateway:
        assert self._gateway is not None  # noqa: S101 - the listener starts last
        return self._gateway

    def _use(self, gateway: Gateway) -> None:
        self._counts.pull()
        self._counts.pull = gateway.hot.tell
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
            suggestion="pip install 'warmfront[otel]'",
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


async def serve(
    settings: Settings,
    *,
    reload: Callable[[], Recipe] | None,
    ready: Callable[[list[str]], None] | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Run until SIGTERM or SIGINT, then drain; SIGHUP calls `reload` and applies what it returns.

    Args:
        settings: What to run with.
        reload: Reads anew what settings are made from.
        ready: Is told the addresses when requests are accepted.
        announce: Is told the admin token where it has just been made; it is never logged.

    Raises:
        SettingsError: The settings cannot work.
        OSError: An address cannot be bound, or a file cannot be read.
    """
    logs.configure(settings.log.level.value, settings.log.format.value)
    log = _log()
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
    try:
        if ready is not None:
            ready(app.addresses)
        made = None if app.admin is None else app.admin.made_token
        if announce is not None and made is not None and made.created:
            announce(f"Admin token, made just now and kept in {made.path}: {made.token}")
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


def _needing_restart(old: Settings, new: Settings) -> list[str]:
    """Keys that differ and take effect at start only."""
    fixed = {
        "listen": (old.listen, new.listen),
        "reuse_port": (old.reuse_port, new.reuse_port),
        "limits": (old.limits, new.limits),
        "allowed_hosts": (old.allowed_hosts, new.allowed_hosts),
        "workers": (old.workers, new.workers),
        "tracing": (old.tracing, new.tracing),
        "tls": (old.tls is None, new.tls is None),
        "store.redis": (old.store.redis, new.store.redis),
        "purge.max_lag": (old.purge.max_lag, new.purge.max_lag),
        "purge.refresh": (old.purge.refresh, new.purge.refresh),
        "purge.serve_blind": (old.purge.serve_blind, new.purge.serve_blind),
        "admin.listen": (old.admin and old.admin.listen, new.admin and new.admin.listen),
    }
    return [key for key, (before, after) in fixed.items() if before != after]


def _log() -> structlog.stdlib.BoundLogger:
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("warmfront")
    return log


def _bound(address: ListenAddress, port: int) -> str:
    """The address with the port that the system picked, where it was left to it."""
    if isinstance(address, TcpAddress) and address.port == 0:
        address = TcpAddress(address.host, port)
    return str(address)


def server_options(settings: Settings) -> ServerOptions:
    """What the listener needs of the settings."""
    limits = settings.limits
    return ServerOptions(
        header_timeout=limits.header_timeout,
        body_idle=limits.body_idle,
        body_rate=limits.body_rate,
        body_size=limits.body_size,
        keepalive_timeout=limits.keepalive,
        send_timeout=limits.send_timeout,
        request_line=limits.request_line,
        header_size=limits.header_size,
        headers=limits.headers,
        connections=_affordable_clients(settings),
        connections_per_client=limits.connections_per_client,
        requests_per_connection=limits.requests_per_connection,
        allowed_hosts=tuple(map(HostPattern, settings.allowed_hosts)),
    )


def _affordable_clients(settings: Settings) -> int:
    return descriptors.for_clients(settings.limits.connections, settings.connections_out)


def _warn_of_few_descriptors(settings: Settings) -> None:
    wanted, affordable = settings.limits.connections, _affordable_clients(settings)
    if affordable < wanted:
        _log().warning(
            "too few file descriptors for limits.connections; raise the hard limit "
            "(ulimit -Hn, LimitNOFILE)",
            wanted=wanted,
            affordable=affordable,
        )


def admin_options(settings: Settings, admin: Admin) -> AdminOptions:
    """What the admin API needs of the settings."""
    return AdminOptions(
        listen=tuple(str(address) for address in admin.listen),
        tokens=tuple(
            TokenSpec(one.token, Role.of(one.role.value), one.name or one.role.value)
            for one in admin.all_tokens()
        ),
        token_file=None if admin.token_file is None else Path(admin.token_file),
        allowed_hosts=admin.allowed_hosts,
        wait=settings.purge.wait,
        dashboard=admin.dashboard,
    )


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, settings)
    return context


def _load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    """Load it into a live context too: the next handshake shows the new certificate."""
    if settings.tls is not None:
        context.load_cert_chain(settings.tls.cert, settings.tls.key)
