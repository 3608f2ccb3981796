"""redis-py, set up the way a proxy needs it, in each mode.

- No retries: by default a stalled server costs a command ten of its timeouts.
- RESP2, which every server and every proxy in front of one speaks.
- Bytes in, bytes out: what comes back is input, not text.
- No pool that waits: `RedisLink` lets no more commands in than there are connections.
"""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, cast

from redis.asyncio import Redis, Sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from proxy.redis_link.cluster import ClusterClient, NodeClient, Word, piped
from proxy.redis_link.ending import shut
from proxy.redis_link.lost_writes import expect_lost_writes
from proxy.redis_link.options import Mode, RedisOptions


class Client(Protocol):
    """What all modes' clients have in common and we use: redis-py leaves the rest untyped."""

    def execute_command(self, *words: Word, **options: Any) -> Awaitable[Any]:
        """Send one command; its reply as redis-py shapes it, text as bytes."""
        ...

    def aclose(self) -> Awaitable[None]:
        """Close all connections."""
        ...


class PubSubClient(Protocol):
    """A connection of its own that listens."""

    def subscribe(self, *channels: str) -> Awaitable[None]:
        """Listen to `channels` too."""
        ...

    def unsubscribe(self, *channels: str) -> Awaitable[None]:
        """No longer listen to `channels`."""
        ...

    def get_message(
        self, *, ignore_subscribe_messages: bool, timeout: float | None
    ) -> Awaitable[dict[str, Any] | None]:
        """The next message, None after `timeout` seconds without one."""
        ...

    def aclose(self) -> Awaitable[None]:
        """Close the connection."""
        ...


def connect(
    options: RedisOptions,
    *,
    max_connections: int | None = None,
    socket_timeout: float | None = None,
) -> Client:
    """A client, not connected yet; a blocking read passes the `socket_timeout` that it needs."""
    common: dict[str, Any] = {
        "username": options.username,
        "password": options.password,
        "socket_timeout": socket_timeout or options.background_timeout,
        "socket_connect_timeout": options.connect_timeout,
        "socket_keepalive": True,
        "protocol": 2,
        # One above the bound: a connection is given back a moment after its command has ended.
        "max_connections": (max_connections or options.max_connections) + 1,
        "retry": Retry(NoBackoff(), 0),
        **_tls(options),
    }
    match options.mode:
        case Mode.STANDALONE:
            return _standalone(options, common)
        case Mode.SENTINEL:
            return _through_sentinels(options, common)
        case Mode.CLUSTER:
            return _cluster(options, common)


def listener(options: RedisOptions, attempt: int = 0) -> Client:
    """A client that has `pubsub()`, also in a cluster, whose nodes all tell of all messages.

    Args:
        options: Where Redis is.
        attempt: Another number tries another of the cluster's nodes.
    """
    if options.mode is Mode.CLUSTER:
        node = options.nodes[attempt % len(options.nodes)]
        options = options.with_changes(mode=Mode.STANDALONE, nodes=(node,))
    return connect(options, max_connections=1)


def pubsub(client: Client) -> PubSubClient:
    """What listens, of a client that `listener` made."""
    made: PubSubClient = client.pubsub()  # type: ignore[attr-defined]
    return made


async def ask_together(client: Client, commands: Sequence[Sequence[Word]]) -> list[Any]:
    """Replies to commands for keys of one node, in one round trip; error answers are among them."""
    if isinstance(client, ClusterClient):
        return await client.execute_together(commands)
    return await piped(cast("NodeClient", client), commands)


def node_name(client: Client, key: str) -> str:
    """Which of several nodes has `key`; "" where there is but one, or that is not known."""
    return client.node_of(key) if isinstance(client, ClusterClient) else ""


class _WatchedRedis(Redis):
    """Closes the connections to the sentinels too."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001
        await super().aclose(close_connection_pool)
        pool: Any = self.connection_pool
        for sentinel in pool.sentinel_manager.sentinels:
            await shut(sentinel)


def _standalone(options: RedisOptions, common: dict[str, Any]) -> Client:
    if options.path:
        where: dict[str, Any] = {"unix_socket_path": options.path}
    else:
        where = dict(zip(("host", "port"), options.nodes[0], strict=True))
    client = Redis(db=options.database, **where, **common)
    expect_lost_writes(client.connection_pool)
    return client


def _through_sentinels(options: RedisOptions, common: dict[str, Any]) -> Client:
    asking = {
        "username": options.sentinel_username,
        "password": options.sentinel_password,
        "socket_timeout": options.connect_timeout,
        "socket_connect_timeout": options.connect_timeout,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        **_tls(options),
    }
    sentinel: Any = Sentinel(list(options.nodes), sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client = sentinel.master_for(
        options.service, redis_class=_WatchedRedis, db=options.database, **common
    )
    for each in (client, *sentinel.sentinels):
        expect_lost_writes(each.connection_pool)
    made: Client = client
    return made


def _cluster(options: RedisOptions, common: dict[str, Any]) -> Client:
    def one(address: tuple[str, int]) -> Any:
        node = options.with_changes(mode=Mode.STANDALONE, nodes=(address,))
        return _standalone(node, common)

    return ClusterClient(options.nodes, one)


def _tls(options: RedisOptions) -> dict[str, Any]:
    if not options.tls:
        return {}
    return {
        "ssl": True,
        "ssl_cert_reqs": "required" if options.verify else "none",
        "ssl_check_hostname": options.verify,
        "ssl_ca_certs": options.ca_file,
        "ssl_certfile": options.certificate_file,
        "ssl_keyfile": options.key_file,
    }
