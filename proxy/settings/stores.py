"""Where responses are kept: in memory, and in Redis behind it."""

from typing import Any

from pydantic import Field, ValidationError, model_validator

from proxy.problems import Refused, path_text
from proxy.redis_link.options import Mode, RedisOptions
from proxy.settings.scalars import (
    Count,
    FileName,
    Flag,
    PositiveDuration,
    PositiveSize,
    RedisModeChoice,
    RedisNamespace,
    RedisUrl,
    Secret,
    Size,
    UserName,
)
from proxy.settings.section import Section

_OPTIONS = RedisOptions()
"""Where the defaults come from, so that there is one source of them."""


class Memory(Section):
    """The store in this process's memory."""

    max_size: Size = 256 * 2**20
    """Bodies, headers and bookkeeping together; what is needed least goes first."""
    max_object_size: Size = 4 * 2**20
    """A larger body passes through unstored."""

    @model_validator(mode="after")
    def _object_fits(self) -> "Memory":
        if "max_object_size" in self.model_fields_set and self.max_object_size > self.max_size:
            raise Refused(
                "is larger than max_size", "write at most max_size", at=("max_object_size",)
            )
        return self


class RedisTls(Section):
    """How Redis proves who it is, and Warmfront to Redis; for rediss:// only."""

    verify: Flag = _OPTIONS.verify
    """Check the certificate and its name."""
    ca: FileName | None = None
    """PEM file with the authorities to trust instead of the system's."""
    cert: FileName | None = None
    """PEM file with the certificate to show to Redis."""
    key: FileName | None = None
    """PEM file with its private key, where `cert` does not hold it."""


class SentinelUser(Section):
    """Who to be for the sentinels, which have users of their own."""

    username: UserName | None = None
    """Their ACL user."""
    password: Secret | None = Field(default=None, repr=False)
    """Its password: ${NAME} keeps it out of the file."""


class Redis(Section):
    """The store that all processes and nodes share; without it there is memory only."""

    url: RedisUrl = Field(repr=False)
    """redis://host:port/database, redis+sentinel://host,host/service, redis+cluster://host,host,
    any of them with rediss for TLS, or unix:///path."""
    mode: RedisModeChoice | None = None
    """standalone, sentinel or cluster, where the scheme is plain redis or rediss."""
    timeout: PositiveDuration = _OPTIONS.timeout
    """A request waits at most so long for one answer, then goes on without Redis."""
    connect_timeout: PositiveDuration = _OPTIONS.connect_timeout
    """To accept a connection."""
    connections: Count = _OPTIONS.max_connections
    """At most so many at a time, for each process."""
    username: UserName | None = None
    """ACL user; without it the default one."""
    password: Secret | None = Field(default=None, repr=False)
    """Its password: ${NAME} keeps it out of the file."""
    sentinel: SentinelUser = SentinelUser()
    tls: RedisTls = RedisTls()
    namespace: RedisNamespace = _OPTIONS.namespace
    """What all keys begin with."""
    version: Count = _OPTIONS.version
    """Follows the namespace: another one starts afresh, the old keys expire."""
    max_object_size: PositiveSize | None = None
    """A larger body stays out of Redis; without it store.memory.max_object_size."""
    tag_index: Flag = True
    """Note which entries carry which tag, for counts and previews; purging never needs it."""
    fill_lock: Flag = True
    """One process at a time fetches what many miss; the others wait for it a moment."""

    @model_validator(mode="after")
    def _options_fit(self) -> "Redis":
        try:
            options = self.options()
        except ValueError as error:
            raise Refused(str(error), at=("url",)) from None
        if self.tls != RedisTls() and not options.tls:
            raise Refused("is for rediss:// only", "write rediss in the URL", at=("tls",))
        if self.sentinel != SentinelUser() and options.mode is not Mode.SENTINEL:
            raise Refused("is for redis+sentinel:// only", "remove it", at=("sentinel",))
        return self

    def options(self) -> RedisOptions:
        """How to reach Redis.

        Raises:
            ValueError: URL and other keys do not fit together.
        """
        credentials = {"username": self.username, "password": self.password}
        return RedisOptions.from_url(
            self.url,
            mode=self.mode,
            sentinel_username=self.sentinel.username,
            sentinel_password=self.sentinel.password,
            verify=self.tls.verify,
            ca_file=self.tls.ca,
            certificate_file=self.tls.cert,
            key_file=self.tls.key,
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
            max_connections=self.connections,
            namespace=self.namespace,
            version=self.version,
            **{name: value for name, value in credentials.items() if value is not None},
        )


class Store(Section):
    """Where responses are kept."""

    memory: Memory = Memory()
    redis: Redis | None = None

    @model_validator(mode="after")
    def _object_passes_memory(self) -> "Store":
        largest = self.memory.max_object_size
        if self.redis and (self.redis.max_object_size or 0) > largest:
            raise Refused(
                "is larger than store.memory.max_object_size, beyond which nothing is stored",
                "raise that too",
                at=("redis", "max_object_size"),
            )
        return self

    def with_redis(self, url: str) -> "Store":
        """Redis at `url`; other keys of it that the operator wrote go on, and must fit.

        Raises:
            Refused: They do not, or the URL cannot be used.
        """
        kept = {} if self.redis is None else _written(self.redis)
        try:
            redis = Redis.model_validate(kept | {"url": url})
        except ValidationError as error:
            raise _with_place(error.errors()[0]["ctx"]["error"]) from None
        return self.model_copy(update={"redis": redis})


def _written(section: Section) -> dict[str, Any]:
    return {key: getattr(section, key) for key in section.model_fields_set}


def _with_place(refused: Refused) -> Refused:
    """As it reads where only the URL was given: another key is named."""
    if refused.at in {(), ("url",)}:
        return refused
    key = path_text(("store", "redis", *refused.at))
    return Refused(f"{key} {refused.message}", refused.suggestion)
