"""The listeners of the settings, the public one and that of the admin API, as servers need them."""

import ssl
from pathlib import Path
from typing import Final

import structlog

from proxy import descriptors
from proxy.admin import AdminOptions, Role, TokenSpec
from proxy.routes import HostPattern
from proxy.server import ServerOptions
from proxy.settings import Admin, ListenAddress, Settings, TcpAddress

_LEAST_UNSENT: Final = 64 << 20
"""Bytes of answers that slow clients may hold, where the store has less."""


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
        unsent=max(settings.store.memory.max_size, _LEAST_UNSENT),
        request_line=limits.request_line,
        header_size=limits.header_size,
        headers=limits.headers,
        connections=_affordable_clients(settings),
        connections_per_client=limits.connections_per_client,
        requests_per_connection=limits.requests_per_connection,
        allowed_hosts=tuple(map(HostPattern, settings.allowed_hosts)),
    )


def warn_of_few_descriptors(settings: Settings) -> None:
    """Log it where fewer clients can be served at a time than the settings allow."""
    wanted, affordable = settings.limits.connections, _affordable_clients(settings)
    if affordable < wanted:
        log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("warmfront")
        log.warning(
            "too few file descriptors for limits.connections; raise the hard limit "
            "(ulimit -Hn, LimitNOFILE)",
            wanted=wanted,
            affordable=affordable,
        )


def _affordable_clients(settings: Settings) -> int:
    return descriptors.for_clients(settings.limits.connections, settings.connections_out)


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


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What clients are greeted with, with the certificate loaded; None where they speak plainly.

    Raises:
        OSError: The certificate or its key cannot be read.
    """
    if settings.tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, settings)
    return context


def load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    """Load it into a live context too: the next handshake shows the new certificate."""
    if settings.tls is not None:
        context.load_cert_chain(settings.tls.cert, settings.tls.key)


def bound_address(address: ListenAddress, port: int) -> str:
    """The address with the port that the system picked, where it was left to it."""
    if isinstance(address, TcpAddress) and address.port == 0:
        address = TcpAddress(address.host, port)
    return str(address)
