"""Who can reach the listeners and Redis, and what they see there."""

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import product
from typing import Final
from urllib.parse import urlsplit

from proxy.problems import Location
from proxy.settings.addresses import ListenAddress, TcpAddress
from proxy.settings.advice.hints import Hint, chosen
from proxy.settings.models import Caching, Settings
from proxy.settings.origins import Origin

_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})
_PRIVATE_NAMES: Final = (
    ".internal",
    ".local",
    ".lan",
    ".home.arpa",
    ".svc",
    ".localhost",
    ".consul",
    ".test",
    ".example",
)
"""Ends of names that only a network of one's own resolves, or nobody's."""


def hints(settings: Settings) -> Iterator[Hint]:
    """What of the addresses is likely to be a mistake."""
    yield from _admin(settings)
    yield from _own_tail(settings)
    yield from _tags(settings)
    yield from _redis(settings)


def _admin(settings: Settings) -> Iterator[Hint]:
    admin = settings.admin
    if admin is None:
        return
    for address in admin.listen:
        if _is_public(address) and not admin.allowed_hosts:
            yield Hint(
                ("admin", "listen"),
                f"{address}: whoever reaches this machine may try tokens, and they travel in plain "
                "HTTP",
                "write 127.0.0.1 or a private address; or name in admin.allowed_hosts what this "
                "host is called, once a firewall keeps others out",
            )
        if admin.listen_given and any(_collide(address, other) for other in settings.listen):
            yield Hint(("admin", "listen"), f"{address} is taken by `listen`", "write another port")


def _collide(one: ListenAddress, other: ListenAddress) -> bool:
    if isinstance(one, TcpAddress) and isinstance(other, TcpAddress):
        hosts = {one.host, other.host}
        return bool(one.port == other.port != 0 and (len(hosts) == 1 or hosts & _EVERYWHERE))
    return one == other


def _own_tail(settings: Settings) -> Iterator[Hint]:
    """Requests that come back to where they came from end in 503, or in a loop."""
    ours = [address for address in settings.listen if isinstance(address, TcpAddress)]
    named: list[tuple[Location, Origin]] = [(("origin",), settings.origin)]
    named += [(("origins", name), one) for name, one in settings.origins.items()]
    for at, origin in named:
        for server, address in product(origin.servers, ours):
            url = urlsplit(server.url)
            here = _is_loopback(url.hostname or "")
            if here and url.port == address.port and _answers_here(address):
                key = "url" if origin.url is not None else "urls"
                yield Hint(
                    (*at, key),
                    f"{server.url} is this proxy itself, which listens on {address}",
                    "write the address of the API",
                )


def _answers_here(address: TcpAddress) -> bool:
    return address.host in _EVERYWHERE or _is_loopback(address.host)


def _tags(settings: Settings) -> Iterator[Hint]:
    if not any(_is_public(address) for address in settings.listen):
        return
    sections: list[tuple[Location, Caching]] = [(("defaults",), settings.defaults)]
    sections += [(("routes", number), route) for number, route in enumerate(settings.routes)]
    for at, section in sections:
        if chosen(section, "strip_tags"):
            yield Hint(
                (*at, "strip_tags"),
                "clients see by which tags the cache is purged",
                "remove it, unless another cache in front needs them",
            )


def _redis(settings: Settings) -> Iterator[Hint]:
    redis = settings.store.redis
    if redis is None:
        return
    options = redis.options()
    if options.path:
        return
    at = ("store", "redis", "url")
    hosts = [host for host, _ in options.nodes]
    outside = [host for host in hosts if _is_global(host)]  # what names lead to nobody can tell
    strange = [host for host in hosts if not (_is_loopback(host) or _is_of_one_network(host))]
    guarded = options.password is not None or options.certificate_file is not None
    if strange and not guarded:
        yield Hint(
            at,
            f"{strange[0]} wants no password: whoever reaches it can read and replace all answers",
            "write store.redis.password: ${REDIS_PASSWORD}, and give Redis one",
        )
    if outside and not options.tls:
        yield Hint(
            at,
            f"{outside[0]} is not on a private network, and what is stored goes there in the clear",
            "write rediss:// for TLS",
        )


def _is_public(address: ListenAddress) -> bool:
    """Whether it answers others than this machine and a private network."""
    if not isinstance(address, TcpAddress):
        return False
    return address.host in _EVERYWHERE or _is_global(address.host)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _is_global(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_global
    except ValueError:
        return False


def _is_of_one_network(host: str) -> bool:
    """A name without a dot, as containers have, or one that ends as no public one does."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host or host.lower().rstrip(".").endswith(_PRIVATE_NAMES)
    return False
